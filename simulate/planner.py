"""Configuration, corpus and seed → the plan of each session. Decides everything, hears nothing.

Each kind of decision draws from a generator of its own (`talkover.manifests.seeds`), so a change to
the rooms does not change who speaks, and session 17 is the same whether or not session 16 was made.
"""

from __future__ import annotations

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass, replace
from functools import cached_property
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import InfeasibleTarget
from talkover.manifests.schema import Asked
from talkover.manifests.seeds import content_id, generator
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
from talkover.simulate.noise import NoiseCollection, draw_noise
from talkover.simulate.plan import (
    Placement,
    PlannedRegistration,
    PlannedSpeaker,
    RoomPlan,
    SessionPlan,
)
from talkover.simulate.plan_check import PlanCheck
from talkover.simulate.responses import ResponseSet
from talkover.simulate.rooms import draw_room
from talkover.simulate.source_cache import SourceCache
from talkover.simulate.text_order import Casting, TextOrder, open_text_order
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
    """

    config: SimulationConfig
    configuration_hash: str
    cache: SourceCache
    turn_taking: TurnTaking
    seed: int
    noises: NoiseCollection | None = None
    rirs: ResponseSet | None = None

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
            generator(self.seed, index, "room"),
            sampling_rate=rate,
            rirs=self.rirs,
        )
        delays = {int(seat.speaker_local): seat.direct_delay_samples for seat in room.seats}
        units = _within_concurrency(conversation.units, delays, self.config.turns.max_concurrent)
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
                self.config.noise, generator(self.seed, index, "noise"), self.noises, rate
            ),
            peak_dbfs=self.config.levels.peak_dbfs,
            asked=self._asked(conversation, cast, size, local),
            registration=self._registration(
                index, units, [self._same_language(pool) for pool in pools], local
            ),
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

    def _same_language(self, pool: NDArray[np.int64]) -> NDArray[np.int64]:
        """All utterances of a pool's speaker in its language, whatever text the session follows."""
        if self.config.session.language_mix:
            return self.cache.utterances_of(int(self.cache.speaker_no[pool[0]]))
        return self.casting.pool(
            int(self.cache.speaker_no[pool[0]]), int(self.cache.language_no[pool[0]])
        )

    def _registration(
        self,
        index: int,
        units: Sequence[SaidUnit],
        pools: Sequence[NDArray[np.int64]],
        local: Sequence[str],
    ) -> tuple[PlannedRegistration, ...]:
        """Utterances for a clip of each speaker, none of them heard in the session."""
        asked = self.config.registration
        if asked.length is None:
            return ()
        said = {unit.slice.utterance for unit in units}
        rows = []
        for k, name in enumerate(local):
            rng = generator(self.seed, index, f"registration/{k}")
            wanted = float(rng.uniform(*asked.length))
            chosen: list[int] = []
            have = 0.0
            for number in rng.permutation([n for n in pools[k].tolist() if n not in said]):
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


def _within_concurrency(
    units: Sequence[SaidUnit], delays: dict[int, int], most: int
) -> list[SaidUnit]:
    """Units such that no more than `most` are heard at once.

    What begins as another ends at the mouths may begin milliseconds too early at the microphone,
    as seats differ in distance; from there on everything is said that much later.
    """
    shift = 0
    ends: list[tuple[int, int]] = []  # (end as heard, speaker)
    result = []
    for unit in sorted(units, key=lambda u: u.start):
        delay = delays[unit.speaker]
        start = unit.start + shift + delay
        ends = [(end, who) for end, who in ends if end > start]
        active = sorted((end for end, who in ends if who != unit.speaker), reverse=True)
        if len(active) >= most:
            shift += active[most - 1] - start
            start = active[most - 1]
        ends.append((start + unit.slice.speech_samples, unit.speaker))
        result.append(replace(unit, start=start - delay))
    return result


def _local_names(units: Sequence[SaidUnit], room: RoomPlan) -> list[str]:
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
