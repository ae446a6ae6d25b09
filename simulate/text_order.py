"""Who meets, and what their words have to do with each other.

A text order is a plug-in: it chooses the speakers of a session and what each may say. Built in are
``random``, ``book`` (one book, chapter or topic, in its order), ``script`` (a given text) and
``dialogue`` (a text that an OpenAI-compatible endpoint writes); other packages offer theirs under
`ENTRY_POINTS`.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from importlib.metadata import EntryPoint, entry_points
from pathlib import Path
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import ConfigurationError, InfeasibleTarget
from talkover.manifests.seeds import generator
from talkover.simulate.config import SimulationConfig
from talkover.simulate.conversation import Cast
from talkover.simulate.source_cache import SourceCache

ENTRY_POINTS = "talkover.text_order"
"""Group under which other packages offer text orders."""


@dataclass(frozen=True, slots=True)
class Group:
    """Speakers who may meet, and the language they do it in; None where languages may mix."""

    language: int | None
    speakers: NDArray[np.int64]


@dataclass(frozen=True, repr=False)
class Casting:
    """What the speakers of all sessions are chosen from.

    Args:
        config: What is asked.
        cache: The corpus.
        seed: Root seed.
        answers: Folder that answers of an endpoint are kept in, or None.
    """

    config: SimulationConfig
    cache: SourceCache
    seed: int
    answers: Path | None = None

    @cached_property
    def groups(self) -> list[Group]:
        """Sets of speakers that may meet: one per language, or one of all with `language_mix`."""
        everyone = range(len(self.cache.speakers))
        if self.config.session.language_mix:
            return [Group(language=None, speakers=np.array(everyone, dtype=np.int64))]
        groups = []
        for language in sorted({int(n) for n in self.cache.language_no}):
            speakers = [s for s in everyone if len(self.pool(s, language))]
            groups.append(Group(language=language, speakers=np.array(speakers, dtype=np.int64)))
        return groups

    @property
    def most_speakers(self) -> int:
        """Size of the largest group."""
        return max((len(group.speakers) for group in self.groups), default=0)

    def pool(self, speaker: int, language: int | None) -> NDArray[np.int64]:
        """Numbers of the utterances that a speaker may say in a session of a language."""
        pool = self.cache.utterances_of(speaker)
        return pool if language is None else pool[self.cache.language_no[pool] == language]

    def rng(self, index: int, decision: str) -> np.random.Generator:
        """The generator of one named decision of a session."""
        return generator(self.seed, index, decision)

    def meeting(self, count: int, rng: np.random.Generator) -> tuple[Group, NDArray[np.int64]]:
        """A group, more often a large one, and some of its speakers.

        Raises:
            InfeasibleTarget: If no group is large enough.
        """
        large = [group for group in self.groups if len(group.speakers) >= count]
        if not large:
            raise InfeasibleTarget(f"no {count} speakers of the corpus may meet: see --speakers")
        sizes = np.array([len(group.speakers) for group in large], dtype=float)
        group = large[int(rng.choice(len(large), p=sizes / sizes.sum()))]
        return group, np.asarray(rng.choice(group.speakers, size=count, replace=False))


class TextOrder(Protocol):
    """Chooses the speakers of a session and what they may say."""

    def __init__(self, casting: Casting) -> None:
        """Look at the corpus and the configuration.

        Raises:
            ConfigurationError: If the settings of this order are wrong.
            InfeasibleTarget: If the corpus has not what it needs.
        """
        ...

    @property
    def num_speakers(self) -> int | None:
        """Speakers of every session, or None where the turn-taking model decides."""
        ...

    def prepare(self, index: int, count: int) -> str:
        """Get what a session needs from outside, before any worker starts.

        Returns:
            A text that differs where what was got differs; empty where nothing is got.
        """
        ...

    def cast(self, index: int, count: int, attempt: str) -> Cast:
        """The speakers of a session and what they may say.

        Args:
            index: Of the session.
            count: Number of speakers.
            attempt: Part of the name of each decision.

        Raises:
            InfeasibleTarget: If the corpus has no such speakers.
        """
        ...


class RandomOrder:
    """Any speakers, any utterances."""

    num_speakers: int | None = None

    def __init__(self, casting: Casting) -> None:
        """Keep the corpus."""
        self._casting = casting

    def prepare(self, index: int, count: int) -> str:
        """Nothing is needed."""
        return ""

    def cast(self, index: int, count: int, attempt: str) -> Cast:
        """Draw a group and speakers of it."""
        group, people = self._casting.meeting(count, self._casting.rng(index, "speakers" + attempt))
        pools = [self._casting.pool(int(person), group.language) for person in people]
        return Cast(people=people, pools=pools)


class BookOrder:
    """One book, chapter or topic, told in its order.

    The speakers of a session share a topic where the corpus has one with enough of them. Where none
    has (audiobooks: one reader a chapter), each speaker keeps to one topic of their own.

    Raises:
        InfeasibleTarget: If the corpus names no topics.
    """

    num_speakers: int | None = None

    def __init__(self, casting: Casting) -> None:
        """Keep the corpus, if it has topics."""
        self._casting = casting
        cache = casting.cache
        if not cache.topics:
            raise InfeasibleTarget(
                "text.order book was asked, but the corpus names no book, chapter or topic: add a "
                "column topic (CSV), utt2topic (Kaldi), custom.topic (Lhotse), a folder level, or "
                "ids speaker-chapter-utterance"
            )
        self._topic_no = np.asarray(cache.topic_no)

    def prepare(self, index: int, count: int) -> str:
        """Nothing is needed."""
        return ""

    def cast(self, index: int, count: int, attempt: str) -> Cast:
        """Draw a shared topic, or speakers with a topic each."""
        rng = self._casting.rng(index, "speakers" + attempt)
        shared = [
            (topic, speakers)
            for topic, speakers in self._speakers_of_topics
            if len(speakers) >= count
        ]
        if shared and count > 1:
            sizes = np.array([len(speakers) for _, speakers in shared], dtype=float)
            chosen = shared[int(rng.choice(len(shared), p=sizes / sizes.sum()))]
            topic: int | None
            (topic, language), speakers = chosen
            people = rng.choice(speakers, size=count, replace=False)
        else:
            group, people = self._casting.meeting(count, rng)
            topic, language = None, -1 if group.language is None else group.language
        pools = [self._pool(int(person), topic, language, rng) for person in people]
        said = {int(n) for pool in pools for n in pool}
        rank = {n: place for place, n in enumerate(sorted(said, key=self._place))}
        return Cast(people=np.asarray(people), pools=pools, rank=rank)

    def _place(self, number: int) -> tuple[int, list[tuple[int, str]]]:
        """Sorts utterances by topic, then in the order of their ids."""
        return int(self._topic_no[number]), _natural(
            self._casting.cache.utterance(number).utterance_id
        )

    @cached_property
    def _speakers_of_topics(self) -> list[tuple[tuple[int, int], NDArray[np.int64]]]:
        """(topic, language) and the speakers who have utterances of it."""
        cache = self._casting.cache
        mixed = self._casting.config.session.language_mix
        languages = np.full(len(cache), -2) if mixed else np.asarray(cache.language_no)
        rows = np.stack([self._topic_no, languages, np.asarray(cache.speaker_no)], axis=1)
        rows = np.unique(rows[rows[:, 0] >= 0], axis=0)  # [N, (topic, language, speaker)]
        groups: dict[tuple[int, int], list[int]] = {}
        for topic, language, speaker in rows.tolist():
            groups.setdefault((topic, language), []).append(speaker)
        return [(key, np.array(speakers)) for key, speakers in groups.items()]

    def _pool(
        self, person: int, topic: int | None, language: int, rng: np.random.Generator
    ) -> NDArray[np.int64]:
        """What a speaker has of a topic; of one of their own topics if it is None."""
        mixed = self._casting.config.session.language_mix
        pool = self._casting.pool(person, None if mixed else language)
        topics = self._topic_no[pool]
        if topic is None:
            known = topics[topics >= 0]
            if len(known) == 0:
                return pool
            topic = int(rng.choice(known))  # the longer text more often
        return np.asarray(pool[topics == topic])


def _natural(name: str) -> list[tuple[int, str]]:
    """A key that sorts numbers in a name by their value.

    >>> sorted(["a-10", "a-9"], key=_natural)
    ['a-9', 'a-10']
    """
    parts: list[tuple[int, str]] = []
    digits = ""
    for letter in name + "\0":
        if letter.isdecimal() and letter.isascii():
            digits += letter
            continue
        if digits:
            parts.append((int(digits), ""))
            digits = ""
        parts.append((-1, letter))
    return parts


TEXT_ORDERS: dict[str, EntryPoint] = {
    name: EntryPoint(name, f"talkover.simulate.{place}", ENTRY_POINTS)
    for name, place in {
        "random": "text_order:RandomOrder",
        "book": "text_order:BookOrder",
        "script": "script_order:ScriptOrder",
        "dialogue": "dialogue_order:DialogueOrder",
    }.items()
}
"""The built-in text orders by name."""


def open_text_order(casting: Casting) -> TextOrder:
    """The text order that a configuration names.

    Raises:
        ConfigurationError: If there is none of the name.
    """
    name = casting.config.text.order
    found = TEXT_ORDERS.get(name)
    if found is None:
        found = next((e for e in entry_points(group=ENTRY_POINTS) if e.name == name), None)
    if found is None:
        known = ", ".join(_known())
        raise ConfigurationError(f"text.order: no text order {name!r}: choose one of {known}")
    return cast(type[TextOrder], found.load())(casting)


def _known() -> Sequence[str]:
    return sorted({*TEXT_ORDERS, *(e.name for e in entry_points(group=ENTRY_POINTS))})
