"""Turns a CSV file with a header line into JSON lines, row by row in bounded memory.

Event: {"source": URL, "sink": URL, "columns": names to keep or absent, "types": {name: type}}
Types are int, float and bool; what cannot be converted becomes null and is counted.
"""

import csv
import json

import usetl

_CONVERT = {"int": int, "float": float, "bool": lambda text: text.lower() in ("1", "true", "yes")}


class Converter:
    """Rows in, JSON lines out; counts what it saw."""

    def __init__(self, columns, types):
        self.rows = 0
        self.nulls = 0
        self._columns = columns
        self._types = {name: _CONVERT[kind] for name, kind in types.items()}

    def lines(self, text):
        for row in csv.DictReader(text):
            self.rows += 1
            names = self._columns or row.keys()
            yield json.dumps({name: self._value(name, row[name]) for name in names}) + "\n"

    def _value(self, name, text):
        convert = self._types.get(name)
        if convert is None:
            return text
        try:
            return convert(text)
        except (TypeError, ValueError):
            self.nulls += 1
            return None


def _batches(lines, size=64 << 10):
    """Pieces worth sending: one write for many lines."""
    batch, length = [], 0
    for line in lines:
        batch.append(line)
        length += len(line)
        if length >= size:
            yield "".join(batch).encode()
            batch, length = [], 0
    yield "".join(batch).encode()


def main(event):
    converter = Converter(event.get("columns"), event.get("types", {}))
    with usetl.get(event["source"], stream=True) as source:
        source.raise_for_status()
        text = (line + "\n" for line in source.iter_lines())
        usetl.post(event["sink"], _batches(converter.lines(text))).raise_for_status()
    return {"rows": converter.rows, "nulls": converter.nulls}
