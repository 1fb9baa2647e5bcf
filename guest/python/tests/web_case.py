"""A test that sends HTTP requests to a function, as the host's gateway would."""

from __future__ import annotations

import base64
import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from tests.harness import AgentProcess, AgentTest
from usetl import _abi


@dataclass
class Reply:
    """What came back: a whole answer, a streamed one in `pieces`, or an error."""

    result: dict[str, Any]
    status: int = 0
    pairs: list[list[str]] = field(default_factory=list)
    body: bytes = b""
    pieces: list[bytes] = field(default_factory=list)

    @property
    def headers(self) -> dict[str, str]:
        return {name.lower(): value for name, value in self.pairs}

    @property
    def json(self) -> Any:
        return json.loads(self.body)


class WebTest(AgentTest):
    def web(self, source: str, **order: Any) -> AgentProcess:
        """An agent with this function loaded for HTTP."""
        agent = self.agent()
        answer = agent.load(self.file(source), mode="http", **order)
        self.assertTrue(answer["ok"], answer)
        return agent

    def load_error(self, source: str, **order: Any) -> str:
        answer = self.agent().load(self.file(source), mode="http", **order)
        self.assertFalse(answer["ok"])
        return answer["error"]["message"]

    def ask(
        self,
        agent: AgentProcess,
        method: str = "GET",
        target: str = "/",
        body: bytes | str | Path | None = None,
        headers: dict[str, str] | list[tuple[str, str]] = {},
        **context: Any,
    ) -> Reply:
        """Sends a request; a Path is a body in the shared tree."""
        path, _, query = target.partition("?")
        pairs = list(headers.items() if isinstance(headers, dict) else headers)
        request = {
            "method": method,
            "path": path,
            "query": query,
            "headers": pairs,
            "scheme": "http",
            "http_version": "1.1",
            "client": ["10.0.0.9", 4711],
            "server": ["10.0.0.1", 8080],
        }
        if isinstance(body, bytes):
            request["body_base64"] = base64.b64encode(body).decode()
        elif body is not None:
            request["body_path" if isinstance(body, Path) else "body"] = str(body)
        number = agent.send(_abi.INVOKE, {"context": context, "http": request})
        return self.reply(agent, number)

    def reply(self, agent: AgentProcess, number: int) -> Reply:
        head, pieces = {}, []
        while True:
            message = agent.mailbox.recv(_abi.MAX_RECORD)
            self.assertTrue(message, agent.errors())
            _, kind, _, answered = _abi.RECORD.unpack_from(message)
            payload = message[_abi.HEADER_SIZE :]
            self.assertEqual(answered, number)
            if kind == _abi.ANSWER_HEAD:
                self.assertFalse(head)
                head = json.loads(payload)
            elif kind == _abi.ANSWER_DATA:
                self.assertTrue(head)
                self.assertLessEqual(len(payload), _abi.MAX_PIECE)
                pieces.append(payload)
            else:
                self.assertEqual(kind, _abi.RESULT)
                self.assertLessEqual(len(payload), _abi.MAX_JSON)
                break
        result = json.loads(payload)
        if head:
            self.assertEqual(result.get("streamed", False), result["ok"])
            return Reply(result, head["status"], head["headers"], b"".join(pieces), pieces)
        if not result["ok"]:
            return Reply(result)
        http = result["http"]
        body = http.get("body", "").encode()
        if "body_base64" in http:
            body = base64.b64decode(http["body_base64"])
        if "body_path" in http:
            body = Path(http["body_path"]).read_bytes()
        return Reply(result, http["status"], http["headers"], body)
