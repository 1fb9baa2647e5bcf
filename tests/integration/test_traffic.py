"""The ETL proxy against servers that behave and servers that do not."""

import json
import os
import pathlib
import socket
import tempfile
import threading
import unittest

from node import Node, NodeCase

FETCH = ("import usetl\n"
         "def handler(e, c):\n"
         "  try:\n"
         "    a = usetl.request(e.get('method', 'GET'), e['url'], data=e.get('data'), timeout=e.get('timeout'),\n"
         "                      headers=e.get('headers'))\n"
         "    return {'status': a.status, 'body': bytes(a.body).decode('latin1')[:200], 'size': len(a.body)}\n"
         "  except usetl.RequestError as error:\n"
         "    return {'error': type(error).__name__}\n")


class Server:
    """Answers every connection with what `answer(request)` gives; None keeps it open in silence."""

    def __init__(self, answer):
        self.answer = answer
        self.requests = []
        self.socket = socket.create_server(("127.0.0.1", 0))
        self.port = self.socket.getsockname()[1]
        self.kept = []
        self.thread = threading.Thread(target=self._serve, daemon=True)
        self.thread.start()

    def _serve(self):
        while True:
            try:
                connection, _ = self.socket.accept()
            except OSError:
                return
            threading.Thread(target=self._one, args=(connection,), daemon=True).start()

    def _one(self, connection):
        request = b""
        while b"\r\n\r\n" not in request:
            piece = connection.recv(65536)
            if not piece:
                connection.close()
                return
            request += piece
        head, _, body = request.partition(b"\r\n\r\n")
        length = next((int(line.split(b":")[1]) for line in head.split(b"\r\n")
                       if line.lower().startswith(b"content-length")), 0)
        while len(body) < length:
            body += connection.recv(1 << 20)
        self.requests.append((head, body))
        answer = self.answer(head, body)
        if answer is None:
            self.kept.append(connection)
            return
        try:
            connection.sendall(answer)
        except OSError:
            pass  # the proxy hung up first: some tests want that
        connection.close()

    def close(self):
        # Its thread would accept for whoever gets the number of its descriptor next.
        self.socket.shutdown(socket.SHUT_RDWR)
        self.thread.join()
        self.socket.close()
        for connection in self.kept:
            connection.close()


def ok(body: bytes, *headers: str) -> bytes:
    lines = ["HTTP/1.1 200 OK", f"Content-Length: {len(body)}", *headers]
    return "\r\n".join(lines).encode() + b"\r\n\r\n" + body


