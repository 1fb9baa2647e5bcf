"""A suite as an SVG picture: a panel per unit, a bar per row, marks for peer, must and aim."""

import math
from html import escape

_COLORS = {"aim": "#2e7d32", "must": "#f9a825", "no": "#c62828", None: "#607d8b"}
_WIDTH, _LEFT, _RIGHT = 1120, 430, 130
_PLOT = _WIDTH - _LEFT - _RIGHT
_ROW, _HEAD, _AXIS, _GAP = 28, 26, 30, 18
_SPREAD = 20  # times further apart than this are drawn on a logarithmic scale; what adds up is not
_TIMES = ("ns", "us", "ms", "s")
_TITLES = {"usf": "the path of a USF and its memory", "start": "start of a function, request to first line",
           "etl": "GET a file and read every byte of it", "density": "many USFs at once",
           "cri": "pods over the CRI, beside containerd and runc"}


def _text(x: float, y: float, content: str, **style) -> str:
    extra = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in style.items())
    return f'<text x="{x:.1f}" y="{y:.1f}"{extra}>{escape(content)}</text>'


def _line(x1: float, y1: float, x2: float, y2: float, color: str, width: float = 1, dash: str = "") -> str:
    dashes = f' stroke-dasharray="{dash}"' if dash else ""
    return (f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{color}" '
            f'stroke-width="{width}"{dashes}/>')


def _number(value: float) -> str:
    return f"{value:,.0f}" if value >= 100 else f"{value:.3g}"


def _bounds(row: dict) -> dict[str, float]:
    """must and aim as values of the row's unit; a bound on a ratio becomes the value at which it is met."""
    if row["judge"] == "ratio":
        rate = row["unit"] == "1/s"  # more is better
        return {name: row["peer_p50"] * row[name] if rate else row["peer_p50"] / row[name]
                for name in ("must", "aim") if row[name]}
    return {name: row[name] for name in ("must", "aim") if row[name]}


class _Scale:
    def __init__(self, unit: str, values: list[float]):
        values = [value for value in values if value > 0] or [1.0]  # differences may be below
        low, high = min(values), max(values)
        self.log = unit in _TIMES and high / low > _SPREAD
        if self.log:
            self.first, self.last = math.floor(math.log10(low) - 0.05), math.ceil(math.log10(high))
            self.ticks = [10.0 ** power for power in range(self.first, self.last + 1)]
        else:
            step = 10 ** math.floor(math.log10(high))
            step = next(step * share for share in (0.2, 0.5, 1, 2) if high / (step * share) <= 6)
            self.ticks = [step * i for i in range(math.ceil(high / step) + 1)]

    def x(self, value: float) -> float:
        if self.log:
            share = (math.log10(max(value, self.ticks[0])) - self.first) / (self.last - self.first)
        else:
            share = value / self.ticks[-1]
        return _LEFT + share * _PLOT


def _bar(row: dict, scale: _Scale, y: float) -> list[str]:
    middle = y + _ROW / 2
    color = _COLORS[row["met"] if row["must"] is not None else None]
    end, far = scale.x(row["p50"]), scale.x(row["p99"])
    parts = [_text(_LEFT - 10, middle + 4, row["name"], text_anchor="end"),
             f'<rect x="{_LEFT}" y="{y + 6}" width="{max(1.0, end - _LEFT):.1f}" height="{_ROW - 12}" '
             f'fill="{color}"/>', _line(end, middle, far, middle, "#333")]
    if row["n"] > 1:
        parts.append(_line(far, middle - 4, far, middle + 4, "#333"))
    bounds = _bounds(row)
    if "must" in bounds:
        parts.append(_line(scale.x(bounds["must"]), y + 2, scale.x(bounds["must"]), y + _ROW - 2, "#000", 2.5))
    if "aim" in bounds:
        parts.append(_line(scale.x(bounds["aim"]), y + 2, scale.x(bounds["aim"]), y + _ROW - 2, "#000", 2, "3 2"))
    if row["peer_p50"]:
        x = scale.x(row["peer_p50"])
        parts.append(f'<path d="M{x:.1f} {middle - 6} l6 6 l-6 6 l-6 -6 z" fill="#fff" stroke="#1565c0" '
                     f'stroke-width="2"/>')
    ratio = f"  ({_number(row['ratio'])}x)" if row["ratio"] else ""
    parts.append(_text(_LEFT + _PLOT + 8, middle + 4, f"{_number(row['p50'])} {row['unit']}{ratio}"))
    return parts


def _panel(unit: str, rows: list[dict], y: float) -> tuple[list[str], float]:
    scale = _Scale(unit, [value for row in rows
                          for value in (row["p50"], row["p99"], row["peer_p50"] or 0, *_bounds(row).values())])
    top, bottom = y + _HEAD, y + _HEAD + _ROW * len(rows)
    parts = []
    for tick in scale.ticks:
        parts.append(_line(scale.x(tick), top, scale.x(tick), bottom, "#ddd"))
        parts.append(_text(scale.x(tick), bottom + 15, _number(tick) if tick else "0", text_anchor="middle",
                           fill="#555", font_size=11))
    kind = "logarithmic" if scale.log else "linear"
    parts.append(_text(_LEFT, y + 18, f"{unit}, {kind}", fill="#555"))
    for i, row in enumerate(rows):
        parts += _bar(row, scale, top + i * _ROW)
    return parts, bottom + _AXIS + _GAP


def _legend(y: float) -> list[str]:
    parts, x = [], 12.0
    for label, met in (("reaches the aim", "aim"), ("reaches the must", "must"), ("misses it", "no"),
                       ("reported only", None)):
        parts.append(f'<rect x="{x}" y="{y - 10}" width="14" height="11" fill="{_COLORS[met]}"/>')
        parts.append(_text(x + 19, y, label))
        x += 40 + 7 * len(label)
    parts += [_line(x, y - 12, x, y + 2, "#000", 2.5), _text(x + 8, y, "must"),
              _line(x + 64, y - 12, x + 64, y + 2, "#000", 2, "3 2"), _text(x + 72, y, "aim"),
              f'<path d="M{x + 122} {y - 11} l6 6 l-6 6 l-6 -6 z" fill="#fff" stroke="#1565c0" stroke-width="2"/>',
              _text(x + 134, y, "peer (ratio: how many times better)"),
              _line(x + 380, y - 5, x + 400, y - 5, "#333"), _line(x + 400, y - 9, x + 400, y - 1, "#333"),
              _text(x + 406, y, "p99")]
    return parts


def draw(suite: str, rows: list[dict]) -> str:
    body, y = [], 66.0
    for unit in dict.fromkeys(row["unit"] for row in rows):
        parts, y = _panel(unit, [row for row in rows if row["unit"] == unit], y)
        body += parts
    head = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{y:.0f}" '
            f'viewBox="0 0 {_WIDTH} {y:.0f}" font-family="sans-serif" font-size="13">',
            f'<rect width="{_WIDTH}" height="{y:.0f}" fill="#fff"/>',
            _text(12, 26, f"USETL: {_TITLES.get(suite, suite)} (p50)", font_size=17)]
    return "\n".join([*head, *_legend(50), *body, "</svg>", ""])
