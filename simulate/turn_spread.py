"""How a ratio differs between sessions: a Beta distribution, or two if sessions are of two sorts.

Meetings of one kind have ratios that are Beta distributed. Among clips of all kinds a few have ten
times the typical silence and none has nearly none, which no single Beta has.
"""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from math import log
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field
from scipy.special import betainc, betaincinv
from scipy.stats import beta

from talkover.simulate.turn_quantiles import Frozen, Share

Array = NDArray[np.float64]

LEAST_RATIO = 5e-4
"""Ratios below this are as good as none, and count as this in a likelihood."""
MOST_VARIANCE = 0.95
"""Of the variance that a mean allows."""
NO_SPREAD = 1e-12
MORE_PARAMETERS = 3
"""Of two Beta distributions over one; each must gain half the logarithm of the number of sessions
(Schwarz 1978)."""
ROUNDS = 200
"""Of expectation and maximisation; they settle in some dozens."""
LEAST_SHARE = 0.02
"""Of the sessions, for a sort of its own."""
FIRST_SPLIT = 0.8
"""Share of the sessions that count as ordinary at first."""
RATIOS = np.concatenate([[0.0], np.geomspace(1e-6, 0.05, 600), np.linspace(0.051, 1.0, 950)])
"""Ratios at which a mixture is tabulated."""
DIGITS = 4


class Sort(Frozen):
    """Sessions of one sort."""

    share: Share
    mean: Annotated[float, Field(gt=0, lt=1)]
    deviation: Annotated[float, Field(gt=0)]


class Spread(Frozen):
    """A ratio that differs between sessions, by its first two moments."""

    mean: Annotated[float, Field(gt=0, lt=1)]
    deviation: Annotated[float, Field(ge=0)]
    sorts: tuple[Sort, ...] = ()
    """Two sorts of sessions, whose mixture has the moments; none if one Beta says it all."""

    @classmethod
    def fitted(cls, ratios: Array) -> Self:
        """The spread of ratios of sessions, shape ``[N]``."""
        mean = round(float(np.clip(ratios.mean(), 1e-3, 1 - 1e-3)), DIGITS)
        one = cls(mean=mean, deviation=round(float(ratios.std()), DIGITS))
        sorts, gain = _two_sorts(np.clip(ratios, LEAST_RATIO, 1 - LEAST_RATIO))
        if gain <= MORE_PARAMETERS * log(len(ratios)) / 2:
            return one
        return one.model_copy(update={"sorts": sorts}).moved(one.mean, one.deviation)

    def moved(self, mean: float, deviation: float) -> Self:
        """The same shape with other moments."""
        sorts: Sequence[Sort] = self.sorts
        if sorts:
            centre = sum(s.share * s.mean for s in sorts)
            total = sum(s.share * (s.deviation**2 + (s.mean - centre) ** 2) for s in sorts)
            scale = deviation / total**0.5
            sorts = [
                Sort(
                    share=s.share,
                    mean=round(max(1e-3, mean + scale * (s.mean - centre)), DIGITS),
                    deviation=round(max(1e-4, scale * s.deviation), DIGITS),
                )
                for s in sorts
            ]
        return self.model_copy(
            update={
                "mean": round(mean, DIGITS),
                "deviation": round(deviation, DIGITS),
                "sorts": tuple(sorts),
            }
        )

    def quantile(self, probability: float) -> float:
        """The ratio at a probability; the mean if there is no spread."""
        if self.sorts:
            return float(np.interp(probability, self._below, RATIOS))
        shapes = _shapes(self.mean, self.deviation)
        return self.mean if shapes is None else float(betaincinv(*shapes, probability))

    def probability_below(self, ratio: float) -> float:
        """Share of sessions with a smaller ratio; one half if there is no spread."""
        if self.sorts:
            return float(np.interp(ratio, RATIOS, self._below))
        shapes = _shapes(self.mean, self.deviation)
        return 0.5 if shapes is None else float(betainc(*shapes, ratio))

    @cached_property
    def _below(self) -> Array:
        """Share of sessions below each of `RATIOS`."""
        below = np.zeros(len(RATIOS))
        for sort in self.sorts:
            shapes = _shapes(sort.mean, sort.deviation)
            step = (RATIOS >= sort.mean).astype(float)
            below += sort.share * (step if shapes is None else betainc(*shapes, RATIOS))
        return below


def _shapes(mean: float, deviation: float) -> tuple[float, float] | None:
    """Both parameters of a Beta distribution by its moments; None if there is no spread."""
    variance = min(deviation**2, MOST_VARIANCE * mean * (1 - mean))
    if variance <= NO_SPREAD:
        return None
    total = mean * (1 - mean) / variance - 1
    return mean * total, (1 - mean) * total


def _two_sorts(x: Array) -> tuple[tuple[Sort, ...], float]:
    """Two Beta distributions by expectation and maximisation, and what they gain over one."""
    if len(x) * LEAST_SHARE < 1 or x.std() < NO_SPREAD:
        return (), 0.0
    weights = (x > np.quantile(x, FIRST_SPLIT)).astype(float)[:, None]
    weights = np.hstack([1 - weights, weights])
    sorts: tuple[Sort, ...] = ()
    for _ in range(ROUNDS):
        sorts = tuple(_sort(x, column) for column in weights.T)
        parts = np.column_stack([s.share * _density(x, s) for s in sorts])
        weights = parts / parts.sum(axis=1, keepdims=True)
    one = _density(x, _sort(x, np.ones(len(x))))
    return sorts, float(np.log(parts.sum(axis=1)).sum() - np.log(one).sum())


def _sort(x: Array, weights: Array) -> Sort:
    """Moments of weighted ratios, rounded as they are stored."""
    share = float(np.clip(weights.mean(), LEAST_SHARE, 1))
    total = max(1e-9, float(weights.sum()))
    mean = float(weights @ x) / total
    deviation = (float(weights @ (x - mean) ** 2) / total) ** 0.5
    return Sort(share=round(share, DIGITS), mean=mean, deviation=max(1e-4, deviation))


def _density(x: Array, sort: Sort) -> Array:
    shapes = _shapes(sort.mean, sort.deviation)
    assert shapes is not None  # a deviation of 1e-4 is a spread
    return np.asarray(np.maximum(beta.pdf(x, *shapes), 1e-300))
