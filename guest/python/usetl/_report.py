"""Errors of a function as the JSON that the host hands on."""

from __future__ import annotations

import errno
import os
import traceback
from json import dumps
from types import TracebackType
from typing import Any

from usetl import _abi
from usetl.errors import HandlerError

_HERE = os.path.dirname(os.path.abspath(__file__)) + os.sep


def own_frames(trace: TracebackType | None) -> TracebackType | None:
    """The part below the agent: users should see their code only."""
    while trace is not None and trace.tb_frame.f_code.co_filename.startswith(_HERE):
        trace = trace.tb_next
    return trace


def describe(error: BaseException, root: str, limit: int = 12_000) -> dict[str, Any]:
    """Type, message, traceback and the place in the function's own files under `root`."""
    if isinstance(error, HandlerError):  # what the file lacks: no place in it, and no name of ours
        return {"type": "", "message": str(error), "traceback": "", "file": None, "line": None}
    trace = own_frames(error.__traceback__)
    kind = type(error)
    name = kind.__qualname__
    if kind.__module__ not in ("builtins", "__main__", "function"):
        name = f"{kind.__module__}.{name}"
    file, line = _place(error, trace, root)
    try:
        message = str(error) + _remedy(error)
    except Exception:
        message = "the exception has no readable message"
    text = "".join(traceback.format_exception(kind, error, trace))
    if len(text) > limit:
        text = text[: limit // 3] + "\n  ...\n" + text[-limit * 2 // 3 :]
    return {
        "type": _readable(name),
        "message": _readable(message[:limit]),
        "traceback": _readable(text),
        "file": file and _readable(file),
        "line": line,
    }


def _remedy(error: BaseException) -> str:
    """What Python's own message cannot know."""
    if isinstance(error, ModuleNotFoundError):
        return "; packages come with an image, or with a runtime that usetl bake makes"
    if isinstance(error, OSError) and error.errno == errno.ENOSPC:
        return "; files, bodies and results share a region, which usetl up or run --region makes larger"
    return ""


def _readable(text: str) -> str:
    """Lone surrogates are no JSON, whose escapes would let them through."""
    return text.encode("utf-8", "backslashreplace").decode()


def _place(
    error: BaseException, trace: TracebackType | None, root: str
) -> tuple[str | None, int | None]:
    if isinstance(error, SyntaxError) and trace is None:
        return error.filename, error.lineno
    file, line = None, None
    for frame, number in traceback.walk_tb(trace):
        name = frame.f_code.co_filename
        if file is None or name.startswith(root):
            file, line = name, number
    return file, line


def encode_failure(error: BaseException, root: str, **extra: Any) -> bytes:
    """The payload of a reply; fits a record even when every character needs an escape."""
    for limit in (12_000, 3_000, 800):
        failure = {"ok": False, **extra, "error": describe(error, root, limit)}
        payload = dumps(failure).encode()
        if len(payload) <= _abi.MAX_JSON:
            break
    return payload
