"""Sounds, music and overlap: how well what sounds when was found, event by event and in time.

Event-based F1 (`talkover.manifests.score.boundaries.event_f1`) counts whole events with their
edges, segment-based F1 counts (second, label) pairs that both sides have; both as in the DCASE
challenges (Mesaros, Heittola and Virtanen 2016, "Metrics for polyphonic sound event detection").
Time F1 is exact: seconds that both sides have, by their boundaries.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

from talkover.manifests.schema import SoundEvent
from talkover.manifests.score.boundaries import f1_tally, matched_events
from talkover.manifests.score.sides import Pair, Side
from talkover.manifests.score.spans import (
    Spans,
    crowded_spans,
    elementary_edges,
    join_spans,
    occupancy,
)
from talkover.manifests.score.tally import Tally

SEGMENT = 1.0
"""Seconds of a segment of segment-based figures (DCASE)."""


def overlap_f1(pair: Pair) -> Tally:
    """1 - F1 of time with two or more speakers; errors are missed and extra seconds."""
    sides = [crowded_spans(side.activity, 2) for side in (pair.reference, pair.hypothesis)]
    return time_f1(sides[0], sides[1], pair.scored)


def music_f1(pair: Pair) -> Tally:
    """1 - F1 of time with music, whatever its label."""
    sides = [
        join_spans([(e.start, e.end) for e in side.events or () if e.kind == "music"])
        for side in (pair.reference, pair.hypothesis)
    ]
    return time_f1(sides[0], sides[1], pair.scored)


def time_f1(reference: Spans, hypothesis: Spans, scored: Spans) -> Tally:
    """1 - F1 of time: seconds of one side alone, over these and twice those of both.

    Args:
        reference: Stretches in seconds.
        hypothesis: Stretches in seconds.
        scored: What may be scored.
    """
    edges = elementary_edges([reference, hypothesis, scored])
    if len(edges) == 0:
        return Tally(errors=0.0, length=0.0, parts=_parts(0.0, 0.0, 0.0))
    widths = (edges[1:] - edges[:-1]) * occupancy(scored, edges)
    there, said = occupancy(reference, edges), occupancy(hypothesis, edges)
    both = float(widths @ (there & said))
    missed, extra = float(widths @ (there & ~said)), float(widths @ (said & ~there))
    return Tally(
        errors=missed + extra, length=2 * both + missed + extra, parts=_parts(both, missed, extra)
    )


def event_segment_f1(pair: Pair) -> Tally:
    """1 - F1 of pairs of a second and a label that sounds in it."""
    reference, hypothesis = _cells(pair.reference), _cells(pair.hypothesis)
    return f1_tally(len(reference & hypothesis), len(reference), len(hypothesis))


def event_f1_by_label(
    reference: Sequence[SoundEvent], hypothesis: Sequence[SoundEvent]
) -> dict[str, Tally]:
    """1 - F1 of the events of each label of either side, labels by name.

    Args:
        reference: Events of one session.
        hypothesis: Events of the same session.
    """
    found = {}
    for label in sorted({event.label for event in (*reference, *hypothesis)}):
        there = [event for event in reference if event.label == label]
        said = [event for event in hypothesis if event.label == label]
        found[label] = f1_tally(len(matched_events(there, said)), len(there), len(said))
    return found


def f1_of(tally: Tally) -> float | None:
    """F1 of a tally of misses and extras; None where there was nothing and nothing was said.

    >>> f1_of(Tally(errors=1, length=4))
    0.75
    """
    return None if tally.error_rate is None else 1.0 - tally.error_rate


def _cells(side: Side) -> set[tuple[int, str]]:
    slack = 1e-6  # of a segment; times with three decimals are not exact in binary
    return {
        (number, event.label)
        for event in side.events or ()
        for number in range(
            math.floor(event.start / SEGMENT + slack), math.ceil(event.end / SEGMENT - slack)
        )
    }


def _parts(both: float, missed: float, extra: float) -> dict[str, float]:
    return {"true_positives": both, "false_negatives": missed, "false_positives": extra}
