"""The walk of the floor: who speaks next, when and for how long.

The walk proposes units; the caller places real utterances, whose durations differ, and says what it
placed. Units are proposed by start time, so at a start everything that can overlap it is known:

    floor   ├──────────── ana ────────────┤   gap ├── bo ──┤
    others          ├ bo ┤         ├─────── cy ───┤
                 (backchannel)  (interruption: takes the floor)

A session's overlap and silence are steered in a closed loop: what is missing up to now is asked for
over a horizon of seconds, by an effect on the rates and lengths of the model
(`talkover.simulate.turn_effects`), so their distributions keep their shapes.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np

from talkover.manifests.errors import InfeasibleTarget
from talkover.simulate.floor_changes import Change, ChangeLaw
from talkover.simulate.floor_draws import Draws
from talkover.simulate.floor_session import draw_setting
from talkover.simulate.floor_speakers import SHORTEST_UNIT, SpeakerChoice
from talkover.simulate.floor_state import FloorState
from talkover.simulate.turn_sessions import Character
from talkover.simulate.turn_targets import Targets, check_feasible
from talkover.simulate.turns import Kind, TurnModel

KEPT_SHARE = 0.8
"""A unit placed shorter than its overlap overlaps by this share of itself: it still takes over."""
LONGEST_BACKCHANNEL = 0.99
"""Probability whose quantile bounds the placed duration of a backchannel."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Proposal:
    """The next unit, as the model would have it."""

    kind: Kind
    speaker: int
    """0 to K-1."""
    offset: float
    """Seconds to `start` from the floor's end (negative: overlap), for a backchannel from the
    floor's start, for the first unit from the session's start."""
    start: float
    """Seconds on the session's clock."""
    duration: float
    """Wanted seconds."""


@dataclass(frozen=True, slots=True)
class Unit:
    """A placed unit; seconds."""

    speaker: int
    start: float
    end: float
    kind: Kind


