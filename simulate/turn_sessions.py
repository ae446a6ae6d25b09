"""What differs between sessions: a Gaussian copula of length, speakers, ratios and traits.

Silent sessions have shorter units and more holds, lively ones more speakers, long ones less
silence. Each quantity keeps its own distribution (quantile function, shares, Beta, log-normal);
their normal scores are jointly normal (Sklar 1959), so any of them may be given and the others
follow. Nothing of a single session is kept.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from functools import cached_property, lru_cache
from itertools import combinations
from typing import Annotated, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, model_validator
from scipy.special import ndtri
from scipy.stats.qmc import Sobol

from talkover.manifests.seeds import generator
from talkover.simulate.turn_quantiles import Correlation, Frozen, Positive, Quantiles
from talkover.simulate.turn_spread import Spread

Array = NDArray[np.float64]

TRAITS = ("tempo", "holds", "cuts", "pauses")
AXES = ("length", "speakers", "overlap", "silence", *TRAITS)
MOST_SCORE = 2.5
"""Normal scores are bounded here: no session is odder than one in a hundred."""
ROUNDING = 1e-3
"""By which an eigenvalue of the correlations may be negative, since they are rounded."""
BLOCK = 1024
"""Points of an evenly spread sequence made at a time; a power of two is balanced best."""


class Response(Frozen):
    """How strongly each part follows a session's overlap or silence: exponents of one effect."""

    backchannels: Positive
    """Their rate, with the overlap effect."""
    interruptions: Positive
    """Their odds against switches, with the overlap effect."""
    overlaps: Positive
    """Their length, with the overlap effect."""
    inside: Annotated[float, Field(ge=0)] = 0.0
    """The length of backchannels, with the overlap effect."""
    gaps: Positive
    """Their length, with the silence effect."""
    pauses: Positive
    """Their length, with the silence effect."""


class Traits(Frozen):
    """Standard deviations between sessions of logarithms, beyond what the effects explain."""

    tempo: Annotated[float, Field(ge=0)] = 0.0
    """Of unit durations."""
    holds: Annotated[float, Field(ge=0)] = 0.0
    """Of the odds that the speaker goes on."""
    cuts: Annotated[float, Field(ge=0)] = 0.0
    """Of the odds of interruptions against switches."""
    pauses: Annotated[float, Field(ge=0)] = 0.0
    """Of the length of pauses, next to that of gaps."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Character:
    """What one session has of its own."""

    overlap: float
    """Share of speech time."""
    silence: float
    """Share of time."""
    tempo: float = 0.0
    """Logarithm of the factor on unit durations; the others are such too, see `Traits`."""
    holds: float = 0.0
    cuts: float = 0.0
    pauses: float = 0.0


class Sessions(Frozen):
    """What differs between sessions."""

    length: Quantiles
    overlap: Spread
    silence: Spread
    traits: Traits = Traits()
    correlations: dict[str, Correlation] = Field(default_factory=dict)
    """Of normal scores, by two names of `AXES` with a blank between; what is missing is 0."""
    response: Response

    @model_validator(mode="after")
    def _correlations_are_possible(self) -> Self:
        unknown = sorted(set(self.correlations) - set(PAIRS))
        if unknown:
            raise ValueError(f"correlations of {unknown[0]!r}: names are pairs of {AXES}")
        if np.linalg.eigvalsh(self.matrix).min() < -ROUNDING:
            raise ValueError("correlations contradict each other: the matrix has a negative root")
        return self

    @cached_property
    def matrix(self) -> Array:
        """Correlations of normal scores in the order of `AXES`, shape ``[8, 8]``."""
        matrix = np.eye(len(AXES))
        for (i, j), name in zip(combinations(range(len(AXES)), 2), PAIRS, strict=True):
            matrix[i, j] = matrix[j, i] = self.correlations.get(name, 0.0)
        return matrix

    def scores(self, noise: Array, known: Mapping[str, float]) -> dict[str, float]:
        """Normal scores of all axes.

        Args:
            noise: A standard normal number for each axis; those of known axes are not used.
            known: Scores that are given, by axis.
        """
        given = tuple(name for name in AXES if name in known)
        unknown, weights, factor = self._conditional(given)
        values = np.array([np.clip(known[name], -MOST_SCORE, MOST_SCORE) for name in given])
        drawn = weights @ values + factor @ noise[unknown]
        found = dict(zip(given, values.tolist(), strict=True))
        found |= {AXES[n]: float(v) for n, v in zip(unknown, drawn, strict=True)}
        return {name: float(np.clip(v, -MOST_SCORE, MOST_SCORE)) for name, v in found.items()}

    def _conditional(self, given: tuple[str, ...]) -> tuple[list[int], Array, Array]:
        """Unknown axes, their regression on the given ones, and a root of their covariance.

        The root is triangular: an axis depends on the noise of itself and of axes before it.
        """
        if given not in self._conditionals:
            some = [AXES.index(name) for name in given]
            rest = [n for n in range(len(AXES)) if n not in some]
            matrix = self.matrix
            weights = np.asarray(
                matrix[np.ix_(rest, some)] @ np.linalg.pinv(matrix[np.ix_(some, some)])
            )
            covariance = matrix[np.ix_(rest, rest)] - weights @ matrix[np.ix_(some, rest)]
            root = np.asarray(np.linalg.cholesky(covariance + ROUNDING * np.eye(len(rest))))
            self._conditionals[given] = rest, weights, root
        return self._conditionals[given]

    @cached_property
    def _conditionals(self) -> dict[tuple[str, ...], tuple[list[int], Array, Array]]:
        return {}


PAIRS = tuple(f"{a} {b}" for a, b in combinations(AXES, 2))
"""Names of the correlations."""


def score(probability: float) -> float:
    """The normal score of a probability, bounded."""
    return float(np.clip(ndtri(np.clip(probability, 1e-9, 1 - 1e-9)), -MOST_SCORE, MOST_SCORE))


def even_noise(seed: int, number: int) -> Array:
    """Standard normal numbers of session `number`, evenly spread over the sessions of a seed.

    Some hundred independent sessions are off by percents in mean tempo or silence; these are not.
    Each still depends on (seed, number) alone.
    """
    block, place = divmod(number, BLOCK)
    return np.asarray(_even_block(seed, block)[place])


@lru_cache(maxsize=8)
def _even_block(seed: int, block: int) -> Array:
    """Normal scores of a scrambled Sobol sequence (Owen 1998), shape ``[BLOCK, 8]``."""
    sequence = Sobol(len(AXES), scramble=True, rng=generator(seed, 0, "turns/even"))
    if block:
        sequence.fast_forward(block * BLOCK)
    return np.asarray(ndtri(np.clip(sequence.random(BLOCK), 1e-6, 1 - 1e-6)))
