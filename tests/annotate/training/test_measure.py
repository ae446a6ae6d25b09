from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkover.annotate.models.tagger import Threshold
from talkover.annotate.training.event_rules import best_rule, spans_by, try_rules
from talkover.annotate.training.event_scores import count_events, runs
from talkover.annotate.training.measure import Stretches, _counted, equal_error, frame_f1, trials
from talkover.annotate.training.tagger_decisions import decided

tracks = st.lists(st.booleans(), min_size=1, max_size=60).map(np.array)


@given(tracks)
def test_a_track_finds_all_of_its_own_events(track: np.ndarray) -> None:
    counts = count_events(track, track)
    assert counts.matched == counts.there == counts.said == len(runs(track))
    assert frame_f1(track, track) == (1.0 if track.any() else 0.0)


def test_an_event_needs_its_onset_and_its_end() -> None:
    real = np.zeros(100, dtype=bool)
    real[10:20] = real[40:80] = True
    said = np.zeros(100, dtype=bool)
    said[12:22] = said[42:88] = True  # ends: 2 frames off; 8 frames, a fifth of 40, off
    assert count_events(real, said).matched == 2
    late = np.roll(said, 1)
    assert count_events(real, late).matched == 0
    assert count_events(real, late).f1 == 0


@given(tracks, st.integers(0, 5), st.integers(1, 6))
def test_hysteresis_gives_spans_in_order_apart_and_long_enough(
    track: np.ndarray, gap: int, shortest: int
) -> None:
    curve = np.where(track, 0.9, 0.1).astype(np.float32)

    def rule(shortest: int, gap: int) -> Threshold:
        return Threshold(onset=0.5, offset=0.3, shortest_s=shortest / 10, gap_s=gap / 10)

    spans = spans_by(curve, rule(shortest, gap))
    assert all(b - a >= shortest for a, b in spans)
    assert all(later[0] - one[1] >= gap for one, later in pairwise(spans))
    inside = np.zeros(len(track), dtype=bool)
    for a, b in spans_by(curve, rule(1, 0)):
        inside[a:b] = True
    assert (inside == track).all()


def test_a_run_needs_the_onset_once_and_lasts_to_the_offset() -> None:
    curve = np.array([0.1, 0.4, 0.6, 0.4, 0.4, 0.1, 0.4, 0.4, 0.1], dtype=np.float32)
    threshold = Threshold(onset=0.5, offset=0.3, shortest_s=0.1, gap_s=0.0)
    assert decided(curve, threshold).tolist() == [False] * 2 + [True] * 3 + [False] * 4
    assert decided(curve, threshold, early=True).tolist() == [False] + [True] * 4 + [False] * 4


def test_an_event_that_is_nearly_found_is_half_a_point() -> None:
    there = np.zeros(100, dtype=bool)
    there[10:20] = there[50:60] = True
    curve = np.zeros(100, dtype=np.float32)
    curve[10:20] = curve[53:63] = 0.8
    rule = Threshold(onset=0.5, offset=0.5, shortest_s=0.1, gap_s=0.1)
    never = Threshold(onset=0.9, offset=0.9)
    one, other = try_rules([there], [curve], [rule, never])
    assert (one.there, one.said, one.points) == (2, 2, 1.5)
    assert (other.there, other.said, other.points) == (2, 0, 0.0)
    assert best_rule([other, one]) == rule


def test_windows_are_counted_under_the_best_link() -> None:
    truth = np.zeros((10, 2), dtype=bool)
    truth[:6, 0] = truth[4:, 1] = True
    assert _counted(truth, truth[:, ::-1]).tolist() == [12, 0, 0, 0, 2, 2, 2]
    found = np.zeros((10, 3), dtype=bool)
    found[:, 2] = True  # one voice all the time: half of the truth is somebody else
    speech, missed, false_alarm, confused, *_ = _counted(truth, found).tolist()
    assert (speech, missed, false_alarm, confused) == (12, 2, 0, 4)


@given(st.lists(st.floats(-1, 1), min_size=1), st.lists(st.floats(-1, 1), min_size=1))
def test_equal_error_is_a_rate_that_its_threshold_gives(same: list, other: list) -> None:
    one, two = np.array(same), np.array(other)
    rate, level = equal_error(one, two)
    assert rate == pytest.approx(max((one < level).mean(), (two >= level).mean()))
    assert 0 <= rate <= 1


def test_copies_of_a_voice_are_no_pair_of_two_people() -> None:
    found = Stretches(
        vectors=np.eye(4, dtype=np.float32),
        voices=("ana", "ana-x85", "bo", "ana"),
        sessions=("1", "2", "2", "2"),
    )
    same, other = trials(found)
    assert (len(same), len(other)) == (1, 1)  # ana with ana, ana with bo
    same, other = trials(found, within=True)
    assert (len(same), len(other)) == (0, 2)
