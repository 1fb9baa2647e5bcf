"""A loaded function that answers HTTP requests, whatever its convention."""

from __future__ import annotations

import traceback
from collections.abc import Callable
from typing import Any, Protocol

from usetl._context import Context
from usetl._http import choose, knative
from usetl._http.answer import Answer
from usetl._http.asgi import Asgi
from usetl._http.locate import Place, run
from usetl._http.plain import Plain
from usetl._http.request import Refusal, Request
from usetl._http.wsgi import Wsgi
from usetl._result_files import ResultFiles
from usetl._surroundings import surround
from usetl.errors import UsetlError


class Convention(Protocol):
    convention: str

    def serve(self, request: Request, context: Context, answer: Answer) -> None:
        """Gives the answer. May post it itself, when the function goes on after it."""


class WebFunction:
    def __init__(self, name: str, app: Convention, owner: Any = None) -> None:
        """`owner` is the object or module whose hooks count: an application has its own routes and
        its own protocol for start and end."""
        self.name = name
        self.convention = app.convention
        self._app = app
        self._probes = knative.probes(owner) if owner is not None else {}
        self._stop = getattr(owner, "stop", None)

    def serve(
        self, parts: dict[str, Any] | None, context: Context, number: int, files: ResultFiles
    ) -> bytes | None:
        """The payload of kResult; None when it has been posted."""
        if parts is None:
            raise UsetlError("this function was loaded to answer HTTP requests only")
        answer = Answer(number, files)
        try:
            request = context.http = Request(parts, number)
            if (hook := self._probes.get(request.path)) is not None:
                knative.probe(hook, answer)
            else:
                self._app.serve(request, context, answer)
        except Refusal as refusal:
            if answer.streaming:
                raise
            answer.text(refusal.status, f"{refusal}\n")
        except BaseException:
            if not answer.posted:
                raise
            traceback.print_exc()  # of what ran on in the background: the client has been served
        return None if answer.posted else answer.payload()

    @property
    def streams(self) -> bool:
        """Whether bodies of requests may come in pieces: applications read them as they like."""
        return isinstance(self._app, (Asgi, Wsgi))

    def stop_hooks(self) -> list[Callable[[], object]]:
        hooks: list[Callable[[], object]] = []
        if callable(stop := self._stop):
            hooks.append(lambda: knative.call(stop))
        if isinstance(self._app, Asgi):
            hooks.append(self._app.stop)
        return hooks


def load(place: Place, order: dict[str, Any]) -> WebFunction:
    """Runs the function's module, and what it does at its start."""
    surround(place.file, place.root, order)
    module = run(place, order)
    name, found = choose.pick(module, place.handler)
    if choose.makes_instance(name, found):
        instance = knative.instantiate(found)
        return WebFunction(name, _function("handle", instance.handle), instance)
    if choose.is_asgi(found) and name.rpartition(".")[2] != "handle":
        asgi = Asgi(found, lifespan=True)
        asgi.start()
        return WebFunction(name, asgi)
    if choose.is_wsgi(name, found):
        return WebFunction(name, Wsgi(found if callable(found) else found.wsgi_app))
    return WebFunction(name, _function(name, found), module)


def _function(name: str, found: Callable[..., Any]) -> Convention:
    """A function of the user's own, as opposed to an application made by a framework."""
    if choose.is_asgi(found):
        return Asgi(found, lifespan=False)
    return Plain(name, found, choose.parameters(found))
