"""From a session of the data contract to the transcript that a target text writes."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from types import MappingProxyType
from typing import Literal

from talkover.manifests.schema import Session, Supervision
from talkover.manifests.serialize.transcript import (
    MAX_DIGITS,
    Event,
    Gender,
    Transcript,
    Turn,
    round_time,
    speaker_label,
)

Extra = Literal["overlap", "gender", "events"]

GENDER_NAMES: dict[str, Gender] = {"f": "f", "female": "f", "m": "m", "male": "m", "other": "o"}


@dataclass(frozen=True, kw_only=True)
class TranscriptOptions:
    """How a session becomes a transcript."""

    digits: int = 2
    """Digits of the times; turns are put in order after rounding, as the text shows them."""
    unit: Literal["supervision", "turn"] = "supervision"
    """One turn per supervision, or supervisions of one ``turn_id`` joined."""
    names: Mapping[str, str] = field(default_factory=lambda: MappingProxyType({}))
    """Registered name of each registered speaker (corpus-wide id); the others are numbered."""
    extras: tuple[Extra, ...] = ()
    """What to mark besides who, when and what."""
    hotwords: tuple[str, ...] = ()
    """Handed on to the transcript, for the prompt."""

    def __post_init__(self) -> None:
        """Check the options."""
        if not 0 <= self.digits <= MAX_DIGITS:
            raise ValueError(f"digits must be 0 to {MAX_DIGITS}, got {self.digits}")
        unknown = set(self.extras) - {"overlap", "gender", "events"}
        if unknown:
            raise ValueError(f"extras must be of overlap, gender and events, got {sorted(unknown)}")
        if self.unit not in ("supervision", "turn"):
            raise ValueError(f"unit must be 'supervision' or 'turn', got {self.unit!r}")
        if "" in self.names.values() or len(set(self.names.values())) != len(self.names):
            raise ValueError("registered names must differ from each other and not be empty")


@dataclass(frozen=True, kw_only=True)
class Transcribed:
    """A session's transcript, who its labels are, and what was left out."""

    transcript: Transcript
    labels: Mapping[str, str]
    """Label in the transcript of each speaker (corpus-wide id) who has a turn in it."""
    num_skipped: int
    """Supervisions without a transcript."""
    overlapped: tuple[bool, ...] = ()
    """Of each turn, whether somebody else is heard during its speech; marked or not."""


@dataclass(frozen=True, slots=True)
class Draft:
    """A turn before labels are given."""

    start: float
    end: float
    speaker_local: str
    speaker: str
    text: str
    overlap: bool
    gender: Gender | None

    @property
    def order(self) -> tuple[float, float, int, str]:
        """Start, end, then speaker, as numbers count."""
        return self.start, self.end, len(self.speaker_local), self.speaker_local


def from_session(session: Session, options: TranscriptOptions | None = None) -> Transcribed:
    """The turns of a session in the order (start, end, speaker), labelled S01, S02, … in it.

    Supervisions whose text is None have no turn and are counted; they still mark an overlap.
    An empty text is a transcript and keeps its turn.

    Args:
        session: Any legal session.
        options: Resolution, unit, names and marks.

    Raises:
        ValueError: If a time lies outside of what a text can say.
    """
    options = options or TranscriptOptions()
    overlapped = overlapped_supervisions(session.supervisions)
    groups = groups_of(session.supervisions, options.unit)
    drafts = sorted((draft(g, overlapped, options.digits) for g in groups), key=lambda d: d.order)
    labels = give_labels(drafts, options.names)
    return Transcribed(
        transcript=Transcript(
            turns=tuple(finish(d, labels[d.speaker], options.extras) for d in drafts),
            events=events_of(session, options) if "events" in options.extras else (),
            hotwords=options.hotwords,
        ),
        labels=labels,
        num_skipped=sum(s.text is None for s in session.supervisions),
        overlapped=tuple(d.overlap for d in drafts),
    )


