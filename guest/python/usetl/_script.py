"""A plain program, run to completion the way `python3 program.py` would."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable
from contextlib import suppress
from types import CodeType

from usetl._code import is_imported, uncalled_handler
from usetl._function import execute
from usetl._http.choose import web_application
from usetl._memory import Reserve, is_of_memory
from usetl._report import own_frames
from usetl.errors import UsetlError


class Script:
    """Runs once. What the end of a process does comes behind it (`_end.py`)."""

    def __init__(self, code: CodeType, path: str, reserve: Reserve) -> None:
        self._code: CodeType | None = code
        self._path = path
        self._reserve = reserve
        self.out_of_memory = False  # it ended by a MemoryError

    def run(self) -> int:
        """Exit status of the program itself."""
        code, self._code = self._code, None
        if code is None:
            raise UsetlError("a script runs once")
        return guarded(lambda: self._execute(code))

    def _execute(self, code: CodeType) -> None:
        try:
            _run(code, self._path)
        except BaseException as error:
            self._reserve.release()
            self.out_of_memory = is_of_memory(error)
            raise
        self._reserve.release()
        with suppress(Exception):  # what is looked at is the user's, and may be anything
            _say_what_was_not_called(code, self._path)


def _say_what_was_not_called(code: CodeType, path: str) -> None:
    module = sys.modules.get("__main__")
    file = os.path.basename(path)
    if (name := uncalled_handler(code)) and callable(getattr(module, name, None)):
        said = (
            f"usetl: {file} defines {name} and was run as a script, which calls nothing of it; the command "
            f'["{file}"] of a pod serves it, and usetl run without --script calls it\n'
        )
    elif (name := web_application(module)) and not is_imported(code, name):
        said = (
            f"usetl: {file} was run as a script; a pod without a command and with the annotation "
            f"usetl.dev/handler: {file.removesuffix('.py')}:{name} serves its {name}\n"
        )
    else:
        return
    with suppress(OSError):  # whatever sys.stderr is by now
        os.write(2, said.encode(errors="replace"))


def guarded(run: Callable[[], object]) -> int:
    """Runs something of the user's; exceptions end where Python itself would let them end."""
    try:
        run()
    except SystemExit as end:
        return exit_status(end)
    except BaseException as error:
        status = 130 if isinstance(error, KeyboardInterrupt) else 1
        try:
            _show(error, sys.excepthook)
        except SystemExit as end:
            return exit_status(end)
        except BaseException as another:
            with suppress(BaseException):  # nothing is left to say it with
                print("Error in sys.excepthook:", file=sys.stderr)
                _show(another, sys.__excepthook__)
                print("\nOriginal exception was:", file=sys.stderr)
                _show(error, sys.__excepthook__)
        return status
    return 0


def _show(error: BaseException, hook: Callable[..., object]) -> None:
    trace = own_frames(error.__traceback__)
    hook(type(error), error.with_traceback(trace), trace)


def exit_status(end: SystemExit) -> int:
    """What sys.exit(end.code) means for a process."""
    if end.code is None:
        return 0
    if isinstance(end.code, int):
        return end.code & 0xFF
    print(end.code, file=sys.stderr)
    return 1


def _run(code: CodeType, path: str) -> None:
    execute(code, path, "__main__")  # its module is not held on to


def use_stdin(path: str) -> None:
    """Makes the file standard input: descriptor and sys.stdin."""
    fd = os.open(path, os.O_RDONLY)
    os.dup2(fd, 0)
    if fd:
        os.close(fd)
    sys.stdin = sys.__stdin__ = open(0, encoding="utf-8", errors="surrogateescape", closefd=False)
