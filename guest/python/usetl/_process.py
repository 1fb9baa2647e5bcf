"""What would start another process: a USF has one."""

from __future__ import annotations

import errno
import functools
import os
import subprocess
import sys
from collections.abc import Callable
from typing import Any

_SHELL_FAILED = (-1, 127 << 8)  # of os.system(), whose C library tells no more
_said = False


def _say() -> None:
    """Once: what fails for want of a process is often tried again."""
    global _said
    if _said:
        return
    _said = True
    print(
        "usetl: a function has one process and can start no other: fork, subprocess and "
        "multiprocessing fail here; threads do not",
        file=sys.stderr,
    )


def _saying(start: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(start)
    def call(*arguments: Any, **options: Any) -> Any:
        try:
            result = start(*arguments, **options)
        except OSError as error:
            if error.errno == errno.EAGAIN:
                _say()
            raise
        if start is _system and result in _SHELL_FAILED:
            _say()
        return result

    return call


_system = os.system


def install() -> None:
    """Once, before the snapshot. What starts a process by itself, in C, fails without a word."""
    for name in ("fork", "posix_spawn", "posix_spawnp", "system"):
        setattr(os, name, _saying(getattr(os, name)))
    # Under the names that subprocess and multiprocessing have for it.
    for module, name in ((subprocess, "_fork_exec"), (sys.modules.get("_posixsubprocess"), "fork_exec")):
        if hasattr(module, name):
            setattr(module, name, _saying(getattr(module, name)))
