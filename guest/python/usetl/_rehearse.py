"""Before the snapshot: a few loads and invocations, so that what they touch is touched already.

Caches fill, bytecode gets specialised, OpenSSL sets itself up. All of it would otherwise be written
anew in every USF: pages that are private there and must be rolled back after each function.
"""

from __future__ import annotations

import os
import sys
from json import dumps

from usetl import _abi

_WARM_UP = os.path.join(os.path.dirname(os.path.dirname(__file__)), "warm_up.py")
_TIMES = 16  # bytecode is specialised after eight

# Of CPython 3.11's small-object allocator. Where they differ, holes stay open: no more than slower.
_POOL = 16 << 10
_POOL_HEADER = 48
_MOST = 20_000  # blocks of a size

# Kept alive: what fills the holes.
_filling: list[bytes] = []


def fill_holes() -> None:
    """Takes the free slots that lie scattered over the allocators' memory.

    New objects of a function then come from fresh memory, side by side on few pages, in place of one
    here and one there. The filling is shared by all USFs, for it is part of the snapshot.
    """
    head = sys.getsizeof(b"")
    # malloc's: from the largest hole to the smallest, each size until it comes from the heap's top.
    for size in range(2048, 512, -16):
        highest, in_a_row = 0, 0
        for _ in range(_MOST):
            block = bytes(size - head)
            _filling.append(block)
            in_a_row = in_a_row + 1 if id(block) > highest else 0
            highest = max(highest, id(block))
            if in_a_row == 3:
                break
    # The small-object allocator's size classes, each until a pool is opened: its header and its
    # first slots share a page.
    for size in range(48, 513, 16):
        in_a_row = 0
        for _ in range(_MOST):
            block = bytes(size - head)
            _filling.append(block)
            slot = id(block) % _POOL - _POOL_HEADER
            in_a_row = in_a_row + 1 if slot == in_a_row * size else int(slot == 0)
            if in_a_row == 3:
                break


def rehearse() -> None:
    """Does nothing where the runtime brings no warm-up function (the tests' fake host)."""
    from usetl import _reseed
    from usetl._serve import Function

    if not os.path.exists(_WARM_UP):
        return
    path, argv, directory = sys.path[:], sys.argv, os.getcwd()
    compiled = os.path.join(os.path.dirname(_WARM_UP), "__pycache__", "warm_up.cpython-311.pyc")
    event = dumps({"event": {"numbers": [1, 2, 3], "text": "warm"}, "context": {}}).encode()
    for number in range(_TIMES):
        function = Function()
        load = {"path": _WARM_UP, "handler": "handler", "mode": "handler"}
        if number % 2:
            load["code"] = compiled
        answer = function.load(dumps(load).encode())
        if b'"ok":true' not in answer:
            raise RuntimeError(answer.decode())
        function.invoke(_abi.record(_abi.INVOKE, number, event), number)
    sys.modules.pop("function", None)
    sys.path[:], sys.argv = path, argv
    sys.path_importer_cache.pop(os.path.dirname(_WARM_UP), None)
    os.chdir(directory)
    _reseed.reseed()
