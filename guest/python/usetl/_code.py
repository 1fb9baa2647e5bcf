"""From a file to a code object, and what can be told about it without running it."""

from __future__ import annotations

import importlib.util
import marshal
import opcode
import os
from types import CodeType

HANDLER_NAMES = ("handler", "lambda_handler", "main", "handle")

_PYC_HEADER = 16
_STORE_NAME = opcode.opmap["STORE_NAME"]
_LOAD_NAME = opcode.opmap["LOAD_NAME"]
_EXTENDED_ARG = opcode.opmap["EXTENDED_ARG"]


def read_code(path: str, compiled: str | None, save_as: str | None = None) -> CodeType:
    """Code of the file at `path`, from its .pyc when that fits this interpreter.

    The host keeps .pyc files by the digest of the source, so only the magic number is checked. It
    gets new ones from here (`save_as`): source is never compiled outside of a USF.
    """
    if compiled:
        data = _read(compiled)
        if data[:4] == importlib.util.MAGIC_NUMBER:
            return marshal.loads(memoryview(data)[_PYC_HEADER:])
    code = compile(_read(path), path, "exec", dont_inherit=True)
    if save_as:
        os.makedirs(os.path.dirname(save_as), exist_ok=True)
        with open(save_as, "wb", buffering=0) as file:
            header = importlib.util.MAGIC_NUMBER.ljust(_PYC_HEADER, b"\0")
            file.write(header + marshal.dumps(code))
    return code


def _read(path: str) -> bytes:
    """A file of the host region, whole. It does not change while it is read."""
    fd = os.open(path, os.O_RDONLY | os.O_CLOEXEC)
    try:
        return os.pread(fd, os.lseek(fd, 0, os.SEEK_END), 0)
    finally:
        os.close(fd)


def stored_names(code: CodeType) -> set[str]:
    """Names that the module itself binds: by def, import, assignment."""
    return _names_of(code, _STORE_NAME)


def _names_of(code: CodeType, operation: int) -> set[str]:
    names, arg, raw = set(), 0, code.co_code
    for at in range(0, len(raw), 2):
        arg = arg << 8 | raw[at + 1]
        if raw[at] == _EXTENDED_ARG:
            continue
        if raw[at] == operation:
            names.add(code.co_names[arg])
        arg = 0
    return names


def looks_like_script(code: CodeType) -> bool:
    """Decides for `auto`, before anything ran: a script must not run twice.

    A module that binds no handler name is a script. So is the usual `def main(): ...` with
    `if __name__ == "__main__": main()`, unless that main takes an event or a context.
    """
    if not any(name in code.co_names for name in HANDLER_NAMES):
        return True
    bound = stored_names(code)
    if any(name in bound for name in HANDLER_NAMES if name != "main"):
        return False
    if "main" not in bound:
        return True
    if "__name__" not in code.co_names or "__main__" not in code.co_consts:
        return False
    for const in code.co_consts:
        if isinstance(const, CodeType) and const.co_name == "main" and const.co_argcount:
            return const.co_varnames[0] not in ("event", "context")
    return True


def uncalled_handler(code: CodeType) -> str | None:
    """The handler of a module that is none but when it is served: run as a script it calls nothing.
    None when anything in it but its definition mentions it."""
    if looks_like_script(code):
        return None
    idle = stored_names(code) - _names_of(code, _LOAD_NAME) - _inner_names(code)
    name = next((name for name in HANDLER_NAMES if name in idle), None)
    return name if name is not None and _is_undecorated(code, name) else None


def is_imported(code: CodeType, name: str) -> bool:
    from dis import get_instructions  # hardly any script comes here

    before = ""
    for instruction in get_instructions(code):
        if instruction.opname == "STORE_NAME" and instruction.argval == name:
            return before in ("IMPORT_NAME", "IMPORT_FROM")
        before = instruction.opname
    return True


def _is_undecorated(code: CodeType, name: str) -> bool:
    from dis import get_instructions  # hardly any script comes here

    made = decorated = False
    for instruction in get_instructions(code):
        operation = instruction.opname
        if operation == "STORE_NAME" and instruction.argval == name:
            return not decorated
        decorated = made and operation in ("PRECALL", "CALL", "CALL_FUNCTION")
        made = decorated or operation in ("MAKE_FUNCTION", "SET_FUNCTION_ATTRIBUTE")
    return True


def _inner_names(code: CodeType) -> set[str]:
    names: set[str] = set()
    for const in code.co_consts:
        if isinstance(const, CodeType):
            names |= {*const.co_names} | _inner_names(const)
    return names
