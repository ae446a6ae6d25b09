"""How alike two groups of voices are: by the angle of embeddings, or by a linear model of speakers.

A group is known by the sum of its voices, each times its weight, and by the sum of the weights.

Shapes: ``N`` groups, ``D`` width of an embedding, or directions of the linear model.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]


AS_LIKELY = 0.0
"""Log-odds of `SameSpeaker` from which two groups are one: as likely as not."""


class Likeness(Protocol):
    """Compares groups of voices."""

    def prepared(self, voices: Array) -> Array:
        """Voices ``[N, D]`` as they are summed."""
        ...

    def row(self, total: Array, mass: Array, one: int) -> Array:
        """How alike each group is to one of them, ``[N]``.

        Args:
            total: ``[N, D]`` sums of the voices of each group, times their weights.
            mass: ``[N]`` sums of the weights, above 0.
            one: Its number.
        """
        ...


@dataclass(frozen=True)
class Cosine:
    """Mean cosine between the voices of two groups, weighted."""

    def prepared(self, voices: Array) -> Array:
        """Of length 1."""
        length = np.linalg.norm(voices, axis=1, keepdims=True)
        return np.asarray(voices / np.where(length > 0, length, 1.0))

    def row(self, total: Array, mass: Array, one: int) -> Array:
        """See `Likeness`."""
        return np.asarray(total @ total[one] / (mass * mass[one]))


@dataclass(frozen=True)
class SameSpeaker:
    """Log-odds, in nats, that two groups are one speaker, under a two-covariance PLDA.

    Voices are statistics of words in the directions of `talkover.model.voices.plda.Plda`: within a
    speaker their variance is 1 over their weight. Brümmer and de Villiers 2010, section 2.
    """

    between: Array
    """``[D]`` variance of speakers' means."""

    def prepared(self, voices: Array) -> Array:
        """As they are."""
        return voices

    def row(self, total: Array, mass: Array, one: int) -> Array:
        """See `Likeness`."""
        together = self.evidence(total + total[one], mass + mass[one])
        return together - self.evidence(total, mass) - self.evidence(total[one], mass[one])

    def evidence(self, total: Array, mass: Array | float) -> Array:
        """Log-likelihood of groups as one speaker each, but for what does not depend on grouping.

        Args:
            total: ``[..., D]``.
            mass: ``[...]``.
        """
        growth = 1 + self.between * np.asarray(mass)[..., None]
        return np.asarray(0.5 * (self.between * total**2 / growth - np.log(growth)).sum(-1))
