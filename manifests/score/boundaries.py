"""How well times are placed: segment boundaries, boundary F1, event F1.

Speakers are paired first, by their longest common time. Within a pair of speakers a segment of the
reference is matched to at most one segment of the hypothesis, so that the matched segments share
the most time; segments that share none stay unmatched. AAS (accumulated average shift) is the mean
of |difference| over the starts and ends of matched segments: it sees matches only, so it comes with
the number of matched segments, and the share without a match is a metric of its own.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from talkover.manifests.schema import SoundEvent
from talkover.manifests.score.diarization import pair_by_overlap
from talkover.manifests.score.sides import LabelledSegment, Pair
from talkover.manifests.score.tally import Tally

EVENT_COLLAR = 0.2
"""Seconds that the onset of an event may be off (sed_eval, DCASE event-based F1)."""

EVENT_OFFSET_SHARE = 0.2
"""Share of an event's length that its offset may be off, if longer than the collar (DCASE)."""


def boundary_shift(pair: Pair) -> Tally:
    """AAS: errors are the sum of |shift| in seconds, the length is the number of boundaries.

    Parts: shift sums of onsets and offsets, matched segments, all segments of either side, the sum
    of intersection over union; medians of onset and offset shift.
    """
    onsets: list[float] = []
    offsets: list[float] = []
    overlap_ratio = 0.0
    for ours, theirs in _paired_segments(pair):
        for a, b in match_by_overlap(ours, theirs):
            onsets.append(abs(a.start - b.start))
            offsets.append(abs(a.end - b.end))
            shared = min(a.end, b.end) - max(a.start, b.start)
            overlap_ratio += shared / (max(a.end, b.end) - min(a.start, b.start))
    return Tally(
        errors=sum(onsets) + sum(offsets),
        length=len(onsets) + len(offsets),
        parts={
            "onset_errors": sum(onsets),
            "offset_errors": sum(offsets),
            "matched_segments": len(onsets),
            "reference_segments": len(pair.reference.segments),
            "hypothesis_segments": len(pair.hypothesis.segments),
            "iou_sum": overlap_ratio,
        },
        samples={"onset": onsets, "offset": offsets},
    )


def unmatched_segments(pair: Pair) -> Tally:
    """Share of the reference's segments without a match: what `boundary_shift` does not see."""
    matched = sum(len(match_by_overlap(a, b)) for a, b in _paired_segments(pair))
    total = len(pair.reference.segments)
    return Tally(errors=total - matched, length=total)


def boundary_f1(pair: Pair, tolerance: float) -> Tally:
    """1 - F1 of speech boundaries within a tolerance in seconds: errors are misses and extras.

    A boundary is the start or the end of a stretch of speech of one speaker; starts match starts
    and ends match ends of the paired speaker.
    """
    reference, hypothesis = pair.reference.activity, pair.hypothesis.activity
    mapping = pair_by_overlap(reference, hypothesis, pair.scored)
    hits = sum(
        match_points(reference[a][:, edge], hypothesis[b][:, edge], tolerance)
        for a, b in mapping.items()
        for edge in (0, 1)
    )
    num_reference = 2 * sum(map(len, reference.values()))
    num_hypothesis = 2 * sum(map(len, hypothesis.values()))
    return f1_tally(hits, num_reference, num_hypothesis)


def event_f1(pair: Pair) -> Tally:
    """1 - F1 of sound events: label equal, onset within 0.2 s, offset within 0.2 s or 20 %."""
    reference = list(pair.reference.events or ())
    hypothesis = list(pair.hypothesis.events or ())
    hits = len(matched_events(reference, hypothesis))
    return f1_tally(hits, len(reference), len(hypothesis))


def matched_events(
    reference: Sequence[SoundEvent], hypothesis: Sequence[SoundEvent]
) -> list[tuple[SoundEvent, SoundEvent]]:
    """The most one-to-one pairs of events that fit each other, see `event_f1`."""
    fits = np.array([[_event_fits(a, b) for b in hypothesis] for a in reference], dtype=float)
    fits = fits.reshape(len(reference), len(hypothesis))
    rows, columns = linear_sum_assignment(fits, maximize=True)
    return [
        (reference[r], hypothesis[c]) for r, c in zip(rows, columns, strict=True) if fits[r, c] > 0
    ]


def f1_tally(hits: int, num_reference: int, num_hypothesis: int) -> Tally:
    """Misses and extras over 2 hits + misses + extras, which is 1 - F1 and adds up."""
    misses, extras = num_reference - hits, num_hypothesis - hits
    return Tally(
        errors=misses + extras,
        length=2 * hits + misses + extras,
        parts={"true_positives": hits, "false_negatives": misses, "false_positives": extras},
    )


def match_by_overlap(
    reference: Sequence[LabelledSegment], hypothesis: Sequence[LabelledSegment]
) -> list[tuple[LabelledSegment, LabelledSegment]]:
    """One-to-one pairs of segments that share the most time in sum; no common time, no pair."""
    starts = np.maximum.outer([s.start for s in reference], [s.start for s in hypothesis])
    ends = np.minimum.outer([s.end for s in reference], [s.end for s in hypothesis])
    shared = np.maximum(np.asarray(ends - starts, dtype=np.float64), 0.0)
    rows, columns = linear_sum_assignment(shared, maximize=True)
    return [
        (reference[r], hypothesis[c])
        for r, c in zip(rows, columns, strict=True)
        if shared[r, c] > 0
    ]


def match_points(
    reference: NDArray[np.float64], hypothesis: NDArray[np.float64], tolerance: float
) -> int:
    """The largest number of one-to-one pairs of sorted times that differ by the tolerance or less.

    Taking the earliest free partner of each time in turn is optimal on a line.
    """
    slack = tolerance + 1e-9  # seconds; times with three decimals are not exact in binary
    hits = i = j = 0
    while i < len(reference) and j < len(hypothesis):
        difference = hypothesis[j] - reference[i]
        if abs(difference) <= slack:
            hits, i, j = hits + 1, i + 1, j + 1
        elif difference < 0:
            j += 1
        else:
            i += 1
    return hits


def _paired_segments(
    pair: Pair,
) -> Iterable[tuple[list[LabelledSegment], list[LabelledSegment]]]:
    mapping = pair_by_overlap(pair.reference.activity, pair.hypothesis.activity, pair.scored)
    for name, other in mapping.items():
        yield (
            [s for s in pair.reference.segments if s.speaker == name],
            [s for s in pair.hypothesis.segments if s.speaker == other],
        )


def _event_fits(reference: SoundEvent, hypothesis: SoundEvent) -> bool:
    slack = max(EVENT_COLLAR, EVENT_OFFSET_SHARE * reference.duration) + 1e-9
    return (
        reference.label == hypothesis.label
        and abs(reference.start - hypothesis.start) <= EVENT_COLLAR + 1e-9
        and abs(reference.end - hypothesis.end) <= slack
    )
