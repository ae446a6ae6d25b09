"""One example of training: samples, what is said in them, and who is heard when.

A session that cannot be used is skipped and counted with its id; it never ends a run.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.audio import resample, unusable
from talkover.manifests.io import SessionAudio
from talkover.manifests.schema import Session, Supervision
from talkover.manifests.serialize import Transcript
from talkover.manifests.timeline import Timeline, speed, timeline_of, trim
from talkover.model.codec import SatsCodec, UnknownCharacter
from talkover.model.data.clips import utterances_of
from talkover.model.data.windows import Window, plan_windows

SLACK = 0.1
"""Seconds that a turn may reach beyond the audio: rounding of labels from other tools."""

SHOWN = 5
"""Ids that a message about skipped sessions names."""


class Unusable(ValueError):
    """An example that cannot be learned from; the text is the reason that is counted."""


@dataclass(kw_only=True)
class Skips:
    """What was left out, and why."""

    reasons: Counter[str] = field(default_factory=Counter)
    ids: dict[str, list[str]] = field(default_factory=dict)
    """First ids of each reason."""

    def add(self, id: str, reason: str) -> None:
        """Count one; the same id and reason count once."""
        known = self.ids.setdefault(reason, [])
        if id not in known:
            self.reasons[reason] += 1
            known.append(id)

    @property
    def total(self) -> int:
        """How many were left out."""
        return sum(self.reasons.values())

    def lines(self) -> list[str]:
        """One line a reason, with the first ids."""
        return [
            f"{count} × {reason}: {', '.join(self.ids[reason][:SHOWN])}"
            + (" …" if count > SHOWN else "")
            for reason, count in sorted(self.reasons.items())
        ]


@dataclass(frozen=True, kw_only=True)
class Voice:
    """When one speaker is heard."""

    speaker: str
    """Id across the corpus."""
    spans: tuple[tuple[float, float], ...]
    """Seconds of the example's clock."""


@dataclass(frozen=True, kw_only=True)
class SpokenWord:
    """A word with its time, or a stretch of speech whose words are not known."""

    start: float
    """Seconds of the example's clock."""
    end: float
    speaker: str
    """Id across the corpus."""
    text: str | None


@dataclass(frozen=True, kw_only=True)
class Registered:
    """Somebody whose voice the model is given, whether they speak or not."""

    name: str
    vector: NDArray[np.float32]
    """``[D]``."""
    speaker: str | None = None
    """Corpus-wide id, where it is known."""


@dataclass(frozen=True, kw_only=True)
class Example:
    """See the module."""

    id: str
    samples: NDArray[np.float32]
    """``[N]`` at the model's rate."""
    duration: float
    """Seconds."""
    transcript: Transcript
    voices: tuple[Voice, ...]
    """In order of arrival."""
    words: tuple[SpokenWord, ...] = ()
    """In order of their starts."""
    is_transcribed: bool = True
    """Whether all that is said is known; if not, only who speaks when can be learned."""
    speed: float = 1.0
    """Factor by which it was played faster than recorded."""
    overlapped: tuple[bool, ...] = ()
    """Of each turn of the transcript, whether somebody else is heard during its speech."""
    labels: Mapping[str, str] = field(default_factory=dict)
    """Label in the transcript of each speaker (corpus-wide id) who has a turn in it."""
    session: str = ""
    """Id of the whole session, of which this may be a window."""
    utterances: frozenset[str] = frozenset()
    """Source utterances of the whole session; no clip that holds one may register anybody."""
    registered: tuple[Registered, ...] = ()
    """In the order in which the model reads them."""
    vectors: NDArray[np.float32] | None = None
    """``[T, D]`` for encoders that take given vectors; see `talkover.model.data.given`."""
    instruction: str | None = None
    """What is asked instead of a transcript; see `talkover.model.tasks`."""
    target: str | None = None
    """The answer to the instruction."""


def window_of(item: SessionAudio, window: Window) -> SessionAudio:
    """A stretch of a session as a session of its own, with an id of its own if it is a part."""
    session = window_session(item.session, window)
    if session is item.session:
        return item
    end = window.start_sample + window.num_samples
    return SessionAudio(
        session=session,
        samples=item.samples[:, window.start_sample : end],
        sampling_rate=item.sampling_rate,
    )


def window_session(session: Session, window: Window) -> Session:
    """The labels of a stretch as a session of its own; the session itself if it is all of it."""
    timeline = timeline_of(session)
    if window.start_sample == 0 and window.num_samples == timeline.num_samples:
        return session
    part = trim(timeline, window.start_sample, window.num_samples).timeline
    return _with_timeline(session, part, f"{session.id}-{window.start_sample}")


def faster(item: SessionAudio, factor: float) -> SessionAudio:
    """A session played faster, pitch and all; labels move with it."""
    if factor == 1.0:
        return item
    played = resample(item.samples, round(item.sampling_rate * factor), item.sampling_rate)
    timeline = speed(timeline_of(item.session), factor)
    timeline = replace(timeline, num_samples=played.shape[1])
    return SessionAudio(
        session=_with_timeline(item.session, timeline, item.session.id),
        samples=played,
        sampling_rate=item.sampling_rate,
    )


def _with_timeline(session: Session, timeline: Timeline, name: str) -> Session:
    audio = session.audio.model_copy(update={"num_samples": timeline.num_samples})
    return session.model_copy(
        update={
            "id": name,
            "audio": audio,
            "supervisions": timeline.supervisions,
            "events": timeline.events,
            "uem": timeline.uem,
        }
    )


