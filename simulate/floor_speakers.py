"""Who speaks next: by drawn shares and recency, or by what each has left of an asked share."""

from __future__ import annotations

from talkover.simulate.floor_draws import Draws
from talkover.simulate.floor_session import SessionSetting
from talkover.simulate.floor_state import FloorState
from talkover.simulate.turns import TurnModel

SHORTEST_UNIT = 0.3
"""Seconds; a session ends when less is left."""
LEAST_BUDGET = 1.5
"""Seconds; a unit is not cut shorter than this to meet a share of the talk."""


class SpeakerChoice:
    """The choice of speakers in one walk.

    Args:
        model: The turn-taking model.
        setting: The session's own values.
        state: Of the walk; read only.
        draws: Decides.
        limit: When the session ends, seconds.
    """

    def __init__(
        self,
        model: TurnModel,
        setting: SessionSetting,
        state: FloorState,
        draws: Draws,
        *,
        limit: float,
    ) -> None:
        """Nobody is left out yet."""
        self._join, self._returns = model.origin.join, model.speakers.returns
        self._setting, self._state, self._draws = setting, state, draws
        self._limit = limit
        self.rejected: set[int] = set()
        """Who had nothing to say for the pending proposal."""

    @property
    def everybody(self) -> list[int]:
        """All who are not rejected."""
        return [k for k in range(len(self._state.ends)) if k not in self.rejected]

    def free(self, start: float) -> list[int]:
        """Speakers other than the holder who may begin then."""
        return self._state.free(start, self._join, self.rejected)

    def choose(self, speakers: list[int]) -> int:
        """One of some speakers."""
        if self._setting.budget is None:
            weights = [self._setting.weights[k] for k in speakers]
        else:
            weights = [self._left(k) ** 2 for k in speakers]
        return self._draws.weighted(speakers, weights)

    def for_backchannel(self, start: float, duration: float) -> int | None:
        """Who says a backchannel, if anybody may."""
        free = self.free(start)
        if self._setting.budget is not None:
            free = [k for k in free if self._left(k) >= duration]
        return self.choose(free) if free else None

    def next_holder(self, start: float) -> tuple[int, float]:
        """A speaker who is free at `start`, or the first one to be, and when."""
        state = self._state
        free = self.free(start)
        if not free:
            others = [k for k in self.everybody if k != state.speaker]
            first = min(others, key=lambda k: state.ends[k])
            return first, max(start, state.ends[first] + self._join)
        if state.missing and self.is_urgent():
            return self.choose([k for k in free if k in state.missing] or free), start
        by_recency = self._setting.budget is None and state.before in free
        if by_recency and self._draws.uniform() < self._returns:
            return state.before, start
        return self.choose(free), start

    def is_urgent(self) -> bool:
        """The time left is needed for those who have not spoken."""
        missing = len(self._state.missing)
        return self._limit - self._state.end < 2.0 * self._setting.cycle * (missing + 1)

    def hold_odds(self) -> float:
        """Factor on the odds that the holder goes on."""
        state, budget = self._state, self._setting.budget
        if state.missing and self.is_urgent():
            return 0.0
        if budget is None or len(state.ends) == 1:
            return 1.0
        return budget.hold_odds(state.speaker, state.spoken, state.elapsed)

    def shortened(self, duration: float, speaker: int, start: float) -> float:
        """A duration that leaves others their time: who has not spoken, and asked shares."""
        state = self._state
        missing = len(state.missing)
        left = self._limit - state.end
        if missing and duration > left / (missing + 1):
            duration = max(SHORTEST_UNIT, left / (missing + 1))
        return min(duration, self.most_for(speaker, start))

    def most_for(self, speaker: int, start: float) -> float:
        """Seconds that a speaker's unit may have, to keep an asked share of the talk."""
        if self._setting.budget is None:
            return float("inf")
        return max(self._left(speaker), LEAST_BUDGET, self._state.end - start + SHORTEST_UNIT)

    def _left(self, speaker: int) -> float:
        """Seconds that a speaker has left to say, where shares of the talk are asked."""
        assert self._setting.budget is not None
        return self._setting.budget.left(speaker, self._state.spoken, self._state.elapsed)
