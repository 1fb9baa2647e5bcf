"""A node of its own for a test class, in a network namespace that the test run made."""

import ctypes
import fcntl
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

BUILD = pathlib.Path(os.environ["USETL_BUILD"])
# With a sanitizer a program's memory is mostly that one's: shadow, freed blocks that are held back.
SANITIZED = re.search(r"^USETL_SANITIZE:\w+=.", (BUILD / "CMakeCache.txt").read_text(), re.MULTILINE) is not None
_CLONE_NEWNET = 0x40000000
_inside = False


def in_network_namespace() -> None:
    """Leaves the host's network for good: nothing of a test listens or connects outside."""
    global _inside
    if _inside:
        return
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.unshare(_CLONE_NEWNET) != 0:
        raise OSError(ctypes.get_errno(), "unshare")
    with socket.socket() as handle:  # lo up: SIOCSIFFLAGS with IFF_UP
        fcntl.ioctl(handle, 0x8914, struct.pack("16sh22x", b"lo", 1))
    _inside = True


class Node:
    """`usetl up` in a directory of its own, started by the command `within` when that is given."""

    def __init__(self, *options: str, verify: bool = False, pool: int = 2, within: tuple[str, ...] = ()):
        in_network_namespace()
        # Memory, as /run is: that is where nodes live.
        self.directory = tempfile.mkdtemp(prefix="usetl-test-", dir="/dev/shm")
        command = [*within, BUILD / "usetl", "up", "--node", self.directory, "--pool", str(pool), *options]
        if verify:
            command.append("--verify")
        self.process = subprocess.Popen(command, stdin=subprocess.DEVNULL, stderr=subprocess.PIPE, text=True)
        self.said = ""
        while " serves; " not in self.said:  # usetld has its log before
            line = self.process.stderr.readline()
            if not line:
                raise RuntimeError(self.said)
            self.said += line

    def run(self, code: str, *arguments: str, stdin: str = "") -> subprocess.CompletedProcess:
        path = pathlib.Path(self.directory) / "function.py"
        path.write_text(code)
        return subprocess.run([BUILD / "usetl", "run", path, "--node", self.directory, *arguments],
                              input=stdin, capture_output=True, text=True, timeout=120, check=False)

    def usetl(self, *arguments: str) -> subprocess.CompletedProcess:
        return subprocess.run([BUILD / "usetl", *arguments, "--node", self.directory],
                              capture_output=True, text=True, timeout=60, check=False)

    def close(self) -> None:
        self.process.send_signal(signal.SIGTERM)
        try:
            self.process.wait(60)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
        said = self.process.stderr.read()
        self.process.stderr.close()
        shutil.rmtree(self.directory)
        if "Sanitizer" in said:  # they have their say at the end
            raise AssertionError(said)


class NodeCase(unittest.TestCase):
    """Tests that share a node, which proves every rollback."""

    OPTIONS: tuple[str, ...] = ()

    @classmethod
    def setUpClass(cls):
        cls.node = Node(*cls.OPTIONS, verify=True)

    @classmethod
    def tearDownClass(cls):
        cls.node.close()

    def check(self, code: str, status: int, message: str, *arguments: str) -> subprocess.CompletedProcess:
        """The function fails with this status and a line that matches, and the node serves the next one."""
        done = self.node.run(code, *arguments)
        self.assertEqual(done.returncode, status, done.stderr)
        self.assertRegex(done.stderr, rf"(?m)^usetl: .*{message}")
        self.assertEqual(self.node.run("def handler(e, c):\n return 1\n").stdout, "1\n")
        return done


def spawn_daemon(program: str, *options: str, within: tuple[str, ...] = ()) -> tuple[subprocess.Popen, str]:
    """A daemon by itself, and what it said: that it is ready, or why not. The caller ends it."""
    reading, writing = os.pipe()
    daemon = subprocess.Popen([*within, BUILD / program, *options, "--ready-fd", str(writing)],
                              stdin=subprocess.DEVNULL, pass_fds=[writing])
    os.close(writing)
    with open(reading, encoding="utf-8") as report:
        return daemon, report.readline()


def start_daemon(test, program: str, *options: str, within: tuple[str, ...] = ()) -> tuple[subprocess.Popen, str]:
    """The same until the test ends."""
    in_network_namespace()
    daemon, said = spawn_daemon(program, *options, within=within)
    test.addCleanup(daemon.wait)
    test.addCleanup(daemon.terminate)
    return daemon, said


def wait_until(condition, seconds: float = 60.0) -> None:
    """Polls; the bound only keeps a broken test from hanging. A time in which all stood still counts as a second."""
    last = time.monotonic()
    while not condition():
        now = time.monotonic()
        seconds -= min(now - last, 1.0)
        last = now
        if seconds < 0:
            raise AssertionError("it did not happen")
        time.sleep(0.02)
