"""Servers that a function has on its own loopback."""

from __future__ import annotations

import ipaddress
import socket
import sys
from typing import Any


def is_loopback(host: str) -> bool:
    """Whether a connection to it ends in this USF; the unspecified addresses do so on Linux."""
    name = host.strip("[]").lower().rstrip(".")
    if name == "localhost":
        return True
    try:
        address = ipaddress.ip_address(name)
    except ValueError:
        return False
    return address.is_loopback or address.is_unspecified


def is_refused(error: BaseException | None) -> bool:
    """Whether nobody listens in this USF: then the address may still mean something to the host.
    Clients wrap the error in one of their own."""
    while error is not None:
        if isinstance(error, ConnectionRefusedError):
            return True
        error = error.__cause__ or error.__context__
    return False


_listen = socket.socket.listen
_said = False


def _listen_and_say(self: socket.socket, *arguments: Any) -> None:
    """A server that waits for the world waits in vain: it must not do so silently."""
    global _said
    _listen(self, *arguments)
    if _said or self.family not in (socket.AF_INET, socket.AF_INET6):
        return
    host, port = self.getsockname()[:2]
    if ipaddress.ip_address(host).is_loopback:
        return
    _said = True
    print(
        f"usetl: the server on port {port} is reached from within this function only: requests "
        "come to a handler, a WSGI or an ASGI application",
        file=sys.stderr,
    )


def install() -> None:
    """Once, before the snapshot."""
    socket.socket.listen = _listen_and_say  # type: ignore[method-assign]
