"""The web server that tests talk to."""

from __future__ import annotations

import json
import threading
import time
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer


class _Handler(BaseHTTPRequestHandler):
    protocol_version = "HTTP/1.1"

    def do_GET(self) -> None:
        path = self.path.split("?")[0]
        if path.startswith("/bytes/"):
            self._reply(200, bytes(range(256)) * (int(path[7:]) // 256))
        elif path.startswith("/status/"):
            self._reply(int(path[8:]), b"as you asked")
        elif path.startswith("/lines/"):
            self._reply(200, b"".join(b"line %d\r\n" % i for i in range(int(path[7:]))) + b"last")
        elif path == "/redirect":
            self._reply(302, b"", {"Location": "/json"})
        elif path == "/json":
            self._reply(200, b'{"a": 1}', {"Content-Type": "application/json"})
        elif path == "/latin":
            self._reply(
                200, "größe".encode("latin-1"), {"Content-Type": "text/plain; charset=latin-1"}
            )
        elif path == "/cookies":
            self._reply(200, b"", {"Set-Cookie": "a=1", "set-cookie": "b=2"})
        elif path == "/endless":
            self._endless()
        else:
            self._reply(200, b"half of it")

    do_HEAD = do_GET

    def do_POST(self) -> None:
        if self.headers.get("Transfer-Encoding") == "chunked":
            body = b""
            while size := int(self.rfile.readline(), 16):
                body += self.rfile.read(size)
                self.rfile.readline()
            self.rfile.readline()
        else:
            body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        answer = {
            "method": self.command,
            "path": self.path,
            "headers": {name.lower(): value for name, value in self.headers.items()},
            "size": len(body),
            "body": body[:100].decode("latin-1"),
            "sum": sum(body),
        }
        self._reply(200, json.dumps(answer).encode(), {"Content-Type": "application/json"})

    do_PUT = do_PATCH = do_DELETE = do_POST

    def _reply(self, status: int, body: bytes, headers: dict[str, str] = {}) -> None:
        self.send_response(status)
        for name, value in headers.items():
            self.send_header(name, value)
        self.send_header("Content-Length", str(len(body)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(body)

    def _endless(self) -> None:
        self.send_response(200)
        self.end_headers()
        self.close_connection = True
        try:
            while True:
                self.wfile.write(b"tick\n")
                time.sleep(0.01)
        except OSError:
            pass

    def log_message(self, *_: object) -> None:
        """Tests print results, not requests."""


class WebServer:
    """Listens on a free port of 127.0.0.1 until it is closed."""

    def __init__(self) -> None:
        self._server = ThreadingHTTPServer(("127.0.0.1", 0), _Handler)
        self._server.daemon_threads = True
        self.port: int = self._server.server_port
        self.url = f"http://127.0.0.1:{self.port}"
        self._thread = threading.Thread(
            target=self._server.serve_forever, args=(0.02,), daemon=True
        )
        self._thread.start()

    def close(self) -> None:
        self._server.shutdown()
        self._server.server_close()
