"""What a data set is made of, counted in one pass over its manifests."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path

from talkover.manifests.card.licences import spdx_of
from talkover.manifests.io import read_sessions
from talkover.manifests.schema import Claim, Session, Source
from talkover.manifests.split_keys import is_synthetic_noise
from talkover.manifests.statistics import session_statistics

HOUR = 3600.0  # seconds


@dataclass(frozen=True, slots=True)
class Use:
    """One thing in a session that has a licence."""

    session: str
    what: str
    """The utterance, sound or noise, in words that lead to it."""
    licence: str | None
    """As the manifest says it."""
    adapted: bool
    """Whether the session changes or mixes it."""


@dataclass(kw_only=True)
class Corpus:
    """One source corpus, and how much of it is used."""

    seconds: float = 0.0
    utterances: set[str] = field(default_factory=set)
    speakers: set[str] = field(default_factory=set)
    licences: set[str] = field(default_factory=set)


@dataclass(kw_only=True)
class Figures:
    """Counts over all sessions."""

    sessions: int = 0
    seconds: float = 0.0
    speech: float = 0.0
    overlap: float = 0.0
    turns: int = 0
    utterances: int = 0
    without_text: int = 0
    words: int = 0
    speakers: set[str] = field(default_factory=set)
    speakers_a_session: Counter[int] = field(default_factory=Counter)
    languages: Counter[str] = field(default_factory=Counter)
    origins: Counter[str] = field(default_factory=Counter)
    splits: Counter[str] = field(default_factory=Counter)
    split_seconds: Counter[str] = field(default_factory=Counter)
    sampling_rates: Counter[int] = field(default_factory=Counter)
    channels: Counter[int] = field(default_factory=Counter)
    rooms: Counter[str] = field(default_factory=Counter)
    audio_suffixes: set[str] = field(default_factory=set)
    corpora: dict[tuple[str, str], Corpus] = field(default_factory=dict)
    """By name and version."""
    tools: Counter[tuple[str, str, str]] = field(default_factory=Counter)
    """Sessions by tool, version and hash of the configuration."""
    backends: Counter[tuple[str, str]] = field(default_factory=Counter)
    """Labels that a model claims, by backend and version."""
    attribution: set[str] = field(default_factory=set)
    registration: int = 0

    @property
    def hours(self) -> float:
        """Length of the audio in hours."""
        return self.seconds / HOUR

    @property
    def overlap_of_speech(self) -> float:
        """Share of the speech in which two or more speak."""
        return self.overlap / self.speech if self.speech else 0.0

    def add(self, session: Session) -> None:
        """Count a session."""
        audio = session.audio
        measured = session.statistics or session_statistics(
            session.supervisions, audio.num_samples, audio.sampling_rate
        )
        self.sessions += 1
        self.seconds += audio.duration
        self.speech += measured.speech
        self.overlap += measured.overlap
        self.turns += measured.num_turns
        self.speakers_a_session[measured.num_speakers] += 1
        self.origins[session.origin] += 1
        self.sampling_rates[audio.sampling_rate] += 1
        self.channels[audio.num_channels] += 1
        self.audio_suffixes.add(Path(audio.path).suffix.lower())
        self.rooms[session.scene.room.kind if session.scene else "not stated"] += 1
        self.splits[session.split or ""] += 1
        self.split_seconds[session.split or ""] += audio.duration  # type: ignore[assignment]
        made = session.provenance
        self.tools[made.tool, made.version, made.configuration_hash] += 1
        self.attribution |= set(session.licences.attribution)
        self.registration += len(session.registration)
        for event in session.events:
            self._add_claim(event.claim)
        for row in session.supervisions:
            self.utterances += 1
            self.without_text += row.text is None
            self.words += len(row.words or (row.text or "").split())
            self.speakers.add(row.speaker)
            self.languages[row.language or "not stated"] += 1
            self._add_claim(row.claim)
            if row.source is not None:
                self._add_source(row.source, row.speaker)

    def _add_claim(self, claim: Claim | None) -> None:
        if claim is not None:
            self.backends[claim.backend, claim.version] += 1

    def _add_source(self, source: Source, speaker: str) -> None:
        corpus = self.corpora.setdefault((source.corpus, source.corpus_version or ""), Corpus())
        corpus.seconds += source.duration
        corpus.utterances.add(source.utterance_id)
        corpus.speakers.add(speaker)
        corpus.licences.add(spdx_of(source.licence) or source.licence or "not stated")


def sessions_of(folders: list[Path]) -> Iterator[Session]:
    """The sessions of several folders, one after the other."""
    for folder in folders:
        yield from read_sessions(folder)


def uses_of(session: Session) -> Iterator[Use]:
    """Everything in a session that has a licence, or should have one.

    What ``licences.spdx`` names beyond its parts (impulse responses, a whole recording) counts for
    the session; a session that names nothing at all is one use without a licence.
    """
    adapted = session.origin == "simulated"
    named: set[str] = set()
    found = False
    for row in session.supervisions:
        if row.source is not None:
            what = f"utterance {row.source.utterance_id} of {row.source.corpus} ({row.id})"
            yield Use(session.id, what, row.source.licence, adapted)
            named.add(row.source.licence or "")
            found = True
    for event in session.events:
        if event.source is not None:
            what = f"sound {event.source.utterance_id} of {event.source.corpus} ({event.id})"
            yield Use(session.id, what, event.source.licence, adapted)
            named.add(event.source.licence or "")
    for noise in session.noise:
        if not is_synthetic_noise(noise.kind, noise.id, noise.sha256):
            yield Use(session.id, f"noise {noise.id}", noise.licence, adapted)
            named.add(noise.licence or "")
    for licence in session.licences.spdx:
        if licence not in named:
            yield Use(session.id, "the session as a whole", licence, adapted)
            found = True
    if not found:
        yield Use(session.id, "the session as a whole", None, adapted)
