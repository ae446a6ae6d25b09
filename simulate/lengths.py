"""How long each session is expected to be, and how many sessions make an amount of audio."""

from __future__ import annotations

from dataclasses import dataclass

from talkover.manifests.errors import ConfigurationError
from talkover.simulate.config import SimulationConfig
from talkover.simulate.conversation import TurnTaking

DEFAULT_SESSIONS = 10
"""Made where nobody says how much: enough to look at."""


@dataclass(frozen=True)
class SessionLengths:
    """Expected lengths of the sessions of a run; cheap, since they need no plan."""

    config: SimulationConfig
    turn_taking: TurnTaking
    seed: int

    def of(self, index: int) -> float:
        """Length of a session in seconds: as asked, or what its model expects."""
        return self.turn_taking.expected_length(self.seed, index, self.config)

    def sessions_for(self, hours: float) -> int:
        """Sessions that together come nearest to a number of hours; at least one."""
        wanted, total, count = hours * 3600, 0.0, 0
        while total < wanted:
            length = self.of(count)
            if count and total + length - wanted > wanted - total:
                break
            total += length
            count += 1
        return count

    def count(self, hours: float | None, sessions: int | None) -> int:
        """Number of sessions, said in one of two ways; `DEFAULT_SESSIONS` if in none.

        Raises:
            ConfigurationError: If both are given, or the amount is not positive.
        """
        check_amount(hours, sessions)
        if hours is not None:
            return self.sessions_for(hours)
        return DEFAULT_SESSIONS if sessions is None else sessions


def check_amount(hours: float | None, sessions: int | None) -> None:
    """Refuse an amount that is said twice or is not positive.

    Raises:
        ConfigurationError: With the option.
    """
    if hours is not None and sessions is not None:
        raise ConfigurationError("give either --hours or --sessions, not both")
    if hours is not None and not 0 < hours < float("inf"):
        raise ConfigurationError(f"--hours must be more than 0, got {hours}")
    if sessions is not None and sessions < 1:
        raise ConfigurationError(f"--sessions must be 1 or more, got {sessions}")
