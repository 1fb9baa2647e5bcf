"""The store itself: full, damaged, filled from archives."""

import json
import os
import pathlib
import shutil
import subprocess
import tarfile
import tempfile
import unittest

from image_store_case import INVALID, NO_SPACE, NOT_FOUND, RegistryCase, Store, command
from node import BUILD
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

    def test_looking_makes_nothing(self):
        parent = pathlib.Path(tempfile.mkdtemp(prefix="usetl-images-"))
        self.addCleanup(shutil.rmtree, parent)
        for store, option in ((parent / "a/b", f"--store={parent}/a/b"), (parent, f"--store={parent}"),
                              (parent / "n/images", f"--node={parent}/n")):
            for words in (["ls"], ["ls", "--json"], ["ls", "x"], ["rm", "x"], ["gc"]):
                done = subprocess.run([BUILD / "usetl", "image", *words, option], capture_output=True, text=True,
                                      timeout=60, check=False)
                self.assertEqual((done.returncode, done.stdout, done.stderr), (1, "", f"usetl: no image store in {store}\n"))
            done = subprocess.run([BUILD / "usetl", "image", "bake", "x", option], capture_output=True, text=True,
                                  timeout=60, check=False)
            self.assertEqual((done.returncode, done.stderr),
                             (3, f"usetl: no image x: no image store in {store}, and no file is called so; usetl image ls "
                                 "lists images\n"))
        self.assertEqual(list(parent.iterdir()), [])

    def test_sizes_of_small_images(self):
        store = Store(self)
        _, name = self.serve(FakeImage(tar(("a", b"x"))))
        store.pull(name)
        self.assertRegex(store.run("ls"), r"\n\w{12} +0\.\d kB  ")

    def test_names_that_a_registry_has_not(self):
        _, name = self.serve(FakeImage(tar(("a", b"x"))), lambda handler, *_: handler.send_error(404) or True)
        self.assertIn(f"usetl: pull {name}: its manifest: ", Store(self).pull(name, status=NOT_FOUND))

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
