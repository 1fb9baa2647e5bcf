"""What a function of USETL can use: requests through the host, its context; for modules of a runtime, snapshot hooks.

import usetl

def handler(event, context):
    rows = usetl.get(event["source"]).raise_for_status().body   # a memoryview, not a copy
    usetl.post(event["sink"], transform(rows))
"""

from __future__ import annotations

from typing import Any

from usetl._client import Data, request
from usetl._context import Context, context
from usetl.errors import (
    BadRequest,
    Cancelled,
    ConnectError,
    Denied,
    HTTPStatusError,
    NoSpace,
    ProtocolError,
    RequestError,
    ResolveError,
    Timeout,
    TlsError,
    TooLarge,
    TooManyRedirects,
    UsetlError,
)
from usetl.headers import Headers
from usetl.hooks import register_after_restore, register_before_snapshot
from usetl.response import Response


def get(url: str, **options: Any) -> Response:
    return request("GET", url, **options)


def head(url: str, **options: Any) -> Response:
    return request("HEAD", url, **options)


def post(url: str, data: Data = None, **options: Any) -> Response:
    """POST; `data` as request() describes it: bytes, text, a path, a file, an iterable."""
    return request("POST", url, data=data, **options)


def put(url: str, data: Data = None, **options: Any) -> Response:
    return request("PUT", url, data=data, **options)


def patch(url: str, data: Data = None, **options: Any) -> Response:
    return request("PATCH", url, data=data, **options)


def delete(url: str, data: Data = None, **options: Any) -> Response:
    return request("DELETE", url, data=data, **options)


__all__ = [
    "BadRequest",
    "Cancelled",
    "ConnectError",
    "Context",
    "Denied",
    "HTTPStatusError",
    "Headers",
    "NoSpace",
    "ProtocolError",
    "RequestError",
    "ResolveError",
    "Response",
    "Timeout",
    "TlsError",
    "TooLarge",
    "TooManyRedirects",
    "UsetlError",
    "context",
    "delete",
    "get",
    "head",
    "patch",
    "post",
    "put",
    "register_after_restore",
    "register_before_snapshot",
    "request",
]
