"""One HTTP/1.1 request in, one answer out: what the bridge does between bytes and a transaction."""

from __future__ import annotations

import io
from typing import Any

from usetl import _abi
from usetl._chunked import ChunkedDecoder
from usetl._reply import HOP, Reply
from usetl._transaction import Head, Transaction
from usetl.errors import (
    BadRequest,
    ConnectError,
    Denied,
    ProtocolError,
    RequestError,
    ResolveError,
    TlsError,
)

_MAX_HEADER = 64 << 10
# What a client expects while it connects, that is before it has sent everything.
_WHILE_CONNECTING = (ConnectError, Denied, ResolveError, TlsError)
_CONTINUE = b"HTTP/1.1 100 Continue\r\n\r\n"


class Exchange:
    """Collects the header and a small body, then starts the transaction; a larger body streams."""

    def __init__(self, origin: str, timeout: float | None) -> None:
        self.timeout = timeout
        self._origin = origin
        self._buffer = bytearray()  # the header, then the body until it is known to be small
        self._transaction = Transaction()
        self._request: tuple[str, str, bytes] | None = None
        self._left: int | None = None  # bytes of the body that are missing; None: chunked
        self._decoder = ChunkedDecoder()
        self._streaming = False
        self._complete = False
        self._wants_continue = False
        self._refused = False
        self._answer: Head | RequestError | None = None

    def feed(self, data: memoryview) -> None:
        """Bytes that the client wrote to its socket."""
        if not len(data):
            return
        if self._complete:
            raise ProtocolError("a second request on one connection")
        if self._request is not None:
            self._body(data)
            return
        self._buffer += data
        end = self._buffer.find(b"\r\n\r\n")
        if end < 0:
            if len(self._buffer) > _MAX_HEADER:
                raise BadRequest("the header is too long")
            return
        header, rest = bytes(self._buffer[:end]), bytes(self._buffer[end + 4 :])
        self._buffer.clear()
        self._header(header)
        self._body(memoryview(rest))

    def _header(self, header: bytes) -> None:
        first, *lines = header.split(b"\r\n")
        method, _, target = first.decode("latin-1").rpartition(" HTTP/")[0].partition(" ")
        kept = []
        self._left = 0
        for line in lines:
            name, _, value = line.partition(b":")
            name, value = name.lower(), value.strip()
            if name == b"content-length":
                self._left = int(value)
            elif name == b"transfer-encoding" and b"chunked" in value.lower():
                self._left = None
            elif name == b"expect" and value.lower() == b"100-continue":
                self._wants_continue = True
            if name not in HOP:
                kept.append(line + b"\r\n")
        url = self._origin + target if target.startswith("/") else target
        self._request = (method, url, b"".join(kept))
        if self._left is None:
            self._start_stream(_abi.UNKNOWN_SIZE)
        elif self._left > _abi.MAX_INLINE_BODY - len(header):
            self._start_stream(self._left)

    def _body(self, data: memoryview) -> None:
        if self._left is None:
            for piece in self._decoder.feed(data):
                self._send(piece)
            if self._decoder.done:
                self._end_stream()
            return
        if len(data) > self._left:
            raise ProtocolError("more bytes than Content-Length")
        self._left -= len(data)
        if self._streaming:
            self._send(data)
            if self._left == 0:
                self._end_stream()
            return
        self._buffer += data
        if self._left == 0:
            kind = _abi.BODY_INLINE if self._buffer else _abi.BODY_NONE
            self._start(kind, inline=bytes(self._buffer))
            self._settle()

    def _start_stream(self, size: int) -> None:
        self._streaming = True
        self._start(_abi.BODY_STREAM, size=size)

    def _send(self, piece: memoryview | bytes) -> None:
        if len(piece) and not self._refused:
            self._refused = not self._transaction.send(piece)

    def _end_stream(self) -> None:
        self._transaction.finish()
        self._settle()

    def _settle(self) -> None:
        """Everything is sent. Waits for the answer here, where an error can still look like one of
        connecting: clients retry and report these differently."""
        self._complete = True
        try:
            self._answer = self._transaction.head()
        except _WHILE_CONNECTING:
            raise
        except RequestError as error:
            self._answer = error

    def _start(self, kind: int, **body: Any) -> None:
        assert self._request is not None
        # Clients follow redirects themselves, and expect the header before the body is complete.
        flags = _abi.FLAG_STREAM | _abi.FLAG_NO_REDIRECT
        self._transaction.start(
            *self._request, kind=kind, timeout=self.timeout, flags=flags, **body
        )

    def reply(self, buffering: int | None) -> Any:
        """A file with the answer as the client expects it from the wire."""
        if not self._complete and self._wants_continue:
            return io.BytesIO(_CONTINUE)
        if self._refused and not self._complete:
            self._settle()  # the host has answered without wanting the rest
        answer, self._answer = self._answer, None
        if isinstance(answer, RequestError):
            raise answer
        if answer is None or self._request is None:
            raise ProtocolError("no request is waiting for an answer")
        raw = Reply(self._transaction, answer, self._request[0])
        return raw if buffering == 0 else io.BufferedReader(raw, 64 << 10)