def example_of(
    item: SessionAudio,
    codec: SatsCodec,
    sampling_rate: int,
    *,
    factor: float = 1.0,
    whole: Session | None = None,
    untranscribed: bool = False,
) -> Example:
    """An example from a whole session or window; the first channel is heard.

    Args:
        item: Session with audio.
        codec: For what the target text says.
        sampling_rate: Of the model, in Hz.
        factor: Speed at which it is played.
        whole: The session that a window is of.
        untranscribed: Whether speech without text is taken.

    Raises:
        Unusable: With the reason, if it cannot be learned from.
    """
    fault = check_session(item.session, untranscribed=untranscribed) or unusable(
        item.samples[:1], item.sampling_rate
    )
    if fault is not None:
        raise Unusable(fault)
    item = faster(item, factor)
    transcribed = codec.transcribed(item.session)
    samples = resample(item.samples[0], item.sampling_rate, sampling_rate)
    return Example(
        id=item.session.id,
        samples=np.ascontiguousarray(samples, dtype=np.float32),
        duration=item.samples.shape[1] / item.sampling_rate,
        transcript=transcribed.transcript,
        voices=voices_of(item.session, transcribed.labels),
        words=words_of(item.session),
        is_transcribed=is_transcribed(item.session),
        speed=factor,
        overlapped=transcribed.overlapped,
        labels=transcribed.labels,
        session=(whole or item.session).id,
        utterances=utterances_of(whole or item.session),
    )


def unheard_example(
    session: Session, codec: SatsCodec, sampling_rate: int, *, factor: float = 1.0
) -> Example:
    """An example with silence that takes no memory, for what only labels decide: its layout.

    Args:
        session: Of a whole session or window.
        codec: For what the target text says.
        sampling_rate: Of the model, in Hz.
        factor: Speed at which it will be played.
    """
    duration = session.audio.num_samples / session.audio.sampling_rate / factor
    if factor != 1.0:
        session = _with_timeline(session, speed(timeline_of(session), factor), session.id)
    transcribed = codec.transcribed(session)
    return Example(
        id=session.id,
        samples=np.broadcast_to(np.float32(0), (round(duration * sampling_rate),)),
        duration=duration,
        transcript=transcribed.transcript,
        voices=voices_of(session, transcribed.labels),
        speed=factor,
        overlapped=transcribed.overlapped,
        labels=transcribed.labels,
        session=session.id,
    )


def is_transcribed(session: Session) -> bool:
    """Whether all speech of a session has a text."""
    return all(row.text is not None for row in session.supervisions)


def check_session(session: Session, *, untranscribed: bool = False) -> str | None:
    """Why a session's labels cannot be learned from, or None.

    Args:
        session: With its labels.
        untranscribed: Whether speech without text is taken.
    """
    rate = session.audio.sampling_rate
    for row in session.supervisions:
        if row.text is None and not untranscribed:
            return "speech without text"
        if row.end_sample > session.audio.num_samples + SLACK * rate:
            return "a turn reaches beyond the audio"
        if row.start_sample < -SLACK * rate:
            return "a turn begins before the audio"
    return None


def words_of(session: Session) -> tuple[SpokenWord, ...]:
    """Words of a session where their times are known, else stretches of speech without a word.

    A supervision that says one word is that word; one that says more and has no word times gives
    its regions.
    """
    found: list[SpokenWord] = []
    for row in session.supervisions:
        spans: list[tuple[float, float, str | None]]
        if row.words:
            spans = [(word.start, word.end, word.symbol) for word in row.words]
        else:
            said = (row.text or "").split()
            text = said[0] if len(said) == 1 else None
            regions = [row] if text is not None else (row.regions or [row])
            spans = [(region.start, region.end, text) for region in regions]
        found += [
            SpokenWord(start=start, end=end, speaker=row.speaker, text=text)
            for start, end, text in spans
        ]
    return tuple(sorted(found, key=lambda word: (word.start, word.end, word.speaker)))


def voices_of(session: Session, labels: Mapping[str, str]) -> tuple[Voice, ...]:
    """When each speaker is heard; those with a label first, in the order of their labels."""
    spans: dict[str, list[tuple[float, float]]] = {}
    for row in sorted(session.supervisions, key=lambda row: row.start_sample):
        spans.setdefault(row.speaker, []).extend(_regions(row))
    order = {speaker: place for place, speaker in enumerate(labels)}
    ranked = sorted(spans, key=lambda speaker: order.get(speaker, len(order)))
    return tuple(Voice(speaker=speaker, spans=tuple(spans[speaker])) for speaker in ranked)


def _regions(row: Supervision) -> Iterator[tuple[float, float]]:
    regions = row.regions or (row,)
    yield from ((region.start, region.end) for region in regions)


def windows_of(session: Session, longest: float, shortest: float = 1.0) -> list[Window]:
    """Windows of a session; see `plan_windows`."""
    return plan_windows(timeline_of(session), longest, shortest)


__all__ = [
    "Example",
    "Registered",
    "Skips",
    "SpokenWord",
    "UnknownCharacter",
    "Unusable",
    "Voice",
    "Window",
    "check_session",
    "example_of",
    "faster",
    "is_transcribed",
    "unheard_example",
    "voices_of",
    "window_of",
    "window_session",
    "windows_of",
    "words_of",
]
