"""Takes the chunked transfer encoding off a request body."""

from __future__ import annotations

from collections.abc import Iterator

from usetl.errors import ProtocolError

_MAX_LINE = 4096


class ChunkedDecoder:
    """Fed with whatever the client wrote, in pieces of any size."""

    def __init__(self) -> None:
        self.done = False
        self._line = bytearray()  # a chunk header or a trailer line that is not complete
        self._left = 0  # bytes missing of the current chunk
        self._after_data = False  # its line end comes next
        self._trailer = False

    def feed(self, data: memoryview) -> Iterator[memoryview]:
        while len(data) and not self.done:
            if self._left:
                piece, data = data[: self._left], data[self._left :]
                self._left -= len(piece)
                self._after_data = self._left == 0
                yield piece
                continue
            newline = bytes(data[:_MAX_LINE]).find(b"\n")
            taken = len(data) if newline < 0 else newline + 1
            self._line += data[:taken]
            data = data[taken:]
            if len(self._line) > _MAX_LINE:
                raise ProtocolError("a chunk header without end")
            if newline >= 0:
                self._take_line()

    def _take_line(self) -> None:
        line = bytes(self._line).strip()
        self._line.clear()
        if self._after_data:
            self._after_data = False
            if line:
                raise ProtocolError("a chunk longer than it says")
        elif self._trailer:
            self.done = not line
        else:
            try:
                self._left = int(line.partition(b";")[0], 16)
            except ValueError:
                raise ProtocolError(f"not a chunk size: {line[:20]!r}") from None
            self._trailer = self._left == 0