class Traffic(NodeCase):
    def ask(self, answer, path="/", allow=True, **event):
        server = Server(answer)
        self.addCleanup(server.close)
        origin = f"http://127.0.0.1:{server.port}"
        event.setdefault("url", origin + path)
        done = self.node.run(FETCH, "--event", json.dumps(event), *(["--allow", origin] if allow else []))
        self.assertEqual(done.returncode, 0, done.stderr)
        return json.loads(done.stdout), server

    def test_get(self):
        answer, server = self.ask(lambda head, body: ok(b"hello"), headers={"X-A": "b", "Host": "evil"})
        self.assertEqual(answer, {"status": 200, "body": "hello", "size": 5})
        head = server.requests[0][0].decode()
        self.assertIn("X-A: b", head)
        self.assertNotIn("evil", head)

    def test_methods_and_bodies(self):
        for method in ("POST", "PUT", "PATCH", "DELETE", "OPTIONS"):
            answer, server = self.ask(lambda head, body: ok(body[::-1]), method=method, data="abc")
            self.assertEqual((answer["body"], server.requests[0][1]), ("cba", b"abc"))
            self.assertTrue(server.requests[0][0].startswith(method.encode() + b" / "))

    def test_large_body_both_ways(self):
        answer, server = self.ask(lambda head, body: ok(body), method="POST", data="x" * 20000)
        self.assertEqual((answer["size"], len(server.requests[0][1])), (20000, 20000))

    def test_head_and_empty(self):
        answer, _ = self.ask(lambda head, body: b"HTTP/1.1 204 No Content\r\n\r\n", method="HEAD")
        self.assertEqual((answer["status"], answer["size"]), (204, 0))

    def test_chunked(self):
        chunked = b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n"
        self.assertEqual(self.ask(lambda head, body: chunked)[0]["body"], "abcde")

    def test_not_allowed(self):
        answer, server = self.ask(lambda head, body: ok(b""), allow=False)
        self.assertEqual((answer, server.requests), ({"error": "Denied"}, []))

    def test_refused(self):
        free = socket.create_server(("127.0.0.1", 0))
        port = free.getsockname()[1]
        free.close()
        done = self.node.run(FETCH, "--event", json.dumps({"url": f"http://127.0.0.1:{port}/"}),
                             "--allow", f"http://127.0.0.1:{port}")
        self.assertEqual(json.loads(done.stdout), {"error": "ConnectError"})

    def test_hanging_server(self):
        self.assertEqual(self.ask(lambda head, body: None, timeout=0.3)[0], {"error": "Timeout"})

    def test_half_a_body(self):
        half = b"HTTP/1.1 200 OK\r\nContent-Length: 1000\r\n\r\nonly this"
        self.assertEqual(self.ask(lambda head, body: half)[0], {"error": "ProtocolError"})

    def test_no_http_at_all(self):
        self.assertEqual(self.ask(lambda head, body: b"\x00\x01nonsense\r\n\r\n")[0], {"error": "ProtocolError"})

    def test_endless_headers(self):
        many = b"HTTP/1.1 200 OK\r\n" + b"".join(b"X-%d: y\r\n" % i for i in range(5000)) + b"\r\n"
        self.assertEqual(self.ask(lambda head, body: many)[0], {"error": "TooLarge"})

    def test_body_beyond_the_region(self):
        huge = b"HTTP/1.1 200 OK\r\nContent-Length: 999999999\r\n\r\nx"
        self.assertEqual(self.ask(lambda head, body: huge)[0], {"error": "ProtocolError"})

    def test_body_beyond_the_region_is_streamed(self):
        size = 70 << 20
        server = Server(lambda head, body: ok(bytes(size)))
        self.addCleanup(server.close)
        origin = f"http://127.0.0.1:{server.port}"
        code = ("import usetl\n"
                "def handler(e, c):\n"
                " answer = usetl.get(e)\n"
                " try:\n"
                "  answer.path\n"
                " except usetl.UsetlError as error:\n"
                "  text = str(error)\n"
                " return [answer.streamed, 'larger than the host region' in text,\n"
                "         sum(len(piece) for piece in answer.iter_chunks())]\n")
        done = self.node.run(code, "--event", json.dumps(origin), "--allow", origin)
        self.assertEqual(done.returncode, 0, done.stderr)
        self.assertEqual(json.loads(done.stdout), [True, True, size])

    def test_redirect(self):
        def answer(head, body):
            if head.startswith(b"GET /end"):
                return ok(b"there")
            return b"HTTP/1.1 302 Found\r\nLocation: /end\r\nContent-Length: 0\r\n\r\n"
        self.assertEqual(self.ask(answer, path="/start")[0]["body"], "there")

    def test_redirect_loop(self):
        loop = b"HTTP/1.1 302 Found\r\nLocation: /again\r\nContent-Length: 0\r\n\r\n"
        self.assertEqual(self.ask(lambda head, body: loop)[0], {"error": "TooManyRedirects"})

    def test_redirect_to_what_is_not_allowed(self):
        away = b"HTTP/1.1 302 Found\r\nLocation: http://169.254.169.254/meta\r\nContent-Length: 0\r\n\r\n"
        self.assertEqual(self.ask(lambda head, body: away)[0], {"error": "Denied"})

    def test_by_name(self):
        server = Server(lambda head, body: ok(b"named"))
        self.addCleanup(server.close)
        origin = f"http://localhost:{server.port}"
        done = self.node.run(FETCH, "--event", json.dumps({"url": origin}), "--allow", origin)
        self.assertEqual(json.loads(done.stdout)["body"], "named", done.stderr)

    def test_no_tls_at_all(self):
        listener = socket.create_server(("127.0.0.1", 0))

        def answer():
            connection, _ = listener.accept()
            with connection:
                connection.recv(65536)
                connection.sendall(b"HTTP/1.0 400 no\r\n\r\n")

        thread = threading.Thread(target=answer)
        thread.start()
        self.addCleanup(listener.close)
        self.addCleanup(thread.join)
        origin = f"https://localhost:{listener.getsockname()[1]}"
        done = self.node.run(FETCH, "--event", json.dumps({"url": origin}), "--allow", origin)
        self.assertEqual(json.loads(done.stdout), {"error": "TlsError"}, done.stderr)

    def test_urllib_goes_through_the_proxy(self):
        server = Server(lambda head, body: ok(b"by urllib"))
        self.addCleanup(server.close)
        origin = f"http://127.0.0.1:{server.port}"
        code = ("import urllib.request\n"
                "def handler(e, c):\n return urllib.request.urlopen(e).read().decode()\n")
        done = self.node.run(code, "--event", json.dumps(origin + "/x"), "--allow", origin)
        self.assertEqual(json.loads(done.stdout), "by urllib", done.stderr)

    def test_stream_larger_than_the_region(self):
        size = 100 << 20
        server = Server(lambda head, body: ok(bytes(size)))
        self.addCleanup(server.close)
        origin = f"http://127.0.0.1:{server.port}"
        code = ("import usetl\n"
                "def handler(e, c):\n"
                " with usetl.get(e, stream=True) as answer:\n"
                "  return sum(len(piece) for piece in answer.iter_chunks())\n")
        done = self.node.run(code, "--event", json.dumps(origin), "--allow", origin)
        self.assertEqual(done.stdout, f"{size}\n", done.stderr)

    def test_streamed_request(self):
        server = Server(lambda head, body: ok(b"got " + str(len(body)).encode()))
        self.addCleanup(server.close)
        origin = f"http://127.0.0.1:{server.port}"
        code = ("import usetl\n"
                "def handler(e, c):\n"
                " usetl.post(e, open('/usr/bin/python3.11', 'rb').read(3_000_000))\n"
                " open('/tmp/body', 'wb').write(b'x' * 5_000_000)\n"
                " return bytes(usetl.post(e, '/tmp/body').body).decode()\n")
        done = self.node.run(code, "--event", json.dumps(origin), "--allow", origin)
        self.assertEqual(json.loads(done.stdout), "got 5000000", done.stderr)
        self.assertEqual([len(body) for _, body in server.requests], [3_000_000, 5_000_000])

    def test_concurrent_requests(self):
        server = Server(lambda head, body: ok(head.split()[1]))
        self.addCleanup(server.close)
        origin = f"http://127.0.0.1:{server.port}"
        code = ("import usetl\nfrom concurrent.futures import ThreadPoolExecutor\n"
                "def handler(e, c):\n"
                " with ThreadPoolExecutor(8) as pool:\n"
                "  return list(pool.map(lambda i: bytes(usetl.get(f'{e}/{i}').body).decode(), range(32)))\n")
        done = self.node.run(code, "--event", json.dumps(origin), "--allow", origin)
        self.assertEqual(json.loads(done.stdout), [f"/{i}" for i in range(32)], done.stderr)


class Objects(unittest.TestCase):
    def test_file_urls_stay_below_their_directory(self):
        with tempfile.TemporaryDirectory() as directory:
            os.chown(directory, 0, 65534)  # the group of workers
            os.chmod(directory, 0o770)
            pathlib.Path(directory, "in.txt").write_text("object")
            pathlib.Path(directory, "out").symlink_to("/etc/passwd")
            node = Node("--objects", f"store={directory}:rw", verify=True)
            self.addCleanup(node.close)
            code = ("import usetl\n"
                    "def handler(e, c):\n"
                    " put = usetl.put('file:///store/new.txt', b'made').status\n"
                    " get = lambda name: usetl.get('file:///store/' + name)\n"
                    " return [put, get('in.txt').text, get('new.txt').text, get('none').status,\n"
                    "         get('out').status, get('../etc/passwd').status]\n")
            done = node.run(code)
            self.assertEqual(done.returncode, 0, done.stderr)
            answer = json.loads(done.stdout)
            self.assertEqual(answer[:4], [201, "object", "made", 404])
            self.assertTrue(all(status >= 400 for status in answer[4:]), answer)


if __name__ == "__main__":
    unittest.main()
