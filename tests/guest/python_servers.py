"""Servers of the standard library with their clients in one process; prints lines as the C tests do."""

import asyncio
import http.server
import json
import logging
import logging.handlers
import os
import pickle
import socket
import socketserver
import struct
import sys
import tempfile
import threading
import urllib.error
import urllib.request
import wsgiref.simple_server
import xmlrpc.client
import xmlrpc.server

import check
from check import test


class _Quiet(http.server.SimpleHTTPRequestHandler):
    def log_message(self, *_):
        pass


def _serve(server):
    thread = threading.Thread(target=server.serve_forever)
    thread.start()
    return thread


@test
def http_server_and_urllib():
    class Handler(_Quiet):
        protocol_version = "HTTP/1.1"

        def do_POST(self):
            body = self.rfile.read(int(self.headers["content-length"]))
            answer = json.dumps({"path": self.path, "size": len(body)}).encode()
            self.send_response(201)
            self.send_header("content-length", str(len(answer)))
            self.end_headers()
            self.wfile.write(answer)

    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Handler) as server:
        thread = _serve(server)
        url = f"http://localhost:{server.server_port}"
        for size in (0, 1, 70_000, 1_000_000):
            with urllib.request.urlopen(f"{url}/p?q=1", data=bytes(size)) as reply:
                assert reply.status == 201
                assert json.load(reply) == {"path": "/p?q=1", "size": size}
        try:
            urllib.request.urlopen(f"{url}/missing")
            raise AssertionError("found")
        except urllib.error.HTTPError as error:
            assert error.code == 404
            error.close()
        server.shutdown()
        thread.join()
    try:
        urllib.request.urlopen(url)
        raise AssertionError("still there")
    except urllib.error.URLError as error:
        assert isinstance(error.reason, ConnectionRefusedError)


@test
def files_by_http():
    with tempfile.TemporaryDirectory() as directory:
        with open(os.path.join(directory, "large"), "wb") as out:
            out.write(bytes(range(256)) * 4096)

        def handler(*arguments):
            return _Quiet(*arguments, directory=directory)

        with http.server.HTTPServer(("", 0), handler) as server:
            thread = _serve(server)
            with urllib.request.urlopen(f"http://127.0.0.1:{server.server_port}/large") as reply:
                assert reply.read() == bytes(range(256)) * 4096
            server.shutdown()
            thread.join()


@test
def wsgi():
    def application(environ, start_response):
        start_response("200 OK", [("content-type", "text/plain")])
        return [environ["PATH_INFO"].encode(), b"!"]

    class Handler(wsgiref.simple_server.WSGIRequestHandler):
        def log_message(self, *_):
            pass

    with wsgiref.simple_server.make_server("127.0.0.1", 0, application, handler_class=Handler) as s:
        thread = _serve(s)
        with urllib.request.urlopen(f"http://127.0.0.1:{s.server_port}/hello") as reply:
            assert reply.read() == b"/hello!"
        s.shutdown()
        thread.join()


@test
def xmlrpc_calls():
    with xmlrpc.server.SimpleXMLRPCServer(("127.0.0.1", 0), logRequests=False) as server:
        server.register_function(pow)
        thread = _serve(server)
        with xmlrpc.client.ServerProxy(f"http://127.0.0.1:{server.server_address[1]}") as proxy:
            assert proxy.pow(2, 9) == 512
        server.shutdown()
        thread.join()


@test
def many_threads_by_a_unix_socket():
    class Upper(socketserver.StreamRequestHandler):
        def handle(self):
            for line in self.rfile:
                self.wfile.write(line.upper())

    class Server(socketserver.ThreadingUnixStreamServer):
        request_queue_size = 64

    with tempfile.TemporaryDirectory() as directory:
        path = os.path.join(directory, "upper")
        with Server(path, Upper) as server:
            thread = _serve(server)
            clients = []
            for i in range(50):
                clients.append(socket.socket(socket.AF_UNIX))
                clients[-1].connect(path)
            for i, client in enumerate(clients):
                client.sendall(f"line {i}\n".encode())
            for i, client in enumerate(clients):
                with client, client.makefile() as lines:
                    assert lines.readline() == f"LINE {i}\n"
            server.shutdown()
            thread.join()


@test
def asyncio_streams():
    async def run():
        async def reverse(reader, writer):
            while data := await reader.read(65536):
                writer.write(data[::-1])
                await writer.drain()
            writer.close()

        async def ask(port, size):
            reader, writer = await asyncio.open_connection("127.0.0.1", port)
            text = os.urandom(size)
            writer.write(text)
            writer.write_eof()
            answer = await reader.read(-1)
            writer.close()
            await writer.wait_closed()
            return len(answer)

        server = await asyncio.start_server(reverse, "127.0.0.1", 0)
        port = server.sockets[0].getsockname()[1]
        sizes = [1 << (i % 18) for i in range(200)]
        assert await asyncio.gather(*(ask(port, size) for size in sizes)) == sizes
        server.close()
        await server.wait_closed()

    asyncio.run(run())


@test
def asyncio_datagrams():
    async def run():
        got = asyncio.get_running_loop().create_future()

        class Receiver(asyncio.DatagramProtocol):
            def datagram_received(self, data, address):
                got.set_result((data, address))

        loop = asyncio.get_running_loop()
        transport, _ = await loop.create_datagram_endpoint(Receiver, local_addr=("127.0.0.1", 0))
        port = transport.get_extra_info("sockname")[1]
        with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as sender:
            sender.bind(("127.0.0.1", 0))
            sender.sendto(b"gauge:1|g", ("127.0.0.1", port))
            assert await got == (b"gauge:1|g", sender.getsockname())
        transport.close()

    asyncio.run(run())


@test
def log_records_over_tcp():
    class Receiver(socketserver.StreamRequestHandler):
        def handle(self):
            size = struct.unpack(">L", self.rfile.read(4))[0]
            self.server.record = pickle.loads(self.rfile.read(size))

    with socketserver.TCPServer(("127.0.0.1", 0), Receiver) as server:
        thread = threading.Thread(target=server.handle_request)
        thread.start()
        handler = logging.handlers.SocketHandler(*server.server_address)
        handler.emit(logging.makeLogRecord({"msg": "hello", "levelno": 20}))
        thread.join()
        handler.close()
        assert server.record["msg"] == "hello"


@test
def names_and_time_limits():
    with socket.create_server(("localhost", 0)) as server:
        name = server.getsockname()
        server.settimeout(0.01)
        try:
            server.accept()
            raise AssertionError("somebody came")
        except TimeoutError:
            pass
        client = socket.create_connection(name, timeout=1)
        peer, address = server.accept()
        with client, peer:
            assert client.getsockname() == address
            client.settimeout(0.01)
            try:
                client.recv(1)
                raise AssertionError("something came")
            except TimeoutError:
                pass
    try:
        socket.create_connection(name)
        raise AssertionError("still there")
    except ConnectionRefusedError:
        pass


if __name__ == "__main__":
    sys.exit(check.main())
