"""Registries for tests: Debian's real one, and one that misbehaves as it is told."""

import gzip
import hashlib
import http.server
import io
import json
import pathlib
import ssl
import subprocess
import tarfile
import threading
import urllib.error
import urllib.request

from node import in_network_namespace, wait_until

MANIFEST = "application/vnd.oci.image.manifest.v1+json"
INDEX = "application/vnd.oci.image.index.v1+json"
CONFIG = "application/vnd.oci.image.config.v1+json"
LAYER = "application/vnd.oci.image.layer.v1.tar+gzip"


def digest(data: bytes) -> str:
    return "sha256:" + hashlib.sha256(data).hexdigest()


def tar(*entries) -> bytes:
    """Of (name, bytes), or (name, TarInfo.type, link)."""
    buffer = io.BytesIO()
    with tarfile.open(fileobj=buffer, mode="w") as archive:
        for name, *rest in entries:
            info = tarfile.TarInfo(name)
            if len(rest) == 2:
                info.type, info.linkname = rest
                archive.addfile(info)
            else:
                info.size = len(rest[0])
                archive.addfile(info, io.BytesIO(rest[0]))
    return buffer.getvalue()


class FakeImage:
    """An image made by hand: every part may be a lie."""

    def __init__(self, *tars: bytes, diff_ids=None):
        self.blobs = {}
        layers = [gzip.compress(data, 1, mtime=0) for data in tars]
        config = json.dumps({"os": "linux", "architecture": "amd64", "rootfs": {
            "type": "layers", "diff_ids": diff_ids or [digest(data) for data in tars]}}).encode()
        self.config = digest(config)
        self.layers = [self._add(data) for data in layers]
        self.manifest = json.dumps({
            "schemaVersion": 2, "mediaType": MANIFEST,
            "config": {"mediaType": CONFIG, "digest": self._add(config), "size": len(config)},
            "layers": [{"mediaType": LAYER, "digest": name, "size": len(self.blobs[name])}
                       for name in self.layers]}).encode()

    def _add(self, data: bytes) -> str:
        self.blobs[digest(data)] = data
        return digest(data)


class FakeRegistry:
    """Serves one image; `answer(handler, kind, name)` may answer itself and return True."""

    def __init__(self, image: FakeImage, answer=lambda handler, kind, name: False, tls=None,
                 address: str = "127.0.0.1"):
        in_network_namespace()
        fake = self

        class Handler(http.server.BaseHTTPRequestHandler):
            def do_GET(self):  # noqa: N802: the base class wants this name
                fake.requests.append((self.path, dict(self.headers)))
                kind, name = self.path.split("/")[-2:]
                if answer(self, kind, name):
                    return
                if kind == "manifests":
                    self.reply(200, image.manifest, {"Content-Type": MANIFEST})
                elif name in image.blobs:
                    self.blob(image.blobs[name])
                else:
                    self.reply(404, b"{}")

            def do_POST(self):  # noqa: N802
                self.form = self.rfile.read(int(self.headers["Content-Length"])).decode()
                self.do_GET()

            def blob(self, data):
                start = self.headers.get("Range")
                if start is None:
                    self.reply(200, data)
                    return
                start = int(start[len("bytes="):-1])
                self.reply(206, data[start:],
                           {"Content-Range": f"bytes {start}-{len(data) - 1}/{len(data)}"})

            def reply(self, status, data, headers=None, length=None):
                self.send_response(status)
                for key, value in (headers or {}).items():
                    self.send_header(key, value)
                self.send_header("Content-Length", str(len(data) if length is None else length))
                self.end_headers()
                try:
                    self.wfile.write(data)
                except OSError:
                    pass  # the client has seen enough: some tests want that

            def log_message(self, *args):
                pass

        self.requests = []
        self.server = http.server.ThreadingHTTPServer((address, 0), Handler)
        self.server.daemon_threads = True
        self.server.block_on_close = False
        if tls is not None:
            context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
            context.load_cert_chain(*tls)
            self.server.socket = context.wrap_socket(self.server.socket, server_side=True)
        self.port = self.server.server_address[1]
        self.host = f"{address}:{self.port}"
        self.thread = threading.Thread(target=self.server.serve_forever, args=(0.01,), daemon=True)
        self.thread.start()

    def asked(self, part: str) -> list:
        return [headers for path, headers in self.requests if part in path]

    def close(self):
        self.server.shutdown()
        self.server.server_close()
        self.thread.join()


# "secret" for bcrypt, at its lowest cost.
_PASSWORDS = "user:$2b$04$w1/9a550Z/FY.gkafkmJWefpGeg94c7ksNvwSZ2ms3A7LdBJxqdGO\n"


class RealRegistry:
    """Debian's docker-registry on loopback; with `auth` it knows one user, "user" with "secret"."""

    def __init__(self, directory: pathlib.Path, port: int, auth: bool = False):
        in_network_namespace()
        self.host = f"127.0.0.1:{port}"
        directory.mkdir()
        (directory / "htpasswd").write_text(_PASSWORDS)
        config = ("version: 0.1\nlog: {level: error, accesslog: {disabled: true}}\n"
                  f"storage: {{filesystem: {{rootdirectory: {directory}/data}}}}\n"
                  f"http: {{addr: '{self.host}', secret: test}}\n")
        if auth:
            config += f"auth: {{htpasswd: {{realm: test, path: {directory}/htpasswd}}}}\n"
        (directory / "config.yml").write_text(config)
        self.log = open(directory / "log", "wb")
        self.process = subprocess.Popen(["docker-registry", "serve", directory / "config.yml"],
                                        stdin=subprocess.DEVNULL, stdout=self.log, stderr=self.log)
        wait_until(self._serves)

    def _serves(self) -> bool:
        if self.process.poll() is not None:
            raise RuntimeError("docker-registry ended")
        try:
            urllib.request.urlopen(f"http://{self.host}/v2/").close()
        except urllib.error.HTTPError as error:
            error.close()
            return error.code == 401
        except OSError:
            return False
        return True

    def put_manifest(self, repository: str, tag: str, data: bytes, media_type: str) -> None:
        request = urllib.request.Request(f"http://{self.host}/v2/{repository}/manifests/{tag}", data,
                                         {"Content-Type": media_type}, method="PUT")
        urllib.request.urlopen(request).close()

    def close(self):
        self.process.terminate()
        self.process.wait(60)
        self.log.close()
