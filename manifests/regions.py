"""Arithmetic on stretches of speech, in integer samples.

Shapes: spans are ``[N, 2]``, start and end (first sample after), int64.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Protocol

import numpy as np
from numpy.typing import ArrayLike, NDArray

from talkover.manifests.schema import PAUSE_JOIN, Supervision

Spans = NDArray[np.int64]


class Span(Protocol):
    """Anything with a start and an end in samples, such as `talkover.manifests.schema.TimeSpan`."""

    @property
    def start_sample(self) -> int: ...  # noqa: D102
    @property
    def end_sample(self) -> int: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True, slots=True)
class Occupancy:
    """How many samples had how many speakers."""

    by_count: tuple[int, ...]
    """Samples with 0, 1, 2, … speakers."""

    @property
    def speech(self) -> int:
        """Samples with at least one speaker."""
        return sum(self.by_count[1:])

    @property
    def overlap(self) -> int:
        """Samples with at least two."""
        return sum(self.by_count[2:])

    @property
    def silence(self) -> int:
        """Samples with none."""
        return self.by_count[0]

    @property
    def max_concurrent(self) -> int:
        """Most speakers at once."""
        return max((n for n, samples in enumerate(self.by_count) if samples), default=0)


def spans_of(items: Iterable[Span]) -> Spans:
    """Starts and ends of the items, as they come."""
    return as_spans([(item.start_sample, item.end_sample) for item in items])


def as_spans(values: ArrayLike) -> Spans:
    """Anything like ``[N, 2]``, also an empty list."""
    array: NDArray[Any] = np.asarray(values, dtype=np.int64)
    return array.reshape(-1, 2)


def join_spans(spans: ArrayLike, gap: int = 1) -> Spans:
    """Sorted, disjoint spans: those closer than ``gap`` samples become one, empty ones vanish.

    The default joins what touches or overlaps.

    >>> join_spans([(8, 9), (0, 5), (5, 6)]).tolist()
    [[0, 6], [8, 9]]
    """
    array = as_spans(spans)
    array = array[array[:, 1] > array[:, 0]]
    if len(array) == 0:
        return array
    array = array[np.argsort(array[:, 0], kind="stable")]
    ends = np.maximum.accumulate(array[:, 1])
    opens = np.concatenate([[True], array[1:, 0] - ends[:-1] >= max(gap, 1)])
    closes = np.concatenate([opens[1:], [True]])
    return np.stack([array[opens, 0], ends[closes]], axis=1)


def join_regions(spans: ArrayLike, sampling_rate: int, gap: float = PAUSE_JOIN) -> Spans:
    """Speech regions: spans joined over gaps shorter than ``gap`` seconds.

    >>> join_regions([(0, 1600), (3200, 4800), (8000, 9600)], 16000).tolist()
    [[0, 4800], [8000, 9600]]
    """
    return join_spans(spans, gap_samples(sampling_rate, gap))


def gap_samples(sampling_rate: int, gap: float = PAUSE_JOIN) -> int:
    """The shortest gap in samples that separates two regions."""
    return round(gap * sampling_rate)


def units_of(supervisions: Iterable[Supervision], sampling_rate: int) -> dict[str, Spans]:
    """Speech regions of each local speaker over all of its supervisions, speakers by name."""
    found: dict[str, list[tuple[int, int]]] = {}
    for supervision in supervisions:
        spans = found.setdefault(supervision.speaker_local, [])
        spans += [(r.start_sample, r.end_sample) for r in supervision.regions]
    return {name: join_regions(found[name], sampling_rate) for name in sorted(found)}


def occupancy(units: Mapping[str, Spans], num_samples: int) -> Occupancy:
    """How many speakers speak for how long in ``[0, num_samples)``.

    Args:
        units: Disjoint spans of each speaker.
        num_samples: Length of the session; what lies outside is not counted.
    """
    spans = np.clip(np.concatenate([as_spans([]), *units.values()]), 0, num_samples)
    times = np.concatenate([[0, num_samples], spans[:, 0], spans[:, 1]])
    ones = np.ones(len(spans), dtype=np.int64)
    steps = np.concatenate([[0, 0], ones, -ones])
    order = np.argsort(times, kind="stable")
    count = np.cumsum(steps[order])[:-1]
    lengths = np.diff(times[order])
    totals = np.zeros(len(units) + 1, dtype=np.int64)
    used = lengths > 0  # at one moment, ends and starts come in any order
    np.add.at(totals, count[used], lengths[used])
    return Occupancy(by_count=tuple(int(total) for total in totals))
