"""From what branches say to one timeline: turns, overlaps, sounds and music that agree.

Branches are taken at their word only as far as a recording can have what they say: what lies beyond
its end is cut off, what is empty or not finite is left out with a warning, one speaker speaks once
at a time, and the same label said twice of the same moment is said once. Every event keeps its
confidence and remembers the branch behind it.

All times are samples at `talkover.annotate.media.RATE`.
"""

from __future__ import annotations

import math
from collections import defaultdict
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace

import numpy as np

from talkover.annotate.backends.base import BranchResult, Kind
from talkover.annotate.config import TurnsConfig
from talkover.annotate.events import Curve, Event, Timeline, check_events, sorted_events
from talkover.annotate.media import RATE
from talkover.annotate.pipeline import Heard
from talkover.manifests.regions import as_spans, gap_samples, join_regions, join_spans

NOBODY = "unknown"
"""Speaker of speech that no diarizer gave to anybody."""
CURVES = ("speech", "novelty")
"""Curves that the segmentation reads."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spoken:
    """A turn: regions of speech of one speaker."""

    id: str
    speaker: str
    """As the branches call them; of one channel where each is heard by itself."""
    regions: tuple[tuple[int, int], ...]
    confidence: float
    branch: Kind


@dataclass(frozen=True, kw_only=True, slots=True)
class Reconciled:
    """A recording's timeline, and what is behind it."""

    timeline: Timeline
    """Turns, overlaps, sounds and music, with the curves that the segmentation reads."""
    turns: tuple[Spoken, ...]
    """By start; ids as in the timeline."""
    branches: Mapping[str, Kind]
    """The branch that claims an event, by its id; overlaps are of the branch of the turns."""
    warnings: tuple[str, ...] = ()


def reconcile(recording: str, heard: Sequence[Heard], config: TurnsConfig) -> Reconciled:
    """One timeline from what was heard of all channels.

    Args:
        recording: Id of the recording, the beginning of the events' ids.
        heard: What was heard; several where each channel is heard by itself.
        config: How speech becomes turns.
    """
    num_samples = heard[0].num_samples
    notes = _Notes()
    speech: dict[tuple[str, Kind], list[Event]] = defaultdict(list)
    others: list[tuple[Event, Kind]] = []
    for part in heard:
        prefix = f"c{part.channel}-" if len(heard) > 1 else ""
        turns, branch = _speech_of(part, prefix)
        for event in _sound(turns, num_samples, branch, notes):
            speech[event.speaker or NOBODY, branch].append(event)
        for kind in ("sound", "music"):
            source: Kind = "events" if kind == "sound" else "music"
            found = part.results[source].events if source in part.results else ()
            own = [e for e in found if e.kind == kind]
            others += [(e, source) for e in _sound(own, num_samples, source, notes)]
    spoken = _turns(recording, speech, config)
    overlaps = _overlaps(recording, spoken, round(config.shortest_overlap * RATE))
    rest = _numbered(recording, _said_once(others))
    events = sorted_events([*map(_event_of, spoken), *overlaps, *(event for event, _ in rest)])
    check_events(events, num_samples, where=recording)
    behind: dict[str, Kind] = {turn.id: turn.branch for turn in spoken}
    behind |= {e.id: spoken[0].branch for e in overlaps} | {e.id: kind for e, kind in rest}
    return Reconciled(
        timeline=Timeline(
            sampling_rate=RATE, num_samples=num_samples, events=events, curves=_curves(heard)
        ),
        turns=spoken,
        branches=behind,
        warnings=notes.lines(),
    )


class _Notes:
    """How often something was put right, by branch."""

    def __init__(self) -> None:
        self._counts: dict[tuple[str, str], int] = {}

    def add(self, branch: str, what: str) -> None:
        self._counts[branch, what] = self._counts.get((branch, what), 0) + 1

    def lines(self) -> tuple[str, ...]:
        return tuple(f"{b}: {n} events {what}" for (b, what), n in sorted(self._counts.items()))


def _speech_of(part: Heard, prefix: str) -> tuple[list[Event], Kind]:
    """Turns of the diarizer; where there is none, regions of speech of nobody in particular."""
    if "diarizer" in part.results:
        found = [e for e in part.results["diarizer"].events if e.kind == "turn"]
        return [replace(e, speaker=f"{prefix}{e.speaker or NOBODY}") for e in found], "diarizer"
    if "vad" in part.results:
        found = [e for e in part.results["vad"].events if e.kind == "turn"]
        return [replace(e, speaker=f"{prefix}{NOBODY}") for e in found], "vad"
    return [], "vad"


def _sound(
    events: Iterable[Event], num_samples: int, branch: str, notes: _Notes
) -> Iterator[Event]:
    """Events as the recording can have them."""
    for event in events:
        start, end = max(0, event.start), min(num_samples, event.end)
        confidence = event.confidence
        if not math.isfinite(confidence):
            notes.add(branch, "without a finite confidence are left out")
            continue
        if start >= end:
            notes.add(branch, "outside the recording or without a length are left out")
            continue
        if (start, end) != (event.start, event.end):
            notes.add(branch, "are cut off at the end of the recording")
        bars = tuple(bar for bar in event.bars if start <= bar <= end)
        yield replace(
            event, start=start, end=end, confidence=min(1.0, max(0.0, confidence)), bars=bars
        )


