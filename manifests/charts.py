"""Histograms as text for a terminal and as SVG for a page; no dependency but numpy."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

BLOCKS = " ▁▂▃▄▅▆▇█"
COLUMNS, ROWS = 64, 6
"""Size of a chart in a terminal."""
WIDTH, HEIGHT, BINS = 420, 150, 60
"""Pixels of an SVG, and its number of bins."""
COLOURS = ("#3b6ea5", "#d1603d")
"""Of the first and the second series."""
LINES = 3.0
"""Pixels of a step in an SVG."""


def text_histogram(
    values: NDArray[np.float64], bounds: tuple[float, float], *, zero: bool = False
) -> list[str]:
    """A histogram as lines of blocks, with an axis below; values out of bounds are in the ends.

    Args:
        values: Any number of them.
        bounds: Seconds at the left and right end.
        zero: Mark the place of zero.
    """
    low, high = bounds
    counts, _ = np.histogram(np.clip(values, low, high), bins=COLUMNS, range=bounds)
    eighths = np.round(counts / max(1, counts.max()) * ROWS * (len(BLOCKS) - 1)).astype(int)
    step = len(BLOCKS) - 1
    lines = [
        "".join(BLOCKS[min(max(n - row * step, 0), step)] for n in eighths.tolist())
        for row in reversed(range(ROWS))
    ]
    place = round(-low / (high - low) * COLUMNS)
    marks = zero and 0 < place < COLUMNS
    if marks:
        lines = [line[:place] + (line[place] if line[place] != " " else "│") + line[place + 1 :]
                 for line in lines]  # fmt: skip
    axis = list("─" * COLUMNS)
    numbers = list(f"{low:<+.1f} s".ljust(COLUMNS))
    numbers[-7:] = f"{high:+.1f} s".rjust(7)
    if marks:
        axis[place] = "┴"
        numbers[place] = "0"
    return [*lines, "".join(axis), "".join(numbers)]


def svg_histogram(
    series: Mapping[str, NDArray[np.float64]], bounds: tuple[float, float], caption: str
) -> str:
    """Outlines of one or two histograms over each other, as shares; a line at zero.

    Args:
        series: Values by name.
        bounds: Seconds at the left and right end; values out of them are in the ends.
        caption: Below the drawing.
    """
    low, high = bounds
    shares = {
        name: np.histogram(np.clip(values, low, high), bins=BINS, range=bounds)[0]
        / max(1, len(values))
        for name, values in series.items()
    }
    top = max((float(s.max()) for s in shares.values()), default=0.0) or 1.0
    parts = []
    for colour, (name, share) in zip(COLOURS, shares.items(), strict=False):
        points = _steps(share / top)
        parts.append(
            f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="2">'
            f"<title>{escape(name)}</title></polyline>"
        )
    zero = (0 - low) / (high - low) * WIDTH
    if 0 < zero < WIDTH:
        parts.append(
            f'<line x1="{zero:.1f}" x2="{zero:.1f}" y1="0" y2="{HEIGHT}" stroke="#999" '
            'stroke-dasharray="4 3"/>'
        )
    names = ", ".join(
        f'<span style="color:{colour}">{escape(name)}</span>'
        for colour, name in zip(COLOURS, shares, strict=False)
    )
    return (
        f'<figure><svg width="{WIDTH}" height="{HEIGHT}" role="img">{"".join(parts)}</svg>'
        f"<figcaption>{escape(caption)}, {low:+.1f} to {high:+.1f} s: {names}</figcaption></figure>"
    )


def _steps(heights: Sequence[float] | NDArray[np.float64]) -> str:
    """Points of a step curve, heights from 0 to 1."""
    step = WIDTH / len(heights)
    points = []
    for n, height in enumerate(heights):
        y = HEIGHT - LINES - float(height) * (HEIGHT - 2 * LINES)
        points += [f"{n * step:.1f},{y:.1f}", f"{(n + 1) * step:.1f},{y:.1f}"]
    return " ".join(points)
