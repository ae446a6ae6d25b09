"""Sound events: named by the tagger where it knows them, by their acoustic shape where not.

The tagger's classes are read from the activity branch's curves, so a recording is heard once. What
rises from the noise floor and is neither speech nor music nor one of those events is an event of
its shape, with ``label_source`` ``dsp``.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.activity_spans import (
    Hysteresis,
    Stretches,
    active_stretches,
    mean_over,
)
from talkover.annotate.backends.activity import ANY_SOUND, CLAIMS, EDGES, SOUND, rule_of
from talkover.annotate.backends.base import Backend, BackendInfo, BranchResult, Kind
from talkover.annotate.events import Curve, Event
from talkover.annotate.media import RATE, DecodedAudio
from talkover.annotate.sounds.claims import Scorer, claim
from talkover.annotate.sounds.proposals import SoundCurves
from talkover.annotate.sounds.shapes import HOP, WINDOW, excess_curve, shape_of

VERSION = "3"
UNNAMED = "sound"
"""Label of an event of which the tagger knows when it is, and not what."""
SAME_SOUND = 0.5
"""Common time over all time of two events from which they are one sound that got two names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ShapeConfig:
    """When something has happened that nobody has a name for.

    Raises:
        ValueError: If a value is out of its range.
    """

    onset_db: float = 14.0
    """Level over the noise floor, in three bands, at which an event begins."""
    offset_db: float = 8.0
    """Level under which it ends."""
    shortest: float = 0.04
    """Seconds; shorter ones are dropped."""
    gap: float = 0.25
    """Seconds; shorter gaps are part of the event."""
    longest: float = 20.0
    """Seconds; what lasts longer is how the place sounds, not an event."""
    covered: float = 0.3
    """Share of an event that may be speech, music or a named event; with more it is that."""

    def __post_init__(self) -> None:
        """Check the values."""
        if not 0 < self.offset_db <= self.onset_db:
            raise ValueError(f"needs 0 < offset <= onset, got {self.offset_db}, {self.onset_db}")
        if not 0 <= self.covered <= 1 or self.longest <= 0:
            raise ValueError("covered must be in [0, 1] and longest above 0")


class DspEvents:
    """Events by acoustic shape alone.

    Args:
        options: Of `ShapeConfig`.
    """

    def __init__(self, **options: float) -> None:
        """Take the values as they are."""
        self.config = ShapeConfig(**options)

    def info(self) -> BackendInfo:
        """No weights."""
        return BackendInfo(name="dsp", version=VERSION, licence="Apache-2.0")

    def available(self) -> tuple[bool, str]:
        """Always."""
        return True, ""

    def load(self) -> None:
        """Nothing to load."""

    def run(self, audio: DecodedAudio, upstream: Mapping[Kind, BranchResult]) -> BranchResult:
        """Events labelled ``impulsive``, ``tonal``, ``hum`` and ``broadband``."""
        found = shaped_events(audio, spoken_or_played(upstream, audio.num_samples), self.config)
        return BranchResult(backend=self.info(), events=tuple(numbered(found)))


class NamedEvents:
    """Events of the activity branch's classes, and of their shape where none of them sounds.

    Args:
        shapes: Also give events by acoustic shape.
        options: Of `ShapeConfig`.
    """

    def __init__(self, shapes: bool = True, **options: float) -> None:
        """Take the values as they are."""
        self._shapes = shapes
        self.config = ShapeConfig(**options)

    def info(self) -> BackendInfo:
        """No weights of its own: those of the activity branch are in that branch's result."""
        return BackendInfo(name="talkover-events", version=VERSION, licence="Apache-2.0")

    def available(self) -> tuple[bool, str]:
        """Always."""
        return True, ""

    def load(self) -> None:
        """Nothing to load."""

    def run(self, audio: DecodedAudio, upstream: Mapping[Kind, BranchResult]) -> BranchResult:
        """Named events with ``label_source`` ``model``, others with ``dsp``."""
        activity = upstream.get("activity")
        named = [] if activity is None else named_events(activity, audio.num_samples)
        info = self.info() if activity is None else _also(self.info(), activity.backend)
        shaped: list[Event] = []
        if self._shapes:
            known = spoken_or_played(upstream, audio.num_samples)
            known += [np.array([[event.start, event.end]]) for event in named]
            shaped = shaped_events(audio, known, self.config)
        return BranchResult(backend=info, events=tuple(numbered([*named, *shaped])))