def _turns(
    recording: str, speech: Mapping[tuple[str, Kind], Sequence[Event]], config: TurnsConfig
) -> tuple[Spoken, ...]:
    """Regions of each speaker, put together to turns."""
    regions = {
        key: join_regions([(e.start, e.end) for e in events], RATE)
        for key, events in speech.items()
    }
    made: list[Spoken] = []
    sure = {key: _Sure(events) for key, events in speech.items()}
    for (speaker, branch), own in sorted(regions.items()):
        starts = np.sort(
            np.concatenate([as_spans([]), *(r for k, r in regions.items() if k[0] != speaker)])[
                :, 0
            ]
        )
        for turn in _joined(own.tolist(), starts.tolist(), config.pause):
            if turn[-1][1] - turn[0][0] >= config.shortest * RATE:
                made.append(
                    Spoken(
                        id="",
                        speaker=speaker,
                        regions=turn,
                        confidence=sure[speaker, branch].within(turn[0][0], turn[-1][1]),
                        branch=branch,
                    )
                )
    made.sort(key=lambda turn: (turn.regions[0][0], turn.regions[-1][1], turn.speaker))
    return tuple(replace(t, id=f"{recording}-t{n:05d}") for n, t in enumerate(made))


def _joined(
    regions: Sequence[Sequence[int]], others: Sequence[int], pause: float
) -> Iterator[tuple[tuple[int, int], ...]]:
    """Runs of regions over short pauses in which nobody else begins to speak."""
    longest = max(gap_samples(RATE), round(pause * RATE))
    begins = np.asarray(others, dtype=np.int64)
    run: list[tuple[int, int]] = []
    for start, end in regions:
        if run:
            last = run[-1][1]
            taken = np.searchsorted(begins, start) > np.searchsorted(begins, last)
            if start - last >= longest or taken:
                yield tuple(run)
                run = []
        run.append((int(start), int(end)))
    if run:
        yield tuple(run)


class _Sure:
    """How sure events are, over stretches of time."""

    def __init__(self, events: Sequence[Event]) -> None:
        self._starts = np.array([e.start for e in events])
        self._ends = np.array([e.end for e in events])
        self._values = np.array([e.confidence for e in events])

    def within(self, first: int, last: int) -> float:
        """Mean of the events with a part in a stretch, by their length."""
        inside = (self._starts < last) & (self._ends > first)
        lengths = (self._ends - self._starts)[inside]
        return min(1.0, round(float(np.average(self._values[inside], weights=lengths)), 6))


def _event_of(turn: Spoken) -> Event:
    return Event(
        id=turn.id,
        kind="turn",
        start=turn.regions[0][0],
        end=turn.regions[-1][1],
        label="speech",
        confidence=turn.confidence,
        speaker=turn.speaker,
    )


def _overlaps(recording: str, turns: Sequence[Spoken], shortest: int) -> tuple[Event, ...]:
    """Stretches in which two or more speakers are heard; as sure as the less sure turn."""
    regions = sorted((a, b, t.confidence) for t in turns for a, b in t.regions)
    spans: list[tuple[int, int]] = []
    values: list[float] = []
    active: list[tuple[int, float]] = []
    for start, end, confidence in regions:
        active = [(stop, c) for stop, c in active if stop > start]
        spans += [(start, min(stop, end)) for stop, _ in active]
        values += [min(c, confidence) for _, c in active]
        active.append((end, confidence))
    starts, ends = as_spans(spans).T
    return tuple(
        Event(
            id=f"{recording}-o{n:05d}",
            kind="overlap",
            start=a,
            end=b,
            label="overlap",
            confidence=float(np.array(values)[(starts < b) & (ends > a)].min()),
        )
        for n, (a, b) in enumerate(
            (a, b) for a, b in join_spans(spans).tolist() if b - a >= shortest
        )
    )


def _said_once(events: Sequence[tuple[Event, Kind]]) -> list[tuple[Event, Kind]]:
    """Events with one label that overlap become one, as sure as the surest of them."""
    groups: dict[tuple[str, str, Kind], list[Event]] = defaultdict(list)
    for event, branch in events:
        groups[event.kind, event.label, branch].append(event)
    found: list[tuple[Event, Kind]] = []
    for (_, _, branch), same in sorted(groups.items()):
        run: list[Event] = []
        end = 0
        for event in sorted_events(same):
            if run and event.start >= end:
                found.append((_merged(run), branch))
                run = []
            run.append(event)
            end = max(end, event.end)
        found.append((_merged(run), branch))
    return sorted(found, key=lambda p: (p[0].start, p[0].end, p[0].kind, p[0].label, p[1]))


def _merged(events: Sequence[Event]) -> Event:
    """One event over all; figures and bars are those of the surest."""
    best = max(events, key=lambda e: (e.confidence, e.end - e.start, -e.start))
    return replace(best, start=min(e.start for e in events), end=max(e.end for e in events))


def _numbered(recording: str, events: Sequence[tuple[Event, Kind]]) -> list[tuple[Event, Kind]]:
    return [
        (replace(event, id=f"{recording}-e{n:05d}"), branch)
        for n, (event, branch) in enumerate(events)
    ]


def _curves(heard: Sequence[Heard]) -> dict[str, Curve]:
    """The highest value over channels of each curve that the segmentation reads."""
    found: dict[str, Curve] = {}
    for name in CURVES:
        curves = [curve for part in heard if (curve := _curve(part.results, name)) is not None]
        if len({(c.hop, len(c.values)) for c in curves}) == 1:
            values = np.max([c.values for c in curves], axis=0)
            found[name] = Curve(name=name, hop=curves[0].hop, values=values.astype(np.float32))
    return found


def _curve(results: Mapping[Kind, BranchResult], name: str) -> Curve | None:
    """A curve from the first branch that has it and is meant for it."""
    order: tuple[Kind, ...] = ("vad", "activity", "diarizer") if name == "speech" else ("music",)
    for kind in order:
        if kind in results and name in results[kind].curves:
            return results[kind].curves[name]
    return None
