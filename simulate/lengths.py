"""How long each session is asked to be, and how many sessions make an amount of audio."""

from __future__ import annotations

from dataclasses import dataclass

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.seeds import generator
from talkover.simulate.config import SessionConfig
from talkover.simulate.turns import TurnModel

DEFAULT_SESSIONS = 10
"""Made where nobody says how much: enough to look at."""


@dataclass(frozen=True)
class SessionLengths:
    """Asked lengths of the sessions of a run; cheap, since they need no plan."""

    config: SessionConfig
    turn_model: TurnModel
    seed: int

    def of(self, index: int) -> float:
        """Asked length of a session in seconds."""
        rng = generator(self.seed, index, "length")
        if self.config.length is None:
            return float(self.turn_model.draw_length(rng))
        return float(rng.uniform(*self.config.length))

    def rank(self, length: float) -> float | None:
        """Share of the model's sessions that are shorter, where lengths are the model's."""
        if self.config.length is not None:
            return None
        return self.turn_model.sessions.length.probability_below(length)

    def sessions_for(self, hours: float) -> int:
        """Sessions that together reach a number of hours."""
        total, count = 0.0, 0
        while total < hours * 3600:
            total += self.of(count)
            count += 1
        return count

    def count(self, hours: float | None, sessions: int | None) -> int:
        """Number of sessions, said in one of two ways; `DEFAULT_SESSIONS` if in none.

        Raises:
            ConfigurationError: If both are given, or the amount is not positive.
        """
        if hours is not None and sessions is not None:
            raise ConfigurationError("give either --hours or --sessions, not both")
        if hours is not None:
            if not 0 < hours < float("inf"):
                raise ConfigurationError(f"--hours must be more than 0, got {hours}")
            return self.sessions_for(hours)
        if sessions is None:
            return DEFAULT_SESSIONS
        if sessions < 1:
            raise ConfigurationError(f"--sessions must be 1 or more, got {sessions}")
        return sessions
