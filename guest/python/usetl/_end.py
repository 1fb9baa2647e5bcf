"""The end of an interpreter, as far as others can see it.

Threads are waited for, exit handlers run, what the function's own modules held is finalized, files
are flushed. The interpreter itself is not taken apart, as `Py_FinalizeEx` does: that takes half a
second in a USF and writes to 4,000 pages, and the USF is rolled back anyway.
"""

from __future__ import annotations

import atexit
import gc
import io
import sys
import threading
from contextlib import suppress
from itertools import takewhile

from usetl._script import guarded

_PROGRAMS = ("__main__", "function")  # what the agent itself has executed


def end(root: str, known: frozenset[str]) -> int:
    """Exit status: 0, or what the end of a process says of a failure in here.

    `root` is the function's folder, `known` names the modules that were there before it. The caller
    holds nothing of the function any more.
    """
    status = guarded(threading._shutdown)  # waits for threads that are no daemons
    atexit._run_exitfuncs()
    _complete_files()
    # A daemon would go on with modules that are gone; of a process it would not.
    if threading.active_count() == 1:
        for name in _own_modules(root, known):
            sys.modules.pop(name, None)
        gc.collect()
    try:
        sys.stdout.flush()
    except (OSError, ValueError):
        return status or 120  # as CPython has it for output that got lost at exit
    return status


def _own_modules(root: str, known: frozenset[str]) -> list[str]:
    folder = root.rstrip("/") + "/"
    own = [name for name in _PROGRAMS if name in sys.modules]
    for name in list(takewhile(lambda name: name not in known, reversed(sys.modules))):
        if (getattr(sys.modules[name], "__file__", None) or "").startswith(folder):
            own.append(name)
    return own


def _complete_files() -> None:
    """Before finalizers run, for those know no order: a file may be closed before what writes to it."""
    kinds = (
        ((io.TextIOWrapper,), "flush"),
        # What compresses writes its end when it is closed; the second is from Python 3.14 on.
        (_type("_compression", "BaseStream"), "close"),
        (_type("compression._common._streams", "BaseStream"), "close"),
        (_type("zipfile", "ZipFile"), "close"),
        ((io.BufferedWriter, io.BufferedRandom), "flush"),
    )
    every = sum((kind for kind, _ in kinds), ())
    # Not isinstance: that asks proxies whose object may be gone.
    things = [thing for thing in gc.get_objects() if issubclass(type(thing), every)]
    for kind, complete in kinds:
        for thing in things:
            if issubclass(type(thing), kind):
                with suppress(OSError, ValueError):
                    getattr(thing, complete)()


def _type(module: str, name: str) -> tuple[type, ...]:
    """Nothing is an instance of what was not imported."""
    found = getattr(sys.modules.get(module), name, None)
    return (found,) if found else ()
