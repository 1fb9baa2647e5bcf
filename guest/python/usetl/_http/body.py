"""The body of a request that is still on its way from the client."""

from __future__ import annotations

import asyncio
import io
import os
import signal
from typing import Any

from usetl import _abi, _device


class BodyStream(io.RawIOBase):
    """Its pieces are records of the mailbox, which nobody else reads while a request is served. The
    host sends no more than a window ahead of what is read here."""

    def __init__(self, number: int) -> None:
        self._number = number
        self._piece = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        return True

    def readinto(self, buffer: Any) -> int:
        """Waits for the client's next bytes, however few; 0 at the end."""
        if self.closed:
            raise ValueError("the request of this body has been answered")
        while not self._piece and not self._ended:
            self._receive()
        view = memoryview(buffer).cast("B")
        size = min(len(view), len(self._piece))
        view[:size] = self._piece[:size]
        self._piece = self._piece[size:]
        return size

    async def wait(self) -> None:
        """Until reading does not block, or not for long; others in the event loop go on."""
        if self._piece or self._ended:
            return
        loop = asyncio.get_running_loop()
        ready = loop.create_future()
        mailbox = _device.mailbox()
        loop.add_reader(mailbox, lambda: ready.done() or ready.set_result(None))
        try:
            await ready
        finally:
            loop.remove_reader(mailbox)

    def _receive(self) -> None:
        message = os.read(_device.mailbox(), _abi.MAX_RECORD)
        if not message:
            raise ConnectionResetError("the host is gone")
        _, kind, _, number = _abi.RECORD.unpack_from(message)
        if kind == _abi.STOP:
            # As for a function that does not read at the moment: the kernel sends this signal then.
            signal.raise_signal(signal.SIGTERM)
        elif number != self._number:
            return  # the rest of a body that was not wanted
        elif kind == _abi.BODY_DATA:
            self._piece = memoryview(message)[_abi.HEADER_SIZE :]
            taken = _abi.BODY_TAKEN_RECORD.pack(len(self._piece), 0)
            os.write(_device.mailbox(), _abi.record(_abi.BODY_TAKEN, number, taken))
        elif kind == _abi.BODY_END:
            self._ended = True
            broken, _ = _abi.BODY_END_RECORD.unpack_from(message, _abi.HEADER_SIZE)
            if broken:
                raise ConnectionResetError("the client left in the midst of its request's body")
