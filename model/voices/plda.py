"""A linear model of speakers (two-covariance PLDA), solved from sums over labelled stretches.

A stretch's statistics are a speaker's mean plus what differs from word to word, both normal
(Brümmer and de Villiers 2010, "The speaker partitioning problem", section 2). Along the directions
that part speakers best, the spread within a speaker is 1 and that between speakers `Plda.between`.

What a stretch says moves its statistics more than who says it. Where it is known (its kind: a word
of a small vocabulary), the mean over all stretches of that kind is taken out first.

Shapes: ``D`` statistics, ``S`` speakers, ``K`` directions, ``W`` stretches, ``C`` kinds.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.linalg import eigh

Array = NDArray[np.float64]

LEAST_OF_A_SPEAKER = 5
"""Stretches below which a speaker does not count."""

LEAST_SPEAKERS = 3
"""Below which there is nothing to compare."""

STEADY = 5.0
"""Stretches that a kind's mean is steadied by: with few, it is the mean of all."""

LEAST_BETWEEN = 1e-3
"""Of the variance between speakers, in that within: a direction is never worth nothing."""


@dataclass(frozen=True, kw_only=True)
class Sums:
    """Sums over labelled stretches: all that the solution needs."""

    counts: Array
    """``[S, C]`` stretches of each kind by each speaker."""
    firsts: Array
    """``[S, D]`` sum of each speaker's statistics."""
    kinds: Array
    """``[C, D]`` the same of each kind."""
    seconds: Array
    """``[D, D]`` sum of their outer products, over all speakers."""


@dataclass(frozen=True, kw_only=True)
class Plda:
    """See the module."""

    means: Array
    """``[C, D]``, of each kind."""
    scale: Array
    """``[D]``."""
    directions: Array
    """``[D, K]``."""
    between: Array
    """``[K]`` variance of speakers' means."""

    def project(self, statistics: Array, kinds: Sequence[int]) -> Array:
        """``[W, D]`` and what each says, ``[W]``, to ``[W, K]``."""
        centred = statistics - self.means[np.asarray(kinds, dtype=np.int64)]
        projected: Array = (centred / self.scale) @ self.directions
        return projected


def solve(sums: Sums, *, directions: int, ridge: float) -> Plda | None:
    """The model of some sums; None where too few speakers were heard.

    Args:
        sums: See `Sums`.
        directions: ``K``.
        ridge: Added to the spread within speakers, in its mean variance: with a hundred speakers
            the least of it is noise.
    """
    counts = sums.counts.sum(1)
    known = counts >= LEAST_OF_A_SPEAKER
    if known.sum() < LEAST_SPEAKERS:
        return None
    total = counts.sum()
    of_kinds, firsts, seconds = _without_kinds(sums)
    mean = firsts.sum(0) / total
    scale = np.sqrt(np.maximum(seconds.diagonal() / total - mean**2, 1e-12))
    means = (firsts[known] / counts[known, None] - mean) / scale  # [S, D]
    weights = counts[known]
    outer = (seconds / total - np.outer(mean, mean)) / np.outer(scale, scale)
    within = outer - (means * weights[:, None]).T @ means / total
    between = np.cov(means.T)
    size = len(mean)
    steadied = within + ridge * np.trace(within) / size * np.eye(size)
    _, vectors = eigh(between, steadied, subset_by_index=(max(0, size - directions), size - 1))
    spread = np.maximum(np.einsum("dk,de,ek->k", vectors, within, vectors), 1e-12)
    apart = np.einsum("dk,de,ek->k", vectors, between, vectors) - spread / weights.mean()
    # The sign of an eigenvector is arbitrary: the same sums must give the same bytes anywhere.
    signs = np.sign(vectors[np.abs(vectors).argmax(0), np.arange(vectors.shape[1])])
    return Plda(
        means=of_kinds + mean,
        scale=scale,
        directions=vectors * signs / np.sqrt(spread),
        between=np.maximum(apart / spread, LEAST_BETWEEN),
    )


def _without_kinds(sums: Sums) -> tuple[Array, Array, Array]:
    """Means of kinds, then the sums by speaker and of outer products without them."""
    counts = sums.counts.sum(0)[:, None]  # [C, 1]
    overall = sums.kinds.sum(0) / counts.sum()
    means = (sums.kinds + STEADY * overall) / (counts + STEADY)
    crossed = sums.kinds.T @ means
    seconds = sums.seconds - crossed - crossed.T + (counts * means).T @ means
    return means, sums.firsts - sums.counts @ means, seconds
