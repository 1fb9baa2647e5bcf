"""usetl.get and its siblings."""

from __future__ import annotations

import io
import unittest
from pathlib import Path

import usetl
from tests.client_case import ClientTest
from usetl import _abi


class RequestTest(ClientTest):
    def sent(self, data: object = None, **options: object) -> dict:
        """What arrived at the server."""
        return usetl.post(self.web.url + "/echo", data, **options).json()

    def test_get(self) -> None:
        response = usetl.get(self.web.url + "/json", params={"q": "ä b", "l": [1, 2]})
        self.assertEqual((response.status, response.ok, response.reason), (200, True, "OK"))
        self.assertEqual(response.json(), {"a": 1})
        self.assertEqual(response.headers["CONTENT-type"], "application/json")
        self.assertEqual(self.proxy.seen[0].url, self.web.url + "/json?q=%C3%A4+b&l=1&l=2")
        self.assertEqual(usetl.get(self.web.url + "/latin").text, "größe")

    def test_methods(self) -> None:
        for call in (usetl.post, usetl.put, usetl.patch, usetl.delete):
            answer = call(self.web.url + "/m", b"x").json()
            self.assertEqual((answer["method"], answer["body"]), (call.__name__.upper(), "x"))
        head = usetl.head(self.web.url + "/bytes/512")
        self.assertEqual((head.headers["content-length"], len(head.body)), ("512", 0))
        self.assertEqual(usetl.request("put", self.web.url).json()["method"], "PUT")

    def test_kinds_of_bodies(self) -> None:
        file = Path(self.folder, "data")
        file.write_bytes(b"file" * 10_000)
        for data, kind, size in [
            (None, _abi.BODY_NONE, 0),
            (b"abc", _abi.BODY_INLINE, 3),
            (memoryview(b"abcd")[::2], _abi.BODY_INLINE, 2),
            ("grün", _abi.BODY_INLINE, 5),
            (bytearray(100_000), _abi.BODY_FILE, 100_000),
            (str(file), _abi.BODY_FILE, 40_000),
            (file, _abi.BODY_FILE, 40_000),
            (io.BytesIO(b"abc"), _abi.BODY_INLINE, 3),
            (io.StringIO("abc"), _abi.BODY_STREAM, 3),
            ((b"x" * 300_000 for _ in range(3)), _abi.BODY_STREAM, 900_000),
            (["a", b"b"], _abi.BODY_STREAM, 2),
            ([], _abi.BODY_STREAM, 0),
        ]:
            self.assertEqual(self.sent(data)["size"], size, data)
            self.assertEqual(self.proxy.seen[-1].kind, kind, data)
        with open(file, "rb") as opened:
            self.assertEqual(self.sent(opened)["size"], 40_000)
            self.assertEqual(self.proxy.seen[-1].kind, _abi.BODY_FILE)
            opened.seek(39_999)
            self.assertEqual(self.sent(opened)["size"], 1)
        self.assertEqual(self.sent(json={"a": "ü"})["body"], '{"a":"\\u00fc"}')
        with self.assertRaises(TypeError):
            self.sent({"a": 1})
        with self.assertRaises(FileNotFoundError):
            self.sent("/no/such/file")

    def test_headers_and_limits(self) -> None:
        sent = self.sent(b"x", headers={"X-A": "1", "content-type": "a/b"}, timeout=1.5, max_body=9)
        self.assertEqual((sent["headers"]["x-a"], sent["headers"]["content-type"]), ("1", "a/b"))
        seen = self.proxy.seen[-1]
        self.assertEqual((seen.timeout_ms, seen.max_body), (1500, 9))
        self.assertEqual(seen.flags, _abi.FLAG_MAY_STREAM)
        usetl.get(self.web.url + "/redirect", allow_redirects=False)
        flags = _abi.FLAG_NO_REDIRECT | _abi.FLAG_MAY_STREAM
        self.assertEqual(self.proxy.seen[-1].flags, flags)

    def test_bad_requests_never_leave(self) -> None:
        for arguments in [
            {"headers": {"A": "b\r\nC: d"}},
            {"headers": {"A b": "c"}},
            {"url": "http://x/\n"},
            {"url": "http://x/a b"},
            {"method": "GET /"},
            {"headers": {"A": "x" * 40_000}},
        ]:
            with self.assertRaises(usetl.BadRequest, msg=arguments):
                usetl.request(**{"method": "GET", "url": self.web.url, **arguments})
        self.assertEqual(self.proxy.seen, [])

    def test_unicode_urls(self) -> None:
        with self.assertRaises(usetl.Denied):
            usetl.get("http://error-1.test/grün?x=ü")
        self.assertEqual(self.proxy.seen[-1].url, "http://error-1.test/gr%C3%BCn?x=%C3%BC")

    def test_errors(self) -> None:
        for code, kind, general in [
            (1, usetl.Denied, PermissionError),
            (2, usetl.ResolveError, OSError),
            (3, usetl.ConnectError, ConnectionError),
            (4, usetl.TlsError, OSError),
            (5, usetl.Timeout, TimeoutError),
            (6, usetl.TooLarge, OSError),
            (7, usetl.ProtocolError, OSError),
            (8, usetl.TooManyRedirects, OSError),
            (9, usetl.BadRequest, ValueError),
            (10, usetl.NoSpace, OSError),
            (11, usetl.Cancelled, OSError),
            (12, usetl.RequestError, usetl.UsetlError),
        ]:
            with self.assertRaises(general) as caught:
                usetl.get(f"http://error-{code}.test/")
            self.assertIs(type(caught.exception), kind)
            self.assertEqual(str(caught.exception), "as the test asked")
        with self.assertRaises(usetl.ConnectError):
            usetl.post("http://error-3.test/", iter([b"x"] * 3))

    def test_status_errors(self) -> None:
        response = usetl.get(self.web.url + "/status/404")
        self.assertFalse(response.ok)
        with self.assertRaises(usetl.HTTPStatusError) as caught:
            response.raise_for_status()
        self.assertIs(caught.exception.response, response)
        self.assertIn("404 Not Found for GET", str(caught.exception))
        self.assertEqual(usetl.get(self.web.url + "/json").raise_for_status().status, 200)

    def test_repeated_headers(self) -> None:
        headers = usetl.get(self.web.url + "/cookies").headers
        self.assertEqual(headers.get_all("Set-Cookie"), ["a=1", "b=2"])
        self.assertEqual(headers["set-cookie"], "a=1, b=2")
        self.assertIn("content-length", headers)
        self.assertIsNone(headers.get("missing"))


