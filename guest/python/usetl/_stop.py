"""The end of a function that the host asks to stop."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterable

from usetl._function import close_runner
from usetl._script import guarded


def run_hooks(hooks: Iterable[Callable[[], object]]) -> int:
    """Runs all of it whatever fails, and returns the exit status: the first that is not 0.

    First comes what the function would do about a SIGTERM, which is what this stands for. Exit
    handlers and threads come behind it (`_end.py`).
    """
    handler = signal.getsignal(signal.SIGTERM)
    status = 0
    if callable(handler):
        status = guarded(lambda: handler(signal.SIGTERM, None))
    for hook in hooks:
        status = guarded(hook) or status
    return guarded(close_runner) or status
