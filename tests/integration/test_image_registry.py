"""`usetl image` and a real registry: pulls, names, formats, tags, archives."""

import concurrent.futures
import hashlib
import json
import os
import pathlib
import shutil
import tarfile
import tempfile
import unittest

from image_store_case import NOT_FOUND, UNAUTHORISED, UNAVAILABLE, Store, command, skopeo
from registry import INDEX, MANIFEST, RealRegistry, digest, tar


class WithRealRegistry(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = pathlib.Path(tempfile.mkdtemp(prefix="usetl-registry-"))
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.registry = RealRegistry(cls.directory / "open", 5001)
        cls.addClassCleanup(cls.registry.close)
        layout = cls.directory / "layout"
        image = f"{layout}:v1"
        command("umoci", "init", "--layout", layout)
        command("umoci", "new", "--image", image)
        cls.tars = [tar(("app/", tarfile.DIRTYPE, ""), ("app/main.py", b"print(1)\n"), ("big", os.urandom(3 << 20))),
                    tar(("app/.wh.main.py", b""), ("app/new.py", b"print(2)\n"))]
        for number, data in enumerate(cls.tars):
            (cls.directory / f"{number}.tar").write_bytes(data)
            command("umoci", "raw", "add-layer", "--image", image, cls.directory / f"{number}.tar")
        command("umoci", "config", "--image", image, "--config.entrypoint", "/usr/bin/python3",
                "--config.cmd", "/app/new.py", "--config.env", "A=b c", "--config.workingdir", "/app",
                "--config.user", "10:20", "--config.label", "usetl.dev/runtime=python3.11",
                "--config.exposedports", "8080/tcp", "--config.stopsignal", "SIGINT")
        cls.layout = layout
        cls.name = f"{cls.registry.host}/team/base:v1"
        skopeo(f"oci:{image}", f"docker://{cls.name}")

    def test_pull(self):
        store = Store(self)
        identity = store.pull(self.name)
        [image] = store.images()
        self.assertEqual(image["id"], identity)
        self.assertEqual(image["repoTags"], [self.name])
        self.assertEqual((image["entrypoint"], image["cmd"]), (["/usr/bin/python3"], ["/app/new.py"]))
        self.assertIn("A=b c", image["env"])
        self.assertEqual((image["workingDir"], image["user"]), ("/app", "10:20"))
        self.assertEqual(image["labels"], {"usetl.dev/runtime": "python3.11"})
        self.assertEqual((image["exposedPorts"], image["stopSignal"]), (["8080/tcp"], "SIGINT"))
        self.assertGreater(image["size"], 3 << 20)
        first, second = map(digest, self.tars)
        self.assertEqual(image["chainId"], digest(f"{first} {second}".encode()))
        for layer, pack in zip(image["layers"], image["packs"], strict=True):
            self.assertEqual(pathlib.Path(pack).name, layer[7:] + ".pack")
            self.assertEqual(pathlib.Path(pack).read_bytes()[:8], b"UTLPACK1")
        self.assertIn(b"print(1)\n", pathlib.Path(image["packs"][0]).read_bytes())
        self.assertEqual(store.files("leases"), set())
        self.assertEqual(store.files("ingest"), set())
        for name in store.files("blobs/sha256"):
            self.assertEqual(hashlib.sha256((store.path / "blobs/sha256" / name).read_bytes()).hexdigest(), name)
        # The store is a layout that other tools read.
        skopeo(f"oci:{store.path}:{self.name}", f"oci:{self.directory}/copy:{self._testMethodName}")

    def test_names(self):
        store = Store(self)
        identity = store.pull(self.name)
        [image] = store.images()
        [by_digest] = image["repoDigests"]
        for name in (self.name, by_digest, identity, identity[7:], identity[7:13], identity[:20]):
            self.assertEqual(store.images(name), [image])
        store.run("ls", identity[7:12], status=NOT_FOUND)  # too short for an id
        other = Store(self)
        self.assertEqual(other.pull(by_digest), identity)
        self.assertEqual((other.images()[0]["repoTags"], other.images()[0]["repoDigests"]), ([], [by_digest]))
        other.run("pull", "Not/A/Name", status=1)

    def test_formats_give_the_same(self):
        store = Store(self)
        store.pull(self.name)
        docker, zstd = (f"{self.registry.host}/team/{name}:v1" for name in ("docker", "zstd"))
        skopeo("--format", "v2s2", f"docker://{self.name}", f"docker://{docker}")
        skopeo("--dest-compress-format", "zstd", f"docker://{self.name}", f"docker://{zstd}")
        store.pull(docker, zstd)
        images = store.images(self.name, docker, zstd)
        self.assertEqual(len({image["chainId"] for image in images}), 1)
        contents = {tuple(hashlib.sha256(pathlib.Path(pack).read_bytes()).digest() for pack in image["packs"])
                    for image in images}
        self.assertEqual(len(contents), 1)

    def test_index(self):
        with tempfile.TemporaryDirectory() as directory:
            skopeo(f"docker://{self.name}", f"dir:{directory}")
            manifest = pathlib.Path(directory, "manifest.json").read_bytes()
        item = {"mediaType": MANIFEST, "digest": digest(manifest), "size": len(manifest)}
        index = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
            {**item, "platform": {"os": "linux", "architecture": "arm64"}},
            {**item, "platform": {"os": "linux", "architecture": "amd64"}}]}).encode()
        self.registry.put_manifest("team/base", "many", index, INDEX)
        store = Store(self)
        store.pull(f"{self.registry.host}/team/base:many")
        [image] = store.images()
        repository = f"{self.registry.host}/team/base"
        self.assertEqual(set(image["repoDigests"]), {f"{repository}@{digest(data)}" for data in (index, manifest)})
        foreign = json.dumps({"schemaVersion": 2, "mediaType": INDEX, "manifests": [
            {**item, "platform": {"os": "linux", "architecture": "arm64"}}]}).encode()
        self.registry.put_manifest("team/base", "arm", foreign, INDEX)
        self.assertIn("linux/amd64", store.run("pull", f"{repository}:arm", status=NOT_FOUND))

    def test_what_is_not_there(self):
        store = Store(self)
        store.run("pull", f"{self.registry.host}/team/base:none", status=NOT_FOUND)
        said = store.run("pull", f"{self.registry.host}/none/none", status=NOT_FOUND)
        self.assertTrue(said.endswith("; is the name right?\n"), said)
        store.pull("127.0.0.1:1/none", status=UNAVAILABLE)
        self.assertEqual(store.images(), [])
        self.assertEqual(store.run("rm", "none", status=NOT_FOUND),
                         "usetl: no image none; usetl image ls lists those that there are\n")

    def test_tags_move_and_go_together(self):
        store = Store(self)
        moving = f"{self.registry.host}/team/moving:latest"
        skopeo(f"docker://{self.name}", f"docker://{moving}")
        store.pull(self.name, moving)
        [image] = store.images()
        self.assertEqual(image["repoTags"], sorted([self.name, moving]))
        command("umoci", "config", "--image", f"{self.layout}:v1", "--tag", "v2", "--config.cmd", "other")
        skopeo(f"oci:{self.layout}:v2", f"docker://{moving}")
        store.pull(moving)
        tags = {image["id"]: image["repoTags"] for image in store.images()}
        self.assertEqual(sorted(tags.values()), sorted([[self.name], [moving]]))
        packs = store.files("packs")
        store.run("rm", moving)
        self.assertEqual(store.files("packs"), packs)  # the other image has the same layers
        self.assertEqual([image["repoTags"] for image in store.images()], [[self.name]])
        store.run("rm", store.images()[0]["id"])
        self.assertEqual((store.images(), store.files("packs"), store.files("blobs/sha256")), ([], set(), set()))

    def test_import(self):
        store = Store(self)
        identity = store.pull(self.name)
        path = self.directory / "image"
        skopeo(f"docker://{self.name}", f"docker-archive:{path}.docker.tar:team/saved:1")
        skopeo(f"docker://{self.name}", f"oci-archive:{path}.oci.tar:localhost/saved:2")
        command("gzip", "-k", f"{path}.oci.tar")
        for source, name, names in (
                (f"{path}.docker.tar", [], ["docker.io/team/saved:1"]),
                (f"{path}.oci.tar", [], ["localhost/saved:2"]),
                (f"{path}.oci.tar.gz", ["--name", "x"], ["docker.io/library/x:latest"])):
            other = Store(self)
            self.assertEqual(other.run("import", source, *name).strip(), identity)
            [image] = other.images()
            self.assertEqual((image["repoTags"], image["chainId"]), (names, store.images()[0]["chainId"]))
            self.assertEqual(len(image["repoDigests"]), 1)
            self.assertTrue(all(os.path.exists(pack) for pack in image["packs"]))
            self.assertEqual(other.files("ingest"), set())
        directory = Store(self)
        self.assertIn(identity, directory.run("import", self.layout))

    def test_pulls_at_once(self):
        store = Store(self)
        with concurrent.futures.ThreadPoolExecutor(6) as pool:
            ids = set(pool.map(lambda _: store.pull(self.name), range(6)))
        self.assertEqual(ids, {store.images()[0]["id"]})
        self.assertEqual((len(store.images()), store.files("ingest")), (1, set()))

    def test_basic_authentication(self):
        registry = RealRegistry(self.directory / "closed", 5002, auth=True)
        self.addCleanup(registry.close)
        name = f"{registry.host}/private/image:1"
        skopeo("--dest-creds", "user:secret", f"docker://{self.name}", f"docker://{name}")
        store = Store(self)
        store.pull(name, status=UNAUTHORISED)
        store.pull(name, "--username", "user", "--password-stdin", stdin="wrong\n", status=UNAUTHORISED)
        self.assertEqual(store.images(), [])
        store.pull(name, "--username", "user", "--password-stdin", stdin="secret\n")
        self.assertEqual(store.images()[0]["repoTags"], [name])


if __name__ == "__main__":
    unittest.main()
