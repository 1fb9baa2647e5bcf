"""The image store through `usetl image`: a real registry, archives, and registries that lie."""

import concurrent.futures
import base64
import hashlib
import json
import os
import pathlib
import shutil
import signal
import subprocess
import tarfile
import tempfile
import time
import unittest
import urllib.parse

from node import BUILD, wait_until
from registry import CONFIG, INDEX, MANIFEST, FakeImage, FakeRegistry, RealRegistry, digest, tar

NOT_FOUND, UNAUTHORISED, UNAVAILABLE, INVALID, NO_SPACE = 3, 4, 5, 6, 7
ENVIRONMENT = {name: value for name, value in os.environ.items() if "proxy" not in name.lower()}


def command(*words) -> str:
    return subprocess.run(list(map(str, words)), env=ENVIRONMENT, check=True, capture_output=True, text=True,
                          timeout=60).stdout


def skopeo(*words) -> None:
    command("skopeo", "--insecure-policy", "copy", "--quiet", "--src-tls-verify=false",
            "--dest-tls-verify=false", *words)


class Store:
    """`usetl image` on a store of its own."""

    def __init__(self, test: unittest.TestCase, directory=None):
        self.test = test
        self.path = pathlib.Path(directory or tempfile.mkdtemp(prefix="usetl-images-"))
        test.addCleanup(shutil.rmtree, self.path, ignore_errors=True)

    def start(self, *words, **options) -> subprocess.Popen:
        return subprocess.Popen([str(BUILD / "usetl"), "image", *map(str, words), "--store", str(self.path)],
                                env=ENVIRONMENT, stdin=options.pop("stdin", subprocess.DEVNULL),
                                stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, *words, stdin: str = "", status: int = 0) -> str:
        process = self.start(*words, stdin=subprocess.PIPE)
        out, err = process.communicate(stdin, timeout=60)
        self.test.assertEqual(process.returncode, status, out + err)
        return out if status == 0 else err

    def pull(self, *words, **options) -> str:
        return self.run("pull", *words, "--retries", "2", **options).strip()

    def images(self, *names) -> list:
        return json.loads(self.run("ls", "--json", *names))

    def files(self, folder: str) -> set:
        return {path.name for path in (self.path / folder).iterdir()}


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
        store.run("pull", f"{self.registry.host}/none/none", status=NOT_FOUND)
        store.pull("127.0.0.1:1/none", status=UNAVAILABLE)
        self.assertEqual(store.images(), [])
        store.run("rm", "none")

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


class WithLiars(unittest.TestCase):
    def serve(self, image, answer=lambda handler, kind, name: False, **options):
        server = FakeRegistry(image, answer, **options)
        self.addCleanup(server.close)
        return server, f"{server.host}/a/b:1"

    def refused(self, image, *words, answer=lambda *_: False, status=INVALID) -> str:
        _, name = self.serve(image, answer)
        store = Store(self)
        said = store.pull(name, *words, status=status)
        self.assertEqual((store.images(), store.files("packs"), store.files("leases")), ([], set(), set()))
        return said

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

    def breaking(self, image, after: int):
        """Breaks off the first transfer of the layer."""
        broken = []

        def answer(handler, _, name):
            if name != image.layers[0] or broken:
                return False
            broken.append(name)
            data = image.blobs[name]
            handler.reply(200, data[:after], length=len(data))
            handler.close_connection = True
            return True
        return answer

    def test_broken_transfer_is_resumed(self):
        image = FakeImage(tar(("a", os.urandom(2 << 20))))
        server, name = self.serve(image, self.breaking(image, 1 << 20))
        Store(self).pull(name)
        self.assertEqual([headers.get("Range") for headers in server.asked(image.layers[0])],
                         [None, f"bytes={1 << 20}-"])

    def test_next_pull_resumes(self):
        image = FakeImage(tar(("a", os.urandom(2 << 20))))
        server, name = self.serve(image, self.breaking(image, 1 << 20))
        store = Store(self)
        store.run("pull", name, "--retries", "0", status=UNAVAILABLE)
        self.assertEqual(store.files("ingest"), {image.layers[0][7:]})
        # What was left may have suffered: that is found out and mended.
        left = store.path / "ingest" / image.layers[0][7:]
        left.write_bytes(b"?" + left.read_bytes()[1:])
        store.pull(name)
        self.assertEqual([headers.get("Range") for headers in server.asked(image.layers[0])],
                         [None, f"bytes={1 << 20}-", None])

    def test_server_without_ranges(self):
        image = FakeImage(tar(("a", os.urandom(2 << 20))))
        breaking = self.breaking(image, 1 << 20)

        def answer(handler, kind, name):
            if breaking(handler, kind, name):
                return True
            if name == image.layers[0]:
                handler.reply(200, image.blobs[name])
            return name == image.layers[0]
        _, name = self.serve(image, answer)
        Store(self).pull(name)

    def hanging(self, image):
        def answer(handler, _, name):
            if name != image.layers[0]:
                return False
            handler.reply(200, image.blobs[name][:100], length=len(image.blobs[name]))
            wait_until(lambda: self.over)
            return True
        self.over = False
        self.addCleanup(setattr, self, "over", True)
        return self.serve(image, answer)

    def test_hanging_server(self):
        _, name = self.hanging(FakeImage(tar(("a", os.urandom(10000)))))
        store = Store(self)
        store.run("pull", name, "--stall", "1", "--retries", "0", status=UNAVAILABLE)

    def test_interrupted(self):
        image = FakeImage(tar(("a", os.urandom(10000))))
        server, name = self.hanging(image)
        store = Store(self)
        process = store.start("pull", name)
        wait_until(lambda: server.asked(image.layers[0]))
        process.send_signal(signal.SIGINT)
        process.communicate(timeout=60)
        self.assertEqual((process.returncode, store.files("leases")), (130, set()))

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
