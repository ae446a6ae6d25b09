"""Every figure of an annotation against a known truth: sums per session, added up over them."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace

from talkover.annotate.evaluation.sides import (
    Annotated,
    Known,
    hypothesis_side,
    is_named,
    reference_side,
)
from talkover.manifests.errors import ManifestError
from talkover.manifests.schema import SoundEvent
from talkover.manifests.score.boundaries import boundary_f1, event_f1
from talkover.manifests.score.cuts import cut_rate
from talkover.manifests.score.diarization import diarization_error, jaccard_error
from talkover.manifests.score.events import (
    event_f1_by_label,
    event_segment_f1,
    music_f1,
    overlap_f1,
)
from talkover.manifests.score.normalize import get_normalizer
from talkover.manifests.score.reliability import speaker_count_error
from talkover.manifests.score.sides import Pair, Side, make_side
from talkover.manifests.score.tally import Tally, add_tallies

SPEECH_BOUNDARY = 0.5
"""Seconds that a boundary of speech may be off."""
ANY_SOUND = "sound"

Figure = Callable[[Pair], Tally]

OF_SPEECH: Mapping[str, Figure] = {
    "cut_words": lambda pair: cut_rate(pair, "words"),
    "cut_turns": lambda pair: cut_rate(pair, "turns"),
    "cut_regions": lambda pair: cut_rate(pair, "regions"),
    "der": lambda pair: diarization_error(pair, 0.0, False),
    "jer": jaccard_error,
    "overlap_f1": overlap_f1,
    "speech_boundary_f1": lambda pair: boundary_f1(pair, SPEECH_BOUNDARY),
    "speaker_count": speaker_count_error,
}
"""Figures that need labels of speech alone; rates of errors, so 1 - F1 for an F1."""

OF_EVENTS: Mapping[str, Figure] = {
    "cut_sounds": lambda pair: cut_rate(pair, "sounds"),
    "cut_music": lambda pair: cut_rate(pair, "music"),
    "music_f1": music_f1,
    "event_f1": lambda pair: event_f1(sounds_only(pair, is_named)),
    "event_segment_f1": lambda pair: event_segment_f1(sounds_only(pair, is_named)),
    "event_f1_strict": lambda pair: event_f1(sounds_only(pair)),
    "event_f1_any_label": lambda pair: event_f1(_nameless(sounds_only(pair))),
}
"""Figures that need all sounds and music of the truth.

