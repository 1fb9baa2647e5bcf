"""What would start another process: a USF has one."""

from __future__ import annotations

import errno
import functools
import os
import sys
from collections.abc import Callable
from contextlib import suppress
from typing import Any

_SHELL_FAILED = (-1, 127 << 8)  # of os.system(), whose C library tells no more
_SAID = (
    b"usetl: a function has one process and can start no other: fork, subprocess and multiprocessing fail "
    b"here; threads do not\n"
)
_said = False


def _say() -> None:
    """Once: what fails for want of a process is often tried again. Whatever sys.stderr is by now."""
    global _said
    if _said:
        return
    _said = True
    with suppress(OSError):
        os.write(2, _SAID)


class _Saying:
    """Tells of a failure. Else what it stands for: no method of whoever has it, and pickled by its name."""

    def __init__(self, start: Callable[..., Any], module: str) -> None:
        functools.update_wrapper(self, start)
        self.__module__ = module
        self._start = start

    def __call__(self, *arguments: Any, **options: Any) -> Any:
        try:
            result = self._start(*arguments, **options)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                _say()
            raise
        if self._start is _system and result in _SHELL_FAILED:
            _say()
        return result

    def __reduce__(self) -> str:
        return str(self.__name__)  # type: ignore[attr-defined]


_system = os.system


def install() -> None:
    """Once, before the snapshot. What starts a process by itself, in C, fails without a word."""
    for name in ("fork", "posix_spawn", "posix_spawnp", "system"):
        setattr(os, name, _Saying(getattr(os, name), "os"))
    with suppress(ImportError):  # an image may lack it
        import subprocess  # noqa: F401
    # Under the names that subprocess and multiprocessing have for it.
    for module, name in (("subprocess", "_fork_exec"), ("_posixsubprocess", "fork_exec")):
        start = getattr(sys.modules.get(module), name, None)
        if start is not None:
            setattr(sys.modules[module], name, _Saying(start, module))
