"""Overlap, music and events in time: worked out by hand, and laws that hold for any stretches."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkover.manifests.schema import SoundEvent
from talkover.manifests.score import METRICS, Normalizer, make_side
from talkover.manifests.score.cuts import cut_rate
from talkover.manifests.score.events import (
    event_f1_by_label,
    event_segment_f1,
    f1_of,
    music_f1,
    overlap_f1,
    time_f1,
)
from talkover.manifests.score.sessions import Region
from talkover.manifests.score.sides import Pair
from talkover.manifests.score.spans import join_spans

Turns = list[tuple[str, float, float]]
spans = st.lists(
    st.tuples(st.integers(0, 60), st.integers(1, 20)).map(lambda p: (p[0], p[0] + p[1])), max_size=8
)


def pair_of(reference: Turns, hypothesis: Turns, *events: list[SoundEvent]) -> Pair:
    there, said = events or ([], [])
    sides = [
        make_side([Region(*turn) for turn in turns], events=own, duration=100.0)
        for turns, own in ((reference, there), (hypothesis, said))
    ]
    return Pair("s", sides[0], sides[1], Normalizer())


def event(label: str, start: float, end: float, kind: str = "sound") -> SoundEvent:
    return SoundEvent(
        id=f"{label}{start}",
        kind=kind,  # type: ignore[arg-type]
        label=label,
        start=start,
        duration=end - start,
        start_sample=round(start * 16000),
        num_samples=round((end - start) * 16000),
    )


def test_overlap_counts_seconds_with_two_speakers_whoever_they_are() -> None:
    reference: Turns = [("a", 0, 10), ("b", 8, 14)]
    hypothesis: Turns = [("x", 0, 9), ("y", 7, 14)]
    tally = overlap_f1(pair_of(reference, hypothesis))
    assert (tally.errors, tally.length) == (2.0, 4.0)
    assert f1_of(tally) == 0.5
    assert f1_of(overlap_f1(pair_of([("a", 0, 1)], [("x", 0, 1)]))) is None


def test_music_is_music_whatever_it_is_called() -> None:
    there = [event("jazz", 0, 10, "music"), event("dog", 2, 3)]
    said = [event("music", 5, 10, "music"), event("music", 20, 25, "music")]
    tally = music_f1(pair_of([], [], there, said))
    assert tally.parts == {"true_positives": 5, "false_negatives": 5, "false_positives": 5}


def test_segments_of_a_second_count_each_label_once() -> None:
    there = [event("dog", 0.5, 1.5), event("dog", 1.6, 1.9), event("rain", 0.0, 3.0)]
    said = [event("dog", 1.0, 2.0), event("rain", 1.0, 4.0)]
    tally = event_segment_f1(pair_of([], [], there, said))
    # dog 0 and 1, rain 0, 1, 2 against dog 1, rain 1, 2, 3
    assert tally.parts == {"true_positives": 3, "false_negatives": 2, "false_positives": 1}


def test_labels_are_counted_apart() -> None:
    there = [event("dog", 0, 1), event("cat", 5, 6)]
    said = [event("dog", 0.1, 1.1), event("cat", 0, 1), event("cow", 9, 10)]
    found = event_f1_by_label(there, said)
    assert {label: f1_of(tally) for label, tally in found.items()} == {
        "cat": 0.0,
        "cow": 0.0,
        "dog": 1.0,
    }


def test_regions_that_are_cut_are_counted_for_each_speaker() -> None:
    reference = make_side([Region("a", 0, 4), Region("b", 3, 5), Region("b", 6, 7)])
    hypothesis = make_side([], cuts=[3.5, 5.5])
    tally = cut_rate(Pair("s", reference, hypothesis, Normalizer()), "regions")
    assert (tally.errors, tally.length) == (2, 3)


@given(spans, spans, spans)
def test_time_f1_counts_the_seconds_of_a_clock(
    first: list[tuple[int, int]], second: list[tuple[int, int]], scored: list[tuple[int, int]]
) -> None:
    tracks = []
    for one in (first, second, scored):
        track = np.zeros(100, dtype=bool)
        for start, end in one:
            track[start:end] = True
        tracks.append(track)
    tally = time_f1(join_spans(first), join_spans(second), join_spans(scored))
    there, said = tracks[0] & tracks[2], tracks[1] & tracks[2]
    assert tally.parts == pytest.approx(
        {
            "true_positives": (there & said).sum(),
            "false_negatives": (there & ~said).sum(),
            "false_positives": (said & ~there).sum(),
        }
    )
    swapped = time_f1(join_spans(second), join_spans(first), join_spans(scored))
    assert (swapped.errors, swapped.length) == pytest.approx((tally.errors, tally.length))


def test_score_has_them_by_name() -> None:
    assert {"overlap_f1", "music_f1", "event_segment_f1", "cut_regions"} <= METRICS.keys()
