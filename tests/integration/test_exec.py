"""Programs in clones of a container's USF: usetl-proxy's socket for pods, with usetld played by the test."""

import json
import socket
import struct
import subprocess
import tempfile
import unittest

from node import Node, wait_until
from container_case import Container, Pod

EXEC, EXEC_FAILED, EXEC_EXITED, RESIZE = 18, 32, 33, 34
FUNCTION = """
import http.server, json, os, pathlib, random, uuid
pathlib.Path("/tmp/written").write_text("by the function\\n")
os.makedirs("/tmp/deep/er")
os.remove("/function/gone.txt")
state = []
def handler(event, context):
    state.append(event)
    print("called with", event, flush=True)
    if event == "random":
        return [str(uuid.uuid4()), os.urandom(8).hex()]
    if event == "spin":
        while True: pass
    return {"calls": len(state), "exists": sorted(os.listdir("/tmp"))}
"""


class Exec:
    """One program, as usetld's streaming server holds it."""

    def __init__(self, container: Container, *arguments: str, stdin: bool = False, terminal: tuple | None = None):
        self.session, far = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        fds = [far]
        self.streams = []
        self.kept = b""  # read and not handed out
        wanted = (stdin, True, terminal is None)
        for want in wanted:
            if want:
                own, end = socket.socketpair()
                own.settimeout(60)
                self.streams.append(own)
                fds.append(end)
            else:
                self.streams.append(None)
        self.session.settimeout(60)
        self.stdin, self.stdout, self.stderr = self.streams
        text = json.dumps(arguments).encode()
        columns, rows = terminal or (0, 0)
        head = struct.pack("<IIIHHIIII", EXEC, len(text), terminal is not None, columns, rows, *wanted, 0)
        socket.send_fds(container.connection, [head + text], [fd.fileno() for fd in fds])
        for fd in fds:
            fd.close()

    def read_until(self, text: bytes) -> bytes:
        while text not in self.kept:
            piece = self.stdout.recv(65536)
            assert piece, self.kept
            self.kept += piece
        end = self.kept.index(text) + len(text)
        got, self.kept = self.kept[:end], self.kept[end:]
        return got

    def wait(self) -> tuple:
        """(exit code, standard output, standard error)"""
        try:
            texts = [b"".join(iter(lambda s=s: s.recv(65536), b"")) if s else b"" for s in self.streams[1:]]
            message = self.session.recv(65536)
        finally:
            self.close()
        if not message:
            return (None, *texts)
        kind, size, code = struct.unpack_from("<IIi", message)
        if kind == EXEC_FAILED:
            raise OSError(code, message[16:].decode())
        assert kind == EXEC_EXITED, message
        return (code, *texts)

    def close(self):
        for one in (self.session, *self.streams):
            if one:
                one.close()


