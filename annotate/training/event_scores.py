"""F1 of events, in frames of 0.1 s.

An event is found if one of its label begins within two frames of it and ends within two frames, or
a fifth of its length (the rule of the DCASE challenges; Mesaros et al. 2016).

Legend: ``S`` frame of 0.1 s.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

COLLAR = 2
"""Frames."""
LENGTH_SHARE = 0.2
Spans = list[tuple[int, int]]


@dataclass(frozen=True, kw_only=True)
class EventCounts:
    """Events that were there, that were said, and that match."""

    there: int = 0
    said: int = 0
    matched: int = 0

    def __add__(self, other: EventCounts) -> EventCounts:
        """Counts of both."""
        return EventCounts(
            there=self.there + other.there,
            said=self.said + other.said,
            matched=self.matched + other.matched,
        )

    @property
    def f1(self) -> float:
        """0 where there is nothing."""
        return 2 * self.matched / max(1, self.there + self.said)


def count_events(
    there: NDArray[np.bool_], said: NDArray[np.bool_], *, collar: int = COLLAR
) -> EventCounts:
    """Match the events of two tracks of frames, each at most once.

    Args:
        there: The truth.
        said: What was found.
        collar: Frames.
    """
    return match_spans(runs(there), runs(said), collar=collar)


def match_spans(real: Spans, claimed: Spans, *, collar: int = COLLAR) -> EventCounts:
    """The same for spans of frames."""
    if not real or not claimed:
        return EventCounts(there=len(real), said=len(claimed))
    fits = np.array([[is_found(one, other, collar) for other in claimed] for one in real])
    rows, columns = linear_sum_assignment(-fits.astype(np.float64))
    matched = int(fits[rows, columns].sum())
    return EventCounts(there=len(real), said=len(claimed), matched=matched)


def total_of(counts: Iterable[EventCounts]) -> EventCounts:
    """All of some counts."""
    return sum(counts, EventCounts())


def runs(on: NDArray[np.bool_]) -> Spans:
    """First frame of each run, and the first after it.

    >>> runs(np.array([True, False, True, True]))
    [(0, 1), (2, 4)]
    """
    steps = np.flatnonzero(np.diff(np.concatenate([[0], on.astype(np.int8), [0]])))
    return [(int(a), int(b)) for a, b in steps.reshape(-1, 2)]


def is_found(real: tuple[int, int], claimed: tuple[int, int], collar: int = COLLAR) -> bool:
    """Whether a claimed span counts as a real one: by its beginning, and its end."""
    slack = max(collar, LENGTH_SHARE * (real[1] - real[0]))
    return abs(real[0] - claimed[0]) <= collar and abs(real[1] - claimed[1]) <= slack
