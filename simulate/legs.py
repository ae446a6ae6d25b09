"""Legs: the stretches of time in which one response holds for one seat.

A speaker who sits has one leg with gain 1. One who moves has a leg for every place on the way; the
gain of each rises while the gain of the one before falls, so that the gains of a seat are 1 in sum.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray


@dataclass(frozen=True, slots=True)
class Leg:
    """One response of one seat, and when it holds."""

    seat: int
    """Number of the seat in the plan."""
    fade: tuple[tuple[int, float], ...] = ()
    """(session sample of emission, gain), in order of time: linear between these, constant before
    and after; without any the gain is 1."""

    def is_silent(self, start: int, num_samples: int) -> bool:
        """Whether the gain is 0 all over a block of emission samples."""
        return bool(self.fade) and not np.any(self.gains(start, num_samples))

    def gains(self, start: int, num_samples: int) -> NDArray[np.float32]:
        """Gain at each emission sample of a block, shape ``[T]``.

        >>> Leg(0, ((0, 0.0), (4, 1.0))).gains(0, 6).tolist()
        [0.0, 0.25, 0.5, 0.75, 1.0, 1.0]
        """
        if not self.fade:
            return np.ones(num_samples, dtype=np.float32)
        samples, gains = zip(*self.fade, strict=True)
        at = np.arange(start, start + num_samples)
        return np.asarray(np.interp(at, samples, gains), dtype=np.float32)


def crossfades(seat: int, knots: Sequence[int]) -> tuple[Leg, ...]:
    """Legs that each hold fully at one knot and fade linearly into their neighbours.

    Args:
        seat: Number of the seat.
        knots: Session samples, strictly increasing; one leg each.

    >>> [leg.fade for leg in crossfades(0, [10, 20])]
    [((10, 1.0), (20, 0.0)), ((10, 0.0), (20, 1.0))]
    """
    if len(knots) == 1:
        return (Leg(seat),)
    legs = []
    for n, knot in enumerate(knots):
        fade = [(knot, 1.0)]
        if n > 0:
            fade.insert(0, (knots[n - 1], 0.0))
        if n + 1 < len(knots):
            fade.append((knots[n + 1], 0.0))
        legs.append(Leg(seat, tuple(fade)))
    return tuple(legs)
