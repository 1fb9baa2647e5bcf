"""Which of the conventions a function follows: told by its names and parameters."""

from __future__ import annotations

import inspect
from collections.abc import Callable
from types import FunctionType, ModuleType
from typing import Any

from usetl._function import find
from usetl.errors import HandlerError

_APPS = ("app", "application")
_HANDLERS = ("handler", "lambda_handler", "handle_event")
_LAST = ("main", "handle")
_ASGI = ["scope", "receive", "send"]


def parameters(function: Callable[..., Any]) -> list[str]:
    """Names of what is passed by position, without a bound `self`; empty when nobody can tell."""
    if type(function) is FunctionType and not function.__dict__:
        code = function.__code__
        return list(code.co_varnames[: code.co_argcount])
    try:
        found = inspect.signature(function).parameters.values()
    except (TypeError, ValueError):
        return []
    positional = (inspect.Parameter.POSITIONAL_ONLY, inspect.Parameter.POSITIONAL_OR_KEYWORD)
    return [parameter.name for parameter in found if parameter.kind in positional]


def is_asgi(found: Any) -> bool:
    if not callable(found):
        return False
    names = parameters(found)
    if names[:3] == _ASGI:
        return True
    is_async = inspect.iscoroutinefunction(found) or (
        not inspect.isfunction(found) and inspect.iscoroutinefunction(type(found).__call__)
    )
    return len(names) == 3 and is_async


def is_wsgi(name: str, found: Any) -> bool:
    """By its name when its parameters do not tell: an `app` that takes two arguments."""
    if callable(getattr(found, "wsgi_app", None)):
        return True
    if not callable(found):
        return False
    names = parameters(found)
    return names[1:2] == ["start_response"] or (
        name.rpartition(".")[2] in _APPS and len(names) == 2 and names != ["event", "context"]
    )


def web_application(module: object) -> str | None:
    """The name of the ASGI or WSGI application that a module has."""
    for name in _APPS:
        found = getattr(module, name, None)
        if is_asgi(found) or is_wsgi(name, found):
            return name
    return None


def makes_instance(name: str, found: Any) -> bool:
    """Knative's `new()`, and not something like hashlib.new that a module has imported."""
    return name.rpartition(".")[2] == "new" and callable(found) and not parameters(found)


def pick(module: ModuleType, wanted: str | None) -> tuple[str, Any]:
    """What answers requests, and its name: what is asked for, else the first that fits."""
    if wanted:
        return find(module, wanted)
    if makes_instance("new", new := getattr(module, "new", None)):
        return "new", new
    if is_asgi(handle := getattr(module, "handle", None)):
        return "handle", handle
    for name in _HANDLERS:
        if callable(found := getattr(module, name, None)):
            return name, found
    if name := web_application(module):
        return name, getattr(module, name)
    for name in _LAST:
        if callable(found := getattr(module, name, None)):
            return name, found
    raise HandlerError(
        f"{module.__file__} has nothing that answers HTTP requests: no new(), handle, handler, "
        "lambda_handler, handle_event, app, application, main; define one, or name another"
    )
