"""Segments: what lies between two boundaries, and what the boundaries cost."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

from talkover.annotate.events import Event, EventKind
from talkover.annotate.segmentation.config import SegmentationConfig

Step = Literal["oversize", "music", "sound", "turn", "word", "short_end"]
"""Steps of the escalation, and a recording's end that leaves less than `shortest`."""
CUTTABLE: tuple[Literal["music", "sound", "turn", "word"], ...] = ("music", "sound", "turn", "word")


@dataclass(frozen=True, kw_only=True, slots=True)
class CutEvent:
    """An event that a boundary goes through."""

    event_id: str
    kind: EventKind
    sample: int
    """Of the boundary."""


@dataclass(frozen=True, kw_only=True, slots=True)
class AnnotatedSegment:
    """A stretch of a recording that is one training example."""

    id: str
    start: int
    """First sample."""
    end: int
    """First sample after it."""
    boundary_cost: float
    """Of the cut at the end; 0 at the end of the recording."""
    boundary_confidence: float
    """exp(-cost) of the cut at the end: 1 in the middle of long silence, 0 through an event."""
    event_ids: tuple[str, ...]
    """Events with any part in it, by start."""
    cut_events: tuple[CutEvent, ...] = ()
    """Events that its two boundaries go through."""
    continues_from: str | None = None
    """Id of the segment before, where an event goes on from it."""
    continues_to: str | None = None
    """Id of the segment after, where an event goes on into it."""
    steps: tuple[Step, ...] = ()
    """What had to be given up for its length and its end."""


class SegmentMaker:
    """Turns boundaries into segments, in order.

    Args:
        recording: Id of the recording, the beginning of the segments' ids.
        sampling_rate: Hz.
        config: Lengths.
    """

    def __init__(self, recording: str, sampling_rate: int, config: SegmentationConfig) -> None:
        """Begin at sample 0."""
        self._recording = recording
        self._rate = sampling_rate
        self._config = config
        self._start = 0
        self._number = 0
        self._crossing: tuple[CutEvent, ...] = ()

    @property
    def start(self) -> int:
        """First sample of the next segment."""
        return self._start

    def segment(
        self, end: int, cost: float, events: Sequence[Event], *, is_last: bool
    ) -> AnnotatedSegment:
        """The segment up to a boundary.

        Args:
            end: Sample of the boundary.
            cost: Of the cut there.
            events: At least all with a part in the segment, by start.
            is_last: The boundary is the end of the recording.
        """
        inside = [e for e in events if e.start < end and e.end > self._start]
        crossing = tuple(
            CutEvent(event_id=e.id, kind=e.kind, sample=end)
            for e in inside
            if e.kind in CUTTABLE and e.start < end < e.end
        )
        segment = AnnotatedSegment(
            id=self._id(self._number),
            start=self._start,
            end=end,
            boundary_cost=0.0 if is_last else cost,
            boundary_confidence=1.0 if is_last else math.exp(-cost),
            event_ids=tuple(e.id for e in inside),
            cut_events=self._crossing + crossing,
            continues_from=self._id(self._number - 1) if self._crossing else None,
            continues_to=self._id(self._number + 1) if crossing else None,
            steps=self._steps(end, crossing, is_last=is_last),
        )
        self._start, self._crossing = end, crossing
        self._number += 1
        return segment

    def _id(self, number: int) -> str:
        return f"{self._recording}-{number:05d}"

    def _steps(
        self, end: int, crossing: tuple[CutEvent, ...], *, is_last: bool
    ) -> tuple[Step, ...]:
        length = (end - self._start) / self._rate
        steps: list[Step] = []
        if length > self._config.longest:
            steps.append("oversize")
        if is_last and length < self._config.shortest:
            steps.append("short_end")
        cut = {event.kind for event in crossing}
        steps += [kind for kind in CUTTABLE if kind in cut]
        return tuple(steps)
