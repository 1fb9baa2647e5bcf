"""https through usetl-proxy as it runs: its own user, its seccomp list, the machine's bundle of authorities."""

import http.server
import json
import pathlib
import shutil
import socket
import ssl
import subprocess
import tempfile
import threading
import unittest

from certificates import Authority
from node import Node, wait_until

BUNDLE = "/etc/ssl/certs/ca-certificates.crt"
CODE = ("import usetl\n"
        "def handler(e, c):\n"
        "  answers = []\n"
        "  for method, data in (('GET', None), ('GET', None), ('POST', b'x' * 300000)):\n"
        "    try:\n"
        "      answer = usetl.request(method, e, data=data)\n"
        "      answers.append([answer.status, bytes(answer.body[:20]).decode(), len(answer.body)])\n"
        "    except usetl.RequestError as error:\n"
        "      answers.append(type(error).__name__)\n"
        "  return answers\n")
SECURE = [200, "secure", 6]


class Handler(http.server.BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def answer(self, body: bytes) -> None:
        self.send_response(200)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        self.wfile.write(body)

    def do_GET(self):
        self.answer(b"secure")

    def do_POST(self):
        self.answer(self.rfile.read(int(self.headers["Content-Length"])))

    def log_message(self, *_):
        pass


class Server(http.server.ThreadingHTTPServer):
    def __init__(self, certificate: tuple[str, str]):
        super().__init__(("127.0.0.1", 0), Handler)
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        context.load_cert_chain(*certificate)
        # The handshake is the thread's, not the listener's: a client that hangs up does not end the server.
        self.socket = context.wrap_socket(self.socket, server_side=True, do_handshake_on_connect=False)
        threading.Thread(target=self.serve_forever, daemon=True).start()

    def handle_error(self, request, client_address):
        pass  # clients that find the certificate bad

    def close(self):
        self.shutdown()
        self.server_close()


class Tls(unittest.TestCase):
    @classmethod
    def setUpClass(cls):
        cls.directory = tempfile.mkdtemp(prefix="usetl-test-")
        cls.addClassCleanup(shutil.rmtree, cls.directory)
        cls.authority = Authority(cls.directory)
        # Its own mounts, where the machine trusts this authority only.
        cls.node = Node(verify=True, within=("unshare", "--mount", "sh", "-c", 'mount --bind "$0" "$1"; shift; exec "$@"',
                                             str(cls.authority.file), BUNDLE))
        cls.addClassCleanup(cls.node.close)

    @staticmethod
    def listens(port: int) -> bool:
        with socket.socket() as client:
            return client.connect_ex(("127.0.0.1", port)) == 0

    def ask(self, port: int) -> list:
        origin = f"https://127.0.0.1:{port}"
        done = self.node.run(CODE, "--allow", origin, "--event", json.dumps(origin + "/file"))
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout)

    def answers_with(self, certificate: tuple[str, str]) -> list:
        server = Server(certificate)
        self.addCleanup(server.close)
        return self.ask(server.server_address[1])

    def test_good_certificate(self):
        answers = self.answers_with(self.authority.issue("good", "IP:127.0.0.1"))
        self.assertEqual(answers, [SECURE, SECURE, [200, "x" * 20, 300000]])

    def test_http2(self):
        files = pathlib.Path(self.directory) / "files"
        files.mkdir()
        (files / "file").write_text("secure")
        certificate, key = self.authority.issue("http2", "IP:127.0.0.1")
        with socket.create_server(("127.0.0.1", 0)) as free:  # nobody else is in this network namespace
            port = free.getsockname()[1]
        # It speaks nothing but HTTP/2.
        server = subprocess.Popen(["nghttpd", "--address=127.0.0.1", "--htdocs", files, "--echo-upload", str(port), key,
                                   certificate], stdout=subprocess.DEVNULL)
        self.addCleanup(server.wait)
        self.addCleanup(server.kill)
        wait_until(lambda: self.listens(port))
        self.assertEqual(self.ask(port), [SECURE, SECURE, [200, "x" * 20, 300000]])

    def test_certificates_that_are_not_good(self):
        stranger = tempfile.mkdtemp(prefix="usetl-test-")
        self.addCleanup(shutil.rmtree, stranger)
        for certificate in (self.authority.issue("expired", "IP:127.0.0.1", -1),
                            self.authority.issue("other", "DNS:example.com"),
                            Authority(stranger).issue("unknown", "IP:127.0.0.1")):
            with self.subTest(certificate=certificate[0]):
                self.assertEqual(self.answers_with(certificate), ["TlsError"] * 3)

    def test_no_tls(self):
        plain = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
        threading.Thread(target=plain.serve_forever, daemon=True).start()
        self.addCleanup(plain.server_close)
        self.addCleanup(plain.shutdown)
        self.assertEqual(self.ask(plain.server_address[1]), ["TlsError"] * 3)


if __name__ == "__main__":
    unittest.main()
