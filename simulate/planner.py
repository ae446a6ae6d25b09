"""Configuration, corpus and seed → the plan of each session. Decides everything, hears nothing.

Each kind of decision draws from a generator of its own (`talkover.manifests.seeds`), so a change to
the rooms does not change who speaks, and session 17 is the same whether or not session 16 was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import InfeasibleTarget
from talkover.manifests.schema import Asked, Role
from talkover.manifests.seeds import content_id, generator
from talkover.simulate.config import SimulationConfig
from talkover.simulate.floor import FloorWalk
from talkover.simulate.lengths import SessionLengths
from talkover.simulate.levels import mean_level_dbfs
from talkover.simulate.noise import NoiseCollection, draw_noise
from talkover.simulate.plan import (
    Placement,
    PlannedRegistration,
    PlannedSpeaker,
    RoomPlan,
    SessionPlan,
)
from talkover.simulate.responses import ResponseSet
from talkover.simulate.rooms import draw_room
from talkover.simulate.source_cache import SourceCache
from talkover.simulate.turn_targets import Targets, check_feasible
from talkover.simulate.turns import TurnModel
from talkover.simulate.utterances import Slice, UtteranceChooser

ATTEMPTS = 5
"""Plans tried for a session; an attempt fails if a speaker gets no word in."""
GAIN_DIGITS = 4
ROLES: dict[str, Role] = {
    "hold": "turn",
    "switch": "turn",
    "interruption": "interruption",
    "backchannel": "backchannel",
}


@dataclass(frozen=True, slots=True)
class _Unit:
    """One placed slice: who, which, the sample at which its speech is emitted, and as what."""

    speaker: int
    slice: Slice
    start: int
    role: Role
    turn: int


@dataclass(frozen=True, slots=True)
class _Group:
    """Speakers who may meet, and the language they do it in; None where languages may mix."""

    language: int | None
    speakers: NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class Planner:
    """Plans the sessions of one run.

    Args:
        config: What is asked.
        configuration_hash: Of the configuration with paths replaced by hashes.
        cache: The corpus.
        turn_model: Who speaks when.
        seed: Root seed.
        noises: Clips for ambient noise, or None.
        rirs: Measured responses, or None.
    """

    config: SimulationConfig
    configuration_hash: str
    cache: SourceCache
    turn_model: TurnModel
    seed: int
    noises: NoiseCollection | None = None
    rirs: ResponseSet | None = None

    def check(self) -> None:
        """Refuse what no session of this corpus can meet.

        Raises:
            InfeasibleTarget: With the reason and the numbers.
        """
        least, most = self.config.session.speakers
        largest = max((len(group.speakers) for group in self.groups), default=0)
        if largest < most:
            kind = "" if self.config.session.language_mix else " of one language"
            raise InfeasibleTarget(
                f"{least}-{most} speakers a session were asked, but the corpus has {largest} "
                f"usable speakers{kind}: use --speakers {min(least, max(1, largest))}-{largest}"
                + ("" if self.config.session.language_mix else " or session.language_mix=true")
                if largest
                else "the corpus has no usable utterance: see rejected.jsonl"
            )
        for count in range(least, most + 1):
            for length in self.config.session.length or (None,):
                check_feasible(self._targets(count), self.turn_model, length=length)

    @cached_property
    def groups(self) -> list[_Group]:
        """Sets of speakers that may meet: one per language, or one of all with `language_mix`."""
        everyone = range(len(self.cache.speakers))
        if self.config.session.language_mix:
            return [_Group(language=None, speakers=np.array(everyone, dtype=np.int64))]
        groups = []
        for language in sorted({int(n) for n in self.cache.language_no}):
            speakers = [s for s in everyone if len(self._pool(s, language))]
            groups.append(_Group(language=language, speakers=np.array(speakers, dtype=np.int64)))
        return groups

    def _pool(self, speaker: int, language: int | None) -> NDArray[np.int64]:
        """Numbers of the utterances that a speaker may say in a session of a language."""
        pool = self.cache.utterances_of(speaker)
        return pool if language is None else pool[self.cache.language_no[pool] == language]

    @cached_property
    def lengths(self) -> SessionLengths:
        """Asked lengths of the sessions."""
        return SessionLengths(self.config.session, self.turn_model, self.seed)

    def plan(self, index: int) -> SessionPlan:
        """The plan of one session.

        Raises:
            InfeasibleTarget: If no attempt let every speaker speak.
        """
        for attempt in range(ATTEMPTS):
            plan = self._attempt(index, f"/{attempt}" if attempt else "")
            if plan is not None:
                return plan
        raise InfeasibleTarget(
            f"session {index}: no plan of {self.lengths.of(index):.1f} s let every speaker speak "
            f"in {ATTEMPTS} attempts: ask for fewer speakers or longer sessions"
        )

    def _attempt(self, index: int, attempt: str) -> SessionPlan | None:
        rate = self.config.sampling_rate
        people, pools = self._draw_speakers(index, attempt)
        targets = self._targets(len(people))
        length = self.lengths.of(index)
        chooser = UtteranceChooser(
            self.cache,
            self.config.utterances,
            rate,
            generator(self.seed, index, "utterances" + attempt),
            pools,
        )
        units, asked = self._converse(index, attempt, chooser, len(people), targets, length)
        if {unit.speaker for unit in units} != set(range(len(people))):
            return None
        room = draw_room(
            self.config.room,
            [str(k) for k in range(len(people))],
            generator(self.seed, index, "room"),
            sampling_rate=rate,
            rirs=self.rirs,
        )
        local = _local_names(units, room)
        gains = self._gains(index, units, len(people))
        end = max(unit.start + unit.slice.speech_samples for unit in units)
        most_delay = max(seat.direct_delay_samples for seat in room.seats)
        lead_out = self._silence(index, "lead_out")
        placements = [
            self._placement(unit, local[unit.speaker], gain)
            for unit, gain in zip(units, gains, strict=True)
        ]
        order = sorted(range(len(people)), key=lambda k: local[k])
        speakers = tuple(self._speaker(index, k, int(people[k]), pools[k], local[k]) for k in order)
        seats = {seat.speaker_local: seat for seat in room.seats}
        return SessionPlan(
            session_id=f"s{index:06d}-"
            + content_id(
                self.configuration_hash,
                self.cache.corpus_hash,
                str(self.seed),
                str(index),
                length=8,
            ),
            session_index=index,
            root_seed=self.seed,
            configuration_hash=self.configuration_hash,
            corpus_hash=self.cache.corpus_hash,
            sampling_rate=rate,
            num_samples=max(end + most_delay + round(lead_out * rate), round(length * rate)),
            speakers=speakers,
            placements=tuple(sorted(placements, key=lambda p: (p.start_sample, p.speaker_local))),
            room=room.model_copy(
                update={
                    "seats": tuple(
                        seats[str(k)].model_copy(update={"speaker_local": local[k]}) for k in order
                    )
                }
            ),
            noise=draw_noise(
                self.config.noise, generator(self.seed, index, "noise"), self.noises, rate
            ),
            peak_dbfs=self.config.levels.peak_dbfs,
            asked=asked,
            registration=self._registration(index, chooser, local),
        )

    def _placement(self, unit: _Unit, name: str, gain: float) -> Placement:
        """The slice with as much of its margin as lies after time 0."""
        piece = unit.slice
        margin = min(unit.start, piece.speech_start - piece.source_start)
        cut = piece.speech_start - margin - piece.source_start
        return Placement(
            utterance=piece.utterance,
            utterance_id=self.cache.utterance(piece.utterance).utterance_id,
            speaker_local=name,
            turn=unit.turn,
            role=unit.role,
            start_sample=unit.start - margin,
            source_start=piece.source_start + cut,
            num_samples=piece.num_samples - cut,
            whole=piece.whole,
            gain_db=gain,
        )

    def _targets(self, num_speakers: int) -> Targets:
        turns = self.config.turns
        return Targets(
            speakers=num_speakers,
            overlap=turns.overlap,
            silence=turns.silence,
            max_concurrent=turns.max_concurrent,
        )

    def _draw_speakers(
        self, index: int, attempt: str
    ) -> tuple[NDArray[np.int64], list[NDArray[np.int64]]]:
        """Who meets, and what each may say."""
        rng = generator(self.seed, index, "speakers" + attempt)
        least, most = self.config.session.speakers
        count = int(rng.integers(least, most + 1))
        large = [group for group in self.groups if len(group.speakers) >= count]
        if not large:
            raise InfeasibleTarget(f"no {count} speakers of the corpus may meet: see --speakers")
        sizes = np.array([len(group.speakers) for group in large], dtype=float)
        group = large[int(rng.choice(len(large), p=sizes / sizes.sum()))]
        people = rng.choice(group.speakers, size=count, replace=False)
        return people, [self._pool(int(person), group.language) for person in people]

    def _converse(
        self,
        index: int,
        attempt: str,
        chooser: UtteranceChooser,
        count: int,
        targets: Targets,
        length: float,
    ) -> tuple[list[_Unit], Asked]:
        """Walk the floor with real utterances."""
        rate = self.config.sampling_rate
        walk = FloorWalk(
            self.turn_model,
            count,
            generator(self.seed, index, "turns" + attempt),
            targets=targets,
            length=length,
            lead_in=self._silence(index, "lead_in"),
            lead_out=self._silence(index, "lead_out"),
            length_rank=self.lengths.rank(length),
        )
        units: list[_Unit] = []
        turn = 0
        floor_turn = 0
        while not walk.done:
            proposal = walk.propose()
            longest = walk.longest(proposal)
            pieces = chooser.unit(proposal.speaker, proposal.duration, longest=longest)
            if not pieces:
                walk.reject(proposal)
                continue
            last = pieces[-1]
            start = walk.accept(
                proposal,
                (last.offset + last.slice.speech_samples) / rate,
                pauses=sum(piece.slice.pauses for piece in pieces) / rate,
            )
            if proposal.kind == "hold" and units:
                number = floor_turn
            else:
                turn += 1
                number = turn
            if proposal.kind != "backchannel":
                floor_turn = number
            units += [
                _Unit(
                    proposal.speaker,
                    piece.slice,
                    round(start * rate) + piece.offset,
                    ROLES[proposal.kind],
                    number,
                )
                for piece in pieces
            ]
        asked = Asked(
            overlap_of_speech=_rounded(walk.overlap_target),
            silence_of_time=_rounded(walk.silence_target),
            duration=round(length, 4),
        )
        return units, asked

    def _silence(self, index: int, name: Literal["lead_in", "lead_out"]) -> float:
        """Seconds before the first or after the last word of a session."""
        rng = generator(self.seed, index, name)
        return float(rng.uniform(*getattr(self.config.session, name)))

    def _gains(self, index: int, units: Sequence[_Unit], count: int) -> list[float]:
        """Gain of each unit in dB: its speaker's level, and a small jitter."""
        rng = generator(self.seed, index, "jitter")
        jitter = rng.uniform(-1, 1, size=len(units)) * self.config.levels.jitter_db
        levels = [self.cache.utterance(unit.slice.utterance).level_dbfs for unit in units]
        gains = []
        for k in range(count):
            own = [n for n, unit in enumerate(units) if unit.speaker == k]
            mean = mean_level_dbfs(
                [levels[n] for n in own], [units[n].slice.speech_samples for n in own]
            )
            gains.append(self._level(index, k) - mean)
        return [
            round(gains[unit.speaker] + float(j), GAIN_DIGITS)
            for unit, j in zip(units, jitter, strict=True)
        ]

    def _level(self, index: int, k: int) -> float:
        rng = generator(self.seed, index, f"level/{k}")
        return float(rng.uniform(*self.config.levels.speech_dbfs))

    def _speaker(
        self, index: int, k: int, person: int, pool: NDArray[np.int64], name: str
    ) -> PlannedSpeaker:
        some = self.cache.utterance(int(pool[0]))
        return PlannedSpeaker(
            speaker=self.cache.speakers[person],
            speaker_local=name,
            language=some.language,
            gender=some.gender,
            level_dbfs=round(self._level(index, k), GAIN_DIGITS),
        )

    def _registration(
        self, index: int, chooser: UtteranceChooser, local: Sequence[str]
    ) -> tuple[PlannedRegistration, ...]:
        """Utterances for a clip of each speaker, none of them heard in the session."""
        asked = self.config.registration
        if asked.length is None:
            return ()
        rows = []
        for k, name in enumerate(local):
            rng = generator(self.seed, index, f"registration/{k}")
            wanted = float(rng.uniform(*asked.length))
            chosen: list[int] = []
            have = 0.0
            for number in rng.permutation(chooser.unused(k)):
                if have >= wanted:
                    break
                chosen.append(int(number))
                have += float(self.cache.speech_duration[number])
            if have >= asked.length[0]:
                rows.append(
                    PlannedRegistration(
                        speaker_local=name, utterances=tuple(chosen), length=round(wanted, 4)
                    )
                )
        return tuple(sorted(rows, key=lambda row: row.speaker_local))


def _local_names(units: Sequence[_Unit], room: RoomPlan) -> list[str]:
    """S01, S02, … in the order in which the speakers are first heard at the first microphone."""
    delay = {int(seat.speaker_local): seat.direct_delay_samples for seat in room.seats}
    heard: dict[int, int] = {}
    for unit in units:
        time = unit.start + delay[unit.speaker]
        heard[unit.speaker] = min(heard.get(unit.speaker, time), time)
    order = sorted(heard, key=lambda k: (heard[k], k))
    return [f"S{order.index(k) + 1:02d}" for k in range(len(order))]


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)
