"""Containers: usetl-proxy's socket for pods, with usetld played by the test."""

import ctypes
import json
import os
import pathlib
import re
import shutil
import signal
import socket
import struct
import subprocess
import tempfile
import time
import unittest

from node import Node, wait_until

STARTED, FAILED, EXITED, STOP, REOPEN = 1, 2, 3, 16, 17
COMPLETED, ERROR, OUT_OF_MEMORY, LOST = range(4)
LINE = re.compile(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{9}Z (stdout|stderr) ([PF]) (.*)\n", re.S)


class Pod:
    """A network namespace, kept by a process that sleeps in it."""

    def __init__(self):
        self.process = subprocess.Popen(
            ["unshare", "-n", "sh", "-c", "ip link set lo up && echo up && exec sleep 1000"],
            stdout=subprocess.PIPE)
        self.process.stdout.readline()
        self.network = os.open(f"/proc/{self.process.pid}/ns/net", os.O_RDONLY | os.O_CLOEXEC)

    def close(self):
        os.close(self.network)
        self.process.kill()
        self.process.wait()
        self.process.stdout.close()

    def connect(self, port: int, host: str = "127.0.0.1") -> int:
        """The errno of a connection from within."""
        code = f"import socket; s=socket.socket(socket.AF_INET6 if ':' in '{host}' else socket.AF_INET); print(s.connect_ex(('{host}',{port})))"
        return int(subprocess.check_output(["nsenter", "--net=/proc/%d/ns/net" % self.process.pid,
                                            "/usr/bin/python3.11", "-c", code], timeout=30))


class Container:
    """One container, as usetld holds it."""

    def __init__(self, node: Node, pod: Pod, directory: str, code: str, *, log: str = "log", join_version: int = 2,
                 files: dict | None = None, packs: tuple = (), cgroups: tuple = (), in_file: bool = False, more: list | None = None, **order):
        self.directory = pathlib.Path(directory)
        self.control_path = str(self.directory / "control.sock")
        self.exit_path = self.directory / "exit"
        self.log_path = self.directory / log
        listener = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        listener.bind(self.control_path)
        listener.listen(4)
        exit_file = os.open(self.exit_path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600)
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.connection.settimeout(60)
        self.connection.connect(node.directory + "/pods.sock")
        groups = [os.open(path, os.O_WRONLY) for path in cgroups]
        socket.send_fds(self.connection, [struct.pack("<38I", join_version, len(groups), *[0] * 36)],
                        [pod.network, listener.fileno(), exit_file, *groups])
        listener.close()
        for group in groups:
            os.close(group)
        os.close(exit_file)
        log_file = self.open_log()
        contents = tempfile.TemporaryFile()
        places = []
        for path, text in {"/function/function.py": code, **(files or {})}.items():
            data = text.encode()
            places.append({"path": path, "mode": 0o644, "offset": contents.tell(), "size": len(data)})
            contents.write(data)
        contents.flush()
        places += more or []
        order = {"id": "test", "runtime": "python3.11", "tenant": "pods", "mode": "script",
                 "path": "/function/function.py", "files": places, "start_timeout_ms": 30000, **order}
        text = json.dumps(order).encode()
        fds = [log_file, *packs, contents.fileno()]
        head = struct.pack("<5I", 1, len(packs), 1, 0, len(text))
        if in_file:
            with tempfile.TemporaryFile() as file:
                file.write(text)
                file.flush()
                socket.send_fds(self.connection, [head], [*fds, file.fileno()])
        else:
            socket.send_fds(self.connection, [head + text], fds)
        contents.close()
        os.close(log_file)

    def open_log(self) -> int:
        return os.open(self.log_path, os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o640)

    def receive(self) -> dict:
        return parse(self.connection.recv(65536))

    def started(self) -> dict:
        message = self.receive()
        assert message["type"] == STARTED, message
        return message

    def end(self) -> dict:
        message = self.receive()
        assert message["type"] == EXITED, message
        assert message == parse(self.exit_path.read_bytes()), "the exit file says something else"
        assert self.connection.recv(10) == b""
        return message

    def stop(self, grace_ms: int) -> None:
        self.connection.send(struct.pack("<4I", STOP, 0, grace_ms, 0))

    def reconnect(self) -> None:
        self.connection.close()
        self.connection = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.connection.settimeout(60)
        self.connection.connect(self.control_path)

    def lines(self, path: pathlib.Path | None = None) -> list:
        """(stream, tag, text) of each line."""
        lines = (path or self.log_path).read_text().splitlines(keepends=True)
        matches = [LINE.fullmatch(line) for line in lines]
        assert all(matches), lines
        return [match.groups() for match in matches]

    def text(self, stream: str) -> str:
        return "".join(text + ("\n" if tag == "F" else "") for s, tag, text in self.lines() if s == stream)


def parse(message: bytes) -> dict:
    if not message:
        return {"type": 0}
    kind, size = struct.unpack_from("<II", message)
    if kind == STARTED:
        worker, usf, cpu = struct.unpack_from("<iiQ", message, 8)
        return {"type": kind, "worker": worker, "usf": usf, "cpu_ns": cpu}
    if kind == FAILED:
        return {"type": kind, "code": struct.unpack_from("<i", message, 8)[0], "text": message[16:].decode()}
    code, reason, finished, cpu, lost = struct.unpack_from("<iIqQQ", message, 8)
    text = message[40:]
    assert len(text) == size
    return {"type": kind, "code": code, "reason": reason, "finished_at": finished, "cpu_ns": cpu, "lost": lost,
            "text": text.decode()}


class PodTest(unittest.TestCase):
    options: tuple = ()

    @classmethod
    def setUpClass(cls):
        cls.node = Node(*cls.options)
        cls.pod = Pod()

    @classmethod
    def tearDownClass(cls):
        cls.pod.close()
        cls.node.close()

    def setUp(self):
        self.directory = tempfile.mkdtemp(prefix="usetl-pod-")
        self.addCleanup(shutil.rmtree, self.directory)

    def container(self, code: str, **order) -> Container:
        container = Container(self.node, self.pod, self.directory, code, **order)
        self.addCleanup(lambda: container.connection.close())
        return container

    def ended(self, code: str, **order) -> tuple:
        container = self.container(code, **order)
        container.started()
        return container, container.end()


class Scripts(PodTest):
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
                         (FAILED, "usetld speaks version 9 of the protocol, usetl-proxy 2"))

    def test_malformed_starts(self):
        for order, text in (({"mode": "x"}, "mode: want http, script or auto"), ({"tenant": ""}, "tenant: want a name"),
                            ({"path": "a"}, "path: want an absolute path"), ({"ports": [0]}, "ports: want numbers"),
                            ({"env": {"A": 1}}, "A: want text"), ({"argv": "x"}, "argv: want a list"),
                            ({"more": [{"path": "/a", "offset": 1, "size": 10**12}]}, "not within the contents"),
                            ({"more": [{"path": "/a/../b"}]}, "not a plain path"),
                            ({"more": [{"path": "/a"}, {"path": "/a/b"}]}, "/a is a file"),
                            ({"more": [{"path": "/" + "a" * 600}]}, "the path is too long"),
                            ({"runtime": "other"}, "no pool of runtime 'other'"),
                            ({"memory": 1 << 50}, "at most")):
            with self.subTest(order=order), tempfile.TemporaryDirectory() as directory:
                container = Container(self.node, self.pod, directory, "", **order)
                message = container.receive()
                self.assertEqual(message["type"], FAILED)
                self.assertIn(text, message["text"])
                container.connection.close()