def _also(own: BackendInfo, tagger: BackendInfo) -> BackendInfo:
    """Who speaks for named events: this code with the weights that were asked."""
    return BackendInfo(
        name=own.name,
        version=f"{own.version}+{tagger.version}",
        licence=tagger.licence,
        weights_sha256=tagger.weights_sha256,
        non_commercial=tagger.non_commercial,
    )


def named_events(activity: BranchResult, num_samples: int) -> list[Event]:
    """Events of each class of the activity branch, by start, and those without a class.

    A tagger that says how its events are chosen has them chosen so; of others they are the
    stretches of each class's curve, one name a sound. What the curve of any sound has besides is
    an event labelled ``sound``, with ``label_source`` ``any_sound``.
    """
    settings = activity.figures.get(CLAIMS)
    if isinstance(settings, dict) and ANY_SOUND in activity.curves:
        named = _claimed(activity, Scorer.of(settings), num_samples)
    else:
        named = one_name_each(_stretches_of_classes(activity, num_samples))
    return sorted(
        [*named, *_nameless(activity, named, num_samples)], key=lambda e: (e.start, e.end, e.label)
    )


def _claimed(activity: BranchResult, scorer: Scorer, num_samples: int) -> list[Event]:
    curves = activity.curves
    any_sound = curves[ANY_SOUND]
    nothing = np.zeros(len(any_sound.values), dtype=np.float32)

    def values(name: str) -> NDArray[np.float32]:
        return curves[name].values if name in curves else nothing

    heard = SoundCurves.of(
        kinds=np.stack([values(SOUND + kind) for kind in scorer.kinds], axis=1),
        any_sound=any_sound.values,
        edges=np.stack([values(name) for name in EDGES], axis=1),
        activities=np.stack([values(name) for name in ("speech", "music", "noise")], axis=1),
    )
    return [
        Event(
            id="",
            kind="sound",
            start=one.start * any_sound.hop,
            end=min(one.end * any_sound.hop, num_samples),
            label=scorer.kinds[one.kind],
            confidence=round(one.confidence, 4),
            attributes={"label_source": "model"},
        )
        for one in claim(heard, scorer)
    ]


def _stretches_of_classes(activity: BranchResult, num_samples: int) -> list[Event]:
    events = []
    for name, curve in sorted(activity.curves.items()):
        if not name.startswith(SOUND):
            continue
        rule = replace(rule_of(activity, name), early=True)
        found = active_stretches(curve.values, curve.hop, num_samples, RATE, rule)
        events += [
            _event(curve, start, end, name.removeprefix(SOUND), "model")
            for start, end in found.tolist()
        ]
    return events


def _nameless(activity: BranchResult, named: Sequence[Event], num_samples: int) -> Iterator[Event]:
    """Stretches of any sound of which less than half is in an event that has a name."""
    if ANY_SOUND not in activity.curves:
        return
    curve = activity.curves[ANY_SOUND]
    rule = replace(rule_of(activity, ANY_SOUND), early=True)
    known = [np.array([[event.start, event.end]]) for event in named]
    for start, end in active_stretches(curve.values, curve.hop, num_samples, RATE, rule).tolist():
        if covered_share(start, end, known) < SAME_SOUND:
            yield _event(curve, start, end, UNNAMED, ANY_SOUND)


def _event(curve: Curve, start: int, end: int, label: str, source: str) -> Event:
    return Event(
        id="",
        kind="sound",
        start=start,
        end=end,
        label=label,
        confidence=round(mean_over(curve.values, curve.hop, start, end), 4),
        attributes={"label_source": source},
    )


