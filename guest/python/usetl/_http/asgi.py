"""ASGI 3 applications, and functions that are written like one."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import IO, Any
from urllib.parse import unquote

from usetl._context import Context
from usetl._function import await_result
from usetl._http.answer import Answer, AnswerError
from usetl._http.body import BodyStream
from usetl._http.lifespan import Lifespan
from usetl._http.request import Request

App = Callable[[Any, Any, Any], Awaitable[None]]

_PIECE = 64 << 10


class Asgi:
    """One event loop stays for all requests: what an application leaves running in it goes on
    whenever a request is served. run() shares nothing between requests, so that the loop could have
    several of them under way."""

    convention = "asgi"

    def __init__(self, app: App, lifespan: bool) -> None:
        self._app = app
        self._state: dict[str, Any] = {}
        self._lifespan = Lifespan(app, self._state) if lifespan else None

    def start(self) -> None:
        if self._lifespan is not None:
            await_result(self._lifespan.startup())

    def stop(self) -> None:
        if self._lifespan is not None:
            await_result(self._lifespan.shutdown())

    def serve(self, request: Request, context: Context, answer: Answer) -> None:
        await_result(self.run(request, answer))

    async def run(self, request: Request, answer: Answer) -> None:
        """Returns when the application does: the answer may be with the host long before."""
        with request.open() as body:
            exchange = _Exchange(body, answer)
            await self._app(_scope(request, self._state), exchange.receive, exchange.send)
        if not answer.posted:
            raise AnswerError("the application returned without a complete answer")


class _Exchange:
    """receive() and send() of one request."""

    def __init__(self, body: IO[bytes] | BodyStream, answer: Answer) -> None:
        self._body = body
        self._answer = answer
        self._received = False
        self._pieces = False  # it has sent some of the body already
        self._complete = asyncio.Event()

    async def receive(self) -> dict[str, Any]:
        if self._received or self._complete.is_set():
            await self._complete.wait()  # the host does not tell when a client goes away
            return {"type": "http.disconnect"}
        if isinstance(self._body, BodyStream):
            return await self._receive_piece(self._body)
        piece = self._body.read(_PIECE)
        self._received = len(piece) < _PIECE
        return {"type": "http.request", "body": piece, "more_body": not self._received}

    async def _receive_piece(self, body: BodyStream) -> dict[str, Any]:
        await body.wait()
        if self._complete.is_set():
            return {"type": "http.disconnect"}  # what is there to be read is the next request
        try:
            piece = body.read(_PIECE)
        except ConnectionResetError:
            self._received = True
            return {"type": "http.disconnect"}
        self._received = not piece
        return {"type": "http.request", "body": piece, "more_body": bool(piece)}

    async def send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if self._complete.is_set():
            raise AnswerError(f"{kind} after the end of the answer")
        answer = self._answer
        if kind == "http.response.start":
            if answer.started:
                raise AnswerError("a second http.response.start")
            answer.start(message["status"], message.get("headers") or ())
        elif kind == "http.response.body":
            body = message.get("body") or b""
            more = message.get("more_body", False)
            if more or self._pieces:
                self._pieces = True
                answer.piece(body)
            else:
                answer.whole(bytes(body))
            if not more:
                self._complete.set()
                if isinstance(self._body, BodyStream):
                    self._body.close()
                answer.post()
        else:
            raise AnswerError(f"an HTTP answer has no {kind}")


def _scope(request: Request, state: dict[str, Any]) -> dict[str, Any]:
    return {
        "type": "http",
        # Not 2.4: frameworks would expect send() to fail when the client has gone.
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": request.http_version,
        "method": request.method,
        "scheme": request.scheme,
        "path": unquote(request.path),
        "raw_path": request.path.encode("latin-1"),
        "query_string": request.query.encode("latin-1"),
        "root_path": "",
        "headers": [
            (name.encode("latin-1"), value.encode("latin-1")) for name, value in request.pairs
        ],
        "client": tuple(request.client) if request.client else None,
        "server": tuple(request.server),
        "state": state.copy(),
        "extensions": {},
    }
