"""An answer of the host as the bytes that an HTTP client expects on its socket."""

from __future__ import annotations

import http.client
import io
from typing import Any

from usetl._transaction import Head, Transaction

# Of the hop between client and peer, which here is no hop: the host sets its own.
HOP = frozenset(
    b"connection proxy-connection keep-alive transfer-encoding te upgrade expect content-length"
    b" host".split()
)


class Reply(io.RawIOBase):
    """Status line and headers made from the host's answer, then the body from shared memory."""

    def __init__(self, transaction: Transaction, head: Head, method: str) -> None:
        self._transaction = transaction
        self._pieces = [memoryview(_status_and_headers(head, method))]
        if len(head.body):
            self._pieces.append(head.body)
        self._more = head.streamed

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        target = memoryview(buffer).cast("B")
        while not self._pieces or not self._pieces[0]:
            if self._pieces:
                del self._pieces[0]
                continue
            span = self._transaction.next_span() if self._more else None
            if span is None:
                self._more = False
                return 0
            self._pieces.append(span)
        piece = self._pieces[0]
        count = min(len(piece), len(target))
        target[:count] = piece[:count]
        self._pieces[0] = piece[count:]
        return count

    def close(self) -> None:
        self._pieces.clear()
        self._transaction.close()
        super().close()


def _status_and_headers(head: Head, method: str) -> bytes:
    phrase = http.client.responses.get(head.status, "")
    lines = [f"HTTP/1.1 {head.status} {phrase}\r\n".encode("latin-1")]
    for line in head.headers.split(b"\r\n"):
        name = line.partition(b":")[0].strip().lower()
        # The answer to HEAD tells the length of a body that does not come.
        if name and (name not in HOP or (name == b"content-length" and method == "HEAD")):
            lines.append(line + b"\r\n")
    if method != "HEAD" and head.size is not None:
        lines.append(b"Content-Length: %d\r\n" % head.size)
    lines.append(b"Connection: close\r\n\r\n")
    return b"".join(lines)
