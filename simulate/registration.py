"""Which speech registers a speaker: clips for enrolment, and distractors who are not in the room.

A clip of a speaker and a length is put together from the speaker's utterances in one order that
holds for the whole run, without those that the session itself uses. Most sessions of a speaker thus
share their clips, and so do all sessions that a speaker distracts: a run writes each clip once.
"""

from __future__ import annotations

from collections.abc import Collection, Iterator, Sequence
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.seeds import SESSION_OF_CORPUS, generator
from talkover.simulate.config import RegistrationConfig, RoomConfig
from talkover.simulate.plan import PlannedRegistration, PlannedSpeaker, RoomPlan
from talkover.simulate.rooms import draw_room
from talkover.simulate.source_cache import SourceCache

ROOM_SPEAKER = "S01"
"""Local name of the one speaker of a room for registration."""


@dataclass(frozen=True, kw_only=True)
class RegistrationPlanner:
    """Plans the registration clips of one run's sessions.

    Args:
        config: What is asked.
        cache: The corpus.
        seed: Root seed.
    """

    config: RegistrationConfig
    cache: SourceCache
    seed: int

    def clips(
        self,
        session: int,
        speakers: Sequence[PlannedSpeaker],
        heard: Collection[int],
        language: int | None,
    ) -> tuple[PlannedRegistration, ...]:
        """The clips of one session: its speakers in order, then distractors.

        Args:
            session: Index of the session.
            speakers: Who is in it.
            heard: Numbers of the utterances that it uses.
            language: Number of the language that is spoken; None where languages may mix.

        Returns:
            One row a speaker and length, where the speaker has that much speech to give.
        """
        if not self.config.lengths:
            return ()
        taken = {self._recording(number) for number in heard}
        numbers = {name: n for n, name in enumerate(self.cache.speakers)}
        rows: list[PlannedRegistration] = []
        for speaker in speakers:
            free = self._free(numbers[speaker.speaker], language, set(heard), taken)
            rows += self._rows(speaker.speaker, speaker.speaker_local, free)
        present = {numbers[speaker.speaker] for speaker in speakers}
        for number in self._distractors(session, present, language):
            free = self._free(number, language, set(heard), taken)
            rows += self._rows(self.cache.speakers[number], None, free)
        return tuple(rows)

    def asked(self, num_speakers: int) -> int:
        """Clips that a session of so many speakers asks for."""
        return len(self.config.lengths) * (num_speakers + self.config.distractors)

    def rooms(self, room: RoomConfig) -> tuple[RoomPlan, ...]:
        """The other rooms that clips are heard in; the same for all sessions of a run.

        Args:
            room: Ranges of the session's rooms; these are shoeboxes of the same ranges, with one
                microphone.
        """
        if self.config.room == "dry" or not self.config.lengths:
            return ()
        return _rooms(room, self.config.rooms, self.seed, self.cache.sampling_rate)

    def _distractors(self, session: int, present: set[int], language: int | None) -> list[int]:
        """Speakers of the corpus who are not in the session but speak its language."""
        if not self.config.distractors:
            return []
        absent = [
            n
            for n in range(len(self.cache.speakers))
            if n not in present and len(self._pool(n, language))
        ]
        rng = generator(self.seed, session, "registration/distractors")
        count = min(self.config.distractors, len(absent))
        return [int(n) for n in rng.choice(absent, size=count, replace=False)] if count else []

    def _pool(self, speaker: int, language: int | None) -> NDArray[np.int64]:
        pool = self.cache.utterances_of(speaker)
        return pool if language is None else pool[self.cache.language_no[pool] == language]

    def _free(
        self, speaker: int, language: int | None, heard: set[int], taken: set[tuple[str, str]]
    ) -> Iterator[int]:
        """Utterances for a clip in the run's order, lazily: most clips need two or three."""
        pool = self._pool(speaker, language)
        name = self.cache.speakers[speaker]
        order = generator(self.seed, SESSION_OF_CORPUS, f"registration/{name}").permutation(pool)
        for number in order.tolist():
            if number in heard:
                continue
            if self.config.same_recording or self._recording(number) not in taken:
                yield number

    def _recording(self, number: int) -> tuple[str, str]:
        utterance = self.cache.utterance(number)
        return utterance.corpus, utterance.recording_id

    def _rows(
        self, speaker: str, local: str | None, free: Iterator[int]
    ) -> Iterator[PlannedRegistration]:
        """A clip of each length; a longer one begins with the utterances of the shorter."""
        chosen: list[int] = []
        have = 0.0
        for length in sorted(self.config.lengths):
            while have < length and (number := next(free, None)) is not None:
                chosen.append(number)
                have += self.cache.utterance(number).speech_samples / self.cache.sampling_rate
            if have < length:
                return
            yield PlannedRegistration(
                speaker=speaker,
                speaker_local=local,
                utterances=tuple(chosen),
                length=length,
                room=self._room(speaker, length),
            )

    def _room(self, speaker: str, length: float) -> int | None:
        if self.config.room == "dry":
            return None
        rng = generator(self.seed, SESSION_OF_CORPUS, f"registration/room/{speaker}/{length:g}")
        return int(rng.integers(self.config.rooms))


@lru_cache(maxsize=4)
def _rooms(room: RoomConfig, count: int, seed: int, rate: int) -> tuple[RoomPlan, ...]:
    plain = RoomConfig()
    ranges = room.model_copy(
        update={
            name: getattr(plain, name)
            for name in ("kind", "microphones", "rirs", "bank", "drr_db", "moving")
        }
    )
    return tuple(
        draw_room(
            ranges,
            [ROOM_SPEAKER],
            generator(seed, SESSION_OF_CORPUS, f"registration/rooms/{n}"),
            sampling_rate=rate,
            rirs=None,
        )
        for n in range(count)
    )
