"""CloudEvents 1.0 over HTTP: binary and structured requests to dictionaries, and back."""

from __future__ import annotations

from typing import Any
from urllib.parse import quote, unquote

from usetl._http.answer import AnswerError
from usetl._http.request import Refusal, Request, parse_base64, parse_json
from usetl._json import encode

_REQUIRED = ("specversion", "id", "source", "type")
_STRUCTURED = "application/cloudevents+json"
_BATCH = "application/cloudevents-batch"
_ATTRIBUTE = frozenset("abcdefghijklmnopqrstuvwxyz0123456789")
# What header values keep as it is: printable ASCII without space, quote and percent sign.
_PRINTABLE = "".join(map(chr, range(0x21, 0x7F))).replace('"', "").replace("%", "")


def carries_event(request: Request) -> bool:
    """Whether the request is an event; a batch of them is refused."""
    kind = request.media_type
    if kind.startswith(_BATCH):
        raise Refusal(415, "batches of CloudEvents are not supported")
    return kind == _STRUCTURED or request.field("ce-specversion") != ""


def from_request(request: Request) -> dict[str, Any]:
    """The attributes and, when there is any, `data`: what JSON says, text, else bytes."""
    if not carries_event(request):
        raise Refusal(400, "the request is not a CloudEvent")
    event = _structured(request) if request.media_type == _STRUCTURED else _binary(request)
    for name in _REQUIRED:
        if not isinstance(event.get(name), str) or not event[name]:
            raise Refusal(400, f"the CloudEvent has no {name}")
    if event["specversion"] != "1.0":
        raise Refusal(400, f"CloudEvents {event['specversion'][:20]} are not supported")
    return event


def _structured(request: Request) -> dict[str, Any]:
    event = parse_json(request.text)
    if not isinstance(event, dict):
        raise Refusal(400, "a CloudEvent in JSON is an object")
    if "data_base64" in event:
        event["data"] = parse_base64(event.pop("data_base64"))
    return event


def _binary(request: Request) -> dict[str, Any]:
    event: dict[str, Any] = {}
    for name, value in request.pairs:
        if name.startswith("ce-"):
            event[name[3:]] = unquote(value)
    event.pop("data", None)
    if kind := request.headers.get("content-type"):
        event["datacontenttype"] = kind
    if request.has_body:
        if request.is_json:
            event["data"] = request.json
        else:
            event["data"] = request.text if request.media_type.startswith("text/") else request.body
    return event


def is_event(value: Any) -> bool:
    """A dictionary with attributes, or an object of the cloudevents package."""
    return (isinstance(value, dict) and "specversion" in value) or hasattr(value, "get_attributes")


def to_binary(value: Any) -> tuple[list[tuple[str, str]], bytes]:
    """Headers and body of an event in binary mode."""
    if isinstance(value, dict):
        attributes, data = value, value.get("data")
    else:
        attributes, data = value.get_attributes(), value.get_data()
    for name in _REQUIRED:
        if not attributes.get(name):
            raise AnswerError(f"the CloudEvent that was returned has no {name}")
    headers = []
    for name, one in attributes.items():
        if name in ("data", "data_base64", "datacontenttype") or one is None:
            continue
        if not isinstance(name, str) or not name or not _ATTRIBUTE.issuperset(name):
            raise AnswerError(f"not the name of a CloudEvents attribute: {name!r}")
        headers.append((f"ce-{name}", quote(_text(one), safe=_PRINTABLE)))
    kind = attributes.get("datacontenttype")
    if data is None and isinstance(value, dict) and "data_base64" in value:
        data = parse_base64(value["data_base64"])
    if data is None:
        return headers, b""
    body, default = _data(data, kind)
    return [*headers, ("content-type", kind or default)], body


def _text(value: Any) -> str:
    """An attribute in its canonical form: booleans in lower case, times as RFC 3339."""
    if isinstance(value, bool):
        return "true" if value else "false"
    return value.isoformat() if hasattr(value, "isoformat") else str(value)


def _data(data: Any, kind: str | None) -> tuple[bytes, str]:
    """Bytes as they are, text unless the type says JSON, anything else as JSON."""
    if isinstance(data, (bytes, bytearray, memoryview)):
        return bytes(data), "application/octet-stream"
    media = (kind or "").partition(";")[0].strip().lower()
    as_json = media == "application/json" or media.endswith("+json")
    if isinstance(data, str) and not as_json:
        return data.encode(), "text/plain; charset=utf-8"
    return encode(data).encode(), "application/json"
