"""Boundary shifts, boundary F1, event F1 and cut rates on sessions worked out by hand."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.schema import SoundEvent
from talkover.manifests.score import Normalizer, make_side
from talkover.manifests.score.boundaries import (
    boundary_f1,
    boundary_shift,
    event_f1,
    match_points,
    unmatched_segments,
)
from talkover.manifests.score.cuts import count_crossed, cut_rate
from talkover.manifests.score.sessions import Region
from talkover.manifests.score.sides import Pair, Side

Turns = list[tuple[str, float, float]]


def make_pair(reference: Turns | Side, hypothesis: Turns | Side) -> Pair:
    sides = [
        side if isinstance(side, Side) else make_side([Region(*turn) for turn in side])
        for side in (reference, hypothesis)
    ]
    return Pair("s", sides[0], sides[1], Normalizer())


def event(label: str, start: float, duration: float, kind: str = "sound") -> SoundEvent:
    return SoundEvent(
        id=label,
        kind=kind,  # type: ignore[arg-type]
        label=label,
        start=start,
        duration=duration,
        start_sample=round(start * 16000),
        num_samples=round(duration * 16000),
    )


def test_shifts_are_means_and_medians_over_matched_segments() -> None:
    reference: Turns = [("a", 0.0, 1.0), ("a", 2.0, 3.0), ("b", 5.0, 6.0), ("b", 8.0, 9.0)]
    hypothesis: Turns = [("x", 0.1, 1.0), ("x", 2.3, 3.0), ("y", 5.0, 6.4)]
    tally = boundary_shift(make_pair(reference, hypothesis))
    assert tally.length == 6
    assert tally.error_rate == pytest.approx((0.1 + 0.3 + 0.4) / 6)
    assert (tally.parts["matched_segments"], tally.parts["reference_segments"]) == (3, 4)
    assert unmatched_segments(make_pair(reference, hypothesis)).error_rate == 0.25
    written = tally.to_json()
    assert written["onset_median"] == pytest.approx(0.1)
    assert written["offset_median"] == 0.0


def test_boundaries_match_within_the_tolerance_and_per_kind() -> None:
    pair = make_pair([("a", 0.0, 1.0), ("a", 2.0, 3.0)], [("x", 0.15, 1.4), ("x", 2.0, 3.0)])
    narrow, wide = boundary_f1(pair, 0.2), boundary_f1(pair, 0.5)
    assert narrow.parts["true_positives"] == 3
    assert narrow.error_rate == pytest.approx(0.25)
    assert wide.error_rate == 0.0


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.integers(0, 30), max_size=6, unique=True),
    st.lists(st.integers(0, 30), max_size=6, unique=True),
    st.integers(0, 5),
)
def test_point_matching_is_the_largest(a: list[int], b: list[int], tolerance: int) -> None:
    from scipy.optimize import linear_sum_assignment

    a, b = sorted(a), sorted(b)
    fits = np.abs(np.subtract.outer(a, b)) <= tolerance if a and b else np.zeros((0, 0))
    best = int(fits[linear_sum_assignment(fits, maximize=True)].sum())
    assert match_points(np.array(a, float), np.array(b, float), float(tolerance)) == best


def test_events_match_on_label_onset_and_offset() -> None:
    reference = make_side([], events=[event("door", 1.0, 0.5), event("cough", 3.0, 5.0)])
    found = [event("door", 1.15, 0.5), event("cough", 3.0, 5.9), event("door", 7.0, 0.5)]
    tally = event_f1(make_pair(reference, make_side([], events=found)))
    assert tally.parts == {"true_positives": 2, "false_negatives": 0, "false_positives": 1}
    moved = [event("door", 1.25, 0.5), event("laugh", 3.0, 5.0)]
    assert event_f1(make_pair(reference, make_side([], events=moved))).error_rate == 1.0


class _Word:
    def __init__(self, symbol: str, start: float, end: float) -> None:
        self.symbol, self.start, self.end = symbol, start, end


def test_cuts_count_what_they_go_through() -> None:
    words = [_Word("one", 0.0, 0.5), _Word("two", 0.5, 1.0)]
    reference = make_side(
        [Region("a", 0.0, 1.0, "one two", words), Region("b", 2.0, 3.0, "three")],
        events=[event("door", 0.9, 0.2), event("song", 4.0, 2.0, "music")],
    )
    pair = make_pair(reference, make_side([], cuts=[0.0, 0.5, 1.0, 5.0]))
    crossed = {kind: cut_rate(pair, kind).errors for kind in ("words", "turns", "sounds", "music")}
    assert crossed == {"words": 0, "turns": 1, "sounds": 1, "music": 1}


def test_the_segments_of_the_hypothesis_are_the_cuts_where_none_are_given() -> None:
    pair = make_pair([("a", 0.0, 2.0)], [("x", 0.0, 1.0), ("x", 1.0, 2.0)])
    assert cut_rate(pair, "turns").error_rate == 1.0


def test_a_cut_at_the_rounded_end_of_a_word_crosses_nothing() -> None:
    assert count_crossed([1.0004], [(0.5, 1.0008)]) == 0
