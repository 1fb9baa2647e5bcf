"""The first program of a USF: `python3.11 -X frozen_modules=on -m usetl.agent`.

Everything slow happens before kReady is posted, which is where the snapshot is taken. What follows
runs in every restored USF. The order matters: what serves records is imported last, into memory
that nothing else has scattered objects over, so that a run dirties few pages (`_rehearse.py`).
"""

from __future__ import annotations

import faulthandler
import gc
import importlib
import os
import sys

from usetl import _device, _process, bridge, hooks
from usetl._output import flush
from usetl._preload import preload
from usetl._rehearse import fill_holes, rehearse


def prepare() -> None:
    """What the snapshot contains, but for what serves."""
    faulthandler.enable()
    # Line by line even though it is no terminal: the host shows output as it is written.
    sys.stdout.reconfigure(line_buffering=True)
    missing = preload()
    if missing:
        print("usetl: this Python lacks", *missing, file=sys.stderr)
    bridge.install()
    _process.install()
    importlib.import_module("usetl._http.function")  # before the holes are filled: few need it
    _device.mailbox()
    _device.host()
    _device.state()
    gc.collect()
    gc.freeze()
    fill_holes()


def main() -> None:
    prepare()
    from usetl import _serve

    rehearse()
    hooks.run_before_snapshot()
    gc.collect()
    gc.freeze()
    status = _serve.serve()
    flush()
    os._exit(status)


if __name__ == "__main__":
    main()
