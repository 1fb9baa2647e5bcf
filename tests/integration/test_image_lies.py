"""Registries that lie: what does not agree with its digest, or with what an image is, is refused."""

import json
import pathlib
import shutil
import tarfile
import tempfile
import unittest

from image_store_case import INVALID, RegistryCase, Store
from registry import INDEX, FakeImage, digest, tar


class Lies(RegistryCase):
    def test_wrong_digest(self):
        image = FakeImage(tar(("a", b"right")))
        for kind, part in (("layer", image.layers[0]), ("config", image.config)):
            with self.subTest(kind):
                wrong = bytearray(image.blobs[part])
                wrong[-1] ^= 1

                def answer(handler, _, name):
                    if name == part:
                        handler.reply(200, bytes(wrong))
                    return name == part
                self.assertIn("sha256:", self.refused(image, answer=answer))

    def test_wrong_size(self):
        image = FakeImage(tar(("a", b"right")))
        data = image.blobs[image.layers[0]]

        def longer(handler, _, name):
            if name == image.layers[0]:
                handler.reply(200, data + b"x" * 1000)
            return name == image.layers[0]
        self.assertIn("more bytes", self.refused(image, answer=longer))

    def test_wrong_manifest_digest(self):
        image = FakeImage(tar(("a", b"x")))
        server, _ = self.serve(image)
        Store(self).pull(f"{server.host}/a/b@sha256:{'0' * 64}", status=INVALID)

        def other(handler, kind, _):
            if kind == "manifests":
                handler.reply(200, image.manifest, {"Docker-Content-Digest": digest(b"other")})
            return kind == "manifests"
        self.refused(image, answer=other)

    def test_endless_manifest(self):
        def answer(handler, kind, _):
            if kind != "manifests":
                return False
            handler.send_response(200)
            handler.end_headers()
            try:
                while True:
                    handler.wfile.write(b" " * 65536)
            except OSError:
                return True
        self.assertIn("4 MB", self.refused(FakeImage(), answer=answer))

    def test_documents(self):
        image = FakeImage(tar(("a", b"x")))
        good = json.loads(image.manifest)
        for what, change in (
                ("both", {"manifests": []}), ("schema", {"schemaVersion": 1}), ("layers", {"layers": {}}),
                ("type", {"mediaType": INDEX}), ("config", {"config": {**good["config"], "mediaType": "text/x"}}),
                ("size", {"config": {**good["config"], "size": -1}}),
                ("huge", {"layers": [{**good["layers"][0], "size": 1 << 50}]}),
                ("digest", {"config": {**good["config"], "digest": "sha256:../../x"}}),
                ("count", {"layers": good["layers"] * 2})):
            with self.subTest(what):
                image.manifest = json.dumps({**good, **change}).encode()
                self.refused(image)
        image.manifest = b"[" * 100000
        self.refused(image)

    def test_layers(self):
        self.assertIn("..", self.refused(FakeImage(tar(("../../etc/passwd", b"x")))))
        self.assertIn("hard link", self.refused(FakeImage(tar(("a", tarfile.LNKTYPE, "/etc/passwd")))))
        self.assertIn("config says", self.refused(FakeImage(tar(("a", b"x")), diff_ids=[digest(b"")])))
        self.refused(FakeImage(b"this is no archive at all, whatever it was compressed with" * 20))

    def test_absolute_names_stay_inside(self):
        canary = pathlib.Path(tempfile.mkdtemp(prefix="usetl-canary-"))
        self.addCleanup(shutil.rmtree, canary)
        image = FakeImage(tar((f"{canary}/file", b"x"), ("link", tarfile.SYMTYPE, str(canary))))
        _, name = self.serve(image)
        Store(self).pull(name)
        self.assertEqual(list(canary.iterdir()), [])
        # Through the link would be outside.
        self.refused(FakeImage(tar(("link", tarfile.SYMTYPE, str(canary)), ("link/file", b"x"))))
        self.assertEqual(list(canary.iterdir()), [])

    def test_bombs(self):
        self.assertIn("too many bytes", self.refused(FakeImage(tar(("a", bytes(64 << 20)))), "--max-unpacked", "8m"))


if __name__ == "__main__":
    unittest.main()
