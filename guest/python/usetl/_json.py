"""JSON of the mailbox: a decoder without detours, and one encoder for all values."""

from __future__ import annotations

from json import JSONDecoder, JSONEncoder
from json.encoder import c_make_encoder, encode_basestring
from typing import Any

# Without the regular expressions of loads(): (value, end) = decode(text, 0). The host is exact.
decode = JSONDecoder().scan_once

# What JSONEncoder(separators=(",", ":"), allow_nan=False, ensure_ascii=False).encode does, with one
# encoder for all values in place of one per call. Text stays readable: UTF-8, no escapes. NaN and
# Infinity are no JSON: an error here is better than one in whoever reads the result.
_open_containers: dict[int, Any] = {}
_encode_value = c_make_encoder(
    _open_containers, JSONEncoder().default, encode_basestring, None, ":", ",", False, False, False
)


encode_text = encode_basestring


def encode(value: Any) -> str:
    try:
        return "".join(_encode_value(value, 0))
    except BaseException:
        _open_containers.clear()  # it stopped inside of them
        raise
