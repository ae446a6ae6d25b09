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

from dataclasses import dataclass
from math import erf, exp, log, sqrt

import numpy as np

from talkover.manifests.errors import InfeasibleTarget
from talkover.simulate.turn_effects import NATURAL, WIDE, Effects
from talkover.simulate.turn_targets import Targets, check_feasible
from talkover.simulate.turns import TABLE_SIZE, Kind, TurnModel

BATCH = 512
"""Random numbers drawn at a time: single draws from numpy cost twenty times more."""
SHORTEST_UNIT = 0.3
"""Seconds; a session ends when less is left."""
REDRAWS = 6
"""Draws of an offset or a backchannel until it fits into the unit it overlaps."""
KEPT_SHARE = 0.8
"""A unit placed shorter than its overlap overlaps by this share of itself: it still takes over."""
HORIZON_SHARE, HORIZON = 0.1, (15.0, 120.0)
"""Share of the session, and its bounds in seconds, over which a deficit of an *asked* overlap or
silence is made good."""
LOOSE_SHARE, LOOSE_HORIZON = 0.5, (30.0, 1200.0)
"""The same for a ratio drawn from the model: closer steering would distort the distributions."""
LARGEST_CORRECTION = 2.0
"""Factor by which steering may depart from a ratio drawn from the model."""
LEAST_WEIGHT = 0.03
"""Smallest share of a speaker in the choice of the next one."""
LONGEST_BACKCHANNEL = 0.99
"""Probability whose quantile bounds the placed duration of a backchannel."""
EPSILON = 1e-9


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


@dataclass(frozen=True, slots=True)
class _Steering:
    """One ratio, held in a closed loop."""

    target: float
    horizon: float
    """Seconds over which what is owed is made good."""
    least: float
    most: float
    effects: tuple[float, float]
    """Least and most silence effect."""

    @classmethod
    def of(cls, target: float, length: float, *, asked: bool) -> _Steering:
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


