"""Bodies of requests that applications read in pieces: larger than what the gateway gathers, or of unknown size."""

import hashlib
import json
import os
import pathlib
import shutil
import subprocess
import sys
import tempfile

from cri import container_config, cri
from cri_case import CriCase
from image_file import add_image
from node import wait_until

WSGI = """
import hashlib
def application(environ, start_response):
    digest, size = hashlib.sha256(), 0
    if environ["PATH_INFO"] != "/refused":
        while piece := environ["wsgi.input"].read(50000):
            digest.update(piece)
            size += len(piece)
    start_response("403 No" if environ["PATH_INFO"] == "/refused" else "200 OK", [])
    return [f"{size} {digest.hexdigest()} {environ['CONTENT_LENGTH']}".encode()]
"""
ASGI = """
async def app(scope, receive, send):
    if scope["type"] != "http":
        return
    await send({"type": "http.response.start", "status": 200})
    more = True
    while more:
        message = await receive()
        more = message.get("more_body", False)
        await send({"type": "http.response.body", "body": message.get("body", b"").upper(), "more_body": more})
"""
# Sends a line only when the one before has come back.
CONVERSATION = """
import http.client
connection = http.client.HTTPConnection("127.0.0.1", 8080, timeout=60)
connection.putrequest("POST", "/")
connection.putheader("Transfer-Encoding", "chunked")
connection.endheaders()
send = lambda line: connection.send(b"%x\\r\\n%s\\r\\n" % (len(line), line))
send(b"one\\n")
answer = connection.getresponse()
print(answer.readline().decode(), end="")
for line in (b"two\\n", b"three\\n"):
    send(line)
    print(answer.readline().decode(), end="")
connection.send(b"0\\r\\n\\r\\n")
assert answer.read() == b""
"""
SIZE = 40 << 20  # more than the gateway gathers


class Uploads(CriCase):
    @classmethod
    def setUpClass(cls):
        super().setUpClass()
        made = pathlib.Path(tempfile.mkdtemp(prefix="usetl-image-"))
        cls.addClassCleanup(shutil.rmtree, made)
        add_image(cls.directory / "images", "localhost/upload:1",
                  {"function/wsgi.py": WSGI, "function/asgi.py": ASGI}, "--config.workingdir", "/function")
        cls.file = made / "body"
        cls.file.write_bytes(os.urandom(1 << 20) * (SIZE >> 20))
        cls.digest = hashlib.sha256(cls.file.read_bytes()).hexdigest()

    def serve(self, handler: str) -> str:
        pod = self.run_pod(handler.partition(":")[0], annotations={"usetl.dev/handler": handler})
        config = container_config("upload", "localhost/upload:1")
        container = self.client.CreateContainer(pod_sandbox_id=pod, config=config, sandbox_config=self.pod).container_id
        self.client.StartContainer(container_id=container)
        return pod

    def test_files_with_and_without_an_announced_size(self):
        pod = self.serve("wsgi:application")
        for version in ("--http1.1", "--http2-prior-knowledge"):
            known = self.call(pod, version, "-T", str(self.file))
            self.assertEqual(known, f"{SIZE} {self.digest} {SIZE}", version)
            unknown = self.call(pod, version, "-T", str(self.file), "-H", "Transfer-Encoding: chunked")
            self.assertEqual(unknown.strip(), f"{SIZE} {self.digest}", version)
        self.assertEqual(self.call(pod, "-d", "small"), f"5 {hashlib.sha256(b'small').hexdigest()} 5")

    def test_a_function_that_does_not_want_it(self):
        pod = self.serve("wsgi:application")
        answer = self.call(pod, "-T", str(self.file), "--request-target", "/refused", "-o", "/dev/null", "-w", "%{http_code}")
        self.assertTrue(answer.startswith("403"), answer)
        self.assertEqual(self.call(pod, "-d", "next")[:2], "4 ", "the rest is not taken for a request")

    def test_annotation_leaves_commands_alone(self):
        pod = self.run_pod("mixed", annotations={"usetl.dev/handler": "wsgi:application"})
        config = container_config("job", "localhost/upload:1", command=["python3", "wsgi.py"])
        job = self.client.CreateContainer(pod_sandbox_id=pod, config=config, sandbox_config=self.pod).container_id
        self.client.StartContainer(container_id=job)
        wait_until(lambda: self.client.ContainerStatus(container_id=job).status.state == cri.CONTAINER_EXITED)
        self.assertEqual(self.client.ContainerStatus(container_id=job).status.exit_code, 0)

    def test_a_conversation(self):
        pod = self.serve("asgi:app")
        info = json.loads(self.client.PodSandboxStatus(pod_sandbox_id=pod, verbose=True).info["info"])
        done = subprocess.run(["nsenter", f"--net={info['networkNamespace']}", sys.executable, "-c", CONVERSATION],
                              capture_output=True, text=True, check=False, timeout=120)
        self.assertEqual((done.stdout, done.stderr), ("ONE\nTWO\nTHREE\n", ""))

    def test_a_client_that_leaves_does_not_end_the_function(self):
        pod = self.serve("wsgi:application")
        info = json.loads(self.client.PodSandboxStatus(pod_sandbox_id=pod, verbose=True).info["info"])
        with subprocess.Popen(["nsenter", f"--net={info['networkNamespace']}", "curl", "-sS", "-T", "-",
                               "http://127.0.0.1:8080/"], stdin=subprocess.PIPE, stdout=subprocess.PIPE,
                              stderr=subprocess.PIPE) as curl:
            curl.stdin.write(b"x" * 200_000)
            curl.stdin.flush()
            curl.kill()
            curl.wait()
        self.assertEqual(self.call(pod, "-d", "next")[:2], "4 ")
