"""ASGI applications."""

from __future__ import annotations

from tests.web_case import WebTest


class AsgiTest(WebTest):
    def test_scope_and_body(self) -> None:
        source = """
            import json
            async def app(scope, receive, send):
                if scope["type"] != "http":
                    raise NotImplementedError
                pieces = []
                while True:
                    message = await receive()
                    pieces.append(len(message["body"]))
                    if not message["more_body"]:
                        break
                scope["pieces"] = pieces
                await send({"type": "http.response.start", "status": 203,
                            "headers": [(b"X-A", b"\\xfc")]})
                text = json.dumps(scope, default=lambda b: b.decode("latin-1"))
                await send({"type": "http.response.body", "body": text.encode()})
                assert (await receive())["type"] == "http.disconnect"
            """
        agent = self.web(source)
        reply = self.ask(agent, "POST", "/%C3%BC%2F?q=%20", "body", {"x-a": "ü"})
        self.assertEqual((reply.status, reply.headers), (203, {"x-a": "ü"}))
        for name, value in {
            "type": "http",
            "http_version": "1.1",
            "method": "POST",
            "scheme": "http",
            "path": "/ü/",
            "raw_path": "/%C3%BC%2F",
            "query_string": "q=%20",
            "root_path": "",
            "headers": [["x-a", "ü"]],
            "client": ["10.0.0.9", 4711],
            "server": ["10.0.0.1", 8080],
            "pieces": [4],
        }.items():
            self.assertEqual(reply.json[name], value, name)
        path = self.folder / "body"
        path.write_bytes(bytes(150_000))
        pieces = self.ask(agent, "POST", "/", path).json["pieces"]
        self.assertEqual(pieces, [65536, 65536, 18928])
        self.assertEqual(agent.errors(), "")

    def test_streaming_and_errors(self) -> None:
        source = """
            async def app(scope, receive, send):
                path = scope["path"]
                head = {"type": "http.response.start", "status": 200}
                if path != "/bare":
                    await send(head)
                if path == "/nothing":
                    return
                if path == "/early":
                    1 / 0
                if path == "/unknown":
                    await send({"type": "websocket.accept"})
                await send({"type": "http.response.body", "body": b"a", "more_body": True})
                if path == "/fails":
                    1 / 0
                await send({"type": "http.response.body", "body": b"b"})
                if path == "/late":
                    await send({"type": "http.response.body", "body": b"c"})
            """
        agent = self.web(source)
        reply = self.ask(agent)
        self.assertEqual((reply.pieces, reply.result["ok"]), ([b"a", b"b"], True))
        for path, kind, body in (
            ("/bare", "AnswerError", b""),
            ("/nothing", "AnswerError", b""),
            ("/unknown", "AnswerError", b""),
            ("/early", "ZeroDivisionError", b""),
            ("/fails", "ZeroDivisionError", b"a"),
        ):
            reply = self.ask(agent, "GET", path)
            self.assertIn(kind, reply.result["error"]["type"], path)
            self.assertEqual(reply.body, body)
        self.assertTrue(self.ask(agent, "GET", "/late").result["ok"])
        self.assertEqual(self.ask(agent).body, b"ab")
        self.assertIn("after the end of the answer", agent.errors())

    def test_lifespan_and_state(self) -> None:
        source = """
            import asyncio
            async def app(scope, receive, send):
                if scope["type"] == "lifespan":
                    assert (await receive())["type"] == "lifespan.startup"
                    scope["state"]["loop"] = asyncio.get_running_loop()
                    scope["state"]["n"] = 0
                    app_task = asyncio.create_task(tick(scope["state"]))
                    await send({"type": "lifespan.startup.complete"})
                    assert (await receive())["type"] == "lifespan.shutdown"
                    print("shut down")
                    await send({"type": "lifespan.shutdown.complete"})
                    return
                state = scope["state"]
                assert state["loop"] is asyncio.get_running_loop()
                await asyncio.sleep(0)
                await send({"type": "http.response.start", "status": 200})
                await send({"type": "http.response.body", "body": b"%d" % counter[0]})
            counter = [0]
            async def tick(state):
                while True:
                    counter[0] += 1
                    await asyncio.sleep(0)
            """
        agent = self.web(source)
        first, second = (int(self.ask(agent).body) for _ in range(2))
        self.assertLess(first, second)  # the task goes on while requests are served
        agent.send(3)
        self.assertEqual(agent.process.wait(30), 0)
        self.assertEqual(agent.output(), "shut down\n")

    def test_lifespan_that_fails(self) -> None:
        failing = """
            async def app(scope, receive, send):
                await receive()
                await send({"type": "lifespan.startup.failed", "message": "no database"})
            """
        self.assertEqual(self.load_error(failing), "no database")
        unsupported = """
            async def app(scope, receive, send):
                (await receive())["body"]
                await send({"type": "http.response.start", "status": 200})
                await send({"type": "http.response.body"})
            """
        agent = self.web(unsupported)
        self.assertEqual(self.ask(agent).status, 200)
        self.assertIn("KeyError: 'body'", agent.errors())
        at_the_end = """
            async def app(scope, receive, send):
                await receive()
                await send({"type": "lifespan.startup.complete"})
                await receive()
                raise ValueError("stuck")
            """
        agent = self.web(at_the_end)
        agent.send(3)
        self.assertEqual(agent.process.wait(30), 1)
        self.assertIn("ValueError: stuck", agent.errors())

    def test_work_after_the_answer(self) -> None:
        source = """
            import sys
            async def app(scope, receive, send):
                assert scope["type"] == "http"
                await send({"type": "http.response.start", "status": 200})
                await send({"type": "http.response.body", "body": b"first"})
                print("second")
                if scope["path"] == "/exit":
                    sys.exit(1)
            """
        agent = self.web(source)
        self.assertEqual(self.ask(agent).body, b"first")
        self.assertEqual(self.ask(agent, "GET", "/exit").body, b"first")
        self.assertEqual(self.ask(agent).body, b"first")  # one kResult for each
        self.assertIn("SystemExit", agent.errors())
