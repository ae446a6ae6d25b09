"""Closed loops of a walk: what is owed of overlap, silence and each speaker's share of the talk."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from talkover.simulate.turn_effects import NATURAL, WIDE

HORIZON_SHARE, HORIZON = 0.05, (8.0, 60.0)
"""Share of the session, and its bounds in seconds, over which a deficit of an *asked* overlap or
silence is made good."""
LOOSE_SHARE, LOOSE_HORIZON = 0.5, (30.0, 1200.0)
"""The same for a ratio drawn from the model: closer steering would distort the distributions."""
LARGEST_CORRECTION = 1.3
"""Factor by which steering may depart from a ratio drawn from the model."""
TRUST = 60.0
"""Seconds of a session after which its own density of speech counts as much as the expected."""
LEAST_LEFT = 0.02
"""Seconds; who has nothing left to say may still be the only one who is free."""


@dataclass(frozen=True, slots=True)
class Steering:
    """One ratio, held in a closed loop."""

    target: float
    horizon: float
    """Seconds over which what is owed is made good."""
    least: float
    most: float
    effects: tuple[float, float]
    """Least and most silence effect."""

    @classmethod
    def of(cls, target: float, length: float, *, asked: bool) -> Steering:
        """Close for an asked ratio, loose for a drawn one."""
        share, (shortest, longest) = (
            (HORIZON_SHARE, HORIZON) if asked else (LOOSE_SHARE, LOOSE_HORIZON)
        )
        horizon = min(longest, max(shortest, share * length))
        if asked:
            return cls(target, horizon, 0.0, 1.0, WIDE)
        least, most = target / LARGEST_CORRECTION, target * LARGEST_CORRECTION
        return cls(target, horizon, least, most, NATURAL)

    def corrected(self, owed: float) -> float:
        """The ratio to aim at, given the seconds that are owed."""
        return min(self.most, max(self.least, self.target + owed / self.horizon))


@dataclass(frozen=True, slots=True)
class TalkBudget:
    """Each speaker's share of the talk, as seconds that are left to say.

    Who has most left is the likeliest to be next and to go on, as in drawing without replacement,
    so the shares come out at the session's end whatever the units are.
    """

    shares: tuple[float, ...]
    seconds: float
    """Of the session, from the first start."""
    density: float
    """Expected seconds of speech of all speakers in a second."""

    def left(self, speaker: int, spoken: Sequence[float], elapsed: float) -> float:
        """Seconds that a speaker has left, some seconds after the first start."""
        said = sum(spoken)
        density = (said + TRUST * self.density) / (elapsed + TRUST)
        total = said + density * max(0.0, self.seconds - elapsed)
        return max(LEAST_LEFT, self.shares[speaker] * total - spoken[speaker])

    def hold_odds(self, speaker: int, spoken: Sequence[float], elapsed: float) -> float:
        """Factor on the odds that a speaker goes on: 1 if all have as much left."""
        left = [self.left(k, spoken, elapsed) for k in range(len(spoken))]
        return left[speaker] / (sum(left) - left[speaker]) * (len(left) - 1)