class Contents(PodTest):
    def test_files_directories_and_links(self):
        code = ("import os, stat\n"
                "print(open('/data/deep/file').read(), open('/current').read(), os.readlink('/current'))\n"
                "print(oct(os.stat('/var/cache/mine').st_mode), os.listdir('/var/cache/mine'))\n"
                "print(open('/lib/mine/token').read(), os.path.realpath('/lib/mine/token'))\n")
        container, end = self.ended(
            code, files={"/data/deep/file": "inside", "/lib/mine/token": "secret"},
            directories=[{"path": "/var/cache/mine", "mode": 0o1777}], links=[{"path": "/current", "target": "data/deep/file"}])
        self.assertEqual(end["code"], 0, container.text("stderr"))
        self.assertEqual(container.text("stdout"), "inside inside data/deep/file\n0o41777 []\n"
                                                   "secret /usr/lib/mine/token\n")

    def test_too_many_files(self):
        message = self.container("", files={f"/d/{i}": "x" for i in range(1000)}).receive()
        self.assertIn("are 1001 files, a USF takes 896", message["text"])

    def test_too_much(self):
        message = self.container("", files={"/big": "x" * (60 << 20)}).receive()
        self.assertIn("the host region has 4", message["text"])


class Memory(PodTest):
    options = ("--memory", "256M")

    def test_out_of_memory(self):
        # Promised as programs with allocators of their own have it: reserved first, then opened.
        code = ("import ctypes\nlibc = ctypes.CDLL(None)\nlibc.mmap.restype = ctypes.c_void_p\n"
                "size = ctypes.c_size_t(1 << 30)\nat = ctypes.c_void_p(libc.mmap(None, size, 0, 0x22, -1, 0))\n"
                "assert libc.mprotect(at, size, 3) == 0\nprint('promised', flush=True)\n"
                "libc.memset(at, 1, size)\n")
        container, end = self.ended(code)
        self.assertEqual((end["code"], end["reason"]), (137, OUT_OF_MEMORY), container.text("stderr"))
        self.assertIn("out of memory", end["text"])
        self.assertEqual(container.text("stdout"), "promised\n")

    def test_memory_error_is_the_functions(self):
        _, end = self.ended("bytearray(1 << 31)\n")
        self.assertEqual((end["code"], end["reason"]), (1, ERROR))


