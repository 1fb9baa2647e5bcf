"""A host for tests: the devices of a USF, played by sockets, a memory file and threads.

A transaction is a SOCK_SEQPACKET pair: one read or write is one record, as with the real device.
"""

from __future__ import annotations

import http.client
import mmap
import os
import socket
import threading
from collections.abc import Iterator
from contextlib import closing
from dataclasses import dataclass, field
from urllib.parse import urlsplit

from usetl import _abi, _device

REGION_SIZE = 64 << 20
_connect = http.client.HTTPConnection.connect  # before anybody installs the bridge


class DirectConnection(http.client.HTTPConnection):
    """Reaches the network even in a process where http.client is bridged."""

    connect = _connect


class Region:
    """The host region: bodies behind one another, never reused."""

    def __init__(self) -> None:
        self.fd = os.memfd_create("host-region")
        os.ftruncate(self.fd, REGION_SIZE)
        self._map = mmap.mmap(self.fd, REGION_SIZE)
        self._end = 0
        self._entries = 0
        self._lock = threading.Lock()

    def put(self, data: bytes) -> tuple[int, int]:
        """Entry and offset; offsets are not page-aligned, on purpose."""
        with self._lock:
            offset, self._end = self._end + 24, self._end + 24 + len(data)
            self._map[offset : offset + len(data)] = data
            self._entries += 1
            return self._entries - 1, offset


@dataclass
class Seen:
    """One request as it arrived at the host."""

    method: str
    url: str
    headers: bytes
    kind: int
    max_body: int
    timeout_ms: int
    flags: int
    body_size: int


@dataclass
class FakeProxy:
    """Carries requests out for real, except for hosts named error-N.test (error code N).

    `hosts` maps names to ports of 127.0.0.1. A streamed body of a path /half ends with an error.
    Only bodies of at most `room` bytes fit the region.
    """

    region: Region
    hosts: dict[str, int] = field(default_factory=dict)
    bodies: str = ""
    results: str = "/tmp"
    room: int = REGION_SIZE
    seen: list[Seen] = field(default_factory=list)
    cancelled: threading.Event = field(default_factory=threading.Event)

    def install(self, mailbox: int, state: int) -> None:
        _device.mailbox = lambda: mailbox
        _device.state = lambda: state
        _device.host = lambda: self.region.fd
        _device.transaction = self.transaction
        _device.BODIES = self.bodies
        _device.RESULTS = self.results

    def transaction(self) -> int:
        ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
        for end in (ours, theirs):
            end.setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, 1 << 20)
        threading.Thread(target=self._serve, args=(theirs,), daemon=True).start()
        return ours.detach()

    def _serve(self, end: socket.socket) -> None:
        with end:
            first = end.recv(_abi.MAX_RECORD)
            if not first:
                return
            method, url, headers, body = self._parse(end, first)
            try:
                self._answer(end, method, url, headers, body)
            except (BrokenPipeError, ConnectionResetError):
                self.cancelled.set()

    def _parse(self, end: socket.socket, first: bytes) -> tuple[str, str, bytes, object]:
        fields = _abi.REQUEST.unpack_from(first)
        method_size, url_size, headers_size, kind, offset, size, max_body, timeout, flags = fields
        at = _abi.REQUEST.size
        method = first[at : at + method_size].decode()
        url = first[at + method_size : at + method_size + url_size].decode()
        at += method_size + url_size
        headers = first[at : at + headers_size]
        inline = first[at + headers_size :]
        self.seen.append(Seen(method, url, headers, kind, max_body, timeout, flags, size))
        body: object = None
        if kind == _abi.BODY_INLINE:
            body = inline
        elif kind == _abi.BODY_FILE:
            body = os.pread(offset, size, 0)
        elif kind == _abi.BODY_STREAM:
            body = iter(lambda: end.recv(1 << 20), b"")
        return method, url, headers, body

    def _answer(self, end, method: str, url: str, block: bytes, body: object) -> None:
        parts = urlsplit(url)
        name = parts.hostname or ""
        if name.startswith("error-"):
            code, text = int(name[6:].split(".")[0]), b"as the test asked"
            head = _abi.HEAD.pack(code, 0, 0, len(text), _abi.NO_ENTRY, 0, 0, 0)
            end.send(_abi.record(_abi.HTTP_HEAD, 1, head + text))
            if self.seen[-1].kind == _abi.BODY_STREAM:
                list(body)  # a socket closed earlier would drop the answer
            return
        port = self.hosts.get(name) or parts.port or 80
        headers = dict(
            line.split(": ", 1) for line in block.decode("latin-1").split("\r\n") if line
        )
        headers["X-Scheme"] = parts.scheme
        seen = self.seen[-1]
        if seen.kind == _abi.BODY_STREAM and seen.body_size != _abi.UNKNOWN_SIZE:
            headers["Content-Length"] = str(seen.body_size)
        target = (parts.path or "/") + (f"?{parts.query}" if parts.query else "")
        with closing(DirectConnection("127.0.0.1", port, timeout=20)) as connection:
            connection.request(method, target, body, headers)
            response = connection.getresponse()
            lines = "".join(
                f"{name}: {value}\r\n" for name, value in response.getheaders()
            ).encode()
            fixed = (0, response.status, len(lines), 0)
            too_large = response.length is not None and response.length > self.room
            if seen.flags & _abi.FLAG_STREAM or (too_large and seen.flags & _abi.FLAG_MAY_STREAM):
                size = _abi.UNKNOWN_SIZE if response.length is None else response.length
                head = _abi.HEAD.pack(*fixed, _abi.NO_ENTRY, 1, 0, size)
                end.send(_abi.record(_abi.HTTP_HEAD, 1, head + lines))
                for piece in _pieces(response):
                    span = _abi.SPAN.pack(self.region.put(piece)[1], len(piece))
                    end.send(_abi.record(_abi.HTTP_DATA, 1, span))
                code = 7 if "/half" in url else 0
                end.send(_abi.record(_abi.HTTP_END, 1, _abi.END.pack(code, 4) + b"half"))
            else:
                data = response.read()
                entry, offset = self.region.put(data)
                if self.bodies:
                    with open(f"{self.bodies}/{entry}", "wb") as file:
                        file.write(data)
                head = _abi.HEAD.pack(*fixed, entry, 0, offset, len(data))
                end.send(_abi.record(_abi.HTTP_HEAD, 1, head + lines))


def _pieces(response: http.client.HTTPResponse) -> Iterator[bytes]:
    while piece := response.read1(16 << 10):
        yield piece
