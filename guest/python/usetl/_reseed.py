"""A restored interpreter must not repeat what its siblings draw.

What cannot be drawn anew stays that of the runtime: the secret of str hashes (and pyexpat's salt), the
stack guard of the C library.

The kernel gives os.urandom fresh entropy on every restore; this module does the same for state
that Python and its libraries drew before the snapshot and keep in memory. A restore pays for every
page that this touches, so `settle` puts into the snapshot what draws lazily, and `reseed` looks
before it writes. OpenSSL (each copy of it that a wheel brings, too) draws anew by itself when the
process id has changed, which the kernel sees to.
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

# Random.seed() of the module's generator, without the Python code around it.
_seed_random = super(random.Random, random._inst).seed


def generation() -> bytes:
    """Number of restores so far, as the kernel tells it."""
    return os.pread(_device.state(), _GENERATION_SIZE, 0)


def settle() -> None:
    """Before the snapshot: forgets what was drawn; the next one who needs it draws anew."""
    tempfile._name_sequence = None
    # libuuid keeps its clock sequence where nobody reaches it; uuid1() in Python draws a new one
    # per call. The node is random as well: a USF has no network card to name itself after.
    uuid._generate_time_safe = None
    uuid._GETTERS = []
    uuid._node = uuid._last_timestamp = None


def arm() -> None:
    """Called right before the snapshot: from now on another generation means a restore."""
    global _seen
    settle()
    _seen = generation()


def check() -> None:
    """One short system call; the rest runs once after each restore."""
    global _seen
    now = generation()
    if now == _seen:
        return
    reseed()
    if hooks._after_restore:
        hooks.run_after_restore()
    _seen = now  # only now: as long as a hook fails, nothing is served


def reseed() -> None:
    """Everything that Python itself keeps, and of the common libraries what is loaded."""
    _seed_random()
    if random._inst.gauss_next is not None:
        random._inst.gauss_next = None
    if tempfile._name_sequence is not None or uuid._node is not None:
        settle()
    modules = sys.modules
    if numpy := modules.get("numpy"):
        numpy.random.seed()
    if process := modules.get("multiprocessing.process"):
        process.current_process().authkey = os.urandom(32)
