"""The lifespan protocol of ASGI: what an application does before its first and after its last
request."""

from __future__ import annotations

import asyncio
import sys
import traceback
from collections.abc import Awaitable, Callable
from typing import Any

from usetl.errors import UsetlError


class LifespanError(UsetlError):
    """The application says that it cannot start, or that its end went wrong."""


class Lifespan:
    """One task of the loop that spans everything in between. `state` is the application's to fill,
    and every request gets a copy."""

    def __init__(self, app: Callable[[Any, Any, Any], Awaitable[None]], state: dict) -> None:
        self._app = app
        self._state = state
        self._task: asyncio.Task[None] | None = None
        self._supported = False
        self._asked = False  # the application has received something
        self._failed: str | None = None

    async def startup(self) -> None:
        self._inbox: asyncio.Queue[dict[str, str]] = asyncio.Queue()
        self._started, self._stopped = asyncio.Event(), asyncio.Event()
        self._task = asyncio.create_task(self._run())
        self._inbox.put_nowait({"type": "lifespan.startup"})
        await self._started.wait()
        if self._failed is not None:
            raise LifespanError(self._failed or "the application failed to start")

    async def shutdown(self) -> None:
        if not self._supported or self._task is None:
            return
        self._inbox.put_nowait({"type": "lifespan.shutdown"})
        await self._stopped.wait()
        if self._failed is not None:
            raise LifespanError(self._failed or "the application failed to stop")

    async def _run(self) -> None:
        scope = {
            "type": "lifespan",
            "asgi": {"version": "3.0", "spec_version": "2.0"},
            "state": self._state,
        }
        try:
            await self._app(scope, self._receive, self._send)
        except Exception as error:
            if self._supported:
                self._failed = self._failed or f"{type(error).__name__}: {error}"
            if self._supported or self._asked or self._failed:
                traceback.print_exc(file=sys.stderr)
            # Otherwise it knows no lifespan, and is served without, as the specification wants it.
        finally:
            self._started.set()
            self._stopped.set()

    async def _receive(self) -> dict[str, str]:
        self._asked = True
        return await self._inbox.get()

    async def _send(self, message: dict[str, Any]) -> None:
        kind = message["type"]
        if kind == "lifespan.startup.complete":
            self._supported = True
            self._started.set()
        elif kind == "lifespan.shutdown.complete":
            self._stopped.set()
        elif kind in ("lifespan.startup.failed", "lifespan.shutdown.failed"):
            self._failed = message.get("message", "")
            (self._started if "startup" in kind else self._stopped).set()
        else:
            raise LifespanError(f"{kind} is no message of the lifespan protocol")