class Execs(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.node = Node()
        cls.addClassCleanup(cls.node.close)

    def setUp(self):
        wait_until(lambda: self.claimed() == 0)  # the last test's container ends by itself
        self.pod = Pod()
        self.addCleanup(self.pod.close)
        directory = tempfile.TemporaryDirectory(prefix="test-usetl-")
        self.addCleanup(directory.cleanup)
        self.directory = directory.name
        self.container = Container(self.node, self.pod, self.directory, FUNCTION, mode="http", ports=[8080],
                                   files={"/function/gone.txt": "x", "/etc/config/key": "value\n"},
                                   cwd="/etc/config", env={"COLOUR": "blue", "ODD": "a b=c"})
        self.addCleanup(self.container.connection.close)
        self.container.started()
        self.addCleanup(self.end)

    def end(self) -> None:
        try:
            self.container.stop(0)
        except BrokenPipeError:
            pass  # it has ended

    def run_program(self, *arguments: str, **fields) -> tuple:
        return Exec(self.container, *arguments, **fields).wait()

    def output(self, *arguments: str) -> str:
        code, out, error = self.run_program(*arguments)
        self.assertEqual((code, error), (0, b""), out)
        return out.decode()

    def test_sees_the_container(self):
        self.assertEqual(self.output("cat", "/tmp/written"), "by the function\n")
        self.assertEqual(self.output("cat", "key"), "value\n")
        self.assertEqual(self.output("/bin/sh", "-c", 'echo $COLOUR "$ODD"; pwd'), "blue a b=c\n/etc/config\n")
        self.assertEqual(self.output("ls", "/tmp"), "deep\nwritten\n")
        self.assertEqual(self.output("ls", "/function"), "function.py\n")

    def test_python(self):
        out = self.output("python3", "-c", "import json, sys; print(json.dumps([sys.argv, open('/tmp/written').read()]))", "x")
        self.assertEqual(json.loads(out), [["-c", "x"], "by the function\n"])

    def test_exit_status(self):
        self.assertEqual(self.run_program("sh", "-c", "test -f /tmp/written && exit 7"), (7, b"", b""))
        self.assertEqual(self.run_program("sh", "-c", "echo to >&2 the error")[1:], (b"", b"to the error\n"))
        code, _, error = self.run_program("no-such-program")
        self.assertEqual((code, error), (127, b'exec "no-such-program": there is no such program\n'))
        code, _, error = self.run_program("/tmp/written")
        self.assertEqual(code, 126)
        self.assertIn(b"may not be executed", error)
        self.assertEqual(self.run_program("sh", "-c", "kill -9 $$")[0], 137)

    def test_input(self):
        program = Exec(self.container, "cat", stdin=True)
        program.stdin.sendall(b"first\n")
        self.assertEqual(program.read_until(b"\n"), b"first\n")
        program.stdin.shutdown(socket.SHUT_WR)
        self.assertEqual(program.wait(), (0, b"", b""))
        program = Exec(self.container, "wc", "-c", stdin=True)
        program.stdin.sendall(b"y" * 1_000_000)
        program.stdin.shutdown(socket.SHUT_WR)
        self.assertEqual(program.wait(), (0, b"1000000\n", b""))

    def test_large_output_to_a_slow_reader(self):
        program = Exec(self.container, "sh", "-c", "yes line | head -c 3000000")
        self.assertEqual(program.wait()[0], 2)  # a pipeline wants processes
        program = Exec(self.container, "python3", "-c", "print('line\\n' * 600_000, end='')")
        self.assertEqual(program.wait()[:2], (0, b"line\n" * 600_000))

    def test_changes_stay_in_the_clone(self):
        self.output("sh", "-c", "echo changed >/tmp/written; echo new >/tmp/new; rm -r /tmp/deep")
        self.assertEqual(self.output("cat", "/tmp/written"), "by the function\n")
        self.assertEqual(self.output("ls", "/tmp"), "deep\nwritten\n")

    def test_clones_draw_other_numbers(self):
        draw = "import os, random, uuid; print(os.urandom(8).hex(), random.random(), uuid.uuid4())"
        drawn = [self.output("python3", "-c", draw) for _ in range(4)]
        self.assertEqual(len(set(drawn)), 4, drawn)

    def test_terminal(self):
        program = Exec(self.container, "sh", stdin=True, terminal=(100, 30))
        program.stdin.sendall(b"test -t 0 && echo $TERM terminal\n")
        program.read_until(b"xterm terminal\r\n")
        program.stdin.sendall(b"while :; do echo loop; done\n")
        program.read_until(b"\nloop\r\n")
        program.stdin.sendall(b"\x03")
        program.read_until(b"^C")
        program.read_until(b"# ")
        program.stdin.sendall(b"echo a\x7fb again\n")
        program.read_until(b"\nb again\r\n")
        program.read_until(b"# ")
        program.stdin.sendall(b"\x04")
        self.assertEqual(program.wait()[0], 0)

    def test_terminal_of_python(self):
        program = Exec(self.container, "python3", "-qi", stdin=True, terminal=(100, 30))
        program.read_until(b">>> ")
        program.stdin.sendall(b"import os; os.get_terminal_size(), os.isatty(0)\r")
        self.assertIn(b"columns=100, lines=30), True", program.read_until(b"True)\r\n"))
        program.session.send(struct.pack("<IIHHI", RESIZE, 0, 120, 40, 0))
        program.stdin.sendall(b"os.get_terminal_size()\r")
        self.assertIn(b"columns=120, lines=40", program.read_until(b"lines=40"))
        program.stdin.sendall(b"exit(3)\r")
        self.assertEqual(program.wait()[0], 3)

    def test_function_goes_on(self):
        for _ in range(3):
            self.output("true")
        out = self.call('{"a": 1}')
        self.assertEqual(json.loads(out), {"calls": 1, "exists": ["deep", "written"]})

    def test_no_network(self):
        out = self.run_program("python3", "-c", "import usetl\ntry: usetl.get('http://127.0.0.1:8080/')\n"
                               "except Exception as e: print(type(e).__name__, e)")
        self.assertEqual(out[0], 0, out)
        self.assertIn(b"programs of exec reach no network", out[1])

    def test_client_leaves(self):
        before = self.claimed()
        program = Exec(self.container, "sleep", "1000")
        wait_until(lambda: self.claimed() == before + 1)
        program.close()
        wait_until(lambda: self.claimed() == before)
        self.assertEqual(self.output("echo", "still"), "still\n")

    def test_many_at_once(self):
        programs = [Exec(self.container, "sh", "-c", f"read x; echo {i}", stdin=True) for i in range(8)]
        with self.assertRaisesRegex(OSError, "8 programs run in this container already"):
            self.run_program("true")
        for program in programs:
            program.stdin.sendall(b"go\n")
        self.assertEqual([program.wait()[1] for program in programs], [b"%d\n" % i for i in range(8)])

    def test_container_ends(self):
        before = self.claimed()
        program = Exec(self.container, "sleep", "1000")
        wait_until(lambda: self.claimed() == before + 1)
        self.container.stop(0)
        self.assertEqual(program.wait()[0], None)
        self.assertEqual(self.container.end()["code"], 137)

    def test_attach(self):
        attached = Exec(self.container)
        self.call('"hello"')
        self.assertEqual(attached.read_until(b"\n"), b"called with hello\n")
        left = Exec(self.container)
        left.close()
        self.call('"again"')
        self.assertEqual(attached.read_until(b"\n"), b"called with again\n")
        self.container.stop(0)
        self.assertEqual(attached.wait(), (137, b"", b""))

    def test_bad_requests(self):
        for arguments in (["a\0b"], [1], [["list"]]):
            with self.assertRaises(OSError):
                Exec(self.container, *arguments).wait()
        with self.assertRaisesRegex(OSError, "exceed 60 kB"):
            self.run_program("echo", "x" * 62_000)

    def call(self, event: str) -> str:
        code = ("import urllib.request as r; print(r.urlopen(r.Request('http://127.0.0.1:8080/', "
                f"data=b'{event}', headers={{'content-type': 'application/json'}})).read().decode())")
        return subprocess.check_output(["nsenter", f"--net=/proc/{self.pod.process.pid}/ns/net",
                                        "/usr/bin/python3.11", "-c", code], timeout=60, text=True)

    def claimed(self) -> int:
        return json.loads(self.node.usetl("inspect").stdout)["claimed"]


if __name__ == "__main__":
    unittest.main()
