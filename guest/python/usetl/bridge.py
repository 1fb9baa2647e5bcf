"""Lets unmodified HTTP clients reach the world through the host.

http.client, and with it urllib.request, requests, urllib3 and boto3, opens a connection by
connect() and then talks to `self.sock`. install() replaces connect(): the connection gets an object
that looks like a socket, reads what is sent as HTTP/1.1 and has the host carry the request out.
TLS is the host's business: `https` only changes the URL.

A server that the function itself has on the loopback is asked directly.
"""

from __future__ import annotations

import http.client
import importlib.abc
import importlib.util
import os
import socket
import ssl
import sys
from typing import Any

from usetl import _loopback
from usetl._exchange import Exchange


class BridgedSocket:
    """The part of socket.socket that HTTP clients use; good for one request."""

    def __init__(self, origin: str, timeout: float | None) -> None:
        self._exchange = Exchange(origin, timeout)
        self._fd = -1

    def sendall(self, data: Any, flags: int = 0) -> None:
        view = memoryview(data).cast("B")
        self._exchange.feed(view)

    def send(self, data: Any, flags: int = 0) -> int:
        self.sendall(data)
        return memoryview(data).nbytes

    def makefile(self, mode: str = "rb", buffering: int | None = None, **_: Any) -> Any:
        return self._exchange.reply(buffering)

    def fileno(self) -> int:
        """Something to poll: the answer can always be asked for, so it is always readable."""
        if self._fd < 0:
            self._fd = os.eventfd(1, os.EFD_CLOEXEC)
        return self._fd

    def settimeout(self, timeout: float | None) -> None:
        self._exchange.timeout = timeout

    def gettimeout(self) -> float | None:
        return self._exchange.timeout

    def setsockopt(self, *_: Any) -> None:
        """Options of TCP mean nothing here."""

    def shutdown(self, how: int) -> None:
        """Nothing to do: the end of a request is known from its headers."""

    def close(self) -> None:
        """The answer stays readable: http.client closes the socket before it reads the body."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            os.close(fd)

    def __del__(self) -> None:
        self.close()


def _connect(self: http.client.HTTPConnection, plain: Any) -> bool:
    """Takes the place of connect(), which was `plain`. A tunnel is not needed: the host goes to its
    end directly. True: the connection is a bridged one."""
    if getattr(self, "_usetl_plain", False):  # one with TLS calls the one without
        plain(self)
        return False
    if not self._tunnel_host and _loopback.is_loopback(self.host):
        self._usetl_plain = True
        try:
            plain(self)
            return False
        except Exception as error:
            if not _loopback.is_refused(error):
                raise
        finally:
            self._usetl_plain = False
    secure = isinstance(self, http.client.HTTPSConnection)
    host = self._tunnel_host or self.host
    port = self._tunnel_port or self.port
    name = f"[{host}]" if ":" in host and not host.startswith("[") else host
    if port != (443 if secure else 80):
        name = f"{name}:{port}"
    timeout = self.timeout
    if timeout is socket._GLOBAL_DEFAULT_TIMEOUT or not isinstance(timeout, (int, float)):
        timeout = socket.getdefaulttimeout()
    self.sock = BridgedSocket(f"{'https' if secure else 'http'}://{name}", timeout)
    return True


def _connect_urllib3(self: Any, plain: Any) -> None:
    """urllib3 keeps books of its own about what a connection has proved."""
    if _connect(self, plain):
        self.is_verified = True
        self.proxy_is_verified = None
        self._has_connected_to_proxy = False


def _replace_connect(kind: Any, connect: Any) -> None:
    plain = kind.connect
    kind.connect = lambda self: connect(self, plain)


class _Urllib3Finder(importlib.abc.MetaPathFinder):
    """urllib3 has its own connect(): patches it when it is imported, vendored copies included."""

    _busy = False

    def find_spec(self, fullname: str, path: Any, target: Any = None) -> Any:
        if self._busy or not f".{fullname}".endswith(".urllib3.connection"):
            return None
        self._busy = True
        try:
            spec = importlib.util.find_spec(fullname)
        finally:
            self._busy = False
        if spec is None or spec.loader is None:
            return None
        execute = spec.loader.exec_module

        def exec_module(module: Any) -> None:
            execute(module)
            secure = module.HTTPSConnection
            _replace_connect(secure, _connect_urllib3)
            _replace_connect(module.HTTPConnection, _connect_urllib3)

        spec.loader.exec_module = exec_module
        return spec


_no_trust: ssl.SSLContext | None = None


def _bare_context() -> ssl.SSLContext:
    """In place of a context with the system's certificates, which costs 20 ms to load per
    connection and is never used: the handshake happens on the host."""
    global _no_trust
    if _no_trust is None:
        _no_trust = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
    return _no_trust


def install() -> None:
    """Once, before the snapshot."""
    _replace_connect(http.client.HTTPSConnection, _connect)
    _replace_connect(http.client.HTTPConnection, _connect)
    _loopback.install()
    ssl._create_default_https_context = _bare_context
    sys.meta_path.insert(0, _Urllib3Finder())
