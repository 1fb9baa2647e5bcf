"""Applications whose requests' bodies come in pieces."""

from __future__ import annotations

from typing import Any

from tests.harness import AgentProcess
from tests.web_case import Reply, WebTest
from usetl import _abi

_WSGI = """
    def application(environ, start_response):
        body = environ["wsgi.input"]
        start_response("200 OK", [("X-Length", environ["CONTENT_LENGTH"])])
        if environ["PATH_INFO"] == "/none":
            return [b"none"]
        if environ["PATH_INFO"] == "/lines":
            return (b"<" + line.rstrip() + b">" for line in body)
        return [body.read(4), b"|", body.read()]
    """
_ASGI = """
    import asyncio
    async def app(scope, receive, send):
        if scope["type"] != "http":
            return
        async def meanwhile():
            for _ in range(10):
                await asyncio.sleep(0.001)
            await send({"type": "http.response.body", "body": b"...", "more_body": True})
        task = asyncio.create_task(meanwhile())
        await send({"type": "http.response.start", "status": 200})
        more = True
        if scope["path"] == "/early":
            await send({"type": "http.response.body", "body": b"early"})
            print((await receive())["type"])
            more = False
        while more:
            message = await receive()
            if message["type"] == "http.disconnect":
                print("gone")
                break
            more = message["more_body"]
            await send({"type": "http.response.body", "body": message["body"].upper(), "more_body": more})
        task.cancel()
    """


class RequestStreamTest(WebTest):
    def begin(self, agent: AgentProcess, path: str = "/", **headers: str) -> int:
        http: dict[str, Any] = {
            "method": "PUT",
            "path": path,
            "query": "",
            "headers": [[name.replace("_", "-"), value] for name, value in headers.items()],
            "scheme": "http",
            "http_version": "1.1",
            "client": None,
            "server": ["10.0.0.1", 8080],
            "body_stream": True,
        }
        return agent.send(_abi.INVOKE, {"context": {}, "http": http})

    def data(self, agent: AgentProcess, number: int, piece: bytes) -> None:
        agent.mailbox.send(_abi.record(_abi.BODY_DATA, number, piece))

    def end(self, agent: AgentProcess, number: int, broken: bool = False) -> None:
        payload = _abi.BODY_END_RECORD.pack(broken, 0)
        agent.mailbox.send(_abi.record(_abi.BODY_END, number, payload))

    def taken(self, agent: AgentProcess, number: int) -> int:
        """Bytes of the record that must come next."""
        message = agent.mailbox.recv(_abi.MAX_RECORD)
        _, kind, _, answered = _abi.RECORD.unpack_from(message)
        self.assertEqual((kind, answered), (_abi.BODY_TAKEN, number))
        return int(_abi.BODY_TAKEN_RECORD.unpack_from(message, _abi.HEADER_SIZE)[0])

    def piece(self, agent: AgentProcess, number: int, kind: int = _abi.ANSWER_DATA) -> bytes:
        message = agent.mailbox.recv(_abi.MAX_RECORD)
        self.assertEqual(_abi.RECORD.unpack_from(message)[1::2], (kind, number))
        return message[_abi.HEADER_SIZE :]

    def test_says_what_can_stream(self) -> None:
        plain = "def handler(event, context): return {}"
        for source, streams in ((_WSGI, True), (_ASGI, True), (plain, False)):
            answer = self.agent().load(self.file(source), mode="http")
            self.assertIs(answer["streams"], streams)

    def test_wsgi_reads_pieces_as_one(self) -> None:
        agent = self.web(_WSGI)
        number = self.begin(agent, content_length="9")
        for piece in (b"ab", b"cdef", b"ghi"):
            self.data(agent, number, piece)
        self.end(agent, number)
        self.assertEqual([self.taken(agent, number) for _ in range(3)], [2, 4, 3])
        reply = self.reply(agent, number)
        self.assertEqual(reply.body, b"abcd|efghi")
        self.assertEqual(reply.headers["x-length"], "9")

    def test_wsgi_answers_between_the_pieces(self) -> None:
        agent = self.web(_WSGI)
        number = self.begin(agent, "/lines")
        self.data(agent, number, b"one\ntw")
        self.assertEqual(self.taken(agent, number), 6)
        self.piece(agent, number, _abi.ANSWER_HEAD)
        self.assertEqual(self.piece(agent, number), b"<one>")
        self.data(agent, number, b"o\n")
        self.assertEqual(self.taken(agent, number), 2)
        self.assertEqual(self.piece(agent, number), b"<two>")
        self.end(agent, number)
        self.piece(agent, number, _abi.RESULT)

    def test_a_body_that_nobody_reads(self) -> None:
        agent = self.web(_WSGI)
        number = self.begin(agent, "/none")
        self.data(agent, number, b"unread")
        self.end(agent, number)
        self.assertEqual(self.reply(agent, number).body, b"none")
        number = self.begin(agent)
        self.data(agent, number, b"abcdef")
        self.end(agent, number)
        self.assertEqual(self.taken(agent, number), 6)
        self.assertEqual(self.reply(agent, number).body, b"abcd|ef")

    def test_a_client_that_leaves(self) -> None:
        agent = self.web(_WSGI)
        number = self.begin(agent)
        self.end(agent, number, broken=True)
        reply: Reply = self.reply(agent, number)
        self.assertEqual(reply.result["error"]["type"], "ConnectionResetError")

    def test_asgi_gets_pieces_as_they_come(self) -> None:
        agent = self.web(_ASGI)
        number = self.begin(agent)
        self.piece(agent, number, _abi.ANSWER_HEAD)
        self.assertEqual(self.piece(agent, number), b"...", "others in the loop go on meanwhile")
        for piece in (b"one", b"two"):
            self.data(agent, number, piece)
            self.assertEqual(self.taken(agent, number), 3)
            self.assertEqual(self.piece(agent, number), piece.upper())
        self.end(agent, number)
        self.piece(agent, number, _abi.RESULT)

    def test_asgi_that_has_answered_gets_nothing_of_the_next_request(self) -> None:
        agent = self.web(_ASGI)
        number = self.begin(agent, "/early")
        self.assertEqual(self.reply(agent, number).body, b"early")
        number = self.begin(agent, "/early")
        self.assertEqual(self.reply(agent, number).body, b"early")
        self.assertIn("http.disconnect", agent.output())

    def test_asgi_hears_of_a_client_that_leaves(self) -> None:
        agent = self.web(_ASGI)
        number = self.begin(agent)
        self.end(agent, number, broken=True)
        self.assertFalse(self.reply(agent, number).result["ok"])
        self.assertIn("gone", agent.output())
