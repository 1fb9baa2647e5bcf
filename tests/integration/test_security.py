"""Who may speak to the daemons, and what a worker is left with."""

import contextlib
import errno
import json
import os
import pathlib
import signal
import socket
import stat
import struct
import subprocess
import tempfile
import unittest

from node import BUILD, Node, wait_until
from processes import children, ended, name, status_of

CLAIM = struct.Struct("=IIQII64s128s")
ENDLESS = "def handler(e, c):\n print('on', flush=True)\n while True: pass\n"


def claim(tenant: bytes, runtime: bytes = b"python3.11") -> bytes:
    return CLAIM.pack(1, 10_000, 0, 0, 0, runtime, tenant)


def listening() -> set[str]:
    """Unix sockets that accept connections, as /proc names them."""
    lines = pathlib.Path("/proc/net/unix").read_text().splitlines()[1:]
    fields = [line.split() for line in lines]
    return {f"socket:[{field[6]}]" for field in fields if int(field[3], 16) & 0x10000}


class Security(unittest.TestCase):
    def setUp(self):
        self.node = Node()
        self.addCleanup(self.node.close)

    def connect(self, which: str) -> socket.socket:
        peer = socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.addCleanup(peer.close)
        peer.settimeout(60)
        peer.connect(f"{self.node.directory}/{which}.sock")
        return peer

    def answers(self):
        done = self.node.run("def handler(e, c): return 5\n")
        self.assertEqual(done.stdout, "5\n", done.stderr)

    def test_sockets_are_roots(self):
        os.chmod(self.node.directory, 0o755)
        for which in ("vmmd", "proxy"):
            path = f"{self.node.directory}/{which}.sock"
            self.assertEqual(stat.S_IMODE(os.stat(path).st_mode), 0o600)
            code = ("import socket, sys\n"
                    "socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET).connect(sys.argv[1])\n")
            done = subprocess.run(["/usr/bin/python3.11", "-c", code, path], user=65534, group=65534, extra_groups=[],
                                  capture_output=True, text=True, check=False)
            self.assertIn("PermissionError", done.stderr)

    def test_peers_that_break_the_rules_are_dropped(self):
        for message in (b"x", b"x" * 1000, claim(b"a")[:-1], struct.pack("=II", 99, 0), struct.pack("=II", 2, 0),
                        CLAIM.pack(1, 10_000, 0, 0, 1001, b"python3.11", b"a"),
                        CLAIM.pack(1, 10_000, 0, 3, 0, b"python3.11", b"a")):  # of layers that did not come
            peer = self.connect("vmmd")
            peer.send(message)
            self.assertEqual(peer.recv(100), b"", message[:8])
        for message in (b"nonsense", b'{"argv": 1}', b"[" * 60_000):
            peer = self.connect("proxy")
            peer.send(message)
            self.assertIn(b"request", peer.recv(1000))
        self.answers()

    def test_one_connection_is_for_one_tenant(self):
        peer = self.connect("vmmd")
        for tenant in (b"a", b"a", b"b"):
            peer.send(claim(tenant))
            answer, fds, _, _ = socket.recv_fds(peer, 1000, 16)
            for fd in fds:
                os.close(fd)
            if tenant == b"b":
                self.assertEqual((answer, fds), (b"", []))
                break
            self.assertEqual(len(fds), 5)
            peer.send(struct.pack("=II", 2, 0))
            self.assertEqual(struct.unpack_from("=I", peer.recv(1000))[0], 2)
        self.answers()

    def test_a_connection_reaches_no_image_but_its_own(self):
        for message in (claim(b"a", b"image-" + b"0" * 32), struct.pack("=II", 3, 0), struct.pack("=II", 3, 1)):
            peer = self.connect("vmmd")
            peer.send(claim(b"a"))
            _, fds, _, _ = socket.recv_fds(peer, 1000, 16)
            for fd in fds:
                os.close(fd)
            peer.send(struct.pack("=II", 2, 0))
            self.assertEqual(struct.unpack_from("=I", peer.recv(1000))[0], 2)
            peer.send(message)
            self.assertEqual(peer.recv(1000), b"", message[:4])
        self.answers()

    def test_regions_cannot_grow(self):
        peer = self.connect("vmmd")
        peer.send(claim(b"a"))
        _, fds, _, _ = socket.recv_fds(peer, 1000, 16)
        control, host, guest = fds[:3]
        try:
            for sealed in (control, guest):
                self.assertRaises(PermissionError, os.ftruncate, sealed, 1 << 30)
                self.assertRaises(PermissionError, os.ftruncate, sealed, 4096)
            # The host region gets longer, but no larger.
            os.ftruncate(host, 1 << 30)
            piece = bytes(1 << 20)
            with self.assertRaises(OSError) as full:
                for at in range(128):
                    os.pwrite(host, piece, at << 20)
            self.assertEqual(full.exception.errno, errno.ENOSPC)
            self.assertLessEqual(os.fstat(host).st_blocks * 512, 64 << 20)
        finally:
            for fd in fds:
                os.close(fd)
        # Whoever did that is not trusted: its USF is thrown away.
        peer.send(struct.pack("=II", 2, 0))
        self.assertEqual(struct.unpack_from("=I", peer.recv(1000))[0], 2)
        wait_until(lambda: [state for state in self.states() if state["uses"]] == [])
        self.answers()

    def states(self):
        return json.loads(self.node.usetl("inspect").stdout)["usfs"]

    def test_a_peer_that_reads_nothing_harms_nobody(self):
        deaf = self.connect("vmmd")
        with self.assertRaises(OSError):  # it is dropped before long
            for _ in range(100_000):
                deaf.send(struct.pack("=II", 3, 0))
        self.answers()

    def test_workers(self):
        proxy = next(pid for pid in children(self.node.process.pid) if name(pid) == "usetl-proxy")
        function = pathlib.Path(self.node.directory) / "endless.py"
        function.write_text(ENDLESS)
        with subprocess.Popen([BUILD / "usetl", "run", function, "--node", self.node.directory],
                              stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
            self.assertEqual(run.stdout.readline(), b"on\n")
            # The others wait for a client, and drop their rights when they have one.
            [(worker, status)] = [(pid, of) for pid in children(proxy)
                                  if (of := status_of(pid)).get("Uid", "0").split()[0] != "0"]
            self.assertEqual(len(set(status["Uid"].split())), 1)
            self.assertGreaterEqual(int(status["Uid"].split()[0]), 700_000)
            self.assertEqual(status["Gid"].split(), ["65534"] * 4)
            self.assertEqual(status["Groups"].strip(), "")
            self.assertEqual(int(status["CapPrm"], 16) | int(status["CapEff"], 16), 0)
            self.assertEqual((status["NoNewPrivs"].strip(), status["Seccomp"].strip()), ("1", "2"))
            opened = [os.readlink(f"/proc/{worker}/fd/{fd}") for fd in os.listdir(f"/proc/{worker}/fd")]
            self.assertFalse([path for path in opened if "kvm" in path or "snapshot" in path or "pack" in path
                              or "signalfd" in path or "memfd" in path], opened)
            self.assertTrue(listening())
            self.assertFalse(listening() & set(opened))
            os.kill(proxy, signal.SIGKILL)
            wait_until(lambda: ended(worker))
            run.wait(60)
            self.assertEqual(run.returncode, 125)

    def test_no_two_workers_share_a_user(self):
        proxy = next(pid for pid in children(self.node.process.pid) if name(pid) == "usetl-proxy")
        function = pathlib.Path(self.node.directory) / "endless.py"
        function.write_text(ENDLESS)
        for _ in range(2):
            run = subprocess.Popen([BUILD / "usetl", "run", function, "--node", self.node.directory],
                                   stdin=subprocess.DEVNULL, stdout=subprocess.PIPE)
            self.addCleanup(run.stdout.close)
            self.addCleanup(run.wait)
            self.addCleanup(run.kill)
            self.assertEqual(run.stdout.readline(), b"on\n")
        users = [status_of(pid).get("Uid", "0").split()[0] for pid in children(proxy)]
        users = [user for user in users if user != "0"]
        self.assertEqual((len(users), len(set(users))), (2, 2))


class Client(unittest.TestCase):
    """`usetl run` against a worker that a guest has taken over."""

    def told(self, *messages):
        """What the client says when it is sent these (type, detail, bytes), again and again."""
        with tempfile.TemporaryDirectory(prefix="usetl-test-") as directory:
            function = pathlib.Path(directory) / "f.py"
            function.write_text("def handler(e, c): return 1\n")
            with socket.socket(socket.AF_UNIX, socket.SOCK_SEQPACKET) as listener:
                listener.bind(directory + "/proxy.sock")
                listener.listen()
                with subprocess.Popen([BUILD / "usetl", "run", function, "--node", directory], text=True,
                                      stdin=subprocess.DEVNULL, stdout=subprocess.PIPE, stderr=subprocess.PIPE) as run:
                    worker, _ = listener.accept()
                    with worker:
                        worker.recv(65536)
                        for kind, detail, content in messages:
                            with contextlib.suppress(BrokenPipeError, ConnectionResetError):
                                worker.send(struct.pack("=II", kind, detail) + content)
                        out, error = run.communicate(timeout=60)
            return run.returncode, out, error

    def test_results_of_the_wrong_shape(self):
        for result in (b"", b"[]", b"nonsense", b'{"ok":true,"exit":"0"}', b'{"ok":true,"exit":[]}',
                       b"[" * 30_000, b'{"ok":false,"exit":{}}', b'{"ok":true,"value":"\xff"}',
                       b'{"ok":true,"value":"\\ud800"}'):
            status, out, error = self.told((2, 1, result))
            self.assertEqual((status, out), (125, ""), result)
            self.assertRegex(error, "^usetl: the function's answer [^\n]*\n$")
        for result in (b"{}", b'{"ok":1}', b'{"ok":false,"error":7}', b'{"ok":false,"error":{"type":[],"message":3}}'):
            self.assertEqual(self.told((2, 1, result)), (1, "", "usetl: Error: unknown\n"), result)
        self.assertEqual(self.told((2, 1, b'{"ok":true,"exit":7}')), (7, "", ""))
        self.assertEqual(self.told((2, 1, b'{"value":[1], "ok":true}')), (0, "[1]\n", ""))

    def test_a_result_without_end(self):
        self.assertEqual(self.told(*[(2, 0, b"x" * 60_000)] * 700),
                         (125, "", "usetl: the function's result exceeds 32 MB\n"))


class Residue(unittest.TestCase):
    """What a run left in memory that it shares with the host, as the tenant's next run would find it."""

    SECRET = "p9Q-residue-7Zx"
    LOOK = ("import ctypes\n"
            "def handler(event, context):\n"
            " secret = event[::-1].encode()\n"
            " places = {'rings': (0x30010000, 0x90000), 'region': (0x30_0000_0000, 32 << 20)}\n"
            " return [name for name, place in places.items() if secret in ctypes.string_at(*place)]\n")

    def setUp(self):
        self.node = Node(verify=True)
        self.addCleanup(self.node.close)

    def left(self):
        done = self.node.run(self.LOOK, "--event", json.dumps(self.SECRET[::-1]))
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def rolled_back(self):
        return json.loads(self.node.usetl("inspect").stdout)["rolled_back"]

    def test_of_a_run_that_ended(self):
        done = self.node.run("def handler(event, context):\n print(event)\n open('/tmp/f', 'w').write(event)\n"
                             " return event\n",
                             "--event", json.dumps(self.SECRET), "--env", f"TOKEN={self.SECRET}")
        self.assertIn(self.SECRET, done.stdout)
        wait_until(lambda: self.rolled_back() == 1)
        self.assertEqual(self.left(), [])

    def test_of_a_run_that_writes_until_it_is_stopped(self):
        code = ("import ctypes\n"
                "def handler(event, context):\n"
                " piece = event.encode() * 1000\n"
                " while True:\n"
                "  for at in (0x30_0100_0000, 0x30040000, 0x30060000 + (128 << 10)):\n"
                "   ctypes.memmove(at, piece, len(piece))\n")
        for rounds in range(1, 6):
            done = self.node.run(code, "--event", json.dumps(self.SECRET), "--timeout", "100ms")
            self.assertIn(done.returncode, (124, 125), done.stderr)
            wait_until(lambda: self.rolled_back() == 2 * rounds - 1)
            self.assertEqual(self.left(), [])
            wait_until(lambda: self.rolled_back() == 2 * rounds)


if __name__ == "__main__":
    unittest.main()
