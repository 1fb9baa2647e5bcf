"""Results that are too large for a record: a file that the host reads from the guest region."""

from __future__ import annotations

import os

from usetl import _device


class ResultFile:
    """At most one at a time; it goes when the next event comes."""

    def __init__(self) -> None:
        self._path: str | None = None

    def write(self, data: bytes, number: int, suffix: str = "") -> str:
        """The path of a file with these bytes, named after the event."""
        path = self._path = f"{_device.RESULTS}/result-{number}{suffix}"
        with open(path, "wb", buffering=0) as file:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
        return path

    def forget(self) -> None:
        if self._path is None:
            return
        path, self._path = self._path, None
        try:
            os.unlink(path)
        except OSError:
            pass  # the function removed it itself
