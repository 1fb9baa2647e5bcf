"""What handlers return, as HTTP answers."""

from __future__ import annotations

import base64
import json
from collections.abc import AsyncIterator
from typing import Any

from usetl._function import await_result
from usetl._http import cloudevent
from usetl._http.answer import TEXT, Answer, AnswerError
from usetl._json import encode

Pairs = list[tuple[str, Any]]

_JSON = ("content-type", "application/json")
_BINARY = ("content-type", "application/octet-stream")
_BYTES = (bytes, bytearray, memoryview)


def reply(value: Any, answer: Answer) -> None:
    """Sends what a handler returned."""
    if type(value) is dict and "statusCode" not in value and "specversion" not in value:
        answer.json(value)
        return
    status, headers = 200, []
    if type(value) is tuple:
        value, status, headers = _take_apart(value)
    if isinstance(value, dict) and "statusCode" in value:
        status, given, body = _from_lambda(value)
        headers = given + headers
        default = _JSON
    elif cloudevent.is_event(value):
        given, body = cloudevent.to_binary(value)
        headers += given
        default = _BINARY
    elif hasattr(value, "__next__") or hasattr(value, "__anext__"):
        _stream(value, status, headers, answer)
        return
    else:
        if value is None and status == 200:
            status = 204
        body, default = _body(value)
    answer.start(status, _with_default(headers, default if body else None))
    answer.whole(body)


def _take_apart(value: tuple[Any, ...]) -> tuple[Any, int, Pairs]:
    """(body, status), (body, status, headers) and (body, headers); other tuples are JSON lists."""
    status: Any = 200
    headers: Any = ()
    if len(value) == 2 and isinstance(value[1], dict):
        value, headers = value[0], value[1]
    elif len(value) in (2, 3) and type(value[1]) is not bool and isinstance(value[1], int):
        if not 100 <= value[1] <= 599:
            return list(value), 200, []
        headers = value[2] if len(value) == 3 else ()
        value, status = value[0], value[1]
    else:
        return list(value), 200, []
    return value, status, list(headers.items() if hasattr(headers, "items") else headers or ())


def _body(value: Any) -> tuple[bytes, tuple[str, str]]:
    if value is None:
        return b"", TEXT
    if isinstance(value, _BYTES):
        return bytes(value), _BINARY
    if isinstance(value, str):
        return value.encode(), TEXT
    return encode(value).encode(), _JSON


def _from_lambda(value: dict[str, Any]) -> tuple[int, Pairs, bytes]:
    """Lambda's response: statusCode, headers, multiValueHeaders, cookies, body, isBase64Encoded."""
    try:
        status = int(value["statusCode"])
    except (TypeError, ValueError):
        raise AnswerError(f"not a statusCode: {value['statusCode']!r}") from None
    headers: Pairs = []
    several = value.get("multiValueHeaders") or {}
    known = {name.lower() for name in several}
    for name, one in (value.get("headers") or {}).items():
        if name.lower() not in known:
            headers.append((name, _scalar(one)))
    for name, values in several.items():
        headers += [(name, _scalar(one)) for one in values]
    headers += [("set-cookie", cookie) for cookie in value.get("cookies") or ()]
    body = value.get("body")
    if value.get("isBase64Encoded"):
        return status, headers, base64.b64decode(body or "", validate=True)
    if isinstance(body, _BYTES):
        return status, headers, bytes(body)
    if body is None or isinstance(body, str):
        return status, headers, (body or "").encode()
    return status, headers, encode(body).encode()


def _scalar(value: Any) -> str:
    """Numbers and booleans of a JSON-like header value."""
    return value if isinstance(value, str) else json.dumps(value)


def _with_default(headers: Pairs, field: tuple[str, str] | None) -> Pairs:
    if field is None or any(str(name).lower() == field[0] for name, _ in headers):
        return headers
    return [field, *headers]


def _stream(source: Any, status: int, headers: Pairs, answer: Answer) -> None:
    if hasattr(source, "__anext__"):
        await_result(_stream_async(source, status, headers, answer))
        return
    try:
        for piece in source:
            _send(piece, status, headers, answer)
    finally:
        if hasattr(source, "close"):
            source.close()
    _end(status, headers, answer)


async def _stream_async(source: AsyncIterator, status: int, headers: Pairs, answer: Answer) -> None:
    try:
        async for piece in source:
            _send(piece, status, headers, answer)
    finally:
        if hasattr(source, "aclose"):
            await source.aclose()
    _end(status, headers, answer)


def _send(piece: Any, status: int, headers: Pairs, answer: Answer) -> None:
    """The kind of the first piece decides about the type of the content."""
    if not isinstance(piece, (str, *_BYTES)):
        raise AnswerError(f"a stream of {type(piece).__name__}, not of bytes or str")
    if not answer.started:
        answer.start(status, _with_default(headers, TEXT if isinstance(piece, str) else _BINARY))
    answer.piece(piece.encode() if isinstance(piece, str) else piece)


def _end(status: int, headers: Pairs, answer: Answer) -> None:
    if not answer.started:
        answer.start(status, headers)  # an empty body
