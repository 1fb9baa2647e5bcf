"""The answer to an HTTP request on its way to the host: whole in kResult, or streamed."""

from __future__ import annotations

import os
import sys
from binascii import b2a_base64
from collections.abc import Iterable
from typing import Any

from usetl import _abi, _device
from usetl._json import encode, encode_text
from usetl._output import flush
from usetl._result_files import ResultFiles
from usetl.errors import UsetlError
from usetl.headers import _FORBIDDEN, _NAME

TEXT = ("content-type", "text/plain; charset=utf-8")
_JSON = ("content-type", "application/json")
_JSON_PAYLOAD = (
    b'{"ok":true,"http":{"status":200,"headers":[["content-type","application/json"]],"body":%b}}'
)


class AnswerError(UsetlError):
    """The function's answer cannot be sent as HTTP."""


class Answer:
    """start(), then either whole() or piece() as often as wanted, then payload(). It holds all that
    belongs to one request, so that several may be under way at a time."""

    def __init__(self, number: int, files: ResultFiles) -> None:
        self.streaming = False  # the head is with the host
        self.posted = False  # and so is kResult
        self._number = number
        self._files = files
        self._head: dict[str, Any] | None = None
        self._payload: bytes | None = None
        self._gathered = bytearray()

    @property
    def started(self) -> bool:
        return self._head is not None

    def start(self, status: int, headers: Iterable[tuple[str, str]]) -> None:
        """Status and headers; what was set before is forgotten, as long as it has not left."""
        if self.streaming:
            raise AnswerError("the headers of the answer have been sent already")
        if not isinstance(status, int) or isinstance(status, bool) or not 200 <= status <= 599:
            raise AnswerError(f"not the status of an answer: {status!r}")
        self._gathered.clear()
        self._head = {"status": int(status), "headers": [_field(*pair) for pair in headers]}

    def whole(self, body: bytes) -> None:
        """The complete body: in the record when it fits, else as a file."""
        answer = dict(self._started())
        if body and len(body) <= _abi.MAX_JSON:
            try:
                answer["body"] = str(body, "utf-8")
            except UnicodeDecodeError:
                answer["body_base64"] = b2a_base64(body, newline=False).decode()
        payload = _payload(answer) if len(body) <= _abi.MAX_JSON else b""
        if not payload or len(payload) > _abi.MAX_JSON:
            answer.pop("body", None)
            answer.pop("body_base64", None)
            if body:
                answer["body_path"] = self._files.write(body, self._number)
            payload = _payload(answer)
            if len(payload) > _abi.MAX_JSON:
                raise AnswerError("the headers of the answer are too large")
        self._payload = payload

    def json(self, value: Any) -> None:
        """The complete answer of most functions: a value in JSON, status 200."""
        text = encode(value)
        payload = _JSON_PAYLOAD % encode_text(text).encode()
        if len(payload) <= _abi.MAX_JSON:
            self._payload = payload
            return
        self.start(200, [_JSON])
        self.whole(text.encode())

    def piece(self, data: bytes | bytearray | memoryview) -> None:
        """The next bytes of the body. They are gathered when the function has declared a length
        that fits a record, else sent at once: blocks while the host is behind."""
        view = memoryview(data).cast("B")
        if not self.streaming:
            size = len(self._gathered) + len(view)
            if size <= _abi.MAX_JSON and self._declared() <= _abi.MAX_JSON:
                self._gathered += view
                return
            self._send_head()
            view, self._gathered = memoryview(self._gathered + view), bytearray()
        for start in range(0, len(view), _abi.MAX_PIECE):
            piece = bytes(view[start : start + _abi.MAX_PIECE])
            os.write(_device.mailbox(), _abi.record(_abi.ANSWER_DATA, self._number, piece))

    def _declared(self) -> int:
        """The length that the function announces; without one, more than anything."""
        for name, value in self._started()["headers"]:
            if name.lower() == "content-length" and value.isdecimal() and len(value) < 16:
                return int(value)
        return sys.maxsize

    def _send_head(self) -> None:
        head = encode(self._started()).encode()
        if len(head) > _abi.MAX_JSON:
            raise AnswerError("the headers of the answer are too large")
        os.write(_device.mailbox(), _abi.record(_abi.ANSWER_HEAD, self._number, head))
        self.streaming = True

    def payload(self) -> bytes:
        """Of kResult."""
        if self.streaming:
            return b'{"ok":true,"streamed":true}'
        if self._payload is None:
            self.whole(bytes(self._gathered))
        return self._payload

    def post(self) -> None:
        """Sends kResult while the function goes on."""
        flush()
        os.write(_device.mailbox(), _abi.record(_abi.RESULT, self._number, self.payload()))
        self.posted = True

    def text(self, status: int, message: str) -> None:
        """A whole answer of the agent itself."""
        self.start(status, [TEXT])
        self.whole(message.encode("utf-8", "replace"))

    def _started(self) -> dict[str, Any]:
        if self._head is None:
            raise AnswerError("the function has not set the status of its answer")
        return self._head


def _field(name: Any, value: Any) -> tuple[str, str]:
    """A header field as the host takes it; the host drops those of the hop itself."""
    if isinstance(name, bytes):
        name = name.decode("latin-1")
    value = value.decode("latin-1") if isinstance(value, bytes) else str(value)
    if not isinstance(name, str) or not _NAME(name):
        raise AnswerError(f"not a header name: {name!r}")
    if _FORBIDDEN(value):
        raise AnswerError(f"line break or NUL in header {name}")
    try:
        value.encode("latin-1")
    except UnicodeEncodeError:
        raise AnswerError(f"header {name} has characters beyond latin-1") from None
    return name, value.strip(" \t")


def _payload(answer: dict[str, Any]) -> bytes:
    return b'{"ok":true,"http":%b}' % encode(answer).encode()
