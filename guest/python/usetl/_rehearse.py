"""Before the snapshot: a few loads and invocations, so that what they touch is touched already.

Caches fill, bytecode gets specialised, OpenSSL sets itself up. All of it would otherwise be written
anew in every USF: pages that are private there and must be rolled back after each function.
"""

from __future__ import annotations

import os
import sys
from json import dumps
from typing import Any

from usetl import _abi

_FOLDER = os.path.dirname(os.path.dirname(__file__))
_WARM_UP = os.path.join(_FOLDER, "warm_up.py")
_TIMES = 16  # bytecode is specialised after eight
_EVENT = {"numbers": [1, 2, 3], "text": "warm", "more": False}
_REQUEST = {
    "method": "POST",
    "path": "/",
    "query": "",
    "headers": [["content-type", "application/json"], ["host", "warm"]],
    "scheme": "http",
    "http_version": "1.1",
    "client": ["127.0.0.1", 1],
    "server": ["127.0.0.1", 80],
    "body": dumps(_EVENT),
}

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
    """Does nothing where the runtime brings no warm-up functions (the tests' fake host)."""
    from usetl import _reseed

    if not os.path.exists(_WARM_UP):
        return
    _reseed.arm()  # nothing is restored here: hooks for that stay silent
    path, argv, directory = sys.path[:], sys.argv, os.getcwd()
    for number in range(_TIMES):
        for name in ("handler", "app"):
            _run("warm_up_http", {"handler": name, "mode": "http"}, {"http": _REQUEST}, number)
    # Last, so that what every function touches is as the most frequent kind leaves it.
    for number in range(_TIMES):
        _run("warm_up", {"handler": "handler", "mode": "handler"}, {"event": _EVENT}, number)
    sys.modules.pop("function", None)
    sys.path[:], sys.argv = path, argv
    sys.path_importer_cache.pop(_FOLDER, None)
    os.chdir(directory)
    _reseed.reseed()


def _run(name: str, load: dict[str, str], event: dict[str, Any], number: int) -> None:
    """Loads, from source and from bytecode by turns, and invokes."""
    from usetl._serve import Function

    function = Function()
    load = {"path": f"{_FOLDER}/{name}.py", **load}
    if number % 2:
        load["code"] = f"{_FOLDER}/__pycache__/{name}.cpython-311.pyc"
    answer = function.load(dumps(load).encode())
    if b'"ok":true' not in answer:
        raise RuntimeError(answer.decode())
    payload = dumps({**event, "context": {}}).encode()
    answer = function.invoke(_abi.record(_abi.INVOKE, number, payload), number)
    if not answer or b'"ok":true' not in answer:
        raise RuntimeError((answer or b"no answer").decode())
