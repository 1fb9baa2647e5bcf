"""Functions that are called with an event: `handler(event, context)`, Lambda's, `main(context)`."""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable
from types import CoroutineType
from typing import Any

from usetl._context import Context
from usetl._function import await_result, bind
from usetl._http import cloudevent
from usetl._http.answer import Answer
from usetl._http.lambda_event import lambda_event
from usetl._http.request import Request
from usetl._http.results import reply
from usetl.errors import HandlerError

MakeEvent = Callable[[Request, Context], Any]


class Plain:
    """Decides at load what the events are; _from_anything() says what when nothing is asked for."""

    def __init__(self, name: str, handler: Callable[..., Any], parameters: list[str]) -> None:
        self._call = bind(handler)
        self._event, self.convention = _choose(name, handler, parameters)

    def serve(self, request: Request, context: Context, answer: Answer) -> None:
        result = self._call(self._event(request, context), context)
        if type(result) is CoroutineType:
            result = await_result(result)
        reply(result, answer)


class RequestContext:
    """The one argument of Knative func's `main(context)`."""

    def __init__(self, request: Request, cloud_event: dict[str, Any] | None) -> None:
        self.request = request
        self.cloud_event = cloud_event


def _choose(name: str, handler: Callable[..., Any], parameters: list[str]) -> tuple[MakeEvent, str]:
    wanted = os.environ.get("USETL_EVENT", "")
    if wanted:
        if wanted not in _BY_NAME:
            raise HandlerError(f"USETL_EVENT is lambda, json or raw, not {wanted!r}")
        return _BY_NAME[wanted], wanted
    last = name.rpartition(".")[2]
    if parameters == ["context"]:
        return _request_context, "context"
    if last == "lambda_handler":
        return lambda_event, "lambda"
    kind = _annotation(handler, parameters)
    if last == "handle_event" or kind is not None:
        return (_event_object(kind) if callable(kind) else _cloud_event), "cloudevent"
    return _from_anything, "event"


def _from_anything(request: Request, context: Context) -> Any:
    """A CloudEvent; what the body is in JSON; the query when there is no body; for bodies of other
    types Lambda's event."""
    if cloudevent.carries_event(request):
        return cloudevent.from_request(request)
    if not request.has_body:
        return request.args
    if request.is_json:
        return request.json
    return lambda_event(request, context)


def _from_json(request: Request, context: Context) -> Any:
    return request.json if request.has_body else request.args


def _raw(request: Request, context: Context) -> bytes:
    return request.body


_BY_NAME: dict[str, MakeEvent] = {"lambda": lambda_event, "json": _from_json, "raw": _raw}


def _request_context(request: Request, context: Context) -> RequestContext:
    carries = cloudevent.carries_event(request)
    return RequestContext(request, cloudevent.from_request(request) if carries else None)


def _cloud_event(request: Request, context: Context) -> dict[str, Any]:
    return cloudevent.from_request(request)


def _annotation(handler: Callable[..., Any], parameters: list[str]) -> Any:
    """The type CloudEvent that the first parameter is annotated with, or its name; else None."""
    if not parameters:
        return None
    function = inspect.unwrap(handler)
    kind = getattr(function, "__annotations__", {}).get(parameters[0])
    if isinstance(kind, str):
        known = getattr(function, "__globals__", {})
        name = kind.strip("\"' ").rpartition(".")[2]
        return known.get(name, name) if name == "CloudEvent" else None
    return kind if getattr(kind, "__name__", "") == "CloudEvent" else None


def _event_object(kind: Callable[..., Any]) -> MakeEvent:
    """Events of the cloudevents package, whose classes take attributes and data."""

    def make(request: Request, context: Context) -> Any:
        event = cloudevent.from_request(request)
        data = event.pop("data", None)
        return kind(event, data)

    return make