class Http(PodTest):
    CODE = "def handler(event, context):\n  return 1\n"

    def test_started_and_stopped(self):
        container = self.container(self.CODE, mode="http", ports=[8080])
        started = container.started()
        for host in ("127.0.0.1", "::1"):
            self.assertEqual(self.pod.connect(8080, host), 0)
        self.assertEqual(os.readlink(f"/proc/{started['worker']}/ns/net"),
                         os.readlink(f"/proc/{self.pod.process.pid}/ns/net"))
        self.assertIn("usetl-usf", os.readlink(f"/proc/{started['usf']}/exe"))
        container.stop(30000)
        end = container.end()
        self.assertEqual((end["code"], end["reason"]), (0, COMPLETED), end)

    @unittest.skipUnless(os.path.isdir("/sys/fs/cgroup/pids"), "no hierarchy of version 1")
    def test_worker_enters_the_cgroup(self):
        group = pathlib.Path(f"/sys/fs/cgroup/pids/usetl-test-{os.getpid()}")
        group.mkdir()
        self.addCleanup(lambda: wait_until(lambda: self.removed(group)))
        container = self.container(self.CODE, mode="http", cgroups=(str(group / "tasks"),))
        worker = container.started()["worker"]
        wait_until(lambda: (group / "cgroup.procs").read_text().split() == [str(worker)])
        container.stop(0)
        container.end()

    @staticmethod
    def removed(group: pathlib.Path) -> bool:
        try:
            group.rmdir()
        except OSError:
            return False
        return True

    def test_port_taken(self):
        first = self.container(self.CODE, mode="http", ports=[8080])
        first.started()
        with tempfile.TemporaryDirectory() as directory:
            second = Container(self.node, self.pod, directory, self.CODE, mode="http", ports=[8080])
            self.assertEqual(second.receive()["text"], "port 8080: Address already in use")
            second.connection.close()
        first.stop(0)
        first.end()

    def test_script_is_no_server(self):
        message = self.container("print(1)\nif __name__ == '__main__':\n  pass\n", mode="http").receive()
        self.assertEqual(message["type"], FAILED)

    @staticmethod
    def private_kilobytes(process: int) -> int:
        """Memory of its own. Pages of a program that was just written count as dirty too: not them."""
        smaps = pathlib.Path(f"/proc/{process}/smaps").read_text()
        dirty, anonymous = (re.findall(rf"^{name}: +(\d+) kB$", smaps, re.M) for name in ("Private_Dirty", "Anonymous"))
        return sum(min(int(a), int(b)) for a, b in zip(dirty, anonymous))

    def test_worker_is_small(self):
        container = self.container(self.CODE, mode="http", ports=[8080])
        worker = container.started()["worker"]
        # It gives back what the start needed once it has answered.
        wait_until(lambda: self.private_kilobytes(worker) < 350)  # 124 without sanitizers
        container.stop(0)
        container.end()


