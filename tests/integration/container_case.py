"""Containers of usetl-proxy's socket for pods, with usetld played by the test: what their tests share."""

import json
import os
import pathlib
import re
import shutil
import socket
import struct
import subprocess
import tempfile
import unittest

from node import Node

STARTED, FAILED, EXITED, TAKEN, STOP, REOPEN = 1, 2, 3, 4, 16, 17
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
        family = "AF_INET6" if ":" in host else "AF_INET"
        code = f"import socket; print(socket.socket(socket.{family}).connect_ex(('{host}', {port})))"
        return int(subprocess.check_output(["nsenter", "--net=/proc/%d/ns/net" % self.process.pid,
                                            "/usr/bin/python3.11", "-c", code], timeout=30))


class Container:
    """One container, as usetld holds it."""

    def __init__(self, node: Node, pod: Pod, directory: str, code: str, *, log: str = "log", join_version: int = 6,
                 files: dict | None = None, packs: tuple = (), cgroups: tuple = (), usf_cgroups: int = 0,
                 oom_score: int = 0, in_file: bool = False, more: list | None = None, **order):
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
        join = struct.pack("<40Ii", join_version, len(groups), usf_cgroups, *[0] * 37, oom_score)
        socket.send_fds(self.connection, [join], [pod.network, listener.fileno(), exit_file, *groups])
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
        """The next message but the first, which says who the worker is."""
        message = parse(self.connection.recv(65536))
        return self.receive() if message["type"] == TAKEN else message

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
    if kind == TAKEN:
        return {"type": kind}
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


class ContainerCase(unittest.TestCase):
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
