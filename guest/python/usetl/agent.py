"""The first program of a USF: `python3.11 -X frozen_modules=on -m usetl.agent`.

Everything slow happens before kReady is posted, which is where the snapshot is taken. What follows
runs in every restored USF.
"""

from __future__ import annotations

import faulthandler
import gc
import os
import sys

from usetl import _abi, _device, _reseed, bridge, hooks
from usetl._preload import preload
from usetl._rehearse import fill_holes, rehearse
from usetl._serve import Function, flush


def serve() -> None:
    """Answers records until the host says stop, or is gone."""
    read, write = os.read, os.write
    unpack, record, limit = _abi.RECORD.unpack_from, _abi.record, _abi.MAX_RECORD
    header, invoke_kind, result_kind = _abi.HEADER_SIZE, _abi.INVOKE, _abi.RESULT
    mailbox = _device.mailbox()
    function = Function()
    invoke = function.invoke
    while message := read(mailbox, limit):
        _, kind, _, number = unpack(message)
        if kind == invoke_kind:
            write(mailbox, record(result_kind, number, invoke(message, number)))
        elif kind == _abi.LOAD:
            write(mailbox, record(_abi.LOADED, number, function.load(message[header:])))
        elif kind == _abi.STOP:
            return


def prepare() -> None:
    """What the snapshot contains."""
    faulthandler.enable()
    # Line by line even though it is no terminal: the host shows output as it is written.
    sys.stdout.reconfigure(line_buffering=True)
    missing = preload()
    if missing:
        print("usetl: this Python lacks", *missing, file=sys.stderr)
    bridge.install()
    _device.mailbox()
    _device.host()
    rehearse()
    hooks.run_before_snapshot()
    gc.collect()
    fill_holes()
    gc.freeze()


def main() -> None:
    prepare()
    _reseed.arm()
    os.write(_device.mailbox(), _abi.record(_abi.READY, 0))
    _reseed.check()
    serve()
    flush()
    os._exit(0)


if __name__ == "__main__":
    main()
