"""Exceptions of the public API.

Whatever goes wrong with a request is also an OSError, and where Python has a type of its own for it
(TimeoutError, ConnectionError, PermissionError) that one too: code written for sockets keeps its
handlers, through the http.client bridge as well.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from usetl.response import Response


class UsetlError(Exception):
    """Base of everything this package raises."""


class HandlerError(UsetlError):
    """A function's file has nothing that could take its events."""


class RequestError(UsetlError, OSError):
    """A request that got no answer."""


class Denied(RequestError, PermissionError):
    """The policy of the function does not allow this destination or method."""


class ResolveError(RequestError):
    """The host name has no address."""


class ConnectError(RequestError, ConnectionError):
    """Refused or unreachable."""


class TlsError(RequestError):
    """The certificate or the handshake failed."""


class Timeout(RequestError, TimeoutError):
    """No complete answer in the time allowed."""


class TooLarge(RequestError):
    """Body or headers of the answer are beyond the limit."""


class ProtocolError(RequestError):
    """The peer does not speak HTTP: wrong length, half a body, endless headers."""


class TooManyRedirects(RequestError):
    """Redirects went on for too long or in a circle."""


class BadRequest(RequestError, ValueError):
    """The request itself is malformed."""


class NoSpace(RequestError):
    """The host region has no room for the body: release responses, or use stream=True."""


class Cancelled(RequestError):
    """The transaction was given up before it was complete."""


class HTTPStatusError(UsetlError):
    """raise_for_status() on a 4xx or 5xx answer."""

    def __init__(self, message: str, response: Response) -> None:
        super().__init__(message)
        self.response = response


# By HttpError of the ABI; what is not listed is kInternal.
_BY_CODE: dict[int, type[RequestError]] = {
    1: Denied,
    2: ResolveError,
    3: ConnectError,
    4: TlsError,
    5: Timeout,
    6: TooLarge,
    7: ProtocolError,
    8: TooManyRedirects,
    9: BadRequest,
    10: NoSpace,
    11: Cancelled,
}


def from_code(code: int, message: str) -> RequestError:
    """The exception for an error code of the host."""
    kind = _BY_CODE.get(code, RequestError)
    return kind(message or (kind.__doc__ or "").splitlines()[0])
