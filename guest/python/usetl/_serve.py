"""The loop of the agent; loads and invocations: JSON in, JSON out, little between."""

from __future__ import annotations

import os
import sys
from types import CoroutineType
from typing import TYPE_CHECKING, Any

from usetl import _abi, _context, _device, _reseed, _stop
from usetl._code import looks_like_script, read_code
from usetl._context import Context
from usetl._end import end
from usetl._function import Call, await_result, bind, execute, find
from usetl._json import decode, encode
from usetl._memory import Reserve, is_of_memory
from usetl._output import flush
from usetl._report import encode_failure
from usetl._reseed import check as check_generation
from usetl._result_files import ResultFiles
from usetl._script import Script, exit_status
from usetl._surroundings import find_mounts, surround
from usetl.errors import UsetlError

if TYPE_CHECKING:
    from usetl._http.function import WebFunction


def _encode_result(result: Any) -> bytes:
    try:
        return encode(result).encode()
    except (TypeError, ValueError) as error:
        kind = TypeError if isinstance(error, TypeError) else ValueError
        raise kind(f"the result is not JSON: {error}") from None


class Function:
    """What has been loaded: a handler, a script, or what answers HTTP requests."""

    def __init__(self) -> None:
        self._known = frozenset(sys.modules)
        self._call: Call | None = None
        self._script: Script | None = None
        self._web: WebFunction | None = None
        self._root = "/"
        self._files = ResultFiles()
        self.reserve = Reserve()

    def load(self, payload: bytes) -> bytes:
        """Serves a kLoad record; returns the payload of kLoaded."""
        try:
            check_generation()
            order, _ = decode(payload.decode(), 0)
            find_mounts(order.get("mounts") or ())
            self._call = self._script = self._web = None
            if self._is_web(order):
                return self._load_web(order)
            name = self._load(order)
            return b'{"ok":true,"handler":%b}' % (encode(name).encode() if name else b"null")
        except BaseException as error:
            extra: dict[str, Any] = {}
            if is_of_memory(error):
                self.reserve.release()
                extra["out_of_memory"] = True
            elif isinstance(error, SystemExit):
                extra["exit"] = exit_status(error)
            return encode_failure(error, self._root, **extra)
        finally:
            flush()

    @staticmethod
    def _is_web(order: dict[str, Any]) -> bool:
        mode = order.get("mode")
        if mode != "auto" or not order.get("serves"):
            return mode == "http"
        return bool(order.get("handler")) or not looks_like_script(read_code(order["path"], None))

    def _load(self, order: dict[str, Any]) -> str | None:
        """The name of the handler, none for a script."""
        path = order["path"]
        self._root = path.rpartition("/")[0] or "/"
        surround(path, self._root, order)
        code = read_code(path, order.get("code"), order.get("save_code"))
        mode = order.get("mode", "auto")
        if mode == "auto" and not order.get("handler"):
            mode = "script" if looks_like_script(code) else "handler"
        if mode == "script":
            self._script = Script(code, path, self.reserve)
            return None
        name, handler = find(execute(code, path, "function"), order.get("handler"))
        self._call = bind(handler)
        return name

    def _load_web(self, order: dict[str, Any]) -> bytes:
        from usetl._http import function, locate  # imported before the snapshot

        place = locate.locate(order)
        self._root = place.root
        self._web = function.load(place, order)
        web = self._web
        names = {"ok": True, "handler": web.name, "convention": web.convention, "streams": web.streams}
        return encode(names).encode()

    def stop(self) -> int:
        """Serves kStop; returns the exit status."""
        status = _stop.run_hooks(self._web.stop_hooks() if self._web else ())
        finish = self._end()
        return status or finish

    def _end(self) -> int:
        self._call = self._script = self._web = None
        return end(self._root, self._known)

    def invoke(self, record: bytes, number: int) -> bytes | None:
        """Serves a kInvoke record; returns the payload of kResult, none when that is posted."""
        try:
            check_generation()
            order, _ = decode(record[_abi.HEADER_SIZE :].decode(), 0)
            self._files.forget(order.get("unread"))
            context = _context.current = Context(order.get("context") or {})
            if self._web is not None:
                return self._web.serve(order.get("http"), context, number, self._files)
            if self._call is None:
                return self._run_script()
            if "http" in order:
                raise UsetlError("the function was not loaded for HTTP requests")
            if "event_path" in order:
                with open(order["event_path"], "rb") as file:
                    event, _ = decode(file.read().decode(), 0)
            else:
                event = order.get("event")
            result = self._call(event, context)
            if type(result) is CoroutineType:
                result = await_result(result)
            value = _encode_result(result)
            if len(value) > _abi.MAX_JSON:
                path = self._files.write(value, number, ".json")
                return b'{"ok":true,"path":%b}' % encode(path).encode()
            return b'{"ok":true,"value":%b}' % value
        except SystemExit as end:
            return encode_failure(end, self._root, exit=exit_status(end))
        except BaseException as error:
            try:
                return encode_failure(error, self._root)
            except MemoryError:
                error.__traceback__ = None  # and what its frames hold goes
                return encode_failure(error, self._root)
        finally:
            flush()

    def _run_script(self) -> bytes:
        script = self._script
        if script is None:
            raise UsetlError("no function is loaded")
        status, finish = script.run(), 0
        try:
            finish = self._end()
        except MemoryError:
            if not script.out_of_memory:
                raise
        if script.out_of_memory:
            return b'{"ok":true,"exit":%d,"out_of_memory":true}' % status
        return b'{"ok":true,"exit":%d}' % (status or finish)


def serve() -> int:
    """Posts kReady, then answers records until the host is gone or says stop; the exit status."""
    read, write = os.read, os.write
    unpack, record, limit = _abi.RECORD.unpack_from, _abi.record, _abi.MAX_RECORD
    header, invoke_kind, result_kind = _abi.HEADER_SIZE, _abi.INVOKE, _abi.RESULT
    mailbox = _device.mailbox()
    function = Function()
    function.reserve.take()  # not in a rehearsal, whose functions go
    invoke = function.invoke
    _reseed.arm()
    write(mailbox, record(_abi.READY, 0))
    check_generation()
    while message := read(mailbox, limit):
        _, kind, _, number = unpack(message)
        if kind == invoke_kind:
            if (result := invoke(message, number)) is not None:
                write(mailbox, record(result_kind, number, result))
        elif kind == _abi.LOAD:
            write(mailbox, record(_abi.LOADED, number, function.load(message[header:])))
        elif kind == _abi.BODY_DATA or kind == _abi.BODY_END:
            pass  # of a request that was answered before its body was read
        elif kind == _abi.STOP:
            return function.stop()
    return 0