class Losses(PodTest):
    def test_usf_killed(self):
        container = self.container("while True: pass\n")
        os.kill(container.started()["usf"], signal.SIGKILL)
        end = container.end()
        self.assertEqual((end["code"], end["reason"]), (137, LOST))

    def test_vmmd_killed(self):
        node = Node()
        self.addCleanup(node.close)
        container = Container(node, self.pod, self.directory, "while True: pass\n")
        self.addCleanup(container.connection.close)
        container.started()
        vmmd = next(p for p in map(int, filter(str.isdigit, os.listdir("/proc")))
                    if self.is_vmmd_of(p, node.directory))
        # `usetl up` ends with any of its daemons, and takes the workers along.
        node.process.send_signal(signal.SIGSTOP)
        self.addCleanup(node.process.send_signal, signal.SIGCONT)
        os.kill(vmmd, signal.SIGKILL)
        message = container.receive()
        self.assertEqual((message["code"], message["reason"]), (255, LOST))

    @staticmethod
    def is_vmmd_of(process: int, directory: str) -> bool:
        try:
            words = pathlib.Path(f"/proc/{process}/cmdline").read_bytes().split(b"\0")
        except OSError:
            return False
        return words[0].endswith(b"usetl-vmmd") and (directory + "/vmmd.sock").encode() in words


class FullDisk(PodTest):
    def setUp(self):
        super().setUp()
        libc = ctypes.CDLL(None, use_errno=True)
        if libc.mount(b"tmpfs", self.directory.encode(), b"tmpfs", 0, b"size=256k") != 0:
            raise OSError(ctypes.get_errno(), "mount")
        self.addCleanup(libc.umount2, self.directory.encode(), 2)

    def test_lines_are_lost_and_told(self):
        (pathlib.Path(self.directory) / "ballast").write_bytes(b"x" * (200 << 10))
        code = ("import time\nfor i in range(1000): print(i, 'x' * 90)\nprint('full', flush=True)\n"
                "while True:\n  time.sleep(.05)\n  print('again', flush=True)\n")
        container = self.container(code)
        container.started()
        wait_until(lambda: os.statvfs(self.directory).f_bavail == 0)
        (pathlib.Path(self.directory) / "ballast").unlink()
        wait_until(lambda: "lines were lost: no space left on the log's disk" in container.log_path.read_text())
        wait_until(lambda: container.log_path.read_text().endswith("again\n"))
        container.stop(0)
        end = container.end()
        told = [int(text.split()[1]) for _, _, text in container.lines() if text.startswith("usetl: ")]
        self.assertEqual(sum(told), end["lost"])
        self.assertGreater(end["lost"], 0)


if __name__ == "__main__":
    unittest.main()
