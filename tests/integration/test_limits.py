"""Limits of a run on a running node, and USFs that do not come back from their rollback."""

import errno
import json
import os
import pathlib
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import unittest

from node import BUILD, Node, NodeCase, start_daemon, wait_until
from processes import children, name

FILL = ("def handler(event, context):\n"
        "  taken = []\n"
        "  try:\n"
        "    while True: taken.append(bytearray(1 << 20))\n"
        "  except MemoryError:\n"
        "    count = len(taken)\n"
        "    del taken\n"
        "    return count\n")
ONE = "def handler(e, c):\n return 1\n"


class Memory(NodeCase):
    OPTIONS = ("--memory", "256M")

    def filled(self, *arguments):
        done = self.node.run(FILL, *arguments)
        self.assertEqual(done.returncode, 0, done.stderr)
        return int(done.stdout)

    def state(self):
        return json.loads(self.node.usetl("inspect").stdout)

    def test_limit_of_the_node(self):
        self.assertTrue(200 < self.filled() < 256)

    def test_limit_of_a_run(self):
        for limit in (64, 100, 128, 255, 256):
            with self.subTest(limit=limit):
                megabytes = self.filled("--memory", f"{limit}M")
                self.assertTrue(limit - 48 < megabytes < limit, megabytes)

    def test_limit_goes_with_its_run(self):
        # The same USF, which a growth would have worn out.
        self.assertEqual(self.node.run(ONE, "--memory", "64M").stdout, "1\n")
        used = {u["usf"] for u in self.state()["usfs"] if u["uses"]}
        wait_until(lambda: all(u["state"] == "idle" for u in self.state()["usfs"] if u["usf"] in used))
        self.assertGreater(self.filled(), 200)
        code = "def handler(e, c):\n return open('/proc/meminfo').readline().split()[1]\n"
        small = int(json.loads(self.node.run(code, "--memory", "64M").stdout))
        self.assertGreater(int(json.loads(self.node.run(code).stdout)), small + (150 << 10))

    def test_mappings_wear_nobody_out(self):
        code = ("import mmap, os\ndef handler(e, c):\n with open(os.__file__, 'rb') as f:\n  for i in range(500):\n"
                "   with mmap.mmap(f.fileno(), 8192, access=mmap.ACCESS_COPY) as m:\n    m[0] = i % 256\n return i\n")
        for _ in range(3):
            self.assertEqual(self.node.run(code).stdout, "499\n")
            wait_until(lambda: all(usf["state"] == "idle" for usf in self.state()["usfs"]))
        self.assertGreaterEqual(max(usf["uses"] for usf in self.state()["usfs"]), 3)

    def test_more_threads_than_there_may_be(self):
        code = ("import threading\ndef handler(e, c):\n done, n = threading.Event(), 0\n try:\n  for n in range(500):\n"
                "   threading.Thread(target=done.wait, daemon=True).start()\n except RuntimeError as error:\n"
                "  return [n, str(error)]\n finally:\n  done.set()\n")
        fill = "def handler(e, c):\n return sum(len(bytearray(b'x' * (1 << 20))) for _ in range(60)) >> 20\n"
        for _ in range(2):
            self.assertEqual(json.loads(self.node.run(code).stdout), [399, "can't start new thread"])
            wait_until(lambda: all(usf["state"] == "idle" for usf in self.state()["usfs"]))
            self.assertEqual(self.node.run(fill).stdout, "60\n")

    def test_beyond_the_node(self):
        done = self.node.run(ONE, "--memory", "1G")
        self.assertEqual((done.returncode, done.stdout), (2, ""))
        self.assertEqual(done.stderr, "usetl: --memory, or the pod's memory limit, exceeds the 256 MB that this node "
                                      "gives a function; ask for less, or start the node with usetl up --memory\n")

    def test_options_of_a_node_that_runs_already(self):
        for option, *value in (["--region", "128M"], ["--objects", "a=/tmp"], ["--trace", "1"], ["--verify"],
                               ["--no-huge-pages"], ["--runtimes", "/nowhere"]):
            done = self.node.run(ONE, option, *value)
            self.assertEqual((done.returncode, done.stdout, done.stderr),
                             (2, "", f"usetl: {option}: the node in {self.node.directory} runs already; give it to "
                                     "usetl up, or choose another --node\n"))

    def test_less_than_the_runtime_has(self):
        done = self.node.run(ONE, "--memory", "8M")
        self.assertEqual(done.returncode, 2)
        self.assertEqual(done.stderr, "usetl: --memory, or the pod's memory limit, is less than the 64 MB that a "
                                      "function of this runtime takes; give 64 MB or more\n")
        with tempfile.TemporaryDirectory() as directory:
            done = subprocess.run([BUILD / "usetl", "up", "--node", directory, "--memory", "8M"], capture_output=True,
                                  text=True, timeout=60, check=False)
        self.assertEqual((done.returncode, done.stderr),
                         (1, "usetl: --memory: a function of runtime 'python3.11' has at least 64 MB; give "
                             "--memory 64M or more\n"))


