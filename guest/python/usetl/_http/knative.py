"""What Knative func's Python middleware does for a function: `new()`, health, start and stop."""

from __future__ import annotations

import os
from collections.abc import Callable
from inspect import isawaitable
from typing import Any

from usetl._function import await_result
from usetl._http.answer import Answer
from usetl.errors import HandlerError

LIVENESS, READINESS = "/health/liveness", "/health/readiness"
_HOOKS = {LIVENESS: "alive", READINESS: "ready"}


def instantiate(new: Callable[[], Any]) -> Any:
    """The object that `new()` makes, started."""
    instance = call(new)
    if not callable(getattr(instance, "handle", None)):
        raise HandlerError(f"new() returned a {type(instance).__name__}, which has no handle()")
    if callable(start := getattr(instance, "start", None)):
        call(start, dict(os.environ))
    return instance


def call(hook: Callable[..., Any], *arguments: Any) -> Any:
    """Calls what may be a coroutine function or not."""
    result = hook(*arguments)
    return await_result(_await(result)) if isawaitable(result) else result


async def _await(result: Any) -> Any:
    return await result


def probes(owner: Any) -> dict[str, Callable[..., Any]]:
    """alive() and ready() of an object or module, by path."""
    hooks = {path: getattr(owner, name, None) for path, name in _HOOKS.items()}
    return {path: hook for path, hook in hooks.items() if callable(hook)}


def probe(hook: Callable[..., Any], answer: Answer) -> None:
    """Answers with what the hook says: a truth value, or one with a message."""
    result = call(hook)
    healthy, message = result if isinstance(result, tuple) and len(result) == 2 else (result, "")
    answer.text(200 if healthy else 500, str(message or ("OK" if healthy else "not healthy")))
