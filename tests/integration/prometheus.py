"""Prometheus' text format, version 0.0.4, read strictly."""

import math
import re

_NAME = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_SAMPLE = re.compile(rf"({_NAME})(?:\{{(.*)\}})? (\S+)")
_LABEL = re.compile(r'([a-zA-Z_][a-zA-Z0-9_]*)="((?:[^"\\\n]|\\[\\"n])*)"(?:,|$)')
_TYPES = ("counter", "gauge", "histogram", "summary", "untyped")


def parse(text: str) -> dict[str, dict[tuple[tuple[str, str], ...], float]]:
    """Samples by name, then by labels in their order. ValueError for whatever is not as it must be."""
    if not text.endswith("\n"):
        raise ValueError("the last line does not end")
    types: dict[str, str] = {}
    helps, samples, closed, family = set(), {}, set(), None
    for line in text[:-1].split("\n"):
        if line.startswith("# HELP "):
            name, _ = line[7:].split(" ", 1)
            _check(name not in helps, line)
            helps.add(name)
        elif line.startswith("# TYPE "):
            name, kind = line[7:].split(" ")
            _check(kind in _TYPES and name not in types, line)
            types[name] = kind
        else:
            match = _SAMPLE.fullmatch(line)
            _check(match is not None, line)
            name, labels, value = match.group(1), _labels(match.group(2) or "", line), float(match.group(3))
            owner = _family(name, types)
            _check(owner is not None and owner in helps, line)
            _check(owner == family or owner not in closed, f"{line}: the family is not in one piece")
            closed.add(owner)
            family = owner
            _check(labels not in samples.setdefault(name, {}), f"{line}: twice")
            _check(types[owner] != "counter" or (value >= 0 and name.endswith("_total")), line)
            samples[name][labels] = value
    for name, kind in types.items():
        if kind == "histogram":
            _check_histogram(name, samples)
    return samples


def _check(condition: bool, line: str) -> None:
    if not condition:
        raise ValueError(line)


def _labels(text: str, line: str) -> tuple[tuple[str, str], ...]:
    labels, at = [], 0
    while at < len(text):
        match = _LABEL.match(text, at)
        _check(match is not None, line)
        labels.append((match.group(1), match.group(2)))
        at = match.end()
    _check(len({name for name, _ in labels}) == len(labels), line)
    return tuple(labels)


def _family(name: str, types: dict[str, str]) -> str | None:
    if name in types:
        return name
    for suffix in ("_bucket", "_sum", "_count"):
        base = name.removesuffix(suffix)
        if base != name and types.get(base) in ("histogram", "summary"):
            return base
    return None


def _check_histogram(name: str, samples: dict) -> None:
    buckets: dict[tuple, list[tuple[float, float]]] = {}
    for labels, value in samples.get(f"{name}_bucket", {}).items():
        bound = float(dict(labels)["le"])
        buckets.setdefault(tuple(label for label in labels if label[0] != "le"), []).append((bound, value))
    for labels, series in buckets.items():
        bounds, counts = zip(*series)
        _check(list(bounds) == sorted(set(bounds)) and bounds[-1] == math.inf, name)
        _check(list(counts) == sorted(counts), name)
        _check(samples[f"{name}_count"][labels] == counts[-1], name)
        _check(samples[f"{name}_sum"][labels] >= 0, name)
