"""A loaded handler: found in its module, called with as much as it takes."""

from __future__ import annotations

import asyncio
import inspect
import os
import sys
from collections.abc import Callable
from operator import attrgetter
from types import CodeType, CoroutineType, ModuleType
from typing import Any

from usetl._code import HANDLER_NAMES
from usetl.errors import UsetlError

Call = Callable[[Any, Any], Any]

_POSITIONAL = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)


class HandlerError(UsetlError):
    """The module has no function that could take events."""


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
        stem = os.path.splitext(os.path.basename(module.__file__ or ""))[0]
        name = wanted.replace(":", ".").removeprefix(stem + ".")
        try:
            found = attrgetter(name)(module)
        except AttributeError:
            raise HandlerError(f"{module.__file__} has no {wanted}") from None
        if not callable(found):
            raise HandlerError(f"{wanted} is a {type(found).__name__}, not a function")
        return name, found
    for name in HANDLER_NAMES:
        found = getattr(module, name, None)
        if callable(found):
            return name, found
    raise HandlerError(
        f"{module.__file__} defines none of handler(event, context), main(event), handle(event)"
    )


def bind(function: Callable[..., Any]) -> Call:
    """`function` as something that takes event and context, decided once and not per call."""
    count = _arguments(function)
    call: Call
    if count == 0:
        call = lambda event, context: function()  # noqa: E731
    elif count == 1:
        call = lambda event, context: function(event)  # noqa: E731
    else:
        call = function
    return _await_result(call)


def _arguments(function: Callable[..., Any]) -> int:
    """How many of (event, context) to pass."""
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


def _await_result(call: Call) -> Call:
    """For what may return a coroutine. One event loop for all events: clients that a function
    opens in it stay usable, and no event pays for making one."""
    runner = asyncio.Runner()  # makes its loop at the first use

    def run(event: Any, context: Any) -> Any:
        result = call(event, context)
        if type(result) is CoroutineType:
            return runner.run(result)
        return result

    return run
