"""Segmentation of a recording as it comes, or at once; both give the same segments."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

import numpy as np

from talkover.annotate.events import Curve, Event, Timeline, sorted_events
from talkover.annotate.segmentation.config import SegmentationConfig
from talkover.annotate.segmentation.cost import HORIZON, possible_cuts
from talkover.annotate.segmentation.path import CheapestPath
from talkover.annotate.segmentation.segments import AnnotatedSegment, SegmentMaker

STRETCH = 60.0
"""Seconds that are looked at in one go: keeps the arrays small and changes nothing."""


class Segmenter:
    """Cuts a recording that comes in parts, with bounded lag and memory.

    Args:
        recording: Id of the recording.
        sampling_rate: Hz.
        config: What is asked.

    Segments come out at most `SegmentationConfig.lag` plus a few seconds after their end was
    pushed, and do not depend on the sizes of the parts.
    """

    def __init__(
        self, recording: str, sampling_rate: int, config: SegmentationConfig | None = None
    ) -> None:
        """Begin at sample 0."""
        self._config = config or SegmentationConfig()
        self._rate = sampling_rate
        self._path = CheapestPath(self._config, sampling_rate)
        self._maker = SegmentMaker(recording, sampling_rate, self._config)
        self._events: list[Event] = []
        self._known = 0  # all events that begin before this sample are here
        self._done = 0  # cuts before this sample are on the path
        self._curves: dict[str, _Tail] = {"speech": _Tail(), "novelty": _Tail()}
        self._costs: dict[int, float] = {}

    def push(
        self,
        events: Iterable[Event],
        until: int,
        curves: Mapping[str, Curve] | None = None,
    ) -> list[AnnotatedSegment]:
        """Take further events; give the segments that are final now.

        Args:
            events: All that begin from the last ``until`` to this one, with their true ends.
            until: Sample; no later push brings an event that begins before it.
            curves: Further values of the curves ``speech`` and ``novelty``, which go on from where
                the last ones ended and reach at least to ``until``.

        Raises:
            ValueError: If time goes backwards, or an event comes too late.
        """
        if until < self._known:
            raise ValueError(f"until must not go back, got {until} after {self._known}")
        fresh = sorted_events(events)
        if fresh and fresh[0].start < self._known:
            raise ValueError(f"event {fresh[0].id} begins before {self._known}, which is past")
        self._events += fresh
        self._known = until
        for name, curve in (curves or {}).items():
            if name in self._curves:
                self._curves[name].append(curve)
        return self._advance(until - round(HORIZON * self._rate))

    def finish(self, num_samples: int) -> list[AnnotatedSegment]:
        """The rest of the segments of a recording of a length."""
        if num_samples < 1:
            raise ValueError("a recording needs at least one sample")
        segments = self._advance(num_samples, cells_too=True)
        ends = self._path.finish(num_samples)
        return segments + [self._make(end, is_last=end == num_samples) for end in ends]

    @property
    def held_events(self) -> int:
        """Events in memory."""
        return len(self._events)

    def _advance(self, until: int, *, cells_too: bool = False) -> list[AnnotatedSegment]:
        """Put the cuts of all whole cells before a sample on the path."""
        cell = round(self._config.cell * self._rate)
        last = until if cells_too else until // cell * cell
        stretch = max(1, round(STRETCH * self._rate) // cell) * cell
        made: list[AnnotatedSegment] = []
        while self._done < last:
            end = min(last, self._done + stretch)
            made += self._stretch(self._done, end)
            self._done = end
            self._forget()
        return made

    def _stretch(self, first: int, last: int) -> list[AnnotatedSegment]:
        margin = round(HORIZON * self._rate)
        near = [e for e in self._events if e.start < last + margin and e.end > first - margin]
        cuts = possible_cuts(
            near,
            first,
            last,
            sampling_rate=self._rate,
            config=self._config,
            speech=self._curves["speech"].curve("speech"),
            novelty=self._curves["novelty"].curve("novelty"),
        )
        costs = (cuts.hard + cuts.soft).tolist()
        self._costs.update(zip(cuts.samples.tolist(), costs, strict=True))
        return [self._make(end, is_last=False) for end in self._path.push(cuts)]

    def _make(self, end: int, *, is_last: bool) -> AnnotatedSegment:
        return self._maker.segment(end, self._costs.get(end, 0.0), self._events, is_last=is_last)

    def _forget(self) -> None:
        """Drop what no later cut or segment needs."""
        begin = min(self._maker.start, self._done - round(HORIZON * self._rate))
        self._events = [e for e in self._events if e.end > begin]
        self._costs = {s: c for s, c in self._costs.items() if s >= self._maker.start}
        for tail in self._curves.values():
            tail.forget(begin)


class _Tail:
    """The last part of a curve that comes in parts."""

    def __init__(self) -> None:
        self._hop = 0
        self._first = 0  # number of values that were dropped
        self._values = np.zeros(0, dtype=np.float32)

    def append(self, curve: Curve) -> None:
        if self._hop not in (0, curve.hop):
            raise ValueError(
                f"curve {curve.name} had a hop of {self._hop} samples, now {curve.hop}"
            )
        self._hop = curve.hop
        self._values = np.concatenate([self._values, curve.values.astype(np.float32)])

    def curve(self, name: str) -> Curve | None:
        """With zeros in place of what was dropped."""
        if self._hop == 0:
            return None
        head = np.zeros(self._first, dtype=np.float32)
        return Curve(name=name, hop=self._hop, values=np.concatenate([head, self._values]))

    def forget(self, sample: int) -> None:
        if self._hop:
            drop = min(len(self._values), max(0, sample // self._hop - self._first))
            self._values = self._values[drop:]
            self._first += drop


def segment(
    recording: str, timeline: Timeline, config: SegmentationConfig | None = None
) -> list[AnnotatedSegment]:
    """The segments of a whole recording; they cover it from end to end.

    Args:
        recording: Id of the recording.
        timeline: Its events and curves.
        config: What is asked.
    """
    segmenter = Segmenter(recording, timeline.sampling_rate, config)
    # An event past the end would never be asked for: everything is known at once.
    made = segmenter.push(timeline.events, timeline.num_samples, timeline.curves)
    return made + segmenter.finish(timeline.num_samples)
