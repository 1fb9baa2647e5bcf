"""One HTTP transaction over /dev/usetl/http: what the client and the http.client bridge share."""

from __future__ import annotations

import os
from typing import NamedTuple

from usetl import _abi, _device, _region
from usetl.errors import BadRequest, ProtocolError, RequestError, UsetlError, from_code


class Head(NamedTuple):
    """The beginning of an answer. `size` is None for a streamed body of unknown length."""

    status: int
    headers: bytes
    body: memoryview
    entry: int
    streamed: bool
    size: int | None


class Transaction:
    """Opened by start(), over with close(): closing earlier cancels it on the host."""

    __slots__ = ("_fd",)

    def __init__(self) -> None:
        self._fd = -1
        try:
            self._fd = _device.transaction()
        except FileNotFoundError as error:
            raise UsetlError("usetl requests work only inside a USF") from error

    def start(
        self,
        method: str,
        url: str,
        headers: bytes,
        kind: int = _abi.BODY_NONE,
        inline: bytes | memoryview = b"",
        file: int = 0,
        size: int = 0,
        max_body: int = 0,
        timeout: float | None = None,
        flags: int = 0,
    ) -> None:
        """Posts the request; `size` is the length of a body that is not inline."""
        verb, target = method.encode("ascii"), url.encode("ascii")
        if timeout is None:
            timeout_ms = 0
        else:
            timeout_ms = min(max(1, int(timeout * 1000)), 0xFFFF_FFFF)
        fixed = _abi.REQUEST.pack(
            len(verb),
            len(target),
            len(headers),
            kind,
            file,
            size or len(inline),
            max_body,
            timeout_ms,
            flags,
        )
        message = b"".join((fixed, verb, target, headers, inline))
        if len(message) > _abi.MAX_RECORD - _abi.HEADER_SIZE:
            raise BadRequest("URL and headers are too long")
        os.write(self._fd, message)

    def send(self, piece: bytes | memoryview) -> bool:
        """One part of a streamed body. False: the host wants no more, its answer says why."""
        view = memoryview(piece).cast("B")
        try:
            while view:
                view = view[os.write(self._fd, view[: _abi.STREAM_PIECE]) :]
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def finish(self) -> None:
        """The end of a streamed body."""
        try:
            os.write(self._fd, b"")
        except (BrokenPipeError, ConnectionResetError):
            pass

    def head(self) -> Head:
        """Waits for the answer. The transaction goes on only when the body is streamed."""
        kind, data = self._read()
        if kind != _abi.HTTP_HEAD:
            raise ProtocolError(f"record {kind} in place of the answer")
        fixed = _abi.HEAD.size
        error, status, headers_size, message_size, entry, streamed, offset, size = (
            _abi.HEAD.unpack_from(data)
        )
        after = fixed + headers_size
        if error:
            self.close()
            raise from_code(error, data[after : after + message_size].decode(errors="replace"))
        headers = data[fixed:after]
        if streamed:
            length = None if size == _abi.UNKNOWN_SIZE else size
            return Head(status, headers, memoryview(b""), _abi.NO_ENTRY, True, length)
        self.close()
        if entry == _abi.NO_ENTRY:
            return Head(status, headers, memoryview(b""), entry, False, 0)
        return Head(status, headers, _region.lease(entry, offset, size), entry, False, size)

    def next_span(self) -> memoryview | None:
        """The next bytes of a streamed body, to be copied before the next call; None at the end."""
        if self._fd < 0:
            return None
        kind, data = self._read()
        if kind == _abi.HTTP_DATA:
            return _region.span(*_abi.SPAN.unpack_from(data))
        self.close()
        if kind != _abi.HTTP_END:
            raise ProtocolError(f"record {kind} within a body")
        error, size = _abi.END.unpack_from(data)
        if error:
            text = data[_abi.END.size : _abi.END.size + size]
            raise from_code(error, text.decode(errors="replace"))
        return None

    def close(self) -> None:
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()

    def _read(self) -> tuple[int, bytes]:
        """Type and payload of the next record."""
        record = os.read(self._fd, _abi.MAX_RECORD)
        if len(record) < _abi.HEADER_SIZE:
            self.close()
            raise RequestError("the transaction ended without an answer")
        return _abi.RECORD.unpack_from(record)[1], record[_abi.HEADER_SIZE :]
