"""The answer to a request. Its body lies in the host region and is looked at there, not copied."""

from __future__ import annotations

import json
from collections.abc import Iterator
from http.client import responses as _phrases
from typing import Any

from usetl._region import body_path
from usetl._transaction import Head, Transaction
from usetl.errors import HTTPStatusError, UsetlError
from usetl.headers import Headers


class Response:
    """Status, headers and body.

    `body` is a read-only memoryview over shared memory and `path` the same bytes as a file; both
    stay valid as long as something holds them, the response itself or any slice. When `streamed`
    is true (asked for, or larger than the host has room for) the body comes through iter_chunks()
    or iter_lines() in bounded memory, `body` gathers it in the memory of the function, there is
    no `path`, and what goes wrong on the way is raised while it is read.
    """

    def __init__(self, method: str, url: str, head: Head, transaction: Transaction) -> None:
        self.method = method
        self.url = url
        self.status = head.status
        self.ok = head.status < 400
        self.streamed = head.streamed
        self._head = head
        self._transaction = transaction
        self._body: memoryview | None = None if head.streamed else head.body
        self._headers: Headers | None = None
        self._begun = False

    @property
    def headers(self) -> Headers:
        if self._headers is None:
            self._headers = Headers.parse(self._head.headers)
        return self._headers

    @property
    def reason(self) -> str:
        return _phrases.get(self.status, "")

    @property
    def body(self) -> memoryview:
        """All bytes; what is streamed is gathered in the memory of the function first."""
        if self._body is None:
            self._body = memoryview(b"".join(self.iter_chunks()))
        return self._body

    @property
    def path(self) -> str:
        """The body as a file of the shared file system."""
        if self.streamed:
            raise UsetlError(
                "a streamed body has no path (streamed: asked for, or larger than the host region"
                " has room for): write iter_chunks() into a file"
            )
        if not self._head.size:
            raise UsetlError("an empty body has no path")
        return body_path(self._head.entry, self.body)

    @property
    def encoding(self) -> str:
        """The charset that the answer names, else UTF-8."""
        for part in self.headers.get("content-type", "").split(";")[1:]:
            name, _, value = part.strip().partition("=")
            if name.lower() == "charset" and value:
                return value.strip("\"'")
        return "utf-8"

    @property
    def text(self) -> str:
        try:
            return str(self.body, self.encoding, "replace")
        except LookupError:
            return str(self.body, "utf-8", "replace")

    def json(self, **options: Any) -> Any:
        return json.loads(str(self.body, "utf-8-sig"), **options)

    def iter_chunks(self, size: int | None = None) -> Iterator[bytes]:
        """The body in pieces: as they arrive, or at most `size` bytes each."""
        if self._body is not None:
            step = size or 1 << 20
            for start in range(0, len(self._body), step):
                yield bytes(self._body[start : start + step])
            return
        if self._begun:
            raise UsetlError("a streamed body can be read once")
        self._begun = True
        while (span := self._transaction.next_span()) is not None:
            step = size or len(span) or 1
            for start in range(0, len(span), step):
                yield bytes(span[start : start + step])

    def iter_lines(self, encoding: str | None = None) -> Iterator[str]:
        """Lines without their ends ("\\n" or "\\r\\n")."""
        charset = encoding or self.encoding
        rest = b""
        for chunk in self.iter_chunks():
            lines = (rest + chunk).split(b"\n")
            rest = lines.pop()
            for line in lines:
                yield line.removesuffix(b"\r").decode(charset, "replace")
        if rest:
            yield rest.removesuffix(b"\r").decode(charset, "replace")

    def raise_for_status(self) -> Response:
        """Raises HTTPStatusError for 4xx and 5xx; returns the response otherwise."""
        if not self.ok:
            text = f"{self.status} {self.reason} for {self.method} {self.url}".replace("  ", " ")
            raise HTTPStatusError(text, self)
        return self

    def close(self) -> None:
        """Gives the body back early (slices that are still held keep it) or stops the stream."""
        self._transaction.close()
        self._begun = True
        if self._body is not None:
            try:
                self._body.release()
            except BufferError:
                self._body = memoryview(b"")  # somebody looks through it: theirs to let go
        self._head = self._head._replace(body=memoryview(b""))

    def __enter__(self) -> Response:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()

    def __repr__(self) -> str:
        return f"<Response {self.status} {self.method} {self.url}>"
