"""Where the code of an HTTP function is: a file, a folder with a usual name in it, a module."""

from __future__ import annotations

import importlib
import os
import sys
from types import ModuleType
from typing import Any, NamedTuple

from usetl._code import read_code
from usetl._function import execute
from usetl.errors import HandlerError

FILES = (
    "func.py",
    "main.py",
    "app.py",
    "handler.py",
    "function.py",
    "index.py",
    "lambda_function.py",
)
_PACKAGE = "function"


class Place(NamedTuple):
    root: str  # the function's folder, where its imports begin
    file: str  # for sys.argv and, without a module, to be executed
    module: str | None
    handler: str | None


def locate(order: dict[str, Any]) -> Place:
    """From `path`, `target` and `handler` of a kLoad."""
    path, handler = order["path"], order.get("handler")
    target, colon, attribute = (order.get("target") or "").partition(":")
    if colon:
        handler = attribute
    if not os.path.isdir(path):
        root, name = os.path.split(path)
        if target in ("", name, name.removesuffix(".py")):
            return Place(root or "/", path, None, handler)
        path = root or "/"
    path = path.rstrip("/") or "/"
    if target.endswith(".py") or "/" in target:
        file = os.path.join(path, target)
        return Place(os.path.dirname(file), file, None, handler)
    if target:
        return Place(path, _file_of(path, target), target, handler)
    if handler and "." in handler:  # "module.function", as Lambda has it
        stem = handler.rpartition(".")[0].replace("/", ".")
        if os.path.isfile(file := _file_of(path, stem)):
            return Place(path, file, None, handler.rpartition(".")[2])
    for name in FILES:
        if os.path.isfile(file := os.path.join(path, name)):
            return Place(path, file, None, handler)
    for name in (f"{_PACKAGE}/__init__.py", f"{_PACKAGE}/func.py"):
        if os.path.isfile(file := os.path.join(path, name)):
            return Place(path, file, _PACKAGE, handler)
    raise HandlerError(
        f"{path} has none of {', '.join(FILES)} and no package {_PACKAGE}; name the file that it has"
    )


def _file_of(root: str, module: str) -> str:
    base = os.path.join(root, *module.split("."))
    package = os.path.join(base, "__init__.py")
    return package if os.path.isfile(package) else base + ".py"


def run(place: Place, order: dict[str, Any]) -> ModuleType:
    """Executes the function's file under the name `function`, or imports its module."""
    if place.module is None:
        code = read_code(place.file, order.get("code"), order.get("save_code"))
        return execute(code, place.file, "function")
    if place.module == _PACKAGE:
        sys.modules.pop(_PACKAGE, None)
    module = importlib.import_module(place.module)
    if place.module == _PACKAGE and place.handler is None and not hasattr(module, "new"):
        if not hasattr(module, "handle"):
            module = importlib.import_module(f"{_PACKAGE}.func")
    return module
