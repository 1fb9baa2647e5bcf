"""Who may pull: tokens and refusals, redirects, mirrors."""

import base64
import unittest
import urllib.parse

from image_store_case import INVALID, UNAUTHORISED, UNAVAILABLE, RegistryCase, Store, command
from registry import FakeImage, tar


class Access(RegistryCase):
    def test_refusals_without_end(self):
        def answer(handler, *_):
            handler.reply(401, b"{}", {"WWW-Authenticate": f'Bearer realm="http://{handler.headers["Host"]}/token/x"'}
                          if "/token/" not in handler.path else {})
            return True
        server, name = self.serve(FakeImage(), answer)
        Store(self).pull(name, status=UNAUTHORISED)

        def generous(handler, kind, _):
            if kind == "token":
                handler.reply(200, b'{"token": "t"}')
            else:
                answer(handler)
            return True
        other, name = self.serve(FakeImage(), generous)
        Store(self).pull(name, status=UNAUTHORISED)
        self.assertLess(max(len(server.requests), len(other.requests)), 8)

    def tokens(self, image, check):
        def answer(handler, kind, _):
            if kind == "token":
                parts = urllib.parse.urlsplit(handler.path)
                query = urllib.parse.parse_qs(parts.query or getattr(handler, "form", ""))
                ok = query["service"] == ["me"] and query["scope"] == ["repository:a/b:pull"]
                ok = ok and check(handler, query)
                handler.reply(200 if ok else 401, b'{"access_token": "abc"}')
                return True
            if handler.headers.get("Authorization") == "Bearer abc":
                return False
            host = handler.headers["Host"]
            handler.reply(401, b"{}", {"WWW-Authenticate": f'Bearer realm="http://{host}/token/", service="me",'
                                       'scope="repository:a/b:pull"'})
            return True
        return self.serve(image, answer)

    def test_tokens(self):
        image = FakeImage(tar(("a", b"x")))
        basic = "Basic " + base64.b64encode(b"me:secret").decode()
        server, name = self.tokens(image, lambda handler, _: handler.headers.get("Authorization") is None)
        Store(self).pull(name)
        self.assertEqual(len(server.asked("/token/")), 1)
        _, name = self.tokens(image, lambda handler, _: handler.headers.get("Authorization") == basic)
        Store(self).pull(name, status=UNAUTHORISED)
        Store(self).pull(name, "--username", "me", "--password-stdin", stdin="secret\n")
        _, name = self.tokens(image, lambda _, query: query.get("refresh_token") == ["r&t"])
        Store(self).pull(name, "--identity-token-stdin", stdin="r&t\n")

    def test_redirects(self):
        image = FakeImage(tar(("a", b"x")))
        other, _ = self.serve(image)

        def answer(handler, kind, name):
            if "Authorization" not in handler.headers:
                handler.reply(401, b"{}", {"WWW-Authenticate": 'Basic realm="x"'})
            elif kind == "blobs":
                handler.reply(307, b"", {"Location": f"http://{other.host}/v2/a/b/blobs/{name}"})
            else:
                return False
            return True
        _, name = self.serve(image, answer)
        Store(self).pull(name, "--username", "me", "--password-stdin", stdin="secret\n")
        self.assertEqual(len(other.requests), 2)
        self.assertTrue(all("Authorization" not in headers for _, headers in other.requests))

        # Where a redirect leads to has no say in where credentials go.
        def asks(handler, *_):
            handler.reply(401, b"{}", {"WWW-Authenticate": f'Bearer realm="http://{handler.headers["Host"]}/token/x"'})
            return True
        asking, _ = self.serve(image, asks)

        def there(handler, *_):
            handler.reply(307, b"", {"Location": f"http://{asking.host}{handler.path}"})
            return True
        self.refused(image, answer=there, status=UNAUTHORISED)
        self.assertEqual([path for path, _ in asking.requests], ["/v2/a/b/manifests/1"])

        def away(handler, *_):
            handler.reply(302, b"", {"Location": "http://192.0.2.1/"})
            return True
        self.assertIn("plain http", self.refused(image, answer=away, status=UNAUTHORISED))

        def around(handler, *_):
            handler.reply(302, b"", {"Location": handler.path})
            return True
        self.assertIn("too often", self.refused(image, answer=around))

    def test_mirror_with_tls(self):
        directory = Store(self).path
        command("openssl", "req", "-x509", "-newkey", "ec", "-pkeyopt", "ec_paramgen_curve:P-256", "-nodes",
                "-keyout", directory / "key", "-out", directory / "ca", "-days", "2", "-subj", "/CN=test",
                "-addext", "subjectAltName=IP:127.0.0.1")
        server, _ = self.serve(FakeImage(tar(("a", b"x"))), tls=(directory / "ca", directory / "key"))
        mirror = ("--mirror", f"registry.invalid=https://{server.host}")
        store = Store(self)
        store.pull("registry.invalid/a/b:1", *mirror, status=UNAVAILABLE)  # a certificate of nobody
        store.pull("registry.invalid/a/b:1", *mirror, "--ca", directory / "ca")
        self.assertEqual(store.images()[0]["repoTags"], ["registry.invalid/a/b:1"])

    def test_mirror_that_lies(self):
        image = FakeImage(tar(("a", b"right")))
        server, name = self.serve(image)

        def answer(handler, kind, _):
            if kind == "blobs":
                handler.reply(200, b"wrong")
            return kind == "blobs"
        mirror, _ = self.serve(image, answer)
        store = Store(self)
        store.pull(name, "--mirror", f"{server.host}=http://{mirror.host}/")
        # The layer is too short, so it is tried thrice; then resumed from the registry, found wrong, fetched anew.
        self.assertEqual((len(mirror.asked("/blobs/")), len(server.asked("/blobs/"))), (4, 3))
        said = store.pull(f"{server.host}/a/b@sha256:{'0' * 64}", "--mirror", f"{server.host}=http://{mirror.host}",
                          status=INVALID)
        self.assertIn(f"mirror http://{mirror.host}", said)


if __name__ == "__main__":
    unittest.main()
