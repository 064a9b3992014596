"""Charts made of characters, for terminals."""

from __future__ import annotations

from collections.abc import Sequence

from levelfield.units import plain

_EIGHTHS = " ▁▂▃▄▅▆▇█"


def draw_line(
    values: Sequence[float], title: str, *, marks: Sequence[int] = (), width: int = 72, height: int = 10
) -> str:
    """`values` as a filled curve of `width` x `height` characters with its range; `marks` are shown below it."""
    columns = min(width, len(values))
    spans = [
        (len(values) * c // columns, max(len(values) * (c + 1) // columns, len(values) * c // columns + 1))
        for c in range(columns)
    ]
    means = [sum(values[a:b]) / (b - a) for a, b in spans]
    top = max(max(means), 1e-300)
    lines = [title]
    for row in range(height, 0, -1):
        cells = [_EIGHTHS[max(0, min(8, round((mean / top * height - (row - 1)) * 8)))] for mean in means]
        label = f"{plain(top):>9} " if row == height else f"{0:9} " if row == 1 else " " * 10
        lines.append(label + "".join(cells))
    if marks:
        under = [" "] * columns
        for mark in marks:
            under[min(columns - 1, mark * columns // len(values))] = "^"
        lines.append(" " * 10 + "".join(under) + "  ^ hand-over")
    return "\n".join(lines)
