"""A restored interpreter must not repeat what its siblings draw.

The kernel gives os.urandom fresh entropy on every restore; this module does the same for state
that Python and its libraries drew before the snapshot and keep in memory.
"""

from __future__ import annotations

import os
import random
import sys
import tempfile
import uuid

from usetl import _device, hooks

_GENERATION_SIZE = 8
_seen: bytes = b""


def generation() -> bytes:
    """Number of restores so far, as the kernel tells it."""
    return os.pread(_device.state(), _GENERATION_SIZE, 0)


def arm() -> None:
    """Called right before the snapshot: from now on another generation means a restore."""
    global _seen
    _seen = generation()


def check() -> None:
    """One short system call; the rest runs once after each restore."""
    global _seen
    now = generation()
    if now == _seen:
        return
    reseed()
    hooks.run_after_restore()
    _seen = now  # only now: as long as a hook fails, nothing is served


def reseed() -> None:
    """Everything that Python itself keeps, and of the common libraries what is loaded."""
    random.seed()
    tempfile._name_sequence = None
    # libuuid keeps its clock sequence where nobody reaches it; uuid1() in Python draws a new one
    # per call. The node is random as well: a USF has no network card to name itself after.
    uuid._generate_time_safe = None
    uuid._node = uuid._random_getnode()
    uuid._last_timestamp = None
    if ssl := sys.modules.get("ssl"):
        ssl.RAND_add(os.urandom(48), 48.0)
    if numpy := sys.modules.get("numpy"):
        numpy.random.seed()
    if process := sys.modules.get("multiprocessing.process"):
        process.current_process().authkey = os.urandom(32)
