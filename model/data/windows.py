"""Where a long session is cut into windows: between turns, or else between words.

A pure function of labels. A cut in a pause of everybody cuts nothing; where speech has no such
pause, the cut goes where the fewest words and then the fewest turns are hit.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np

from talkover.manifests.schema import Supervision
from talkover.manifests.timeline import Timeline

Points = np.ndarray[tuple[int], np.dtype[np.int64]]


@dataclass(frozen=True, kw_only=True, slots=True)
class Window:
    """A stretch of a session, in samples."""

    start_sample: int
    num_samples: int
    cuts: int = 0
    """Turns that its end cuts."""


def plan_windows(timeline: Timeline, longest: float, shortest: float = 1.0) -> list[Window]:
    """Windows that cover a session, each as long as a good cut allows.

    Args:
        timeline: Labels, on the clock of the audio.
        longest: Seconds of a window at most.
        shortest: Seconds before which no cut is looked for.

    Raises:
        ValueError: If the longest window is shorter than the shortest.
    """
    if not 0 < shortest <= longest:
        raise ValueError(f"windows need 0 < shortest <= longest, got {shortest} and {longest} s")
    rate = timeline.sampling_rate
    most, least = int(longest * rate), int(shortest * rate)
    found: list[Window] = []
    start = 0
    while timeline.num_samples - start > most:
        end, cuts = _best_cut(timeline, start + least, start + most)
        found.append(Window(start_sample=start, num_samples=end - start, cuts=cuts))
        start = end
    found.append(Window(start_sample=start, num_samples=timeline.num_samples - start))
    return found


def _best_cut(timeline: Timeline, first: int, last: int) -> tuple[int, int]:
    """The latest of the cuts in ``[first, last]`` that hit least, and how many turns it hits."""
    points = _candidates(timeline.supervisions, first, last)
    turns = _hits(points, [(s.start_sample, s.end_sample) for s in timeline.supervisions])
    words = _hits(points, list(_words(timeline.supervisions)))
    worst = len(timeline.supervisions) + 1
    best = len(points) - 1 - int(np.argmin((words * worst + turns)[::-1]))
    return int(points[best]), int(turns[best])


def _candidates(supervisions: tuple[Supervision, ...], first: int, last: int) -> Points:
    """Ends of the range, and middles of the gaps that open at an edge of a turn or word inside."""
    edges = {first, last}
    for start, end in (
        *_words(supervisions),
        *((s.start_sample, s.end_sample) for s in supervisions),
    ):
        edges |= {edge for edge in (start, end) if first <= edge <= last}
    ordered = np.array(sorted(edges), dtype=np.int64)
    middles = (ordered[:-1] + ordered[1:]) // 2
    return np.unique(np.concatenate([ordered, middles]))


def _words(supervisions: tuple[Supervision, ...]) -> Iterator[tuple[int, int]]:
    for supervision in supervisions:
        if supervision.words:
            yield from ((w.start_sample, w.end_sample) for w in supervision.words)
        else:  # without word times any cut inside may hit a word
            yield supervision.start_sample, supervision.end_sample


def _hits(points: Points, spans: list[tuple[int, int]]) -> Points:
    """How many spans have each point strictly inside."""
    if not spans:
        return np.zeros(len(points), dtype=np.int64)
    starts = np.sort(np.array([start for start, _ in spans], dtype=np.int64))
    ends = np.sort(np.array([end for _, end in spans], dtype=np.int64))
    begun = np.searchsorted(starts, points, side="left")
    over = np.searchsorted(ends, points, side="right")
    return np.asarray(np.maximum(begun - over, 0), dtype=np.int64)
