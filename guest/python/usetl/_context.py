"""What a function can know about the invocation it serves."""

from __future__ import annotations

import os
import time
from collections.abc import MutableMapping
from typing import TYPE_CHECKING, Any

from usetl.errors import UsetlError

if TYPE_CHECKING:
    from usetl._http.request import Request

_NO_LIMIT_MS = 2**31 - 1


class Context:
    """Second argument of a handler; also what usetl.context() returns.

    Made for every event, so it only holds the host's JSON and looks things up when asked. The
    names of AWS Lambda's context object work too.
    """

    __slots__ = ("_data",)

    def __init__(self, data: dict[str, Any]) -> None:
        self._data = data

    @property
    def request_id(self) -> str:
        return self._data.get("request_id", "")

    @property
    def function_name(self) -> str:
        return self._data.get("function_name", "")

    @property
    def function_version(self) -> str:
        return self._data.get("function_version", "")

    @property
    def memory_limit_mb(self) -> int | None:
        return self._data.get("memory_limit_mb")

    @property
    def deadline(self) -> float | None:
        """On the clock of time.monotonic(); None without a limit."""
        return self._data.get("deadline")

    def remaining_time_ms(self) -> int:
        deadline = self.deadline
        if deadline is None:
            return _NO_LIMIT_MS
        return max(0, int((deadline - time.monotonic()) * 1000))

    @property
    def env(self) -> MutableMapping[str, str]:
        return os.environ

    @property
    def http(self) -> Request | None:
        """The HTTP request that is being answered; None for other events."""
        return self._data.get("http")

    @http.setter
    def http(self, request: Request) -> None:
        self._data["http"] = request

    def get(self, name: str, default: Any = None) -> Any:
        """Whatever else the host sent along."""
        return self._data.get(name, default)

    @property
    def aws_request_id(self) -> str:
        return self.request_id

    @property
    def memory_limit_in_mb(self) -> int | None:
        return self.memory_limit_mb

    def get_remaining_time_in_millis(self) -> int:
        return self.remaining_time_ms()

    def __repr__(self) -> str:
        return f"Context({self._data!r})"


current: Context | None = None


def context() -> Context:
    """The context of the event that is being served."""
    if current is None:
        raise UsetlError("no event is being served")
    return current
