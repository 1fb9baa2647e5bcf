"""Results that are too large for a record: files that the host reads from the guest region."""

from __future__ import annotations

import os

from usetl import _device


class ResultFiles:
    """A file goes when an event comes and the host has read it: that may be several events later,
    for events are given ahead."""

    def __init__(self) -> None:
        self._paths: list[tuple[int, str]] = []

    def write(self, data: bytes, number: int, suffix: str = "") -> str:
        """The path of a file with these bytes, named after the event."""
        path = f"{_device.RESULTS}/result-{number}{suffix}"
        self._paths.append((number, path))
        with open(path, "wb", buffering=0) as file:
            view = memoryview(data)
            while view:
                view = view[file.write(view) :]
        return path

    def forget(self, unread: int | None) -> None:
        """Removes files of events before `unread`, or all."""
        while self._paths and (unread is None or self._paths[0][0] < unread):
            _, path = self._paths.pop(0)
            try:
                os.unlink(path)
            except OSError:
                pass  # the function removed it itself
