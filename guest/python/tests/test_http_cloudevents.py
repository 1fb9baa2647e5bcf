"""CloudEvents in both modes, and functions that return some."""

from __future__ import annotations

import json

from tests.web_case import WebTest

BINARY = {
    "ce-specversion": "1.0",
    "ce-id": "1",
    "ce-source": "/s",
    "ce-type": "made",
    "ce-subject": "gr%C3%B6%C3%9Fe%20x",
    "ce-myext": "7",
}
STRUCTURED = {"content-type": "application/cloudevents+json; charset=utf-8"}
EVENT = {"specversion": "1.0", "id": "1", "source": "/s", "type": "made"}
ECHO = "def handler(event, context):\n    return {'event': event}\n"


class RequestTest(WebTest):
    def test_binary(self) -> None:
        agent = self.web(ECHO)
        expected = {**EVENT, "subject": "größe x", "myext": "7"}
        self.assertEqual(self.ask(agent, "POST", "/", None, BINARY).json["event"], expected)
        for kind, body, data in (
            ("application/json", '{"a": 1}', {"a": 1}),
            ("text/plain", "{}", "{}"),
        ):
            reply = self.ask(agent, "POST", "/", body, {**BINARY, "content-type": kind})
            self.assertEqual(
                reply.json["event"], {**expected, "datacontenttype": kind, "data": data}
            )

    def test_binary_with_bytes(self) -> None:
        agent = self.web("def handler(event, context): return event['data'][::-1]")
        headers = {**BINARY, "content-type": "image/x"}
        self.assertEqual(self.ask(agent, "POST", "/", b"\xff\x00", headers).body, b"\x00\xff")

    def test_structured(self) -> None:
        agent = self.web(ECHO)
        event = {**EVENT, "data": [1]}
        self.assertEqual(
            self.ask(agent, "POST", "/", json.dumps(event), STRUCTURED).json["event"], event
        )
        agent = self.web("def handler(event, context): return event['data']")
        text = json.dumps({**EVENT, "data_base64": "/w=="})
        self.assertEqual(self.ask(agent, "POST", "/", text, STRUCTURED).body, b"\xff")

    def test_refused(self) -> None:
        agent = self.web(ECHO.replace("handler", "handle_event"))
        missing = {name: value for name, value in BINARY.items() if name != "ce-id"}
        for body, headers, status in (
            ("{}", {"content-type": "application/json"}, 400),
            ("", missing, 400),
            ("", {**BINARY, "ce-specversion": "0.3"}, 400),
            ("[]", STRUCTURED, 400),
            ("{", STRUCTURED, 400),
            (json.dumps({**EVENT, "id": 1}), STRUCTURED, 400),
            (json.dumps({**EVENT, "data_base64": 1}), STRUCTURED, 400),
            (json.dumps({**EVENT, "data_base64": "*"}), STRUCTURED, 400),
            ("{", {**BINARY, "content-type": "application/json"}, 400),
            ("[]", {"content-type": "application/cloudevents-batch+json"}, 415),
        ):
            reply = self.ask(agent, "POST", "/", body, headers)
            self.assertEqual(reply.status, status, (body, headers))

    def test_annotated(self) -> None:
        source = """
            from __future__ import annotations
            class CloudEvent:
                def __init__(self, attributes, data):
                    self.attributes, self.data = attributes, data
            def handler(event: {}):
                return [type(event).__name__, event.attributes["id"], event.data]
            """
        headers = {**BINARY, "content-type": "application/json"}
        for annotation in ("CloudEvent", "'CloudEvent'"):
            agent = self.web(source.format(annotation))
            self.assertEqual(
                self.ask(agent, "POST", "/", "[2]", headers).json, ["CloudEvent", "1", [2]]
            )
            self.assertEqual(self.ask(agent).status, 400)


class ResultTest(WebTest):
    def answer(self, **event: object):
        event = {**EVENT, **event}
        return self.ask(self.web(f"def handler(e, c): return {event!r}"))

    def test_binary_answer(self) -> None:
        reply = self.answer(subject='größe "x" 1%', flag=True, data={"a": 1})
        self.assertEqual(reply.json, {"a": 1})
        self.assertEqual(
            reply.headers,
            {
                "ce-specversion": "1.0",
                "ce-id": "1",
                "ce-source": "/s",
                "ce-type": "made",
                "ce-subject": "gr%C3%B6%C3%9Fe%20%22x%22%201%25",
                "ce-flag": "true",
                "content-type": "application/json",
            },
        )

    def test_data(self) -> None:
        for data, kind, body, sent in (
            ("x", None, b"x", "text/plain; charset=utf-8"),
            ("x", "application/json", b'"x"', "application/json"),
            ("<a>", "text/xml", b"<a>", "text/xml"),
            (b"\xff", None, b"\xff", "application/octet-stream"),
            (None, None, b"", None),
        ):
            reply = self.answer(data=data, datacontenttype=kind)
            self.assertEqual((reply.body, reply.headers.get("content-type")), (body, sent))
        self.assertEqual(self.answer(data_base64="/w==").body, b"\xff")

    def test_objects(self) -> None:
        source = f"""
            class Event:
                def get_attributes(self): return {EVENT!r}
                def get_data(self): return [1]
            def handler(e, c): return Event(), 202
            """
        reply = self.ask(self.web(source))
        self.assertEqual((reply.status, reply.json, reply.headers["ce-id"]), (202, [1], "1"))

    def test_incomplete(self) -> None:
        self.assertIn("has no id", self.answer(id="").result["error"]["message"])
        self.assertIn("Bad-Name", self.answer(**{"Bad-Name": 1}).result["error"]["message"])
        # Every character beyond the plain ones is escaped: no header can be forged.
        self.assertEqual(self.answer(subject="a\r\nb: c").headers["ce-subject"], "a%0D%0Ab:%20c")
