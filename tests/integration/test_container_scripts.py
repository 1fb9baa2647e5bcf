"""Containers that run a script: output, ends, stops, what a malformed start is told."""

import os
import socket
import struct
import tempfile
import time
import unittest

from container_case import COMPLETED, ERROR, FAILED, REOPEN, Container, ContainerCase, parse
from node import wait_until


class Scripts(ContainerCase):
    def test_output_and_end(self):
        before = time.time_ns()
        container, end = self.ended(
            "import sys, os\nprint('out', sys.argv[1], os.environ['NAME'], os.getcwd(), os.environ['HOSTNAME'])\n"
            "print('err', file=sys.stderr)\nprint('tail', end='')\n",
            argv=["one"], env={"NAME": "two"}, cwd="/tmp", hostname="pod-1")
        self.assertEqual((end["code"], end["reason"], end["text"], end["lost"]), (0, COMPLETED, "", 0))
        self.assertTrue(before < end["finished_at"] < time.time_ns())
        self.assertGreater(end["cpu_ns"], 0)
        self.assertEqual(sorted(container.lines()), [("stderr", "F", "err"), ("stdout", "F", "out one two /tmp pod-1"),
                                                     ("stdout", "P", "tail")])

    def test_long_lines_come_in_pieces(self):
        container, _ = self.ended("print('x' * 40000)\nprint('y' * 16384)\n")
        self.assertEqual([(tag, len(text)) for _, tag, text in container.lines()],
                         [("P", 16384), ("P", 16384), ("F", 40000 - 32768), ("P", 16384), ("F", 0)])

    def test_exit_status(self):
        _, end = self.ended("import sys\nsys.exit(3)\n")
        self.assertEqual((end["code"], end["reason"]), (3, ERROR))

    def test_handler_that_is_not_served(self):
        container, end = self.ended("def handler(event, context):\n  return 1\n", mode="script")
        self.assertEqual((end["code"], container.text("stdout")), (0, ""))
        self.assertRegex(container.text("stderr"), r'^usetl: \S+\.py defines handler .*the command \["\S+\.py"\] of a pod')

    def test_exception(self):
        container, end = self.ended("def f():\n  raise KeyError('k')\nf()\n")
        self.assertEqual((end["code"], end["reason"]), (1, ERROR))
        self.assertIn("KeyError: 'k'", container.text("stderr"))

    def test_crash(self):
        container, end = self.ended("import ctypes\nctypes.string_at(8)\n")
        self.assertEqual((end["code"], end["reason"]), (139, ERROR))
        self.assertIn("SIGSEGV", end["text"])
        self.assertIn("usetl: SIGSEGV: address 0x8", container.text("stderr"))

    def test_failed_load(self):
        container = self.container("def broken(:\n")
        message = container.receive()
        self.assertEqual(message["type"], FAILED)
        self.assertTrue(message["text"].startswith("SyntaxError"), message)
        self.assertIn("broken(:", container.text("stderr"))
        self.assertEqual(parse(container.exit_path.read_bytes())["code"], 128)

    def test_start_by_file(self):
        container, end = self.ended("import os\nprint(len(os.environ['A']))\n", in_file=True, env={"A": "a" * 20000})
        self.assertEqual((end["code"], container.text("stdout")), (0, "20000\n"))

    def test_stop_without_handler(self):
        container = self.container("import time\nprint('up', flush=True)\nwhile True: time.sleep(1)\n")
        container.started()
        wait_until(lambda: container.log_path.read_text())
        container.stop(30000)
        end = container.end()
        self.assertEqual((end["code"], end["reason"]), (143, ERROR))

    def test_stop_with_handler(self):
        container = self.container("import signal, sys, time\n"
                                   "def bye(*_):\n  print('bye')\n  sys.exit(5)\n"
                                   "signal.signal(signal.SIGTERM, bye)\nprint('up', flush=True)\n"
                                   "while True: time.sleep(1)\n")
        container.started()
        wait_until(lambda: container.log_path.read_text())
        container.stop(30000)
        self.assertEqual(container.end()["code"], 5)
        self.assertEqual(container.text("stdout"), "up\nbye\n")

    def test_stop_that_is_ignored(self):
        container = self.container("import signal, time\nsignal.signal(signal.SIGTERM, signal.SIG_IGN)\n"
                                   "print('up', flush=True)\nwhile True: time.sleep(1)\n")
        container.started()
        wait_until(lambda: container.log_path.read_text())
        container.stop(300)
        end = container.end()
        self.assertEqual((end["code"], end["reason"]), (137, ERROR))

    def test_kill(self):
        container = self.container("while True: pass\n")
        container.started()
        container.stop(0)
        self.assertEqual(container.end()["code"], 137)

    def test_new_usetld(self):
        container = self.container("import time\nprint('up', flush=True)\nwhile True: time.sleep(1)\n")
        started = container.started()
        for _ in range(2):
            container.reconnect()  # the old connection is gone, as after kill -9
            again = container.started()
            self.assertEqual(again, started)
        container.stop(30000)
        self.assertEqual(container.end()["code"], 143)

    def test_end_while_nobody_listens(self):
        container = self.container("import time\ntime.sleep(1)\nraise SystemExit(4)\n")
        container.started()
        container.connection.close()
        wait_until(lambda: container.exit_path.stat().st_size)
        self.assertEqual(parse(container.exit_path.read_bytes())["code"], 4)

    def test_reopen(self):
        container = self.container("import time\nfor i in range(1000):\n  print(i, flush=True)\n  time.sleep(.01)\n")
        container.started()
        wait_until(lambda: container.log_path.read_text().count("\n") > 5)
        old = container.log_path.with_name("log.1")
        container.log_path.rename(old)
        log = container.open_log()
        socket.send_fds(container.connection, [struct.pack("<II", REOPEN, 0)], [log])
        os.close(log)
        wait_until(lambda: container.log_path.read_text().count("\n") > 5)
        container.stop(0)
        container.end()
        numbers = [int(text) for _, _, text in container.lines(old) + container.lines()]
        self.assertEqual(numbers, list(range(len(numbers))))

    def test_malformed_join(self):
        message = self.container("", join_version=9).receive()
        self.assertEqual((message["type"], message["text"]),
                         (FAILED, "usetld speaks version 9 of the protocol, usetl-proxy 6"))

    def test_score_that_is_none(self):
        message = self.container("", oom_score=-1001).receive()
        self.assertEqual((message["type"], message["text"]), (FAILED, "a container's join: no score"))

    def test_malformed_starts(self):
        for order, text in (({"mode": "x"}, "mode: want http, script or auto"), ({"tenant": ""}, "tenant: want a name"),
                            ({"path": "a"}, "path: want an absolute path"), ({"ports": [0]}, "ports: want numbers"),
                            ({"env": {"A": 1}}, "A: want text"), ({"argv": "x"}, "argv: want a list"),
                            ({"more": [{"path": "/a", "offset": 1, "size": 10**12}]}, "not within the contents"),
                            ({"more": [{"path": "/a/../b"}]}, "not a plain path"),
                            ({"more": [{"path": "/a"}, {"path": "/a/b"}]}, "/a is a file"),
                            ({"more": [{"path": "/" + "a" * 600}]}, "the path is too long"),
                            ({"runtime": "other"}, "no pool of runtime 'other'"),
                            ({"memory": 1 << 50}, "exceeds the ")):
            with self.subTest(order=order), tempfile.TemporaryDirectory() as directory:
                container = Container(self.node, self.pod, directory, "", **order)
                message = container.receive()
                self.assertEqual(message["type"], FAILED)
                self.assertIn(text, message["text"])
                container.connection.close()


if __name__ == "__main__":
    unittest.main()
