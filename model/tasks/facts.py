"""What is known of a stretch of a session, on its own clock and at the resolution of the text."""

from __future__ import annotations

import math
from dataclasses import dataclass

from talkover.manifests.instructions.answers import Stamp, Statement
from talkover.manifests.schema import Session
from talkover.manifests.serialize import TranscriptOptions, from_session
from talkover.manifests.serialize.transcript import round_time


@dataclass(frozen=True, kw_only=True)
class Facts:
    """Times are in seconds of the stretch, rounded, and never behind its end."""

    duration: float
    digits: int
    speakers: tuple[str, ...]
    """``S01``, … in order of appearance."""
    turns: tuple[tuple[str, Stamp], ...]
    """Speaker, and what was said from when to when; in order of start."""
    words: tuple[Stamp, ...]
    """Of all speakers, in order of start; empty where the times of some words are not known."""
    regions: tuple[Statement, ...]
    """Where each speaker is heard, by speaker and start."""
    sounds: tuple[Statement, ...]
    """Sounds and music, by start."""

    @property
    def step(self) -> float:
        """Resolution of times, seconds."""
        return float(10.0**-self.digits)

    @property
    def has_text(self) -> bool:
        """Whether it is known what everybody says."""
        return len({speaker for speaker, _ in self.turns}) == len(self.speakers)


def facts_of(session: Session, digits: int) -> Facts:
    """The facts of a whole session or window.

    Args:
        session: With supervisions on its own clock.
        digits: Digits behind the point of a time.
    """
    duration = session.audio.duration
    last = math.floor(duration * 10.0**digits + 1e-6) / 10.0**digits

    def at(time: float) -> float:
        return min(max(round_time(time, digits) or 0.0, 0.0), last)

    rows = sorted(session.supervisions, key=lambda row: (row.start_sample, row.speaker_local))
    transcribed = from_session(session, TranscriptOptions(digits=digits))
    labels = dict(transcribed.labels)
    for row in rows:  # who speaks without a text has no label yet
        labels.setdefault(row.speaker, f"S{len(labels) + 1:02d}")
    turns = tuple(
        (turn.speaker, Stamp(text=turn.text, start=at(turn.start or 0), end=at(turn.end or 0)))
        for turn in transcribed.transcript.turns
    )
    return Facts(
        duration=last,
        digits=digits,
        speakers=tuple(sorted(labels.values(), key=lambda label: (len(label), label))),
        turns=turns if not transcribed.num_skipped else (),
        words=_words(session, at),
        regions=tuple(
            Statement(label=labels[row.speaker], start=at(region.start), end=at(region.end))
            for row in sorted(rows, key=lambda row: labels[row.speaker])
            for region in row.regions
        ),
        sounds=tuple(
            Statement(label=event.label, start=at(event.start), end=at(event.end))
            for event in sorted(session.events, key=lambda e: (e.start, e.label))
            if event.kind != "noise" and event.label.strip()
        ),
    )


def _words(session: Session, at: object) -> tuple[Stamp, ...]:
    """Words by start; none if those of a supervision are not known."""
    assert callable(at)
    if any(row.words is None and row.text != "" for row in session.supervisions):
        return ()
    words = [word for row in session.supervisions for word in row.words or ()]
    words.sort(key=lambda word: (word.start_sample, word.end_sample, word.symbol))
    return tuple(Stamp(text=w.symbol, start=at(w.start), end=at(w.end)) for w in words)
