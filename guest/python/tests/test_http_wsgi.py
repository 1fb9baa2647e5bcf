"""WSGI applications."""

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