class Regions(unittest.TestCase):
    def test_what_they_hold_is_bounded(self):
        directory = tempfile.mkdtemp(prefix="usetl-test-")
        self.addCleanup(shutil.rmtree, directory)
        path = directory + "/vmmd.sock"
        options = ("--socket", path, "--runtimes", os.environ["USETL_RUNTIMES"], "--pool", "3", "--region", "8M")
        self.assertEqual(start_daemon(self, "usetl-vmmd", *options, "--regions", "4M")[1],
                         "--region: more than the 4 MB that all host regions may hold (--regions)")
        self.assertEqual(start_daemon(self, "usetl-vmmd", *options, "--memory", "5G")[1],
                         "--memory: a function can have 4096 MB at most")
        self.assertEqual(start_daemon(self, "usetl-vmmd", *options, "--regions", "16M")[1], "ready\n")

        def claim(tenant, wait_ms):
            peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
            self.addCleanup(peer.close)
            peer.connect(path)
            peer.send(struct.pack("=IIQII64s128s", 1, wait_ms, 0, 0, 0, b"python3.11", tenant))
            answer, fds, _, _ = socket.recv_fds(peer, 1000, 16)
            for fd in fds:
                self.addCleanup(os.close, fd)
            return peer, struct.unpack_from("=Ii", answer)[1], answer[56:].decode(), fds

        # Admitted by what they hold, not by their size.
        peers = [claim(b"%d" % number, 20_000) for number in range(3)]
        self.assertEqual([error for _, error, _, _ in peers], [0, 0, 0])
        for _, _, _, fds in peers[:2]:
            os.pwrite(fds[1], bytes(8 << 20), 0)
        _, error, text, _ = claim(b"late", 0)
        self.assertEqual((error, text), (errno.ENOMEM, "the host regions of running functions hold 16 of 16 MB, "
                                                       "too much for another one; wait, or give less --region"))
        for peer, *_ in peers[:2]:
            peer.close()
        self.assertEqual(claim(b"late", 20_000)[1], 0)


class Waiting(unittest.TestCase):
    def test_who_waits_for_a_usf_is_told(self):
        node = Node(pool=1)
        self.addCleanup(node.close)
        function = pathlib.Path(node.directory) / "one.py"
        function.write_text(ONE)
        [vmmd] = [pid for pid in children(node.process.pid) if name(pid) == "usetl-vmmd"]
        os.kill(vmmd, signal.SIGSTOP)
        self.addCleanup(os.kill, vmmd, signal.SIGCONT)
        command = [BUILD / "usetl", "run", function, "--node", node.directory]
        with subprocess.Popen(command, stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE,
                              text=True) as client:
            said = client.stderr.readline()
            os.kill(vmmd, signal.SIGCONT)
            self.assertEqual((said, client.communicate(timeout=60), client.returncode),
                             ("usetl: no USF of runtime python3.11 is free: waiting for one, 10 s at most\n",
                              ("1\n", ""), 0))


class Stuck(unittest.TestCase):
    def test_usf_that_hangs_in_its_rollback_is_replaced(self):
        node = Node(pool=1)
        self.addCleanup(node.close)
        state = lambda: json.loads(node.usetl("inspect").stdout)
        self.assertEqual(node.run(ONE).stdout, "1\n")
        wait_until(lambda: [u["state"] for u in state()["usfs"] if u["uses"]] == ["idle"])
        pid = next(u["pid"] for u in state()["usfs"] if u["uses"])
        # Stopped, it answers neither the function's owner nor the rollback that follows.
        os.kill(pid, signal.SIGSTOP)
        done = node.run(ONE, "--timeout", "200ms")
        self.assertEqual(done.returncode, 124, done.stderr)
        wait_until(lambda: [u["state"] for u in state()["usfs"] if u["pid"] == pid] in (["rolling back"], []))
        self.assertEqual(node.run(ONE).stdout, "1\n")  # by another one, meanwhile
        wait_until(lambda: state()["stuck"] == 1)
        wait_until(lambda: not pathlib.Path(f"/proc/{pid}").exists())
        self.assertNotIn(pid, [u["pid"] for u in state()["usfs"]])
        self.assertEqual(node.run(ONE).stdout, "1\n")


if __name__ == "__main__":
    unittest.main()
