"""How the unit that holds the floor ends, and what lies inside it.

Decided when the unit is placed, from its duration and the effects that the session's ratios need.
"""

from __future__ import annotations

from math import exp, log, sqrt

from talkover.simulate.floor_draws import Draws, probability_of, score_of
from talkover.simulate.floor_state import FloorState
from talkover.simulate.turn_effects import tilted_rows
from talkover.simulate.turn_quantiles import look_up
from talkover.simulate.turn_sessions import Character
from talkover.simulate.turns import Kind, TurnModel

REDRAWS = 6
"""Draws of an offset or a backchannel until it fits into the unit it overlaps."""
EPSILON = 1e-9

Change = tuple[Kind, float]
"""A kind of change of the floor, and its offset from the floor's end in seconds."""


class ChangeLaw:
    """The model's law of changes in one session.

    Args:
        model: The turn-taking model.
        character: The session's.
        draws: Decides.
        alone: There is one speaker, who can only go on.
        backchannel_scale: Factor on the rate of backchannels.
    """

    def __init__(
        self,
        model: TurnModel,
        character: Character,
        draws: Draws,
        *,
        alone: bool,
        backchannel_scale: float,
    ) -> None:
        """Prepare what does not change from unit to unit."""
        self._model, self._draws, self._alone = model, draws, alone
        self._scale = backchannel_scale
        self._response = model.sessions.response
        kinds: tuple[Kind, Kind, Kind] = ("hold", "switch", "interruption")
        self._rows = dict(zip(kinds, tilted_rows(model, character), strict=True))
        self._tempo, self._pauses = exp(character.tempo), exp(character.pauses)
        self._memory, self._innovation = model.memory, sqrt(1 - model.memory**2)
        self._with_unit = model.pauses_with_unit
        self._own_pause = sqrt(1 - self._with_unit**2)
        self._score = 0.0
        self._below = model.offsets.probability_below(0.0)

    def change(
        self, state: FloorState, x: float, y: float, *, holds: float, overlaps: bool
    ) -> Change:
        """Kind and offset of the next change of the floor.

        Args:
            state: With the unit that holds the floor.
            x: Overlap effect.
            y: Silence effect.
            holds: Factor on the odds that the speaker goes on.
            overlaps: There may be interruptions.
        """
        hold, switch, cut = self._rows[state.kind]
        chance = hold * holds / (hold * holds + 1 - hold)
        if self._alone or self._draws.uniform() < chance:
            return "hold", self._pause(state.end - state.start, y)
        odds = cut / max(switch, EPSILON) * exp(self._response.interruptions * x)
        return self._transfer(state.end - state.start, odds if overlaps else 0.0, x, y)

    def _pause(self, duration: float, y: float) -> float:
        """A pause after a unit of a duration; its shortest part follows no effect."""
        model, draws = self._model, self._draws
        before = score_of(model.unit_points, duration / self._tempo) if self._with_unit else 0.0
        score = self._with_unit * before + self._own_pause * draws.normal()
        pause, pivot = look_up(model.pauses.points, probability_of(score)), model.pause_pivot
        if pause > pivot:
            pause = pivot + (pause - pivot) * exp(self._response.pauses * y) * self._pauses
        return max(model.origin.join, pause)

    def _transfer(self, duration: float, odds: float, x: float, y: float) -> Change:
        """Another speaker, after a gap or, by the odds, before the end; remembers the offset."""
        chance, below = odds / (1 + odds), self._below
        points = self._model.offsets.points
        for _ in range(REDRAWS):
            score = self._memory * self._score + self._innovation * self._draws.normal()
            u = probability_of(score)
            if u >= chance:
                self._score = score
                place = below + (1 - below) * (u - chance) / (1 - chance)
                gap = max(0.0, look_up(points, place)) * exp(self._response.gaps * y)
                return "switch", gap
            offset = min(0.0, look_up(points, below * u / chance))
            offset *= exp(self._response.overlaps * x)
            if -offset < duration:
                self._score = score
                return "interruption", min(offset, -EPSILON)
        return "switch", 0.0

    def contained(self, state: FloorState, window: float, x: float) -> list[tuple[float, float]]:
        """Onsets and durations of the backchannels inside the floor's unit, latest first.

        Args:
            state: With the unit that holds the floor.
            window: Seconds of it before its end or, if earlier, the next change.
            x: Overlap effect.
        """
        inside = self._model.backchannels
        rate = inside.rate(window) * exp(self._response.backchannels * x) * self._scale
        room = state.end - state.start
        found = []
        for _ in range(self._arrivals(rate * window)):
            length = self._fitting(room, x)
            if length:
                onset = self._draws.of(inside.onset.points) * min(window, room - length)
                found.append((state.start + onset, length))
        if inside.joined > 1:
            found += self._joining(state, found, (inside.joined - 1) * rate, x)
        found.sort(reverse=True)
        return found

    def _joining(
        self, state: FloorState, found: list[tuple[float, float]], rate: float, x: float
    ) -> list[tuple[float, float]]:
        """More of them where two speak already: in the overlap before and in each backchannel."""
        busy = [*found]
        if state.second_end > state.start:
            busy.append((state.start, min(state.end, state.second_end) - state.start))
        more = []
        for begin, seconds in busy:
            for _ in range(self._arrivals(rate * seconds)):
                onset = begin + seconds * self._draws.uniform()
                length = self._fitting(state.end - onset, x)
                if length:
                    more.append((onset, length))
        return more

    def _arrivals(self, mean: float) -> int:
        """Poisson number."""
        number = 0
        waited = -log(1 - self._draws.uniform())
        while waited < mean:
            number += 1
            waited -= log(1 - self._draws.uniform())
        return number

    def _fitting(self, room: float, x: float) -> float | None:
        """Duration of a backchannel that fits, if one does."""
        stretch = exp(self._response.inside * x)
        for _ in range(REDRAWS):
            length = self._draws.of(self._model.units.backchannel.points) * stretch
            if length < room:
                return length
        return None
