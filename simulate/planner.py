"""Configuration, corpus and seed → the plan of each session. Decides everything, hears nothing.

Each kind of decision draws from a generator of its own (`talkover.manifests.seeds`), so a change to
the rooms does not change who speaks, and session 17 is the same whether or not session 16 was made.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property, partial
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import InfeasibleTarget
from talkover.manifests.schema import Asked, Metres
from talkover.manifests.seeds import content_id, generator
from talkover.simulate.channel.microphones import MicrophoneResponses
from talkover.simulate.config import SimulationConfig
from talkover.simulate.conversation import (
    Cast,
    Conversation,
    SaidUnit,
    Scene,
    SessionSize,
    TurnTaking,
    everybody_speaks,
)
from talkover.simulate.floor_conversation import targets_of
from talkover.simulate.lengths import SessionLengths
from talkover.simulate.levels import mean_level_dbfs
from talkover.simulate.materials import Materials
from talkover.simulate.noise import NoiseCollection, draw_noise
from talkover.simulate.plan import (
    Placement,
    PlannedSeat,
    PlannedSpeaker,
    SessionPlan,
)
from talkover.simulate.plan_check import PlanCheck
from talkover.simulate.responses import ResponseSet
from talkover.simulate.room_bank import RoomBank
from talkover.simulate.rooms import draw_room, room_generator
from talkover.simulate.sound_clips import Sounds
from talkover.simulate.source_cache import SourceCache
from talkover.simulate.speech_levels import loudness_gain_db
from talkover.simulate.surroundings import check_surroundings, surround
from talkover.simulate.text_order import Casting, TextOrder, open_text_order
from talkover.simulate.trajectories import direct_delay_at, largest_delay
from talkover.simulate.turn_targets import Targets

ATTEMPTS = 5
"""Plans tried for a session; one fails if a speaker gets no word in, or a target is missed."""
GAIN_DIGITS = 4


@dataclass(frozen=True, repr=False)
class Planner:
    """Plans the sessions of one run.

    Args:
        config: What is asked.
        configuration_hash: Of the configuration with paths replaced by hashes.
        cache: The corpus.
        turn_taking: Who speaks when.
        seed: Root seed.
        noises: Clips for ambient noise, or None.
        rirs: Measured responses, or None.
        sounds: Clips for sound events and music, or None.
        microphones: Measured microphones for the channel, or None.
        bank: Where responses of shared rooms are kept, or None.
    """

    config: SimulationConfig
    configuration_hash: str
    cache: SourceCache
    turn_taking: TurnTaking
    seed: int
    noises: NoiseCollection | None = None
    rirs: ResponseSet | None = None
    bank: RoomBank | None = None
    sounds: Sounds | None = None
    microphones: MicrophoneResponses | None = None

    @property
    def materials(self) -> Materials:
        """What its plans are rendered from, beside the corpus."""
        return Materials(
            noises=self.noises,
            sounds=self.sounds,
            rirs=self.rirs,
            bank=self.bank,
            microphones=self.microphones,
        )

    def check(self) -> None:
        """Refuse what no session of this corpus can meet.

        Raises:
            InfeasibleTarget: With the reason and the numbers.
        """
        most = self.casting.most_speakers
        scripted = self.text_order.num_speakers
        least = scripted or self.turn_taking.least_speakers(self.config)
        if most < least:
            kind = "" if self.config.session.language_mix else " of one language"
            raise InfeasibleTarget(
                f"{least} speakers a session were asked, but the corpus has {most} "
                f"usable speakers{kind}: use --speakers {most}"
                + ("" if self.config.session.language_mix else " or session.language_mix=true")
                if most
                else "the corpus has no usable utterance: see rejected.jsonl"
            )
        asked = self.config.session.speakers
        counts = range(asked[0], asked[1] + 1) if asked is not None else (least,)
        for count in (scripted,) if scripted else counts:
            self.turn_taking.check(self.config, self._targets(count), self.cache)
        check_surroundings(
            self.config, sounds=self.sounds, microphones=self.microphones, rirs=self.rirs
        )

    @cached_property
    def casting(self) -> Casting:
        """What the speakers of all sessions are chosen from."""
        return Casting(self.config, self.cache, self.seed, self.cache.folder / "dialogues")

    @cached_property
    def text_order(self) -> TextOrder:
        """Chooses who meets and what they may say."""
        return open_text_order(self.casting)

    @cached_property
    def lengths(self) -> SessionLengths:
        """Expected lengths of the sessions."""
        return SessionLengths(self.config, self.turn_taking, self.seed)

    @property
    def shortfalls(self) -> list[str]:
        """What the corpus does not allow and is made less of, one line each."""
        return self.turn_taking.shortfalls(self.config, self.cache)

    def prepare(self, count: int) -> str:
        """Get what the sessions need from outside, such as dialogues of an endpoint.

        Args:
            count: Number of sessions.

        Returns:
            A text that differs where what was got differs; empty where nothing is got.

        Raises:
            RunError: If it cannot be got.
        """
        if self.config.text.order == "random":
            return ""
        with ThreadPoolExecutor(self.config.text.dialogue.parallel) as pool:
            try:
                return "".join(pool.map(self._prepare_session, range(count)))
            except BaseException:
                pool.shutdown(cancel_futures=True)  # the others would fail, too
                raise

    def _prepare_session(self, index: int) -> str:
        return self.text_order.prepare(index, self._size(index).speakers)

    def plan(self, index: int) -> SessionPlan:
        """The plan of one session: the first that meets its targets, or the one that comes nearest.

        Raises:
            InfeasibleTarget: If no attempt let every speaker speak.
        """
        check = PlanCheck(self.config)
        best: tuple[float, SessionPlan] | None = None
        for attempt in range(ATTEMPTS):
            plan = self._attempt(index, f"/{attempt}" if attempt else "")
            if plan is None:
                continue
            miss = check.miss(plan, self.cache)
            if miss <= 1:
                return plan
            if best is None or miss < best[0]:
                best = miss, plan
        if best is not None:
            return best[1]
        raise InfeasibleTarget(
            f"session {index}: no plan of {self.lengths.of(index):.1f} s let every speaker speak "
            f"in {ATTEMPTS} attempts: ask for fewer speakers or longer sessions"
        )

    def converse(self, index: int, attempt: str = "") -> tuple[Conversation, Cast, SessionSize]:
        """Who says what when in a session; the part of a plan that no room changes.

        Args:
            index: Of the session.
            attempt: Part of the name of each decision.
        """
        size = self._size(index)
        cast = self.text_order.cast(index, size.speakers, attempt)
        length = None if cast.lines is not None else size.length  # as long as its script
        size = replace(size, speakers=len(cast.people), length=length)
        scene = Scene(
            config=self.config,
            cache=self.cache,
            cast=cast,
            size=size,
            targets=self._targets(size.speakers),
            seed=self.seed,
            index=index,
            attempt=attempt,
        )
        return self.turn_taking.converse(scene), cast, size

    def _size(self, index: int) -> SessionSize:
        size = self.turn_taking.draw_size(self.seed, index, self.config, self.casting.most_speakers)
        scripted = self.text_order.num_speakers
        return size if scripted is None else replace(size, speakers=scripted)

    def _targets(self, num_speakers: int) -> Targets:
        return targets_of(self.config, num_speakers)

    def _attempt(self, index: int, attempt: str) -> SessionPlan | None:
        rate = self.config.sampling_rate
        conversation, cast, size = self.converse(index, attempt)
        people, pools = cast.people, cast.pools
        if not everybody_speaks(conversation.units, len(people)):
            return None
        room = draw_room(
            self.config.room,
            [str(k) for k in range(len(people))],
            room_generator(self.config.room, self.seed, index, len(people)),
            sampling_rate=rate,
            rirs=self.rirs,
            seconds=size.length or _last_sample(conversation.units) / rate,
            walks=generator(self.seed, index, "walks"),
        )
        first = room.microphone_positions_m[0] if room.microphone_positions_m else None
        arrival = partial(_arrival, {int(s.speaker_local): s for s in room.seats}, first, rate)
        units = _within_concurrency(conversation.units, arrival, self.config.turns.max_concurrent)
        local = _local_names(units, arrival)
        gains = self._gains(index, units, len(people))
        end = _last_sample(units)
        most_delay = max(largest_delay(seat, first, rate) for seat in room.seats)
        lead_out = self._silence(index, "lead_out")
        placements = [
            self._placement(unit, local[unit.speaker], gain)
            for unit, gain in zip(units, gains, strict=True)
        ]
        order = sorted(range(len(people)), key=lambda k: local[k])
        speakers = tuple(self._speaker(index, k, int(people[k]), pools[k], local[k]) for k in order)
        seats = {seat.speaker_local: seat for seat in room.seats}
        plan = SessionPlan(
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
            num_samples=max(
                end + most_delay + round(lead_out * rate), round((size.length or 0.0) * rate)
            ),
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
                self.config.noise, generator(self.seed, index, "noise"), self.noises, rate, room
            ),
            peak_dbfs=self.config.levels.peak_dbfs,
            asked=self._asked(conversation, cast, size, local),
        )
        return surround(
            plan,
            self.config,
            cache=self.cache,
            sounds=self.sounds,
            microphones=self.microphones,
            rirs=self.rirs,
        )

    def _asked(
        self, conversation: Conversation, cast: Cast, size: SessionSize, local: Sequence[str]
    ) -> Asked:
        shares = self._targets(size.speakers).talk_shares
        order = self.config.text.order
        return Asked(
            overlap_of_speech=_rounded(conversation.overlap),
            silence_of_time=_rounded(conversation.silence),
            duration=None if size.length is None else round(size.length, 4),
            num_speakers=size.speakers,
            talk_shares=None
            if shares is None
            else {name: round(share, 6) for name, share in sorted(zip(local, shares, strict=True))},
            max_concurrent=self.config.turns.max_concurrent,
            text_order=None if order == "random" else order,
            unmatched_lines=cast.unmatched,
        )

    def _placement(self, unit: SaidUnit, name: str, gain: float) -> Placement:
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
            saying=unit.saying,
            gain_db=gain,
            fade_samples=piece.fade,
        )

    def _silence(self, index: int, name: Literal["lead_in", "lead_out"]) -> float:
        """Seconds before the first or after the last word of a session."""
        rng = generator(self.seed, index, name)
        return float(rng.uniform(*getattr(self.config.session, name)))

    def _gains(self, index: int, units: Sequence[SaidUnit], count: int) -> list[float]:
        """Gain of each unit in dB: its speaker's level, and a small jitter."""
        rng = generator(self.seed, index, "jitter")
        jitter = rng.uniform(-1, 1, size=len(units)) * self.config.levels.jitter_db
        levels = [self.cache.utterance(unit.slice.utterance).level_dbfs for unit in units]
        gains = []
        lufs = self.config.levels.speech_lufs
        for k in range(count):
            own = [n for n, unit in enumerate(units) if unit.speaker == k]
            mean = mean_level_dbfs(
                [levels[n] for n in own], [units[n].slice.speech_samples for n in own]
            )
            if lufs is None:
                gains.append(self._level(index, k) - mean)
                continue
            slices = [units[n].slice for n in own]
            gains.append(
                loudness_gain_db(
                    self.cache,
                    [(s.utterance, s.source_start, s.num_samples) for s in slices],
                    relative_db=[float(jitter[n]) for n in own],
                    level_dbfs=mean,
                    asked_lufs=self._level(index, k),
                    sampling_rate=self.config.sampling_rate,
                )
            )
        return [
            round(gains[unit.speaker] + float(j), GAIN_DIGITS)
            for unit, j in zip(units, jitter, strict=True)
        ]

    def _level(self, index: int, k: int) -> float:
        """Asked level of a speaker: dBFS, or LUFS where that is asked for."""
        rng = generator(self.seed, index, f"level/{k}")
        levels = self.config.levels
        return float(rng.uniform(*(levels.speech_lufs or levels.speech_dbfs)))

    def _speaker(
        self, index: int, k: int, person: int, pool: NDArray[np.int64], name: str
    ) -> PlannedSpeaker:
        some = self.cache.utterance(int(pool[0]))
        is_loudness = self.config.levels.speech_lufs is not None
        level = round(self._level(index, k), GAIN_DIGITS)
        return PlannedSpeaker(
            speaker=self.cache.speakers[person],
            speaker_local=name,
            language=some.language,
            gender=some.gender,
            level_dbfs=None if is_loudness else level,
            loudness_lufs=level if is_loudness else None,
        )


