"""HTTP requests as events of handlers."""

from __future__ import annotations

import base64
from pathlib import Path

from tests.web_case import WebTest

JSON = {"content-type": "application/json; charset=utf-8"}
ECHO = "def {name}(event, context):\n    return {{'event': event}}\n"


class EventTest(WebTest):
    def event(self, *request: object, name: str = "handler", mode: str = "") -> object:
        agent = self.web(ECHO.format(name=name), env={"USETL_EVENT": mode or None})
        reply = self.ask(agent, *request)
        self.assertEqual(reply.status, 200, reply.result)
        return reply.json["event"]

    def test_json_and_query(self) -> None:
        self.assertEqual(self.event("POST", "/", ' {"a": [1, "ü"]}\n', JSON), {"a": [1, "ü"]})
        self.assertEqual(
            self.event("POST", "/", "[1]", {"content-type": "application/x+json"}), [1]
        )
        self.assertEqual(self.event("GET", "/?a=1&b=&a=%C3%BC+x"), {"a": "1,ü x", "b": ""})
        self.assertEqual(self.event(), {})

    def test_lambda_event(self) -> None:
        headers = [
            ("host", "f.example"),
            ("x-a", "1"),
            ("x-a", "2"),
            ("cookie", "a=1; b=2"),
            ("user-agent", "test"),
        ]
        agent = self.web(ECHO.format(name="lambda_handler"))
        reply = self.ask(agent, "PUT", "/a%20b?x=1&x=2", "{}", headers, request_id="r-1")
        event = reply.json["event"]
        self.assertEqual((event["version"], event["routeKey"]), ("2.0", "$default"))
        self.assertEqual((event["rawPath"], event["rawQueryString"]), ("/a%20b", "x=1&x=2"))
        self.assertEqual(event["queryStringParameters"], {"x": "1,2"})
        self.assertEqual(event["headers"]["x-a"], "1,2")
        self.assertNotIn("cookie", event["headers"])
        self.assertEqual(event["cookies"], ["a=1", "b=2"])
        self.assertEqual((event["body"], event["isBase64Encoded"]), ("{}", False))
        about = event["requestContext"]
        self.assertEqual(about["requestId"], "r-1")
        self.assertEqual(
            about["http"],
            {
                "method": "PUT",
                "path": "/a b",
                "protocol": "HTTP/1.1",
                "sourceIp": "10.0.0.9",
                "userAgent": "test",
            },
        )
        self.assertRegex(about["time"], r"^\d\d/\w{3}/\d{4}:\d\d:\d\d:\d\d \+0000$")
        bare = self.ask(agent).json["event"]
        self.assertFalse({"body", "cookies", "queryStringParameters"} & bare.keys())

    def test_lambda_event_with_bytes(self) -> None:
        for body in (b"\xff\0", self.binary(b"\xff\0")):
            event = self.event("POST", "/", body, name="lambda_handler")
            self.assertTrue(event["isBase64Encoded"])
            self.assertEqual(base64.b64decode(event["body"]), b"\xff\0")
        text = self.event("POST", "/", self.binary("ü".encode()), name="lambda_handler")
        self.assertEqual((text["body"], text["isBase64Encoded"]), ("ü", False))

    def binary(self, data: bytes) -> Path:
        path = self.folder / "body"
        path.write_bytes(data)
        return path

    def test_other_bodies_come_as_lambda_event(self) -> None:
        event = self.event(
            "POST", "/", "a=1", {"content-type": "application/x-www-form-urlencoded"}
        )
        self.assertEqual((event["version"], event["body"]), ("2.0", "a=1"))

    def test_event_that_is_asked_for(self) -> None:
        self.assertEqual(self.event("POST", "/", "[1]", name="lambda_handler", mode="json"), [1])
        self.assertEqual(self.event("POST", "/", "{}", JSON, mode="lambda")["body"], "{}")
        source = "def handler(event, context): return [type(event).__name__, len(event)]"
        agent = self.web(source, env={"USETL_EVENT": "raw"})
        self.assertEqual(self.ask(agent, "POST", "/", b"\xff\xfe").json, ["bytes", 2])
        message = self.load_error(source, env={"USETL_EVENT": "xml"})
        self.assertIn("not 'xml'", message)

    def test_refused_bodies(self) -> None:
        agent = self.web(ECHO.format(name="handler"))
        for body in ("", " ", "{", "{} x", "nan", b"\xff", "[" * 20_000):
            reply = self.ask(agent, "POST", "/", body or " ", JSON)
            self.assertEqual(reply.status, 400, body[:20])
            self.assertIn("text/plain", reply.headers["content-type"])
        self.assertEqual(self.ask(agent, "GET", "/?" + "a&" * 2000).status, 400)

    def test_context_has_the_request(self) -> None:
        source = """
            import usetl
            def handler(event, context):
                http = usetl.context().http
                return [http.method, http.path, http.headers["X-One"], http.client[0], http.url]
            """
        headers = {"host": "f.example:8080", "x-one": "größe"}
        reply = self.ask(self.web(source), "DELETE", "/a%2Fb?c", None, headers)
        self.assertEqual(
            reply.json,
            ["DELETE", "/a%2Fb", "größe", "10.0.0.9", "http://f.example:8080/a%2Fb?c"],
        )
