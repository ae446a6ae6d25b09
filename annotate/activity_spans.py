"""From a probability per hop to stretches: hysteresis, filled gaps, least lengths.

Hysteresis keeps one stretch from breaking at every dip: it begins where the value reaches an upper
threshold and goes on until the value is under a lower one.

Legend: ``N`` hop, ``S`` stretch.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Stretches = NDArray[np.int64]  # [S, 2]: first hop or sample, and the first after it


@dataclass(frozen=True, kw_only=True, slots=True)
class Hysteresis:
    """When something begins, when it ends, and what is too short to count.

    Raises:
        ValueError: If not 0 < offset <= onset < 1, or a time is below 0.
    """

    onset: float = 0.5
    """Value at which a stretch begins."""
    offset: float = 0.35
    """Value under which it ends."""
    shortest: float = 0.0
    """Seconds; shorter stretches are dropped, after gaps are filled."""
    gap: float = 0.0
    """Seconds; shorter gaps are filled."""
    early: bool = False
    """Begin not at the onset, but where the value rose over the offset before it: a sound that
    swells is there before one is sure of it."""

    def __post_init__(self) -> None:
        """Check the values."""
        if not 0 < self.offset <= self.onset < 1:
            raise ValueError(f"needs 0 < offset <= onset < 1, got {self.offset}, {self.onset}")
        if self.shortest < 0 or self.gap < 0:
            raise ValueError(f"needs times of 0 or more, got {self.shortest}, {self.gap}")


def is_on(values: NDArray[np.floating], onset: float, offset: float) -> NDArray[np.bool_]:
    """On from a value of at least `onset` until one under `offset`; shape as given.

    >>> is_on(np.array([0.4, 0.6, 0.4, 0.2, 0.4]), 0.5, 0.3).astype(int)
    array([0, 1, 1, 0, 0])
    """
    decided = np.where(values >= onset, 1, np.where(values < offset, 0, -1))
    index = np.maximum.accumulate(np.where(decided >= 0, np.arange(len(values)), -1))
    return np.asarray((index >= 0) & (decided[np.maximum(index, 0)] == 1))


def is_on_early(values: NDArray[np.floating], onset: float, offset: float) -> NDArray[np.bool_]:
    """On where the value is at least `offset` and is at least `onset` before it is lower again.

    >>> is_on_early(np.array([0.4, 0.6, 0.4, 0.2, 0.4]), 0.5, 0.3).astype(int)
    array([1, 1, 1, 0, 0])
    """
    above = np.asarray(values >= offset)
    on = np.zeros(len(values), dtype=np.bool_)
    for start, end in stretches_of(above):
        on[start:end] = values[start:end].max() >= onset
    return on


def stretches_of(on: NDArray[np.bool_]) -> Stretches:
    """Runs of True, ``[S, 2]``.

    >>> stretches_of(np.array([True, False, True, True])).tolist()
    [[0, 1], [2, 4]]
    """
    padded = np.concatenate([[0], on.astype(np.int8), [0]])
    return np.flatnonzero(np.diff(padded)).reshape(-1, 2)


def joined(stretches: Stretches, gap: float) -> Stretches:
    """The same, with gaps shorter than `gap` filled; sorted and apart before and after.

    >>> joined(np.array([[0, 2], [3, 4], [9, 10]]), 2).tolist()
    [[0, 4], [9, 10]]
    """
    if len(stretches) == 0:
        return stretches
    breaks = np.flatnonzero(stretches[1:, 0] - stretches[:-1, 1] >= gap)
    starts = np.concatenate([stretches[:1, 0], stretches[breaks + 1, 0]])
    ends = np.concatenate([stretches[breaks, 1], stretches[-1:, 1]])
    return np.stack([starts, ends], axis=1)


def active_stretches(
    values: NDArray[np.floating], hop: int, num_samples: int, rate: int, rule: Hysteresis
) -> Stretches:
    """Stretches in samples where a curve is active, none beyond the recording; ``[S, 2]``.

    Args:
        values: One a hop, ``[N]``.
        hop: Samples.
        num_samples: Length of the recording.
        rate: Hz.
        rule: Thresholds and least lengths.
    """
    decide = is_on_early if rule.early else is_on
    found = stretches_of(decide(values, rule.onset, rule.offset)) * hop
    found = joined(found, rule.gap * rate)
    found = found[found[:, 1] - found[:, 0] >= rule.shortest * rate]
    found = np.minimum(found, num_samples)
    return found[found[:, 0] < found[:, 1]]


def mean_over(values: NDArray[np.floating], hop: int, start: int, end: int) -> float:
    """Mean of a curve over the samples from one to another, clipped to [0, 1]."""
    part = values[start // hop : -(-end // hop)]
    return float(np.clip(part.mean(), 0.0, 1.0)) if len(part) else 0.0
