"""Arithmetic on stretches of time: exact, by their boundaries, never by frames.

Shapes: ``N`` stretches, ``K`` speakers, ``E`` elementary intervals between neighbouring boundaries.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

Spans = NDArray[np.float64]
"""Starts and ends in seconds, shape ``[N, 2]``, sorted, disjoint."""


def join_spans(spans: Iterable[tuple[float, float]] | Spans) -> Spans:
    """Sorted spans, those that overlap or touch made one; spans of no length vanish.

    >>> join_spans([(2.0, 3.0), (0.0, 1.0), (0.5, 2.0)])
    array([[0., 3.]])
    """
    array = np.asarray(
        spans if isinstance(spans, np.ndarray) else list(spans), dtype=np.float64
    ).reshape(-1, 2)
    array = array[array[:, 1] > array[:, 0]]
    if len(array) == 0:
        return array
    array = array[np.argsort(array[:, 0], kind="stable")]
    ends = np.maximum.accumulate(array[:, 1])
    first = np.concatenate([[True], array[1:, 0] > ends[:-1]])
    last = np.concatenate([first[1:], [True]])
    return np.stack([array[first, 0], ends[last]], axis=1)


def total(spans: Spans) -> float:
    """Length of all spans together, seconds."""
    return float((spans[:, 1] - spans[:, 0]).sum())


def elementary_edges(*groups: Iterable[Spans]) -> NDArray[np.float64]:
    """All boundaries of the spans, sorted, each once, shape ``[E + 1]``."""
    parts = [spans.ravel() for group in groups for spans in group]
    return np.unique(np.concatenate(parts)) if parts else np.zeros(0)


def occupancy(spans: Spans, edges: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Which elementary intervals the spans cover, shape ``[E]``; their boundaries are edges."""
    if len(edges) == 0:
        return np.zeros(0, dtype=np.bool_)
    steps = np.zeros(len(edges), dtype=np.int64)
    np.add.at(steps, np.searchsorted(edges, spans[:, 0]), 1)
    np.add.at(steps, np.searchsorted(edges, spans[:, 1]), -1)
    return np.cumsum(steps[:-1]) > 0


def crowded_spans(activity: Mapping[str, Spans], num_speakers: int) -> Spans:
    """Where at least so many speakers are active."""
    edges = elementary_edges(activity.values())
    if len(edges) == 0:
        return np.zeros((0, 2))
    count = sum((occupancy(spans, edges).astype(int) for spans in activity.values()), start=0)
    chosen = np.asarray(count) >= num_speakers
    return join_spans(np.stack([edges[:-1][chosen], edges[1:][chosen]], axis=1))


def inside(times: Sequence[float], spans: Spans) -> list[bool]:
    """Whether each time lies in a span; a start belongs to its span, an end does not."""
    if len(spans) == 0 or len(times) == 0:
        return [False] * len(times)
    moments = np.asarray(times, dtype=np.float64)
    index = np.searchsorted(spans[:, 0], moments, side="right") - 1
    found = (index >= 0) & (moments < spans[np.maximum(index, 0), 1])
    return [bool(flag) for flag in found]
