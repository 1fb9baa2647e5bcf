"""Loads and invocations: JSON in, JSON out, as little as possible between."""

from __future__ import annotations

import os
import sys
import time
from json import JSONDecoder, JSONEncoder, loads
from typing import Any, Union

from usetl import _abi, _context
from usetl._code import looks_like_script, read_code
from usetl._context import Context
from usetl._function import Call, bind, execute, find
from usetl._report import encode_failure
from usetl._reseed import check as check_generation
from usetl._script import Script, exit_status, use_stdin
from usetl.errors import UsetlError

_RESULT_FILE = "/tmp/.usetl-result-{}.json"

# NaN and Infinity are no JSON: an error here is better than one in whoever reads the result.
_encode = JSONEncoder(separators=(",", ":"), allow_nan=False).encode
_decode = JSONDecoder().scan_once  # without the regular expressions of loads(); the host is exact


class Function:
    """What has been loaded: a handler, or a script."""

    def __init__(self) -> None:
        self._call: Call | None = None
        self._script: Script | None = None
        self._root = "/"
        self._result_file: str | None = None

    def load(self, payload: bytes) -> bytes:
        """Serves a kLoad record; returns the payload of kLoaded."""
        try:
            check_generation()
            return _encode(self._load(loads(payload))).encode()
        except BaseException as error:
            extra = {"exit": exit_status(error)} if isinstance(error, SystemExit) else {}
            return encode_failure(error, self._root, **extra)
        finally:
            flush()

    def _load(self, order: dict[str, Any]) -> dict[str, Any]:
        path = order["path"]
        self._root = os.path.dirname(path)
        self._call = self._script = None
        _set_environment(order.get("env") or {})
        os.chdir(order.get("cwd") or self._root)
        sys.argv = [path, *(order.get("argv") or ())]
        sys.path.insert(0, self._root)
        sys.path_importer_cache.pop(self._root, None)
        if stdin := order.get("stdin"):
            use_stdin(stdin)

        code = read_code(path, order.get("code"), order.get("save_code"))
        mode = order.get("mode", "auto")
        if mode == "auto" and not order.get("handler"):
            mode = "script" if looks_like_script(code) else "handler"
        if mode == "script":
            self._script = Script(code, path)
            return {"ok": True, "handler": None}
        name, handler = find(execute(code, path, "function"), order.get("handler"))
        self._call = bind(handler)
        return {"ok": True, "handler": name}

    def invoke(self, record: bytes, number: int) -> bytes:
        """Serves a kInvoke record; returns the payload of kResult."""
        if self._result_file is not None:
            self._forget_result()
        try:
            check_generation()
            order, _ = _decode(record[_abi.HEADER_SIZE :].decode(), 0)
            context = _context.current = Context(order.get("context") or {})
            if self._call is None:
                return self._run_script()
            if "event_path" in order:
                with open(order["event_path"], "rb") as file:
                    event = loads(file.read())
            else:
                event = order.get("event")
            value = _encode(self._call(event, context))
            if len(value) > _abi.MAX_JSON:
                return self._result_by_file(value, number)
            return b'{"ok":true,"value":%b}' % value.encode()
        except SystemExit as end:
            return encode_failure(end, self._root, exit=exit_status(end))
        except BaseException as error:
            return encode_failure(error, self._root)
        finally:
            flush()

    def _run_script(self) -> bytes:
        if self._script is None:
            raise UsetlError("no function is loaded")
        return b'{"ok":true,"exit":%d}' % self._script.run()

    def _result_by_file(self, value: str, number: int) -> bytes:
        """The host reads it from the guest region; it goes when the next event comes."""
        path = self._result_file = _RESULT_FILE.format(number)
        with open(path, "wb", buffering=0) as file:
            view = memoryview(value.encode())
            while view:
                view = view[file.write(view) :]
        return b'{"ok":true,"path":%b}' % _encode(path).encode()

    def _forget_result(self) -> None:
        path, self._result_file = self._result_file, None
        try:
            os.unlink(path or "")
        except OSError:
            pass  # the function cleaned up /tmp itself


def flush() -> None:
    """Output must reach the host before the result does. A function may have put anything in place
    of the streams, or closed them."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except Exception:
            pass


def _set_environment(variables: dict[str, Union[str, None]]) -> None:
    """Sets and (null) removes variables, with what the interpreter does only at its start."""
    for name, value in variables.items():
        if value is None:
            os.environ.pop(name, None)
        else:
            os.environ[name] = value
    if paths := variables.get("PYTHONPATH"):
        sys.path[0:0] = [path for path in paths.split(os.pathsep) if path]
    if "TZ" in variables:
        time.tzset()
