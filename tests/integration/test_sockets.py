"""Servers within a function: its own clients reach them, nobody else does."""

import json
import unittest

from node import NodeCase
from test_traffic import Server, ok

OWN_SERVER = """
import http.server, threading, urllib.request
class Handler(http.server.BaseHTTPRequestHandler):
    def do_GET(self):
        self.send_response(200)
        self.end_headers()
        self.wfile.write(b"own " + self.path.encode())
    def log_message(self, *_):
        pass
def handler(url, c):
    server = http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    with urllib.request.urlopen(f"http://localhost:{server.server_port}/a") as own:
        with urllib.request.urlopen(url) as other:
            return [own.read().decode(), other.read().decode(), server.server_port]
"""
ELSEWHERE = """
import errno, socket
def attempt(family, address, kind=socket.SOCK_STREAM):
    with socket.socket(family, kind) as s:
        try:
            s.connect(address)
        except OSError as error:
            return errno.errorcode[error.errno]
def handler(port, c):
    return [attempt(socket.AF_INET, ("127.0.0.1", port)),
            attempt(socket.AF_INET, ("198.51.100.1", 80)),
            attempt(socket.AF_INET6, ("2001:db8::1", 80)),
            attempt(socket.AF_INET, ("198.51.100.1", 53), socket.SOCK_DGRAM),
            attempt(socket.AF_UNIX, "/run/usetl/vmmd.sock"),
            attempt(socket.AF_INET, ("169.254.169.254", 80))]
"""
WAITING_FOR_THE_WORLD = """
import socket
def handler(port, c):
    with socket.create_server(("", port)), socket.create_server(("", port + 1)):
        return "listens"
"""


class Sockets(NodeCase):
    def test_a_function_asks_its_own_server_and_others(self):
        server = Server(lambda head, body: ok(b"other"))
        self.addCleanup(server.close)
        origin = f"http://127.0.0.1:{server.port}"
        ports = set()
        for _ in range(2):  # nothing of it is left for the next one
            done = self.node.run(OWN_SERVER, "--event", json.dumps(origin + "/x"), "--allow", origin)
            own, other, port = json.loads(done.stdout)
            self.assertEqual([own, other], ["own /a", "other"], done.stderr)
            ports.add(port)
        self.assertEqual(len(ports), 1)

    def test_sockets_lead_nowhere_else(self):
        server = Server(lambda head, body: ok(b"host"))
        self.addCleanup(server.close)
        done = self.node.run(ELSEWHERE, "--event", str(server.port), "--allow", f"http://127.0.0.1:{server.port}")
        self.assertEqual(json.loads(done.stdout), ["ECONNREFUSED", "ENETUNREACH", "ENETUNREACH", "ENETUNREACH",
                                                   "ENOENT", "ENETUNREACH"], done.stderr)
        self.assertEqual(server.requests, [])

    def test_a_server_for_the_world_is_told_that_nobody_comes(self):
        done = self.node.run(WAITING_FOR_THE_WORLD, "--event", "8080")
        self.assertEqual(json.loads(done.stdout), "listens")
        self.assertEqual(done.stderr.count("usetl: the server on port 8080 is reached from within"), 1, done.stderr)


if __name__ == "__main__":
    unittest.main()
