"""ASGI and WSGI applications."""

from __future__ import annotations

from tests.web_case import WebTest


class WsgiTest(WebTest):
    def test_environ_and_input(self) -> None:
        source = """
            import json
            def application(environ, start_response):
                given = {k: v for k, v in environ.items() if isinstance(v, (str, tuple))}
                given["lines"] = [environ["wsgi.input"].readline().decode(),
                                  environ["wsgi.input"].read().decode()]
                environ["wsgi.errors"].write("noted\\n")
                start_response("201 Made", [("Content-Type", "application/json")])
                return [json.dumps(given).encode()]
            """
        headers = [
            ("content-type", "text/x"),
            ("x-a", "1"),
            ("x-a", "2"),
            ("x_a", "forged"),
            ("proxy", "http://bad"),
            ("cookie", "a=1"),
            ("cookie", "b=2"),
        ]
        agent = self.web(source)
        reply = self.ask(agent, "POST", "/%C3%BC/b?q=%20", "one\ntwo", headers)
        self.assertEqual(reply.status, 201)
        for name, value in {
            "REQUEST_METHOD": "POST",
            "SCRIPT_NAME": "",
            "PATH_INFO": "/\u00c3\u00bc/b",
            "QUERY_STRING": "q=%20",
            "CONTENT_TYPE": "text/x",
            "CONTENT_LENGTH": "7",
            "SERVER_NAME": "10.0.0.1",
            "SERVER_PORT": "8080",
            "SERVER_PROTOCOL": "HTTP/1.1",
            "REMOTE_ADDR": "10.0.0.9",
            "HTTP_X_A": "1,2",
            "HTTP_COOKIE": "a=1; b=2",
            "wsgi.version": [1, 0],
            "wsgi.url_scheme": "http",
            "lines": ["one\n", "two"],
        }.items():
            self.assertEqual(reply.json[name], value, name)
        self.assertNotIn("HTTP_PROXY", reply.json)
        self.assertNotIn("HTTP_CONTENT_TYPE", reply.json)
        self.assertEqual(agent.errors(), "noted\n")
        path = self.folder / "body"
        path.write_bytes(b"x" * 100_000)
        again = self.ask(agent, "POST", "/", path).json
        self.assertEqual((again["CONTENT_LENGTH"], len(again["lines"][0])), ("100000", 100_000))

    def test_iterables_and_close(self) -> None:
        source = """
            class Body:
                def __init__(self, pieces): self.pieces = iter(pieces)
                def __iter__(self): return self
                def __next__(self): return next(self.pieces)
                def close(self): print("closed")
            def app(environ, start_response):
                path = environ["PATH_INFO"]
                length = [("Content-Length", "4")] if path == "/known" else []
                start_response("200 OK", length)
                if path == "/fails":
                    return Body(b"%d" % (1 // n) for n in (1, 0))
                if path == "/wrong":
                    return Body(["text"])
                return Body([b"ab", b"", b"cd"])
            """
        agent = self.web(source)
        reply = self.ask(agent)
        self.assertEqual(reply.pieces, [b"ab", b"cd"])
        reply = self.ask(agent, "GET", "/known")
        self.assertEqual((reply.pieces, reply.body), ([], b"abcd"))
        reply = self.ask(agent, "GET", "/fails")
        self.assertEqual((reply.body, reply.result["error"]["type"]), (b"1", "ZeroDivisionError"))
        reply = self.ask(agent, "GET", "/wrong")
        self.assertIn("a body of str", reply.result["error"]["message"])
        self.assertEqual(agent.output(), "closed\n" * 4)

    def test_start_response(self) -> None:
        source = """
            import sys
            def app(environ, start_response):
                path = environ["PATH_INFO"]
                if path == "/never":
                    return [b""]
                if path == "/bad":
                    start_response("fine", [])
                if path == "/header":
                    start_response("200 OK", [("X-Bad", "a\\n")])
                write = start_response("200 OK", [("X-First", "1")])
                if path == "/twice":
                    start_response("200 OK", [])
                if path == "/write":
                    write(b"one")
                    return [b"two"]
                if path == "/late":
                    write(b"one")
                try:
                    1 / 0
                except ZeroDivisionError:
                    start_response("500 Oh", [], sys.exc_info())
                return [b"sorry"]
            """
        agent = self.web(source)
        for path, text in {
            "/never": "has not set the status",
            "/bad": "not a status",
            "/header": "X-Bad",
            "/twice": "was called before",
        }.items():
            self.assertIn(text, self.ask(agent, "GET", path).result["error"]["message"])
        reply = self.ask(agent)
        self.assertEqual((reply.status, reply.pairs, reply.body), (500, [], b"sorry"))
        self.assertEqual(self.ask(agent, "GET", "/write").pieces, [b"one", b"two"])
        reply = self.ask(agent, "GET", "/late")
        self.assertEqual((reply.body, reply.result["error"]["type"]), (b"one", "ZeroDivisionError"))

    def test_application_objects(self) -> None:
        source = """
            class Flaskish:
                def wsgi_app(self, environ, start_response):
                    start_response("200 OK", [])
                    return [b"object"]
                def __call__(self, *arguments):
                    return self.wsgi_app(*arguments)
            web = Flaskish()
            def main(): raise SystemExit("starts a server of its own")
            app = web
            """
        self.assertEqual(self.ask(self.web(source)).body, b"object")
        self.assertEqual(self.ask(self.web(source, target="x:web")).body, b"object")


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
