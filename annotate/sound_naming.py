"""Which kind of sound event a stretch holds.

When something sounds is read from one curve, that of any sound event; what it is from the curves of
the kinds over the whole stretch. Edges are told better by what all sounds have in common, and a
kind is told better from a whole sound than from each of its moments.

Legend: ``N`` hop, ``S`` stretch, ``K`` kind.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.activity_spans import Stretches


@dataclass(frozen=True, kw_only=True, slots=True)
class NamedStretch:
    """A stretch of hops and its kind, if it has one."""

    start: int
    end: int
    kind: int | None
    """Column of the kind's curve; None where no kind is likely enough."""
    confidence: float
    """Mean of the likeliest kind's curve over the stretch."""


def name_stretches(
    found: Stretches, curves: NDArray[np.floating], least: NDArray[np.floating]
) -> list[NamedStretch]:
    """Each stretch with its likeliest kind, if that is likely enough.

    Args:
        found: Hops, ``[S, 2]``.
        curves: Probability of each kind, ``[N, K]``.
        least: Mean probability that each kind needs, ``[K]``.

    >>> curves = np.array([[0.1, 0.6], [0.3, 0.8], [0.2, 0.0]])
    >>> [one.kind for one in name_stretches(np.array([[0, 2], [2, 3]]), curves, np.full(2, 0.5))]
    [1, None]
    """
    named = []
    for start, end in found.tolist():
        means = curves[start:end].mean(axis=0)
        best = int(np.argmax(means))
        kind = best if means[best] >= least[best] else None
        named.append(NamedStretch(start=start, end=end, kind=kind, confidence=float(means[best])))
    return named
