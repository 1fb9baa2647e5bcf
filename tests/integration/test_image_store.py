"""The store itself: full, damaged, filled from archives."""

import json
import os
import tarfile
import unittest

from image_store_case import INVALID, NO_SPACE, RegistryCase, Store, command
from registry import MANIFEST, FakeImage, digest, tar


class StoreFiles(RegistryCase):
    def test_full_disk(self):
        store = Store(self)
        command("mount", "-t", "tmpfs", "-o", "size=1m", "tmpfs", store.path)
        self.addCleanup(command, "umount", store.path)
        _, name = self.serve(FakeImage(tar(("a", os.urandom(2 << 20)))))
        store.pull(name, status=NO_SPACE)
        _, small = self.serve(FakeImage(tar(("a", b"x"))))
        store.pull(small)  # nothing of the other is in its way

    def test_damaged_store(self):
        store = Store(self)
        _, name = self.serve(FakeImage(tar(("a", b"x"))))
        store.pull(name)
        config = store.images()[0]["id"][7:]
        (store.path / "blobs/sha256" / config).write_bytes(b"{}")
        self.assertIn("damaged", store.start("ls").communicate(timeout=60)[1])
        store.pull(name)  # mends it
        self.assertEqual(len(store.images()), 1)
        index = store.path / "index.json"
        index.write_text("{")
        self.assertIn("index.json is damaged", store.run("ls", status=INVALID))
        store.pull(name, status=INVALID)
        self.assertEqual(index.read_text(), "{")
        index.unlink()
        self.assertIn("missing", store.run("ls", status=INVALID))

    def test_archives(self):
        store = Store(self)
        path = store.path / "a.tar"
        layer = tar(("a", b"x"))
        config = json.dumps({"rootfs": {"type": "layers", "diff_ids": [digest(layer)]}}).encode()
        manifest = json.dumps([{"Config": "c.json", "RepoTags": None, "Layers": ["l/layer.tar"]}]).encode()
        for what, data in (
                ("empty", tar()), ("other", tar(("x", b"y"))),
                ("name", tar(("../x", b"y"))), ("link", tar(("x", tarfile.SYMTYPE, "/../../etc/passwd"))),
                ("missing", tar(("manifest.json", manifest), ("c.json", config))),
                ("digest", tar(("oci-layout", b"{}"), ("index.json", json.dumps({"manifests": [
                    {"mediaType": MANIFEST, "digest": digest(b"a"), "size": 1}]}).encode()),
                    (f"blobs/sha256/{digest(b'a')[7:]}", b"b")))):
            with self.subTest(what):
                path.write_bytes(data)
                store.run("import", path, status=INVALID)
                self.assertEqual((store.images(), store.files("ingest")), ([], set()))
        path.write_bytes(tar(("manifest.json", manifest), ("c.json", config), ("real.tar", layer),
                             ("l/layer.tar", tarfile.SYMTYPE, "../real.tar")))
        identity = store.run("import", path).strip()
        self.assertEqual(identity, digest(config))
        self.assertEqual(store.images(identity)[0]["repoTags"], [])


if __name__ == "__main__":
    unittest.main()
