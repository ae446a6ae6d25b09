"""Pieces of the report's page: tables, counts, histograms; plain HTML and SVG, no script."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from html import escape
from typing import Any

import numpy as np

WIDTH, HEIGHT, BARS = 320, 120, 24
"""Pixels of a histogram, and its number of bars."""


def table(title: str, head: Sequence[str], rows: Iterable[Iterable[object]]) -> str:
    """A table under a title."""
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(str(cell))}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<h2>{escape(title)}</h2><table><tr>{cells}</tr>{body}</table>"


def counts(title: str, key: str, value: str, numbers: Mapping[Any, int]) -> str:
    """How often each thing occurs, under a title."""
    if not numbers:
        return f"<h2>{escape(title)}</h2><p>none</p>"
    return table(title, (key, value), [(k, f"{v:,}") for k, v in numbers.items()])


def histogram(caption: str, values: Sequence[float]) -> str:
    """An SVG of bars, or a line that says there is nothing to draw."""
    if not len(values):
        return f"<figure><figcaption>{escape(caption)}: no values</figcaption></figure>"
    low, high = float(np.min(values)), float(np.max(values))
    if high - low < 1e-9:
        low, high = low - 0.5, high + 0.5
    counts, _ = np.histogram(values, bins=BARS, range=(low, high))
    step = WIDTH / BARS
    bars = "".join(
        f'<rect x="{n * step:.1f}" y="{HEIGHT * (1 - c / counts.max()):.1f}" '
        f'width="{step - 1:.1f}" height="{HEIGHT * c / counts.max():.1f}" fill="#3b6ea5"/>'
        for n, c in enumerate(counts)
    )
    return (
        f'<figure><svg width="{WIDTH}" height="{HEIGHT}" role="img">{bars}</svg>'
        f"<figcaption>{escape(caption)}: {low:.2f} to {high:.2f}, "
        f"median {np.median(values):.2f}, {len(values):,} values</figcaption></figure>"
    )
