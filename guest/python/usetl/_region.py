"""Bytes of the host region as memoryviews, and the word to the host when nobody looks any more."""

from __future__ import annotations

import mmap
import os

from usetl import _abi, _device


class Lease(mmap.mmap):
    """The mapping of one body. It dies with the last view of it, and only then the host may reuse
    the space: neither a closed response nor a lost variable can pull bytes away from a slice that
    somebody kept."""

    entry: int = _abi.NO_ENTRY

    def __del__(self) -> None:
        if self.entry == _abi.NO_ENTRY:
            return
        entry, self.entry = self.entry, _abi.NO_ENTRY
        self.close()
        try:
            os.write(_device.mailbox(), _abi.record(_abi.RELEASE, 0, _abi.ENTRY.pack(entry, 0)))
        except OSError:
            pass  # the function is ending, and with it the region


def lease(entry: int, offset: int, size: int) -> memoryview:
    """The body in `entry`, without a copy; released when the last view is gone."""
    skew = offset % mmap.ALLOCATIONGRANULARITY
    length = max(1, skew + size)  # an empty body has an entry to release, too
    mapping = Lease(_device.host(), length, access=mmap.ACCESS_READ, offset=offset - skew)
    mapping.entry = entry
    return memoryview(mapping)[skew : skew + size]


class BodyPath(str):
    """A path that keeps its body alive: `open(usetl.get(url).path)` outlives the response."""

    lease: object = None


def body_path(entry: int, body: memoryview) -> BodyPath:
    path = BodyPath(f"{_device.BODIES}/{entry}")
    path.lease = body.obj
    return path


_window: memoryview = memoryview(b"")


def span(offset: int, size: int) -> memoryview:
    """Bytes of a streamed body. They are the host's again after the next read of the transaction,
    so callers copy. The whole region is mapped once: a stream must not map with every piece."""
    global _window
    if offset + size > len(_window):
        fd = _device.host()
        _window = memoryview(mmap.mmap(fd, os.fstat(fd).st_size, access=mmap.ACCESS_READ))
    return _window[offset : offset + size]
