"""An HTTP request as the host took it apart; what functions reach as `context.http`."""

from __future__ import annotations

import base64
import binascii
import io
import os
from typing import IO, Any
from urllib.parse import parse_qsl

from usetl._http.body import BodyStream
from usetl._json import decode
from usetl.errors import UsetlError
from usetl.headers import Headers

_MAX_FIELDS = 1000  # of a query or form


class Refusal(UsetlError):
    """A request that is the client's mistake: answered with `status`, not reported as a failure."""

    def __init__(self, status: int, message: str) -> None:
        super().__init__(message)
        self.status = status


class Request:
    """Bodies are read when they are asked for. Beside what conventions need there are the names
    that Flask's request has, which functions for Knative's `main(context)` use."""

    def __init__(self, parts: dict[str, Any], number: int) -> None:
        """`number` is the record's."""
        self.method: str = parts["method"]
        self.path: str = parts["path"]  # percent-encoded, as it came
        self.query: str = parts["query"]
        self.scheme: str = parts["scheme"]
        self.http_version: str = parts["http_version"]
        self.client: list[Any] | None = parts.get("client")
        self.server: list[Any] = parts["server"]
        self.pairs: list[list[str]] = parts["headers"]
        self._parts = parts
        self._number = number
        self._body: bytes | None = None
        self._headers: Headers | None = None
        self._media_type: str | None = None

    @property
    def headers(self) -> Headers:
        if self._headers is None:
            self._headers = Headers((name, value) for name, value in self.pairs)
        return self._headers

    @property
    def media_type(self) -> str:
        """Of the body, in lower case and without parameters; empty when not said."""
        kind = self._media_type
        if kind is None:
            kind = self.field("content-type").partition(";")[0].strip().lower()
            self._media_type = kind
        return kind

    def field(self, name: str) -> str:
        """The first header of this name, which is in lower case as the host's are; empty: none.
        Without the index that `headers` makes: most requests need one or two."""
        for one, value in self.pairs:
            if one == name:
                return value
        return ""

    @property
    def is_json(self) -> bool:
        kind = self.media_type
        return kind == "application/json" or kind.endswith("+json")

    @property
    def has_body(self) -> bool:
        get = self._parts.get
        return bool(get("body") or get("body_base64") or get("body_path") or get("body_stream"))

    @property
    def streams(self) -> bool:
        """The body comes in pieces while the request is served."""
        return "body_stream" in self._parts

    @property
    def size(self) -> int | None:
        """Of the body; None when only its end will tell."""
        if self.streams:
            length = self.headers.get("content-length")
            return int(length) if length else None
        if path := self._parts.get("body_path"):
            return os.stat(path).st_size
        return len(self.body)

    @property
    def body(self) -> bytes:
        if self._body is None:
            parts = self._parts
            if self.streams:
                self._body = self.open().read()
            elif path := parts.get("body_path"):
                with open(path, "rb", buffering=0) as file:
                    self._body = file.readall()
            elif encoded := parts.get("body_base64"):
                self._body = base64.b64decode(encoded, validate=True)
            else:
                self._body = parts.get("body", "").encode()
        return self._body

    def open(self) -> IO[bytes] | BodyStream:
        """The body as a file; a large one is not read into memory."""
        if self.streams:
            return BodyStream(self._number)
        if path := self._parts.get("body_path"):
            return open(path, "rb")
        return io.BytesIO(self.body)

    @property
    def text(self) -> str:
        """The body, which must be UTF-8; else the client hears 400."""
        if "body" in self._parts:
            return self._parts["body"]
        try:
            return str(self.body, "utf-8")
        except UnicodeDecodeError as error:
            raise Refusal(400, f"the body is not UTF-8: {error}") from None

    def as_text(self) -> tuple[str, bool]:
        """The body as text, and whether that is base64: what is no UTF-8."""
        if "body_base64" in self._parts:
            return self._parts["body_base64"], True
        try:
            return self._parts.get("body") or str(self.body, "utf-8"), False
        except UnicodeDecodeError:
            return base64.b64encode(self.body).decode(), True

    @property
    def json(self) -> Any:
        return parse_json(self.text)

    @property
    def args(self) -> dict[str, str]:
        """The query; of a name that occurs several times, the values joined by commas."""
        return _fields(self.query)

    @property
    def form(self) -> dict[str, str]:
        if self.media_type != "application/x-www-form-urlencoded":
            return {}
        return _fields(self.text)

    @property
    def data(self) -> bytes:
        return self.body

    def get_data(self, as_text: bool = False) -> bytes | str:
        return self.text if as_text else self.body

    def get_json(self, force: bool = False, silent: bool = False) -> Any:
        try:
            if force or self.is_json:
                return self.json
            raise Refusal(415, "the body is not announced as application/json")
        except Refusal:
            if silent:
                return None
            raise

    @property
    def host(self) -> str:
        return self.headers.get("host", "")

    @property
    def url(self) -> str:
        query = f"?{self.query}" if self.query else ""
        return f"{self.scheme}://{self.host}{self.path}{query}"

    def __repr__(self) -> str:
        return f"<Request {self.method} {self.path}>"


def parse_json(text: str) -> Any:
    """JSON of a client; anything else is a Refusal."""
    text = text.strip(" \t\r\n")
    try:
        value, end = decode(text, 0)
    except StopIteration:
        raise Refusal(400, "the body is not JSON") from None
    except (ValueError, RecursionError) as error:
        raise Refusal(400, f"the body is not JSON: {error}") from None
    if end != len(text):
        raise Refusal(400, f"the body is not JSON: extra data at character {end}")
    return value


def parse_base64(text: Any) -> bytes:
    """Base64 of a client; anything else is a Refusal."""
    try:
        return base64.b64decode(text, validate=True)
    except (TypeError, ValueError, binascii.Error) as error:
        raise Refusal(400, f"not base64: {error}") from None


def _fields(text: str) -> dict[str, str]:
    if not text:
        return {}
    try:
        pairs = parse_qsl(text, keep_blank_values=True, max_num_fields=_MAX_FIELDS)
    except ValueError as error:
        raise Refusal(400, str(error)) from None
    fields: dict[str, str] = {}
    for name, value in pairs:
        fields[name] = f"{fields[name]},{value}" if name in fields else value
    return fields
