"""The loop of the agent; loads and invocations: JSON in, JSON out, as little as possible between."""

from __future__ import annotations

import os
import sys
import time
from json import JSONDecoder, JSONEncoder
from json.encoder import c_make_encoder, encode_basestring
from types import CoroutineType
from typing import Any, Union

from usetl import _abi, _context, _device, _reseed
from usetl._code import looks_like_script, read_code
from usetl._context import Context
from usetl._function import Call, await_result, bind, execute, find
from usetl._report import encode_failure
from usetl._reseed import check as check_generation
from usetl._script import Script, exit_status, use_stdin
from usetl.errors import UsetlError

_RESULT_FILE = "/tmp/.usetl-result-{}.json"

_decode = JSONDecoder().scan_once  # without the regular expressions of loads(); the host is exact

# What JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode does, with one
# encoder for all values in place of one per call. Text stays readable: UTF-8, no escapes. NaN and Infinity are no JSON: an error here is better than one in
# whoever reads the result.
_open_containers: dict[int, Any] = {}
_encode_value = c_make_encoder(
    _open_containers, JSONEncoder().default, encode_basestring, None, ":", ",", False, False, False
)


def _encode(value: Any) -> str:
    try:
        return "".join(_encode_value(value, 0))
    except BaseException:
        _open_containers.clear()  # it stopped inside of them
        raise


def _encode_result(result: Any) -> bytes:
    try:
        return _encode(result).encode()
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"the result is not JSON: {error}") from None


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
            order, _ = _decode(payload.decode(), 0)
            name = self._load(order)
            return b'{"ok":true,"handler":%b}' % (_encode(name).encode() if name else b"null")
        except BaseException as error:
            extra = {"exit": exit_status(error)} if isinstance(error, SystemExit) else {}
            return encode_failure(error, self._root, **extra)
        finally:
            flush()

    def _load(self, order: dict[str, Any]) -> str | None:
        """The name of the handler, none for a script."""
        path = order["path"]
        self._root = path.rpartition("/")[0] or "/"
        self._call = self._script = None
        if variables := order.get("env"):
            _set_environment(variables)
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
            return None
        name, handler = find(execute(code, path, "function"), order.get("handler"))
        self._call = bind(handler)
        return name

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
                    event, _ = _decode(file.read().decode(), 0)
            else:
                event = order.get("event")
            result = self._call(event, context)
            if type(result) is CoroutineType:
                result = await_result(result)
            value = _encode_result(result)
            if len(value) > _abi.MAX_JSON:
                return self._result_by_file(value, number)
            return b'{"ok":true,"value":%b}' % value
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

    def _result_by_file(self, value: bytes, number: int) -> bytes:
        """The host reads it from the guest region; it goes when the next event comes."""
        path = self._result_file = _RESULT_FILE.format(number)
        with open(path, "wb", buffering=0) as file:
            view = memoryview(value)
            while view:
                view = view[file.write(view) :]
        return b'{"ok":true,"path":%b}' % _encode(path).encode()

    def _forget_result(self) -> None:
        path, self._result_file = self._result_file, None
        try:
            os.unlink(path or "")
        except OSError:
            pass  # the function cleaned up /tmp itself


def serve() -> None:
    """Posts kReady, then answers records until the host says stop, or is gone."""
    read, write = os.read, os.write
    unpack, record, limit = _abi.RECORD.unpack_from, _abi.record, _abi.MAX_RECORD
    header, invoke_kind, result_kind = _abi.HEADER_SIZE, _abi.INVOKE, _abi.RESULT
    mailbox = _device.mailbox()
    function = Function()
    invoke = function.invoke
    _reseed.arm()
    write(mailbox, record(_abi.READY, 0))
    check_generation()
    while message := read(mailbox, limit):
        _, kind, _, number = unpack(message)
        if kind == invoke_kind:
            write(mailbox, record(result_kind, number, invoke(message, number)))
        elif kind == _abi.LOAD:
            write(mailbox, record(_abi.LOADED, number, function.load(message[header:])))
        elif kind == _abi.STOP:
            return


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
