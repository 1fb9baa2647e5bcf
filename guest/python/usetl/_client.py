"""usetl.request() and its short forms: requests that the host carries out."""

from __future__ import annotations

import io
import os
import stat
from collections.abc import Iterable, Iterator, Mapping
from json import dumps
from typing import Any, Union
from urllib.parse import quote, urlencode, urlsplit, urlunsplit

from usetl import _abi
from usetl._transaction import Transaction
from usetl.errors import BadRequest
from usetl.headers import HeadersLike, encode
from usetl.response import Response

Data = Union[bytes, bytearray, memoryview, str, os.PathLike, Iterable, None]


def request(
    method: str,
    url: str,
    *,
    data: Data = None,
    json: Any = None,
    headers: HeadersLike | None = None,
    params: Mapping[str, Any] | Iterable[tuple[str, Any]] | None = None,
    timeout: float | None = None,
    stream: bool = False,
    allow_redirects: bool = True,
    max_body: int | None = None,
) -> Response:
    """Sends one request and returns the answer, whatever its status.

    `data` is the body: bytes-like; text (sent as UTF-8); the path of a file, as an os.PathLike or
    as a str that begins with "/" (sent from the shared file system without a copy); an open file;
    or an iterable of bytes, sent as it is produced. `timeout` in seconds and `max_body` in bytes
    can only narrow the limits of the function. No answer at all raises a RequestError.

    The body comes whole, in shared memory. One that the host has no room for comes as with
    stream=True, and `response.streamed` says so.
    """
    method = method.upper()
    if not method.isascii() or not method.isalpha():
        raise BadRequest(f"not a method: {method!r}")
    url = _prepare_url(url, params)
    defaults: dict[str, str] = {}
    if json is not None:
        if data is not None:
            raise ValueError("data and json exclude each other")
        data = dumps(json, separators=(",", ":")).encode()
        defaults["Content-Type"] = "application/json"
    elif isinstance(data, str) and not data.startswith("/"):
        data = data.encode()
        defaults["Content-Type"] = "text/plain; charset=utf-8"
    block = encode(headers, defaults)
    flags = _abi.FLAG_STREAM if stream else _abi.FLAG_MAY_STREAM
    if not allow_redirects:
        flags |= _abi.FLAG_NO_REDIRECT

    transaction = Transaction()
    sender = _Sender(transaction, (method, url, block), (max_body or 0, timeout, flags))
    try:
        sender.send(data)
        return Response(method, url, transaction.head(), transaction)
    except BaseException:
        transaction.close()  # now, not when the traceback goes
        raise
    finally:
        sender.close()


class _Sender:
    """Posts one request with whatever kind of body it has."""

    def __init__(
        self,
        transaction: Transaction,
        target: tuple[str, str, bytes],
        limits: tuple[int, float | None, int],
    ) -> None:
        self._transaction = transaction
        self._target = target
        self._limits = limits
        self._opened: io.FileIO | None = None  # what the host sends from until it answers

    def send(self, data: Any) -> None:
        if data is None:
            self._start(_abi.BODY_NONE)
        elif isinstance(data, (str, os.PathLike)):
            self._opened = io.FileIO(data)
            self._file(self._opened.fileno())
        elif isinstance(data, io.BytesIO):
            self._bytes(data.getbuffer()[data.tell() :])
        elif _is_whole_file(data):
            data.flush()
            self._file(data.fileno())
        elif hasattr(data, "read"):
            self._stream(_pieces_of(data))
        elif isinstance(data, Mapping):
            raise TypeError("a mapping is no body: use json=, or urllib.parse.urlencode()")
        else:
            try:
                view = memoryview(data)
            except TypeError:
                self._stream(iter(data))
            else:
                self._bytes(view)

    def _bytes(self, view: memoryview) -> None:
        view = view.cast("B") if view.contiguous else memoryview(view.tobytes())
        if len(view) <= _abi.MAX_INLINE_BODY - len(self._target[1]) - len(self._target[2]):
            self._start(_abi.BODY_INLINE, inline=view)
            return
        self._opened = io.FileIO(os.memfd_create("body"), "w")
        while view:
            view = view[self._opened.write(view) :]
        self._file(self._opened.fileno())

    def _file(self, fd: int) -> None:
        size = os.fstat(fd).st_size
        self._start(_abi.BODY_FILE if size else _abi.BODY_NONE, file=fd, size=size)

    def _stream(self, pieces: Iterator[bytes | str]) -> None:
        self._start(_abi.BODY_STREAM, size=_abi.UNKNOWN_SIZE)
        for piece in pieces:
            if isinstance(piece, str):
                piece = piece.encode()
            if not self._transaction.send(piece):
                return
        self._transaction.finish()

    def close(self) -> None:
        if self._opened is not None:
            self._opened.close()

    def _start(self, kind: int, **body: Any) -> None:
        max_body, timeout, flags = self._limits
        self._transaction.start(
            *self._target, kind=kind, max_body=max_body, timeout=timeout, flags=flags, **body
        )


def _is_whole_file(data: Any) -> bool:
    """A regular file at its beginning can be sent where it lies."""
    try:
        return stat.S_ISREG(os.fstat(data.fileno()).st_mode) and data.tell() == 0
    except (AttributeError, OSError, ValueError):
        return False


def _pieces_of(file: Any) -> Iterator[bytes]:
    while piece := file.read(_abi.STREAM_PIECE):
        yield piece


def _prepare_url(url: str, params: Any) -> str:
    """Adds the query and brings what is not ASCII into the form that travels."""
    if params:
        query = urlencode(
            list(params.items()) if isinstance(params, Mapping) else list(params), True
        )
        base, hash_, fragment = url.partition("#")
        url = base + ("&" if "?" in base else "?") + query + hash_ + fragment
    if not url.isascii():
        parts = urlsplit(url)
        rest = [quote(part, safe="%/:=&?+!$,;'@()*[]~") for part in parts[2:]]
        url = urlunsplit((parts.scheme, parts.netloc.encode("idna").decode(), *rest))
    if not url.isprintable() or " " in url:
        raise BadRequest(f"white space or control characters in the URL: {url!r}")
    return url