def groups_of(
    supervisions: Sequence[Supervision], unit: Literal["supervision", "turn"]
) -> list[list[Supervision]]:
    """The supervisions with a text, those of one turn of one speaker together if asked."""
    groups: dict[tuple[str, str], list[Supervision]] = {}
    for supervision in supervisions:
        if supervision.text is not None:
            name = supervision.id if unit == "supervision" else supervision.turn_id
            groups.setdefault((name, supervision.speaker), []).append(supervision)
    return list(groups.values())


def draft(group: list[Supervision], overlapped: set[str], digits: int) -> Draft:
    """One turn from the supervisions of a group, at the resolution of the text."""
    first = group[0]
    start = round_time(min(s.start for s in group), digits)
    end = round_time(max(s.end for s in group), digits)
    assert start is not None and end is not None
    return Draft(
        start=start,
        end=end,
        speaker_local=first.speaker_local,
        speaker=first.speaker,
        text=join_texts([s.text or "" for s in group]),
        overlap=any(s.id in overlapped for s in group),
        gender=GENDER_NAMES.get((first.gender or "").lower()),
    )


def join_texts(texts: Iterable[str]) -> str:
    """The texts as one, with a space between, but none next to a script written without spaces.

    >>> join_texts(["so", "", "yes"]), join_texts(["你好", "吗"])
    ('so yes', '你好吗')
    """
    joined = ""
    for text in texts:
        has_space = joined and text and not (is_spaceless(joined[-1]) and is_spaceless(text[0]))
        joined += (" " if has_space else "") + text
    return joined


def is_spaceless(character: str) -> bool:
    """Whether a character is of Chinese or Japanese: ideographs, kana, their punctuation."""
    code = ord(character)
    return 0x3000 <= code <= 0x30FF or 0x3400 <= code <= 0x9FFF or 0x20000 <= code <= 0x323AF


def overlapped_supervisions(supervisions: Sequence[Supervision]) -> set[str]:
    """Ids of the supervisions during whose speech regions somebody else is heard."""
    regions = sorted(
        (region.start_sample, region.end_sample, s.speaker, s.id)
        for s in supervisions
        for region in s.regions
        if region.num_samples > 0
    )
    found: set[str] = set()
    active: list[tuple[int, str, str]] = []  # (end, speaker, id) of regions that may still sound
    for start, end, speaker, name in regions:
        active = [other for other in active if other[0] > start]
        for _, other_speaker, other_name in active:
            if other_speaker != speaker:
                found |= {name, other_name}
        active.append((end, speaker, name))
    return found


def give_labels(drafts: Sequence[Draft], names: Mapping[str, str]) -> dict[str, str]:
    """A label for each speaker, in order of appearance: the registered name, or the next number."""
    taken = set(names.values())
    labels: dict[str, str] = {}
    number = 0
    for one in drafts:
        if one.speaker in labels:
            continue
        if one.speaker in names:
            labels[one.speaker] = names[one.speaker]
            continue
        number += 1
        while speaker_label(number) in taken:
            number += 1
        labels[one.speaker] = speaker_label(number)
    return labels


def finish(one: Draft, label: str, extras: Sequence[Extra]) -> Turn:
    """The turn with its label and the marks that were asked for."""
    return Turn(
        speaker=label,
        text=one.text,
        start=one.start,
        end=one.end,
        overlap=one.overlap and "overlap" in extras,
        gender=one.gender if "gender" in extras else None,
    )


def events_of(session: Session, options: TranscriptOptions) -> tuple[Event, ...]:
    """The sounds of a session in order of (start, end, label), at the resolution of the text."""
    events = [
        Event(
            label=event.label,
            start=round_time(event.start, options.digits),
            end=round_time(event.end, options.digits),
        )
        for event in session.events
    ]
    return tuple(sorted(events, key=lambda e: (e.start or 0.0, e.end or 0.0, e.label)))