def _arrival(
    seats: Mapping[int, PlannedSeat], microphone: Metres | None, rate: int, unit: SaidUnit
) -> int:
    """Samples from the emission of a unit to its direct path at the first channel."""
    return direct_delay_at(seats[unit.speaker], microphone, rate, unit.start)


def _within_concurrency(
    units: Sequence[SaidUnit], arrival: Callable[[SaidUnit], int], most: int
) -> list[SaidUnit]:
    """Units such that no more than `most` are heard at once.

    What begins as another ends at the mouths may begin milliseconds too early at the microphone,
    as seats differ in distance; from there on everything is said that much later.
    """
    shift = 0
    ends: list[tuple[int, int]] = []  # (end as heard, speaker)
    result = []
    for unit in sorted(units, key=lambda u: u.start):
        delay = arrival(replace(unit, start=unit.start + shift))
        start = unit.start + shift + delay
        ends = [(end, who) for end, who in ends if end > start]
        active = sorted((end for end, who in ends if who != unit.speaker), reverse=True)
        if len(active) >= most:
            shift += active[most - 1] - start
            start = active[most - 1]
        ends.append((start + unit.slice.speech_samples, unit.speaker))
        result.append(replace(unit, start=start - delay))
    return result


def _local_names(units: Sequence[SaidUnit], arrival: Callable[[SaidUnit], int]) -> list[str]:
    """S01, S02, … in the order in which the speakers are first heard at the first microphone."""
    heard: dict[int, int] = {}
    for unit in units:
        time = unit.start + arrival(unit)
        heard[unit.speaker] = min(heard.get(unit.speaker, time), time)
    order = sorted(heard, key=lambda k: (heard[k], k))
    return [f"S{order.index(k) + 1:02d}" for k in range(len(order))]


def _last_sample(units: Sequence[SaidUnit]) -> int:
    """First sample after all speech, at the mouths."""
    return max(unit.start + unit.slice.speech_samples for unit in units)


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), 6)