class BodyTest(ClientTest):
    def test_body_is_shared_memory(self) -> None:
        response = usetl.get(self.web.url + "/bytes/1048576")
        self.assertEqual(len(response.body), 1 << 20)
        self.assertTrue(response.body.readonly)
        self.assertEqual(bytes(response.body[:256]), bytes(range(256)))
        self.assertEqual(Path(response.path).read_bytes(), response.body)

    def test_release(self) -> None:
        response = usetl.get(self.web.url + "/bytes/4096")
        part = response.body[256:512]
        response.close()
        self.assertEqual(self.released(), [])
        self.assertEqual(bytes(part), bytes(range(256)))
        del part
        self.assertEqual(self.released(), [0])
        path = usetl.get(self.web.url + "/bytes/4096").path
        self.assertEqual(self.released(), [])
        del path
        self.assertEqual(self.released(), [1])
        with usetl.get(self.web.url + "/bytes/256"), usetl.get(self.web.url + "/bytes/0"):
            pass
        self.assertEqual(sorted(self.released()), [2, 3])
        body = usetl.get(self.web.url + "/bytes/256").body
        self.assertEqual((self.released(), body[5]), ([], 5))

    def test_body_of_one_request_is_the_next(self) -> None:
        body = usetl.get(self.web.url + "/bytes/65536").body
        self.assertEqual(usetl.post(self.web.url, body).json()["sum"], sum(body))

    def test_lines_and_chunks(self) -> None:
        response = usetl.get(self.web.url + "/lines/3")
        self.assertEqual(list(response.iter_lines()), ["line 0", "line 1", "line 2", "last"])
        self.assertEqual(b"".join(response.iter_chunks(5)), response.body)


class OutsideTest(unittest.TestCase):
    def test_no_devices(self) -> None:
        with self.assertRaises(usetl.UsetlError):
            usetl.get("http://example.com/")
        with self.assertRaises(usetl.UsetlError):
            usetl.context()
