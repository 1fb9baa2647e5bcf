"""A loaded handler: found in its module, called with as much as it takes."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import Callable
from operator import attrgetter
from types import CodeType, CoroutineType, FunctionType, ModuleType
from typing import Any

from usetl._code import HANDLER_NAMES
from usetl.errors import HandlerError

Call = Callable[[Any, Any], Any]

_VARIABLE = inspect.CO_VARARGS | inspect.CO_VARKEYWORDS
_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


# Behind the name of a handler that is none.
_NAMED = "; it was named by --handler, or by the pod or its image"


def execute(code: CodeType, path: str, name: str) -> ModuleType:
    """Runs a module under `name`, findable for pickle and friends."""
    module = ModuleType(name)
    module.__file__ = path
    sys.modules[name] = module
    exec(code, module.__dict__)
    return module


def find(module: ModuleType, wanted: str | None) -> tuple[str, Callable[..., Any]]:
    """The handler and its name. `wanted` may be dotted, with or without the name of the file."""
    if wanted:
        name = wanted
        if "." in name or ":" in name:
            stem = os.path.splitext(os.path.basename(module.__file__ or ""))[0]
            name = name.replace(":", ".").removeprefix(stem + ".")
        try:
            found = attrgetter(name)(module)
        except AttributeError:
            raise HandlerError(f"{module.__file__} has no {wanted}{_NAMED}") from None
        if not callable(found):
            raise HandlerError(f"{wanted} is a {type(found).__name__}, not a function{_NAMED}")
        return name, found
    for name in HANDLER_NAMES:
        found = getattr(module, name, None)
        if callable(found):
            return name, found
    raise HandlerError(
        f"{module.__file__} defines none of handler(event, context), lambda_handler, main(event), handle(event); "
        + _others(module)
    )


def _others(module: ModuleType) -> str:
    """What to do about a module without a handler."""
    for name, found in vars(module).items():
        if inspect.isfunction(found) and found.__module__ == module.__name__ and not name.startswith("_"):
            return f"it defines {name}: name that, or one of these"
    return "define one, or name another"


def bind(function: Callable[..., Any]) -> Call:
    """`function` as something that takes event and context, decided once and not per call."""
    count = _arguments(function)
    if count == 0:
        return lambda event, context: function()
    if count == 1:
        return lambda event, context: function(event)
    return function


def _arguments(function: Callable[..., Any]) -> int:
    """How many of (event, context) to pass."""
    if type(function) is FunctionType and not function.__dict__:
        code = function.__code__  # the usual case; inspect.signature() touches 100 pages more
        if code.co_argcount == 2 and not code.co_flags & _VARIABLE and not code.co_kwonlyargcount:
            return 2
    try:
        parameters = inspect.signature(function).parameters.values()
    except ValueError:
        return 2  # written in C, and without a signature
    count = required = 0
    for parameter in parameters:
        needed = parameter.default is inspect.Parameter.empty
        if parameter.kind in _POSITIONAL:
            count += 1
            required += needed
        elif parameter.kind is inspect.Parameter.VAR_POSITIONAL:
            count = max(count, 2)
        elif parameter.kind is inspect.Parameter.KEYWORD_ONLY and needed:
            raise HandlerError(f"the handler must not require the keyword {parameter.name}")
    if required > 2:
        raise HandlerError(f"the handler must take event and context, not {required} arguments")
    return min(count, 2)


_runner: asyncio.Runner | None = None


def await_result(result: CoroutineType[Any, Any, Any]) -> Any:
    """What an async handler returns. One event loop for all events: clients that a function opens
    in it stay usable, and no event pays for making one."""
    global _runner
    if _runner is None:
        _runner = asyncio.Runner()
    return _runner.run(result)


def close_runner() -> None:
    """Ends the event loop, if there is one, and what still runs in it."""
    global _runner
    if _runner is not None:
        runner, _runner = _runner, None
        runner.close()
