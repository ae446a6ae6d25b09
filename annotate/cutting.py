"""A recording's timeline, handed to the segmenter a few minutes at a time."""

from __future__ import annotations

from collections.abc import Iterator

from talkover.annotate.events import Curve, Timeline
from talkover.annotate.segmentation.config import SegmentationConfig
from talkover.annotate.segmentation.segments import AnnotatedSegment
from talkover.annotate.segmentation.stream import Segmenter

PART = 600.0
"""Seconds at a time: hours cost no more memory than minutes, and the segments are the same."""


def cut_up(
    recording: str, timeline: Timeline, config: SegmentationConfig
) -> list[AnnotatedSegment]:
    """The segments of a recording; they cover it from end to end.

    Args:
        recording: Id of the recording.
        timeline: Its events and curves.
        config: What is asked.
    """
    segmenter = Segmenter(recording, timeline.sampling_rate, config)
    size = round(PART * timeline.sampling_rate)
    made: list[AnnotatedSegment] = []
    position = 0
    given = dict.fromkeys(timeline.curves, 0)
    for start in range(0, timeline.num_samples, size):
        until = min(timeline.num_samples, start + size)
        first = position
        while position < len(timeline.events) and timeline.events[position].start < until:
            position += 1
        parts = dict(_parts(timeline, given, until))
        made += segmenter.push(timeline.events[first:position], until, parts)
    return made + segmenter.finish(timeline.num_samples)


def _parts(timeline: Timeline, given: dict[str, int], until: int) -> Iterator[tuple[str, Curve]]:
    """What follows of each curve up to a sample, and beyond it by less than a hop."""
    for name, curve in timeline.curves.items():
        last = len(curve.values) if until >= timeline.num_samples else -(-until // curve.hop)
        values = curve.values[given[name] : last]
        given[name] = max(given[name], last)
        yield name, Curve(name=name, hop=curve.hop, values=values)
