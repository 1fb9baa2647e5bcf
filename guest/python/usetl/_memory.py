"""Functions that have used all of their memory."""

from __future__ import annotations

import builtins
from typing import Any

# What malloc and Python's own arenas take at once.
_RESERVE = 3 << 20
_GROUP: Any = getattr(builtins, "BaseExceptionGroup", ())  # from Python 3.11 on


class Reserve:
    """For the end of one, whose traceback is to be told. Made before the snapshot, and never touched.

    Given back at that end only: malloc(3) hands out what is smaller in another way from then on.
    """

    def __init__(self) -> None:
        self._bytes: bytes | None = None

    def take(self) -> None:
        self._bytes = bytes(_RESERVE)

    def release(self) -> None:
        self._bytes = None


def is_of_memory(error: BaseException) -> bool:
    """A MemoryError, alone or in a group."""
    pending = [error]  # groups may be nested deeper than calls
    while pending:
        error = pending.pop()
        if isinstance(error, MemoryError):
            return True
        if isinstance(error, _GROUP):
            pending += error.exceptions
    return False
