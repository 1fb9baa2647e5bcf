"""The devices that the guest kernel offers, and nothing else; tests put their own in their place.

Callers go through the module (`_device.mailbox()`), so that replacing one function here is enough.
"""

import os
from functools import cache

MAILBOX = "/dev/usetl/mailbox"  # one record per read, one per write
HTTP = "/dev/usetl/http"  # every open is a transaction
HOST = "/dev/usetl/host"  # the host region, to be mapped read-only
STATE = "/dev/usetl/state"  # u64: number of restores
RESULTS = "/run/usetl"  # may be written whatever else is read-only
BODIES = "/run/usetl/body"  # response bodies as files, named by entry


@cache
def mailbox() -> int:
    """Opened once: opening is not for the hot path, and the snapshot keeps the descriptor."""
    return os.open(MAILBOX, os.O_RDWR | os.O_CLOEXEC)


@cache
def host() -> int:
    """The host region; fstat gives its size."""
    return os.open(HOST, os.O_RDONLY | os.O_CLOEXEC)


@cache
def state() -> int:
    return os.open(STATE, os.O_RDONLY | os.O_CLOEXEC)


def transaction() -> int:
    """A new HTTP transaction; closing the descriptor cancels what still runs."""
    return os.open(HTTP, os.O_RDWR | os.O_CLOEXEC)
