"""Random numbers for the walk of the floor, drawn in batches, and look-ups of distributions."""

from __future__ import annotations

from bisect import bisect_left
from math import erf, sqrt

import numpy as np
from scipy.special import ndtri

from talkover.simulate.turn_quantiles import TABLE_SIZE, look_up

BATCH = 512
"""Random numbers drawn at a time: single draws from numpy cost twenty times more."""
_SCORES: list[float] = ndtri((np.arange(TABLE_SIZE) + 0.5) / TABLE_SIZE).tolist()
"""Normal scores of the places in a quantile table."""


class Draws:
    """Uniform and normal numbers of one generator; the order of calls decides all."""

    def __init__(self, rng: np.random.Generator) -> None:
        """Nothing is drawn yet."""
        self._rng = rng
        self._uniform: list[float] = []
        self._normal: list[float] = []

    def uniform(self) -> float:
        """From 0 to 1."""
        if not self._uniform:
            self._uniform = self._rng.random(BATCH).tolist()
        return self._uniform.pop()

    def normal(self) -> float:
        """Standard normal."""
        if not self._normal:
            self._normal = self._rng.standard_normal(BATCH // 4).tolist()
        return self._normal.pop()

    def of(self, points: list[float]) -> float:
        """A value of a quantile table."""
        return look_up(points, self.uniform())

    def weighted(self, items: list[int], weights: list[float]) -> int:
        """One of the items, by weight."""
        left = self.uniform() * sum(weights)
        for item, weight in zip(items, weights, strict=True):
            left -= weight
            if left < 0:
                return item
        return items[-1]


def probability_of(score: float) -> float:
    """Standard normal distribution function."""
    return 0.5 * (1 + erf(score / sqrt(2)))


def score_of(points: list[float], value: float) -> float:
    """Normal score of a value in a quantile table."""
    return _SCORES[min(TABLE_SIZE - 1, max(0, bisect_left(points, value) - 1))]