class FloorWalk:
    """One session's walk: call `propose`, then `accept` or `reject`, until `done`.

    Args:
        model: The turn-taking model.
        num_speakers: 1 to 8. All of them get to speak.
        rng: Decides everything.
        targets: Overlap, silence and most concurrent speakers; what is None is drawn from the
            model for this session.
        length: Seconds of the session, lead-in and lead-out included.
        lead_in: Seconds of silence before the first unit.
        lead_out: Seconds of silence after the last unit.
        length_rank: Share of the model's sessions that are shorter, where `length` is the model's
            own; see `TurnModel.draw_ratios`.

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
    ) -> None:
        """Draw what is the session's own, and the first proposal."""
        asked = targets or Targets(speakers=num_speakers)
        asked = Targets(
            speakers=num_speakers,
            overlap=asked.overlap,
            silence=asked.silence,
            max_concurrent=asked.max_concurrent,
        )
        check_feasible(asked, model, length=length)
        self._model, self._rng, self._count = model, rng, num_speakers
        self._draw_session(asked, length, lead_in, lead_out, length_rank)
        self._most = asked.max_concurrent
        self._begin, self._limit = lead_in, length - lead_out
        self._steering = tuple(
            _Steering.of(target, length, asked=value is not None)
            for target, value in (
                (self.overlap_target, asked.overlap),
                (self._wanted_silence, asked.silence),
            )
        )
        self._uniform: list[float] = []
        self._normal: list[float] = []
        self._memory, self._innovation = model.memory, sqrt(1 - model.memory**2)
        self._score = 0.0
        self._overlap_below = model.offsets.probability_below(0.0)
        self._backchannel_cap = model.units.backchannel.at(LONGEST_BACKCHANNEL)
        self._ends = [float("-inf")] * num_speakers
        self._missing = set(range(num_speakers))
        self._floor_speaker = self._floor_before = -1
        self._floor_kind: Kind = "switch"
        self._floor_start = self._floor_end = self._last_start = self._second_end = lead_in
        self._overlap = self._silence = 0.0
        self._contained: list[tuple[float, float]] = []  # (onset, duration), latest first
        self._change: tuple[Kind, float] = ("switch", 0.0)
        self._rejected: set[int] = set()
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
            return min(self._floor_end - proposal.start, self._backchannel_cap)
        if proposal.speaker in self._missing:
            return None
        return self._limit - proposal.start

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
        self._rejected.clear()
        start = proposal.start
        if proposal.kind == "backchannel":
            if start + duration > self._floor_end + 1e-6:
                raise ValueError(
                    f"a backchannel of {duration:g} s does not fit: see longest(), which is "
                    f"{self._floor_end - start:g} s here"
                )
            self._place(proposal.speaker, start, start + duration)
        else:
            if proposal.kind == "interruption" and start + duration <= self._floor_end + 0.01:
                start = max(start, self._floor_end - KEPT_SHARE * duration)
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
            self._rejected.add(proposal.speaker)
            if self._rejected | {self._floor_speaker} >= set(range(self._count)):
                self._pending = None
                return
            if self._change[0] == "hold":
                self._change = ("switch", self._change[1])
        self._pending = self._next()

    @property
    def overlap(self) -> float:
        """Overlap so far, as share of speech time."""
        speech = self._floor_end - self._begin - self._silence
        return self._overlap / speech if speech > 0 else 0.0

    # ---- random numbers

    def _u(self) -> float:
        if not self._uniform:
            self._uniform = self._rng.random(BATCH).tolist()
        return self._uniform.pop()

    def _z(self) -> float:
        if not self._normal:
            self._normal = self._rng.standard_normal(BATCH // 4).tolist()
        return self._normal.pop()

    def _draw(self, points: list[float]) -> float:
        return _look_up(points, self._u())

    # ---- the session's own values

    def _draw_session(
        self,
        asked: Targets,
        length: float,
        lead_in: float,
        lead_out: float,
        length_rank: float | None,
    ) -> None:
        """Ratios, tempo and talk shares. Drawn always, so that a target changes nothing else."""
        model, rng = self._model, self._rng
        overlap, silence = model.draw_ratios(rng, length_rank)
        tempo = exp(
            model.sessions.tempo_deviation * float(np.clip(rng.standard_normal(), -2.5, 2.5))
        )
        shares = rng.dirichlet([model.speakers.evenness] * self._count)
        self._weights: list[float] = np.maximum(shares, LEAST_WEIGHT).tolist()
        around = lead_in + lead_out
        inner = max(EPSILON, length - around)
        if asked.silence is not None:
            silence = max(0.0, (asked.silence * length - around) / inner)
            self.silence_target = asked.silence
        else:
            self.silence_target = (silence * inner + around) / length
        if self._count == 1 or asked.max_concurrent == 1:
            overlap = 0.0
        self.overlap_target = overlap if asked.overlap is None else asked.overlap
        self._wanted_silence = silence
        self._tempo = tempo
        self._effects = Effects(model, tempo, alone=self._count == 1)
        hold, _, _ = model.transitions.stationary
        units = model.units
        self._cycle = (
            tempo
            * (hold * units.hold.mean + (1 - hold) * units.switch.mean)
            / max(0.05, 1 - silence)
        )

    # ---- what comes next

    def _next(self) -> Proposal | None:
        while self._contained:
            proposal = self._backchannel(*self._contained.pop())
            if proposal is not None:
                return proposal
        return self._first() if self._floor_speaker < 0 else self._change_of_floor()

    def _first(self) -> Proposal:
        free = [k for k in range(self._count) if k not in self._rejected]
        duration = self._shortened(self._draw(self._model.units.switch.points) * self._tempo)
        return Proposal(
            kind="switch",
            speaker=self._choose(free),
            offset=self._begin,
            start=self._begin,
            duration=min(duration, self._limit - self._begin),
        )

    def _backchannel(self, onset: float, duration: float) -> Proposal | None:
        """A planned backchannel, if somebody may say it then."""
        start = max(onset, self._last_start)
        free = self._free(start)
        if not free or start + duration > self._floor_end or self._active(start) >= self._most:
            return None
        return Proposal(
            kind="backchannel",
            speaker=self._choose(free),
            offset=start - self._floor_start,
            start=start,
            duration=duration,
        )

    def _change_of_floor(self) -> Proposal | None:
        """The planned hold, switch or interruption, if there is time left for it."""
        kind, offset = self._change
        end = self._floor_end
        start = max(end + offset, self._last_start)
        if self._missing:
            start = min(start, max(end, self._limit - SHORTEST_UNIT))
        elif start > self._limit - SHORTEST_UNIT:
            return None
        if kind == "hold":
            speaker = self._floor_speaker
        else:
            if start < end:
                start = max(start, min(end, self._room_from()))
            speaker, start = self._next_holder(start)
            kind = "interruption" if start < end else "switch"
        points = self._unit_points[kind]
        duration = self._draw(points) * self._tempo + max(0.0, end - start)
        duration = self._shortened(duration)
        if speaker not in self._missing:
            left = self._limit - start
            if left < SHORTEST_UNIT or left <= end - start:
                return None
            duration = min(duration, left)
        return Proposal(
            kind=kind, speaker=speaker, offset=start - end, start=start, duration=duration
        )

    def _next_holder(self, start: float) -> tuple[int, float]:
        """A speaker who is free at `start`, or the first one to be, and when."""
        free = self._free(start)
        if not free:
            join = self._model.origin.join
            others = [k for k in range(self._count) if k != self._floor_speaker]
            others = [k for k in others if k not in self._rejected]
            first = min(others, key=lambda k: self._ends[k])
            return first, max(start, self._ends[first] + join)
        if self._missing and self._is_urgent():
            return self._choose([k for k in free if k in self._missing] or free), start
        if self._floor_before in free and self._u() < self._model.speakers.returns:
            return self._floor_before, start
        return self._choose(free), start

    def _is_urgent(self) -> bool:
        """The time left is needed for those who have not spoken."""
        return self._limit - self._floor_end < 2.0 * self._cycle * (len(self._missing) + 1)

    def _shortened(self, duration: float) -> float:
        """A duration that leaves time for those who have not spoken."""
        left = self._limit - max(self._floor_end, self._begin)
        if self._missing and duration > left / (len(self._missing) + 1):
            return max(SHORTEST_UNIT, left / (len(self._missing) + 1))
        return duration

    def _free(self, start: float) -> list[int]:
        """Speakers other than the holder who are silent at `start` and were so for a moment."""
        bound = start - self._model.origin.join
        return [
            k
            for k, end in enumerate(self._ends)
            if k != self._floor_speaker and end <= bound and k not in self._rejected
        ]

    def _choose(self, speakers: list[int]) -> int:
        weights = [self._weights[k] for k in speakers]
        left = self._u() * sum(weights)
        for k, weight in zip(speakers, weights, strict=True):
            left -= weight
            if left < 0:
                return k
        return speakers[-1]

    def _active(self, time: float) -> int:
        return sum(1 for end in self._ends if end > time)

    def _room_from(self) -> float:
        """When one more may speak without exceeding the most concurrent speakers."""
        if self._most > self._count:
            return float("-inf")
        return sorted(self._ends, reverse=True)[self._most - 1]

    # ---- what has happened

    def _check_pending(self, proposal: Proposal) -> None:
        if proposal is not self._pending:
            raise ValueError("accept and reject take the proposal that propose() gave last")

    def _place(self, speaker: int, start: float, end: float) -> None:
        """Account for a unit; all earlier units start no later."""
        # Time in which exactly one spoke becomes overlap: from the second-latest end to the latest.
        self._overlap += max(0.0, min(end, self._floor_end) - max(start, self._second_end))
        if end > self._floor_end:
            self._second_end = self._floor_end
        elif end > self._second_end:
            self._second_end = end
        self._ends[speaker] = end
        self._last_start = start
        self._missing.discard(speaker)

    def _take_floor(self, proposal: Proposal, start: float, end: float, pauses: float) -> None:
        spoken = self._floor_end - self._begin - self._silence
        owed_overlap = self.overlap_target * spoken - self._overlap
        owed_silence = self._wanted_silence * (self._floor_end - self._begin) - self._silence
        self._silence += max(0.0, start - self._floor_end) + pauses
        self._place(proposal.speaker, start, end)
        if proposal.kind != "hold":
            self._floor_before = self._floor_speaker
        self._floor_speaker, self._floor_kind = proposal.speaker, proposal.kind
        self._floor_start = start
        self._floor_end = max(self._floor_end, end)
        self._plan_unit(owed_overlap, owed_silence)

    def _plan_unit(self, owed_overlap: float, owed_silence: float) -> None:
        """Decide how the unit that now holds the floor ends, and what lies inside it."""
        overlaps = self.overlap_target > 0
        overlap, silence = self._steering
        x = self._effects.of_overlap(overlap.corrected(owed_overlap))
        y = self._effects.of_silence(silence.corrected(owed_silence), x, silence.effects)
        duration = self._floor_end - self._floor_start
        self._change = self._draw_change(duration, x, y, overlaps)
        window = duration + min(0.0, self._change[1])
        self._contained = self._draw_contained(duration, window, x) if overlaps else []

    def _draw_change(
        self, duration: float, x: float, y: float, overlaps: bool
    ) -> tuple[Kind, float]:
        """Kind and offset of the next change of the floor."""
        model = self._model
        row = getattr(model.transitions, self._floor_kind)
        response = model.sessions.response
        alone = self._count == 1
        if alone or (self._u() < row[0] and not (self._missing and self._is_urgent())):
            pause, pivot = self._draw(model.pauses.points), model.pause_pivot
            if pause > pivot:
                pause = pivot + (pause - pivot) * exp(response.pauses * y)
            return "hold", max(model.origin.join, pause)
        odds = row[2] / max(row[1], EPSILON) * exp(response.interruptions * x) if overlaps else 0.0
        chance, below = odds / (1 + odds), self._overlap_below
        points = model.offsets.points
        for _ in range(REDRAWS):
            score = self._memory * self._score + self._innovation * self._z()
            u = 0.5 * (1 + erf(score / sqrt(2)))
            if u >= chance:
                self._score = score
                place = below + (1 - below) * (u - chance) / (1 - chance)
                gap = max(0.0, _look_up(points, place)) * exp(response.gaps * y)
                return "switch", gap
            offset = min(0.0, _look_up(points, below * u / chance)) * exp(response.overlaps * x)
            if -offset < duration:
                self._score = score
                return "interruption", min(offset, -EPSILON)
        return "switch", 0.0

    def _draw_contained(
        self, duration: float, window: float, x: float
    ) -> list[tuple[float, float]]:
        """Onsets and durations of the backchannels inside the floor's unit, latest first."""
        inside = self._model.backchannels
        rate = inside.per_second[-1]
        for edge, value in zip(inside.edges[1:], inside.per_second, strict=True):
            if window < edge:
                rate = value
                break
        mean = rate * window * exp(self._model.sessions.response.backchannels * x)
        found: list[tuple[float, float]] = []
        waited = -log(1 - self._u())
        while waited < mean:
            for _ in range(REDRAWS):
                length = self._draw(self._model.units.backchannel.points)
                if length < duration:
                    onset = self._draw(inside.onset.points) * min(window, duration - length)
                    found.append((self._floor_start + onset, length))
                    break
            waited -= log(1 - self._u())
        found.sort(reverse=True)
        return found

    @property
    def _unit_points(self) -> dict[str, list[float]]:
        units = self._model.units
        return {
            "hold": units.hold.points,
            "switch": units.switch.points,
            "interruption": units.beyond.points,
        }


def sample(
    model: TurnModel,
    *,
    num_speakers: int,
    length: float,
    rng: np.random.Generator,
    targets: Targets | None = None,
    length_rank: float | None = None,
) -> list[Unit]:
    """Timing of one session alone: the walk with the durations that the model wants.

    Args:
        model: The turn-taking model.
        num_speakers: 1 to 8.
        length: Seconds; the first unit starts at 0.
        rng: Decides everything.
        targets: As for `FloorWalk`.
        length_rank: As for `FloorWalk`.

    Returns:
        Units by start. One speaker's units are at least the model's `join` apart.
    """
    return walked(
        FloorWalk(model, num_speakers, rng, targets=targets, length=length, length_rank=length_rank)
    )


def walked(walk: FloorWalk) -> list[Unit]:
    """All units of a walk, each with the duration that the model wants."""
    units = []
    while not walk.done:
        proposal = walk.propose()
        start = walk.accept(proposal, proposal.duration)
        units.append(Unit(proposal.speaker, start, start + proposal.duration, proposal.kind))
    return units


def _look_up(points: list[float], probability: float) -> float:
    """A quantile table at a probability, linear between its points."""
    place = probability * TABLE_SIZE
    index = int(place)
    if index >= TABLE_SIZE:
        return points[TABLE_SIZE]
    low = points[index]
    return low + (points[index + 1] - low) * (place - index)