class FloorWalk:
    """One session's walk: call `propose`, then `accept` or `reject`, until `done`.

    Args:
        model: The turn-taking model.
        num_speakers: At least 1. All of them get to speak.
        rng: Decides everything.
        targets: What is asked; what is None is drawn from the model for this session.
        length: Seconds of the session, lead-in and lead-out included.
        lead_in: Seconds of silence before the first unit.
        lead_out: Seconds of silence after the last unit.
        length_rank: Share of the model's sessions that are shorter, where `length` is the model's
            own; see `TurnModel.draw_character`.
        character: What the session has of its own; None draws it. Targets go before it.

    Raises:
        InfeasibleTarget: If no session can be so.
    """

    def __init__(
        self,
        model: TurnModel,
        num_speakers: int,
        rng: np.random.Generator,
        *,
        targets: Targets | None = None,
        length: float,
        lead_in: float = 0.0,
        lead_out: float = 0.0,
        length_rank: float | None = None,
        character: Character | None = None,
    ) -> None:
        """Draw what is the session's own, and the first proposal."""
        asked = replace(targets or Targets(), speakers=num_speakers)
        check_feasible(asked, model, length=length)
        self._model, self._count, self._asked = model, num_speakers, asked
        self._begin, self._limit = lead_in, length - lead_out
        self._state = FloorState(num_speakers, lead_in)
        self._setting = draw_setting(
            model,
            asked,
            num_speakers,
            rng,
            length=length,
            around=lead_in + lead_out,
            length_rank=length_rank,
            character=character,
        )
        self._draws = Draws(rng)
        self._speakers = SpeakerChoice(
            model, self._setting, self._state, self._draws, limit=self._limit
        )
        self._law = ChangeLaw(
            model,
            self._setting.character,
            self._draws,
            alone=num_speakers == 1,
            backchannel_scale=asked.backchannel_scale,
        )
        units = model.units
        self._backchannel_cap = units.backchannel.at(LONGEST_BACKCHANNEL)
        self._unit_points = {
            "hold": units.hold.points,
            "switch": units.switch.points,
            "interruption": units.beyond.points,
        }
        self._contained: list[tuple[float, float]] = []  # (onset, duration), latest first
        self._change: Change = ("switch", 0.0)
        self._pending = self._next()

    # ---- what the caller sees

    @property
    def done(self) -> bool:
        """Nothing more fits."""
        return self._pending is None

    def propose(self) -> Proposal:
        """The next unit; the same until it is accepted or rejected.

        Raises:
            ValueError: If the walk is done.
        """
        if self._pending is None:
            raise ValueError("the walk is done: check `done` before propose()")
        return self._pending

    def longest(self, proposal: Proposal) -> float | None:
        """Seconds that the placed unit must not exceed; None if it may have any duration."""
        if proposal.kind == "backchannel":
            return min(self._state.end - proposal.start, self._backchannel_cap)
        if proposal.speaker in self._state.missing:
            return None
        left = self._limit - proposal.start
        return min(left, self._speakers.most_for(proposal.speaker, proposal.start))

    def accept(self, proposal: Proposal, duration: float, *, pauses: float = 0.0) -> float:
        """Place a unit for the proposal.

        Args:
            proposal: What `propose` gave.
            duration: Seconds of the unit that is really placed.
            pauses: Seconds of silence inside it: a read sentence has some, and they count as
                silence of the session.

        Returns:
            Its start in seconds: the proposed one, or later where an interruption is too short
            to outlast the unit that it interrupts.

        Raises:
            ValueError: If it is not the pending proposal, or longer than `longest` allows a
                backchannel to be.
        """
        self._check_pending(proposal)
        if not duration > 0:
            raise ValueError(f"duration must be more than 0 seconds, got {duration}")
        self._speakers.rejected.clear()
        start, floor_end = proposal.start, self._state.end
        if proposal.kind == "backchannel":
            if start + duration > floor_end + 1e-6:
                raise ValueError(
                    f"a backchannel of {duration:g} s does not fit: see longest(), which is "
                    f"{floor_end - start:g} s here"
                )
            self._state.place(proposal.speaker, start, start + duration, pauses)
        else:
            if proposal.kind == "interruption" and start + duration <= floor_end + 0.01:
                start = max(start, floor_end - KEPT_SHARE * duration)
            self._take_floor(proposal, start, start + duration, pauses)
        self._pending = self._next()
        return start

    def reject(self, proposal: Proposal) -> None:
        """Say that no unit can be placed for the proposal.

        A backchannel is left out; the floor is offered to another speaker, and the session ends
        once all have been asked.

        Raises:
            InfeasibleTarget: If a speaker who has not spoken yet has no unit at all.
        """
        self._check_pending(proposal)
        if proposal.kind != "backchannel":
            if self.longest(proposal) is None:
                raise InfeasibleTarget(
                    f"speaker {proposal.speaker} has no utterance to say: leave the speaker out"
                )
            self._speakers.rejected.add(proposal.speaker)
            if self._speakers.rejected | {self._state.speaker} >= set(range(self._count)):
                self._pending = None
                return
            if self._change[0] == "hold":
                self._change = ("switch", self._change[1])
        self._pending = self._next()

    @property
    def overlap_target(self) -> float:
        """Overlap that the session is meant to have, as share of speech time."""
        return self._setting.character.overlap

    @property
    def silence_target(self) -> float:
        """Silence that the session is meant to have, as share of its time."""
        return self._setting.silence_target

    @property
    def overlap(self) -> float:
        """Overlap so far, as share of speech time."""
        speech = self._state.speech
        return self._state.overlap / speech if speech > 0 else 0.0

    # ---- what comes next

    def _next(self) -> Proposal | None:
        while self._contained:
            proposal = self._backchannel(*self._contained.pop())
            if proposal is not None:
                return proposal
        return self._first() if self._state.speaker < 0 else self._change_of_floor()

    def _first(self) -> Proposal:
        speaker = self._speakers.choose(self._speakers.everybody)
        duration = self._draws.of(self._model.units.switch.points) * self._setting.tempo
        duration = self._speakers.shortened(duration, speaker, self._begin)
        return Proposal(
            kind="switch",
            speaker=speaker,
            offset=self._begin,
            start=self._begin,
            duration=min(duration, self._limit - self._begin),
        )

    def _backchannel(self, onset: float, duration: float) -> Proposal | None:
        """A planned backchannel, if somebody may say it then."""
        state = self._state
        start = max(onset, state.last_start)
        if start + duration > state.end:
            return None
        active = state.active(start)
        joined = self._model.backchannels.joined
        if active > 1 and joined < 1 and self._draws.uniform() >= joined:
            return None
        if self._is_full(active):
            return None
        speaker = self._speakers.for_backchannel(start, duration)
        if speaker is None:
            return None
        return Proposal(
            kind="backchannel",
            speaker=speaker,
            offset=start - state.start,
            start=start,
            duration=duration,
        )

    def _change_of_floor(self) -> Proposal | None:
        """The planned hold, switch or interruption, if there is time left for it."""
        kind, offset = self._change
        state = self._state
        end = state.end
        start = max(min(end + offset, self._latest_start()), state.last_start)
        if state.missing:
            start = min(start, max(end, self._limit - SHORTEST_UNIT))
        elif start > self._limit - SHORTEST_UNIT:
            return None
        if kind == "hold":
            speaker = state.speaker
            start = max(start, end + self._model.origin.join)
        else:
            if start < end:
                start = max(start, min(end, self._room_from()))
            speaker, start = self._speakers.next_holder(start)
            kind = "interruption" if start < end else "switch"
        duration = self._draws.of(self._unit_points[kind]) * self._setting.tempo
        duration = self._speakers.shortened(duration + max(0.0, end - start), speaker, start)
        if speaker not in state.missing:
            left = self._limit - start
            if left < SHORTEST_UNIT or left <= end - start:
                return None
            duration = min(duration, left)
        return Proposal(
            kind=kind, speaker=speaker, offset=start - end, start=start, duration=duration
        )

    def _latest_start(self) -> float:
        """Where the next unit must start at the latest.

        Where a share of silence was asked, no silence may be longer than what the session is owed
        until its end: one long gap of a short session would never come back.
        """
        if self._asked.silence is None:
            return float("inf")
        state = self._state
        owed = self._setting.character.silence * (self._limit - self._begin) - state.silence
        return state.end + max(0.0, owed)

    def _is_full(self, active: int) -> bool:
        most = self._asked.max_concurrent
        return most is not None and active >= most

    def _room_from(self) -> float:
        """When one more may speak."""
        most = self._asked.max_concurrent
        return float("-inf") if most is None else self._state.room_from(most)

    # ---- what has happened

    def _check_pending(self, proposal: Proposal) -> None:
        if proposal is not self._pending:
            raise ValueError("accept and reject take the proposal that propose() gave last")

    def _take_floor(self, proposal: Proposal, start: float, end: float, pauses: float) -> None:
        state = self._state
        owed_overlap = self._setting.character.overlap * state.speech - state.overlap
        owed_silence = self._setting.character.silence * state.elapsed - state.silence
        state.take(proposal.speaker, proposal.kind, start, end, pauses)
        self._plan_unit(owed_overlap, owed_silence)

    def _plan_unit(self, owed_overlap: float, owed_silence: float) -> None:
        """Decide how the unit that now holds the floor ends, and what lies inside it."""
        state, setting = self._state, self._setting
        x = setting.effects.of_overlap(setting.overlap_steering.corrected(owed_overlap))
        wanted = setting.silence_steering
        y = setting.effects.of_silence(wanted.corrected(owed_silence), x, wanted.effects)
        overlaps = setting.character.overlap > 0
        holds = self._speakers.hold_odds()
        self._change = self._law.change(state, x, y, holds=holds, overlaps=overlaps)
        window = state.end - state.start + min(0.0, self._change[1])
        self._contained = self._law.contained(state, window, x) if overlaps else []


def sample(
    model: TurnModel,
    *,
    num_speakers: int,
    length: float,
    rng: np.random.Generator,
    targets: Targets | None = None,
    length_rank: float | None = None,
    character: Character | None = None,
) -> list[Unit]:
    """Timing of one session alone: the walk with the durations that the model wants.

    Args:
        model: The turn-taking model.
        num_speakers: At least 1.
        length: Seconds; the first unit starts at 0.
        rng: Decides everything.
        targets: As for `FloorWalk`.
        length_rank: As for `FloorWalk`.
        character: As for `FloorWalk`.

    Returns:
        Units by start. One speaker's units are at least the model's `join` apart.
    """
    return walked(
        FloorWalk(
            model,
            num_speakers,
            rng,
            targets=targets,
            length=length,
            length_rank=length_rank,
            character=character,
        )
    )


def walked(walk: FloorWalk) -> list[Unit]:
    """All units of a walk, each with the duration that the model wants."""
    units = []
    while not walk.done:
        proposal = walk.propose()
        start = walk.accept(proposal, proposal.duration)
        units.append(Unit(proposal.speaker, start, start + proposal.duration, proposal.kind))
    return units
