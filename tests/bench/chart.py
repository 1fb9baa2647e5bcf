"""Bars of one suite as an SVG picture."""

from html import escape

_COLORS = {"aim": "#2e7d32", "must": "#f9a825", "no": "#c62828"}
_WIDTH, _ROW, _LEFT, _BAR = 900, 34, 380, 380


def bars(title: str, rows: list[dict]) -> str:
    """p50 as a share of what it must be (or of the peer): the dashed line is the bound."""
    height = 60 + _ROW * len(rows)
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{_WIDTH}" height="{height}" '
             f'font-family="sans-serif" font-size="13">',
             f'<text x="10" y="24" font-size="16">USETL, suite {escape(title)}</text>',
             f'<line x1="{_LEFT + _BAR / 2}" x2="{_LEFT + _BAR / 2}" y1="36" y2="{height - 10}" '
             f'stroke="#555" stroke-dasharray="4 3"/>']
    for i, row in enumerate(rows):
        y = 44 + i * _ROW
        judged = row["ratio"] if row["ratio"] is not None and row["peer"] else row["p50"]
        share = judged / row["must"] if row["must"] else 0
        width = max(2.0, min(1.0, share / 2) * _BAR)
        parts.append(f'<text x="10" y="{y + 16}">{escape(row["name"])}</text>')
        parts.append(f'<rect x="{_LEFT}" y="{y}" width="{width:.1f}" height="22" fill="{_COLORS[row["met"]]}"/>')
        ratio = f', ratio {row["ratio"]:.2f}' if row["ratio"] is not None else ""
        parts.append(f'<text x="{_LEFT + _BAR + 8}" y="{y + 16}">{row["p50"]:.2f} {row["unit"]}{ratio}</text>')
    return "\n".join(parts + ["</svg>", ""])
