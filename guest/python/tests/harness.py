"""What the tests of the agent share: an agent process and the host's side of its mailbox."""

from __future__ import annotations

import json
import os
import shutil
import socket
import subprocess
import sys
import tempfile
import textwrap
import unittest
from pathlib import Path
from typing import Any

from usetl import _abi

_PACKAGES = str(Path(__file__).resolve().parents[1])


class AgentProcess:
    """Starts an agent and waits for kReady."""

    def __init__(self, hosts: dict[str, int] | None = None, full: bool = False) -> None:
        self.mailbox, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        self.mailbox.settimeout(60)
        self._state = os.memfd_create("state", 0)
        os.pwrite(self._state, bytes(8), 0)
        self._output = tempfile.TemporaryFile()
        self._errors = tempfile.TemporaryFile()
        fds = (theirs.fileno(), self._state)
        command = [
            sys.executable,
            "-m",
            "tests.agent_process",
            *map(str, fds),
            json.dumps(hosts or {}),
        ]
        self.process = subprocess.Popen(
            command + ["full"] * full,
            pass_fds=fds,
            stdin=subprocess.DEVNULL,
            stdout=self._output,
            stderr=self._errors,
            env={**os.environ, "PYTHONPATH": _PACKAGES},
            cwd="/",
        )
        theirs.close()
        self._number = 0
        assert self.receive()[0] == _abi.READY

    def send(self, kind: int, order: Any = None) -> int:
        self._number += 1
        payload = b"" if order is None else json.dumps(order).encode()
        self.mailbox.send(_abi.record(kind, self._number, payload))
        return self._number

    def receive(self) -> tuple[int, int, Any]:
        """Type, id and payload of the next record that is not about a response body."""
        while True:
            message = self.mailbox.recv(_abi.MAX_RECORD)
            if not message:
                raise EOFError("the agent is gone: " + self.errors())
            _, kind, _, number = _abi.RECORD.unpack_from(message)
            if kind != _abi.RELEASE:
                payload = message[_abi.HEADER_SIZE :]
                return kind, number, json.loads(payload) if payload else None

    def ask(self, kind: int, order: Any) -> Any:
        number = self.send(kind, order)
        answer, answered, payload = self.receive()
        assert answered == number and answer in (_abi.LOADED, _abi.RESULT)
        return payload

    def load(self, path: str | Path, **order: Any) -> Any:
        return self.ask(_abi.LOAD, {"path": str(path), **order})

    def invoke(self, event: Any = None, **context: Any) -> Any:
        return self.ask(_abi.INVOKE, {"event": event, "context": context})

    def restore(self) -> None:
        """What a rollback shows to the guest: another generation."""
        now = int.from_bytes(os.pread(self._state, 8, 0), "little")
        os.pwrite(self._state, (now + 1).to_bytes(8, "little"), 0)

    def output(self) -> str:
        return os.pread(self._output.fileno(), 1 << 20, 0).decode()

    def errors(self) -> str:
        return os.pread(self._errors.fileno(), 1 << 20, 0).decode()

    def close(self) -> int:
        self.mailbox.close()
        status = self.process.wait(30)
        os.close(self._state)
        self._output.close()
        self._errors.close()
        return status


class AgentTest(unittest.TestCase):
    """A test with a folder for functions and, on demand, agents."""

    def setUp(self) -> None:
        self.folder = Path(tempfile.mkdtemp())
        self.addCleanup(shutil.rmtree, self.folder)

    def agent(self, **options: Any) -> AgentProcess:
        agent = AgentProcess(**options)
        self.addCleanup(agent.close)
        return agent

    def file(self, source: str, name: str = "x.py") -> Path:
        path = self.folder / name
        path.write_text(textwrap.dedent(source))
        return path

    def loaded(self, source: str, **order: Any) -> AgentProcess:
        """An agent with this function in it."""
        agent = self.agent()
        answer = agent.load(self.file(source), **order)
        self.assertTrue(answer["ok"], answer)
        return agent
