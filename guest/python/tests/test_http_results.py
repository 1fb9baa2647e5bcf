"""What handlers return, as HTTP answers."""

from __future__ import annotations

from pathlib import Path

from tests.web_case import WebTest


class ResultTest(WebTest):
    def returned(self, expression: str):
        return self.ask(self.web(f"def handler(event, context):\n    return {expression}\n"))

    def check(self, expression: str, status: int, kind: str | None, body: bytes) -> None:
        reply = self.returned(expression)
        self.assertEqual(reply.result["ok"], True, reply.result)
        got = (reply.status, reply.headers.get("content-type"), reply.body)
        self.assertEqual(got, (status, kind, body), expression)

    def test_kinds(self) -> None:
        text, data, json = (
            "text/plain; charset=utf-8",
            "application/octet-stream",
            "application/json",
        )
        for expression, *expected in (
            ("'ü'", 200, text, "ü".encode()),
            ("b'\\xff'", 200, data, b"\xff"),
            ("memoryview(b'ab')", 200, data, b"ab"),
            ("{'a': None}", 200, json, b'{"a":null}'),
            ("1.5", 200, json, b"1.5"),
            ("True", 200, json, b"true"),
            ("[]", 200, json, b"[]"),
            ("None", 204, None, b""),
            ("''", 200, None, b""),
            ("('made', 201)", 201, text, b"made"),
            ("(None, 404)", 404, None, b""),
            ("({'a': 1}, 202, {'X-A': 'b'})", 202, json, b'{"a":1}'),
            ("('<p>', {'Content-Type': 'text/html'})", 200, "text/html", b"<p>"),
            ("(1, 2)", 200, json, b"[1,2]"),
            ("('a', 'b', 'c')", 200, json, b'["a","b","c"]'),
        ):
            with self.subTest(expression):
                self.check(expression, *expected)

    def test_lambda_response(self) -> None:
        self.check("{'statusCode': 201, 'body': 'x'}", 201, "application/json", b"x")
        self.check("{'statusCode': '404'}", 404, None, b"")
        self.check("{'statusCode': 200, 'body': [1]}", 200, "application/json", b"[1]")
        self.check(
            "{'statusCode': 200, 'headers': {'content-type': 'image/x'}, 'body': '/w==',"
            " 'isBase64Encoded': True}",
            200,
            "image/x",
            b"\xff",
        )
        reply = self.returned(
            "{'statusCode': 200, 'headers': {'n': 1, 'A': 'no'}, 'cookies': ['a=1', 'b=2'],"
            " 'multiValueHeaders': {'a': ['x', 'y']}}"
        )
        self.assertEqual(
            reply.pairs,
            [["n", "1"], ["a", "x"], ["a", "y"], ["set-cookie", "a=1"], ["set-cookie", "b=2"]],
        )

    def test_answers_that_cannot_be(self) -> None:
        for expression, text in {
            "{'statusCode': 'x'}": "statusCode",
            "{'statusCode': 99}": "99",
            "('', 200, {'X-Bad': 'a\\r\\nb: c'})": "X-Bad",
            "('', 200, {'X-Bad': 'a\\0'})": "X-Bad",
            "('', 200, {'X Bad\\n': 'a'})": "X Bad",
            "('', 200, {'X-Bad': '\\u20ac'})": "X-Bad",
            "('', 200, {'X-Big': 'x' * 30000})": "too large",
            "{1, 2}": "not JSON serializable",
            "iter([1])": "a stream of int",
        }.items():
            error = self.returned(expression).result["error"]
            self.assertIn(text, error["message"], expression)

    def test_exception(self) -> None:
        agent = self.web("def handler(event, context):\n    return event['missing']\n")
        error = self.ask(agent).result["error"]
        self.assertEqual((error["type"], error["line"]), ("KeyError", 2))
        self.assertEqual(error["traceback"].count("File "), 1)
        self.assertFalse(agent.invoke()["ok"])  # no HTTP request

    def test_large_bodies_travel_by_file(self) -> None:
        source = "def handler(event, context): return 'ü' * int(event['n'])"
        agent = self.web(source)
        reply = self.ask(agent, "GET", "/?n=100000")
        self.assertEqual(reply.body.decode(), "ü" * 100_000)
        path = Path(reply.result["http"]["body_path"])
        for count in (24_000, 12_000, 12_287, 12_288, 12_289, 1):
            reply = self.ask(agent, "GET", f"/?n={count}")
            self.assertEqual(len(reply.body), 2 * count)
        self.assertFalse(path.exists())

    def test_escapes_that_do_not_fit_a_record(self) -> None:
        reply = self.returned("'\\0' * 20000")
        self.assertEqual(reply.body, b"\0" * 20_000)

    def test_streams(self) -> None:
        for source, kind, pieces in (
            ("def handler(e, c):\n    yield 'a'\n    yield 'ü'\n", "text/plain", ["a", "ü"]),
            ("async def handler(e, c):\n    yield b'a'\n", "application/octet", ["a"]),
            ("def handler(e, c): return iter(['a']), 201, {'Content-Type': 'x/y'}", "x/y", ["a"]),
        ):
            reply = self.ask(self.web(source))
            self.assertEqual(reply.result, {"ok": True, "streamed": True})
            self.assertEqual([piece.decode() for piece in reply.pieces], pieces)
            self.assertIn(kind, reply.headers["content-type"])
        reply = self.returned("iter([b'x' * 60000])")
        self.assertEqual(([len(p) for p in reply.pieces]), [24576, 24576, 10848])
        self.assertEqual(self.returned("iter(())").body, b"")

    def test_stream_that_fails(self) -> None:
        source = "def handler(e, c):\n    if 'now' in e: 1 / 0\n    yield 'a'\n    1 / 0\n"
        agent = self.web(source)
        reply = self.ask(agent)
        self.assertEqual((reply.status, reply.body), (200, b"a"))
        self.assertEqual(reply.result["error"]["type"], "ZeroDivisionError")
        reply = self.ask(agent, "GET", "/?now")
        self.assertEqual((reply.status, reply.result["error"]["line"]), (0, 2))
