"""Header fields: parsing, lookup, and the checks that keep one field one field."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from typing import Union

from usetl.errors import BadRequest

HeadersLike = Union[Mapping[str, str], Iterable[tuple[str, str]]]

_NAME = re.compile(r"[!#$%&'*+\-.^_`|~0-9A-Za-z]+").fullmatch
_FORBIDDEN = re.compile(r"[\r\n\0]").search


class Headers(Mapping[str, str]):
    """Case-insensitive and ordered; a name may occur more than once.

    `headers["set-cookie"]` joins what occurs several times with ", "; get_all() keeps it apart.
    """

    __slots__ = ("_pairs", "_index")

    def __init__(self, pairs: Iterable[tuple[str, str]] = ()) -> None:
        self._pairs = list(pairs)
        self._index: dict[str, list[str]] = {}
        for name, value in self._pairs:
            self._index.setdefault(name.lower(), []).append(value)

    @classmethod
    def parse(cls, block: bytes) -> Headers:
        """From the host's "Name: value" lines, which it has checked."""
        pairs = []
        for line in block.decode("latin-1").split("\r\n"):
            name, colon, value = line.partition(":")
            if colon:
                pairs.append((name, value.strip(" \t")))
        return cls(pairs)

    def __getitem__(self, name: str) -> str:
        return ", ".join(self._index[name.lower()])

    def get_all(self, name: str) -> list[str]:
        """Every value of a field, in order; empty when there is none."""
        return list(self._index.get(name.lower(), ()))

    def pairs(self) -> list[tuple[str, str]]:
        """All fields as they came."""
        return list(self._pairs)

    def __contains__(self, name: object) -> bool:
        return isinstance(name, str) and name.lower() in self._index

    def __iter__(self) -> Iterator[str]:
        seen = set()
        for name, _ in self._pairs:
            if name.lower() not in seen:
                seen.add(name.lower())
                yield name

    def __len__(self) -> int:
        return len(self._index)

    def __repr__(self) -> str:
        return f"Headers({self._pairs!r})"


def encode(headers: HeadersLike | None, defaults: Mapping[str, str] = {}) -> bytes:
    """The header block of a request; `defaults` only where the caller said nothing."""
    pairs = list(headers.items() if isinstance(headers, Mapping) else headers or ())
    if isinstance(headers, Headers):
        pairs = headers.pairs()
    given = {name.lower() for name, _ in pairs}
    pairs += [(name, value) for name, value in defaults.items() if name.lower() not in given]
    lines = []
    for name, value in pairs:
        value = str(value)
        if not _NAME(name):
            raise BadRequest(f"not a header name: {name!r}")
        if _FORBIDDEN(value):
            raise BadRequest(f"line break or NUL in header {name}")
        lines.append(f"{name}: {value}\r\n")
    text = "".join(lines)
    try:
        return text.encode("latin-1")
    except UnicodeEncodeError:
        return text.encode("utf-8")