``event_f1`` leaves out sounds that claim no class (``label_source`` ``dsp``), ``event_f1_strict``
counts them as wrong, ``event_f1_any_label`` asks for times alone.
"""


@dataclass(frozen=True, kw_only=True)
class Scored:
    """Figures of some recordings."""

    sessions: Mapping[str, Mapping[str, Tally]]
    """Session, figure; a session that was not annotated has all its truth missed."""
    events: Mapping[str, Tally]
    """1 - F1 of the events of each class, over all sessions."""
    seconds: float
    """Of the recordings."""
    lost: Mapping[str, float]
    """Seconds in no segment, by reason."""

    @property
    def overall(self) -> dict[str, Tally]:
        """Sums over all sessions."""
        return added(self.sessions.values())

    @property
    def folders(self) -> dict[str, dict[str, Tally]]:
        """Sums over the sessions of each folder."""
        names = dict.fromkeys(name.partition("/")[0] for name in self.sessions)
        return {
            folder: added(t for n, t in self.sessions.items() if n.partition("/")[0] == folder)
            for folder in names
        }

    @property
    def coverage(self) -> float:
        """Share of the time that is in a segment."""
        return 1.0 - sum(self.lost.values()) / self.seconds if self.seconds else 1.0


def score_annotation(known: Sequence[Known], annotated: Annotated) -> Scored:
    """All figures of what was annotated of sessions whose truth is known.

    Args:
        known: The truth.
        annotated: What was said; recordings that nobody knows are not looked at.
    """
    sessions: dict[str, dict[str, Tally]] = {}
    lost: dict[str, float] = {}
    by_label: dict[str, list[Tally]] = {}
    for one in known:
        digest = one.session.audio.sha256
        if digest is None:
            raise ManifestError(
                "has no hash of its audio file, by which it is found", field="audio.sha256"
            )
        found = annotated.sessions.get(digest)
        said = _nothing() if found is None else hypothesis_side(annotated, found)
        pair = pair_of(one.name, reference_side(one.session), said)
        sessions[one.name] = score_pair(pair)
        named = sounds_only(pair, is_named)
        for label, tally in event_f1_by_label(
            list(named.reference.events or ()), list(named.hypothesis.events or ())
        ).items():
            by_label.setdefault(label, []).append(tally)
        for reason, seconds in _lost(one, annotated).items():
            lost[reason] = lost.get(reason, 0.0) + seconds
    return Scored(
        sessions=sessions,
        events={label: add_tallies(by_label[label]) for label in sorted(by_label)},
        seconds=sum(one.session.audio.duration for one in known),
        lost=dict(sorted(lost.items())),
    )


def score_pair(pair: Pair, *, events: bool = True) -> dict[str, Tally]:
    """All figures of one session.

    Args:
        pair: Both sides.
        events: Whether the truth knows sounds and music.
    """
    figures = {**OF_SPEECH, **(OF_EVENTS if events else {})}
    return {name: figure(pair) for name, figure in figures.items()}


def pair_of(name: str, reference: Side, hypothesis: Side) -> Pair:
    """Both sides of a session; no figure here looks at texts."""
    return Pair(name, reference, hypothesis, get_normalizer("none"))


def sounds_only(pair: Pair, keep: Callable[[SoundEvent], bool] = lambda event: True) -> Pair:
    """The pair with sounds as its only events; of those that were said only the kept ones.

    Sounds of one label that overlap or touch are one: nobody can hear where one of two begins.
    """
    there = [e for e in pair.reference.events or () if e.kind == "sound"]
    said = [e for e in pair.hypothesis.events or () if e.kind == "sound" and keep(e)]
    return _with_events(pair, _joined(there), _joined(said))


def added(sessions: Iterable[Mapping[str, Tally]]) -> dict[str, Tally]:
    """Sums of the figures of some sessions; a figure counts where a session has it."""
    found: dict[str, list[Tally]] = {}
    for tallies in sessions:
        for name, tally in tallies.items():
            found.setdefault(name, []).append(tally)
    return {name: add_tallies(tallies) for name, tallies in found.items()}


def _joined(events: Sequence[SoundEvent]) -> list[SoundEvent]:
    """Events of one label that overlap or touch as one, by start."""
    found: list[SoundEvent] = []
    last: dict[str, int] = {}
    for event in sorted(events, key=lambda e: (e.start_sample, e.end_sample, e.label)):
        at = last.get(event.label)
        if at is not None and event.start_sample <= found[at].end_sample:
            first = found[at]
            samples = max(first.end_sample, event.end_sample) - first.start_sample
            length = max(first.end, event.end) - first.start
            times = {"duration": length, "num_samples": samples}
            found[at] = first.model_copy(update=times)
        else:
            last[event.label] = len(found)
            found.append(event)
    return found


def _nameless(pair: Pair) -> Pair:
    sides = [
        [event.model_copy(update={"label": ANY_SOUND}) for event in side.events or ()]
        for side in (pair.reference, pair.hypothesis)
    ]
    return _with_events(pair, _joined(sides[0]), _joined(sides[1]))


def _with_events(pair: Pair, there: list[SoundEvent], said: list[SoundEvent]) -> Pair:
    return pair_of(
        pair.session, replace(pair.reference, events=there), replace(pair.hypothesis, events=said)
    )


def _nothing() -> Side:
    return replace(make_side([], failed=True, events=[]), cuts=())


def _lost(one: Known, annotated: Annotated) -> dict[str, float]:
    """Seconds of a session that are in no segment, by reason; empty if there are none."""
    duration = one.session.audio.duration
    found = annotated.sessions.get(one.session.audio.sha256 or "")
    if found is None:
        known_reason = annotated.rejected.get(str(one.audio.resolve()))
        return {known_reason or "not among the recordings": duration}
    left = duration - annotated.covered[found.id]
    return {"in no segment": left} if left > 1.0 / found.audio.sampling_rate else {}