def one_name_each(events: Iterable[Event]) -> list[Event]:
    """Without events that a surer one of another label makes doubtful: by and large the same time.

    Of two that are as sure, the one whose label comes first in the alphabet stays.

    Args:
        events: In any order.

    Returns:
        The others, by start.
    """
    ordered = sorted(events, key=lambda e: (-e.confidence, e.label, e.start))
    spans = np.array([(e.start, e.end) for e in ordered], dtype=np.int64).reshape(-1, 2)
    kept = np.zeros(len(ordered), dtype=np.bool_)
    for row, (start, end) in enumerate(spans):
        surer = spans[:row][kept[:row]]
        common = np.minimum(surer[:, 1], end) - np.maximum(surer[:, 0], start)
        together = np.maximum(surer[:, 1], end) - np.minimum(surer[:, 0], start)
        kept[row] = not np.any(common >= SAME_SOUND * together)
    left = [event for event, stays in zip(ordered, kept, strict=True) if stays]
    return sorted(left, key=lambda e: (e.start, e.end, e.label))


def shaped_events(
    audio: DecodedAudio, known: Sequence[Stretches], config: ShapeConfig
) -> list[Event]:
    """Events by shape, but those that are something known.

    Args:
        audio: The recording.
        known: Stretches of speech, music and named events, in any order.
        config: When there is one.
    """
    excess = excess_curve(audio)
    # Decibels as a share of twice the onset, which `Hysteresis` wants between 0 and 1.
    scale = 2.0 * config.onset_db
    rule = Hysteresis(
        onset=0.5, offset=config.offset_db / scale, shortest=config.shortest, gap=config.gap
    )
    found = active_stretches(excess / scale, HOP, audio.num_samples, RATE, rule)
    events = []
    for start, end in found.tolist():
        if end - start > config.longest * RATE:
            continue
        if covered_share(start, end, known) > config.covered:
            continue
        shape, clearness = shape_of(audio.read(start - HOP, end + WINDOW - HOP))
        events.append(
            Event(
                id="",
                kind="sound",
                start=start,
                end=end,
                label=shape,
                confidence=round(clearness, 4),
                attributes={
                    "label_source": "dsp",
                    "excess_db": round(float(excess[start // HOP : -(-end // HOP)].max()), 1),
                },
            )
        )
    return events


def spoken_or_played(upstream: Mapping[Kind, BranchResult], num_samples: int) -> list[Stretches]:
    """Where the branches before this one hear speech or music."""
    known: list[Stretches] = []
    vad, activity = upstream.get("vad"), upstream.get("activity")
    if vad is not None and vad.events:
        known.append(np.array([[event.start, event.end] for event in vad.events]))
    if activity is not None:
        for name in ("speech", "music"):
            if name in activity.curves:
                curve = activity.curves[name]
                rule = rule_of(activity, name)
                known.append(active_stretches(curve.values, curve.hop, num_samples, RATE, rule))
    return known


def covered_share(start: int, end: int, known: Iterable[Stretches]) -> float:
    """Share of a stretch that any of some others cover, from 0 to 1."""
    inside = [
        np.clip(stretches[_meeting(stretches, start, end)], start, end) for stretches in known
    ]
    spans = np.concatenate([np.zeros((0, 2), dtype=np.int64), *inside])
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    covered, reached = 0, start
    for first, last in spans.tolist():
        covered += max(0, last - max(first, reached))
        reached = max(reached, last)
    return covered / max(1, end - start)


def _meeting(stretches: Stretches, start: int, end: int) -> NDArray[np.bool_]:
    return np.asarray((stretches[:, 0] < end) & (stretches[:, 1] > start))


def numbered(events: Iterable[Event]) -> list[Event]:
    """Events by start, with ids in that order."""
    ordered = sorted(events, key=lambda event: (event.start, event.end, event.label))
    return [
        Event(
            id=f"sound-{number:06d}",
            kind=event.kind,
            start=event.start,
            end=event.end,
            label=event.label,
            confidence=event.confidence,
            attributes=event.attributes,
        )
        for number, event in enumerate(ordered)
    ]


EVENTS: dict[str, type[Backend]] = {"talkover": NamedEvents, "dsp": DspEvents}
"""The built-in backends by name."""
