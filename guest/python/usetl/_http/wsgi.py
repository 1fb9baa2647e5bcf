"""WSGI applications (PEP 3333): Flask, Django, Bottle and their kin."""

from __future__ import annotations

import io
import sys
from collections.abc import Callable, Iterable
from typing import IO, Any
from urllib.parse import unquote_to_bytes

from usetl._context import Context
from usetl._http.answer import Answer, AnswerError
from usetl._http.body import BodyStream
from usetl._http.request import Request

# "Proxy" would become HTTP_PROXY, which libraries take for the proxy to use.
_NOT_PASSED = frozenset(("content-type", "content-length", "transfer-encoding", "proxy"))


class Wsgi:
    convention = "wsgi"

    def __init__(self, app: Callable[..., Iterable[bytes]]) -> None:
        self._app = app

    def serve(self, request: Request, context: Context, answer: Answer) -> None:
        response = _Response(answer)
        with _buffered(request) as body:
            result = self._app(_environ(request, body), response.start)
            try:
                response.take(result)
            finally:
                if hasattr(result, "close"):
                    result.close()


class _Response:
    def __init__(self, answer: Answer) -> None:
        self._answer = answer
        self._written = False

    def start(self, status: str, headers: list[tuple[str, str]], exc_info: Any = None) -> Any:
        """The start_response of PEP 3333."""
        if exc_info:
            try:
                if self._answer.streaming:
                    raise exc_info[1].with_traceback(exc_info[2])
            finally:
                exc_info = None  # no cycle through the traceback
        elif self._answer.started:
            raise AnswerError("start_response was called before")
        code = status[:3]
        if not code.isdecimal() or status[3:4] not in ("", " "):
            raise AnswerError(f"not a status: {status!r}")
        self._answer.start(int(code), headers)
        return self._write

    def _write(self, data: bytes) -> None:
        self._written = True
        self._answer.piece(_bytes(data))

    def take(self, result: Iterable[bytes]) -> None:
        """A list goes whole, anything else as the application makes it."""
        if type(result) in (list, tuple) and not self._written:
            self._answer.whole(b"".join(map(_bytes, result)))
            return
        for piece in result:
            if _bytes(piece):
                self._answer.piece(piece)


def _buffered(request: Request) -> IO[bytes]:
    body = request.open()
    return io.BufferedReader(body) if isinstance(body, BodyStream) else body


def _bytes(piece: Any) -> bytes:
    if not isinstance(piece, bytes):
        raise AnswerError(f"a body of {type(piece).__name__}, not of bytes")
    return piece


def _environ(request: Request, body: IO[bytes]) -> dict[str, Any]:
    client = request.client or ("", "")
    environ: dict[str, Any] = {
        "REQUEST_METHOD": request.method,
        "SCRIPT_NAME": "",
        "PATH_INFO": unquote_to_bytes(request.path).decode("latin-1"),
        "QUERY_STRING": request.query,
        "REQUEST_URI": request.path + (f"?{request.query}" if request.query else ""),
        "SERVER_NAME": str(request.server[0]),
        "SERVER_PORT": str(request.server[1]),
        "SERVER_PROTOCOL": f"HTTP/{request.http_version}",
        "REMOTE_ADDR": str(client[0]),
        "REMOTE_PORT": str(client[1]),
        "CONTENT_TYPE": request.headers.get("content-type", ""),
        "wsgi.version": (1, 0),
        "wsgi.url_scheme": request.scheme,
        "wsgi.input": body,
        "wsgi.input_terminated": True,
        "wsgi.errors": sys.stderr,
        "wsgi.multithread": False,
        "wsgi.multiprocess": False,
        "wsgi.run_once": False,
    }
    size = request.size if request.has_body else None
    environ["CONTENT_LENGTH"] = "" if size is None else str(size)
    for name, value in request.pairs:
        # An underscore would let a client forge the header with a dash.
        if name in _NOT_PASSED or "_" in name:
            continue
        key = "HTTP_" + name.upper().replace("-", "_")
        joint = "; " if name == "cookie" else ","
        environ[key] = f"{environ[key]}{joint}{value}" if key in environ else value
    return environ
