"""The end of an interpreter, as far as others can see it.

Threads are waited for, exit handlers run, what the function's own modules held is finalized, files
are completed. The interpreter itself is not taken apart, as `Py_FinalizeEx` does: that takes half a
second in a USF and writes to 4,000 pages, and the USF is rolled back anyway.

Whatever the function left behind may fail here, which is nobody's failure any more: as in CPython, the
exit status does not know of it.
"""

from __future__ import annotations

import _thread
import atexit
import gc
import io
import sys
import threading
from contextlib import suppress
from typing import Any

from usetl._script import guarded

_PROGRAMS = ("__main__", "function")  # what the agent itself has executed
_PATIENCE = 1.0  # seconds, for a file that a thread is writing to


def end(root: str, known: frozenset[str]) -> int:
    """Exit status: 0, or what the end of a process says of a failure in here.

    `root` is the function's folder, `known` names the modules that were there before it. The caller
    holds nothing of the function any more.
    """
    status = guarded(threading._shutdown)  # waits for threads that are no daemons
    with suppress(BaseException):
        atexit._run_exitfuncs()
    # Held until finalizers have run: those know no order, and would close a file before what writes to it.
    files = _open_files()
    if _thread._count() == 0:
        for name in _own_modules(root, known):
            sys.modules.pop(name, None)
        gc.collect()
        _complete(files)
    else:
        # Daemons go on, with their modules; of a process they would not. One may hold a file for ever.
        done = _thread.allocate_lock()
        done.acquire()
        _thread.start_new_thread(lambda: (_complete(files), done.release()), ())
        done.acquire(timeout=_PATIENCE)
    try:
        if sys.stdout is not None and not sys.stdout.closed:
            sys.stdout.flush()
    except BaseException:
        return status or 120  # as CPython has it for output that got lost at exit
    return status


def _own_modules(root: str, known: frozenset[str]) -> list[str]:
    own = [name for name in _PROGRAMS if name in sys.modules]
    for name, module in list(sys.modules.items()):
        if name in known or root == "/":
            continue
        with suppress(BaseException):
            # Not getattr: a module that was never used would be loaded now.
            file = object.__getattribute__(module, "__dict__").get("__file__")
            if isinstance(file, str) and file.startswith(root + "/"):
                own.append(name)
    return own


# In the order in which they are completed.
_KINDS = (
    (("io", "TextIOWrapper"),),
    (("zipfile", "ZipFile"),),
    # What compresses; the second is from Python 3.14 on.
    (("_compression", "BaseStream"), ("compression._common._streams", "BaseStream")),
    (("io", "BufferedWriter"), ("io", "BufferedRandom")),
)


def _open_files() -> list[list[Any]]:
    """By kind, the newest first: it may write to an older one."""
    kinds = [[_type(*name) for name in names] for names in _KINDS]
    found: list[list[Any]] = [[] for _ in kinds]
    seen: dict[int, int] = {}  # kinds of types; of most there are many objects
    for generation in (0, 1, 2):
        for thing in reversed(gc.get_objects(generation)):
            of = type(thing)
            if (kind := seen.get(id(of))) is None:
                bases = type.__dict__["__mro__"].__get__(of)
                matches = (any(base is one for base in bases for one in kind) for kind in kinds)
                kind = seen[id(of)] = next((n for n, match in enumerate(matches) if match), -1)
            if kind >= 0:
                found[kind].append(thing)
    return found


def _type(module: str, name: str) -> Any:
    """None, which is no object's type, when the module was not imported."""
    if module == "io":
        return getattr(io, name)
    return getattr(sys.modules.get(module), name, None)


def _complete(files: list[list[Any]]) -> None:
    for kind, complete in zip(files, ("flush", "close", "close", "flush")):
        for file in kind:
            # Those that were never opened fail in all sorts of ways.
            with suppress(BaseException):
                getattr(file, complete)()
