"""Figures of a session: golden ones by hand, laws on random ones."""

from __future__ import annotations

from collections.abc import Callable

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.regions import join_regions, join_spans, occupancy, units_of
from talkover.manifests.schema import Quantiles, Session
from talkover.manifests.statistics import session_statistics

pytestmark = pytest.mark.medium  # seconds each: not for the fast round


def test_figures_of_a_short_talk_are_those_counted_by_hand(
    make_session: Callable[..., Session],
) -> None:
    # ana 1.0-3.0, bo 2.5-4.5 (interrupts by 0.5), bo 5.0-6.0 (pause 0.5), ana 7.0-8.0 (gap 1.0),
    # bo 7.25-7.5 (inside), of 10 s
    spoken = [
        ("ana", 16000, [("a", 0, 32000)], True),
        ("bo", 40000, [("b", 0, 32000)], True),
        ("bo", 80000, [("c", 0, 16000)], False),
        ("ana", 112000, [("d", 0, 16000)], True),
        ("bo", 116000, [("e", 0, 4000)], True),
    ]
    session = make_session(spoken, num_samples=160000)
    found = session_statistics(session.supervisions, 160000, 16000)
    assert (found.speech, found.overlap) == (5.5, 0.75)
    assert found.overlap_of_speech == round(0.75 / 5.5, 6)
    assert (found.overlap_of_time, found.silence_of_time) == (0.075, 0.45)
    assert (found.max_concurrent, found.num_speakers, found.num_turns) == (2, 2, 5)
    assert found.talk_shares == {"S01": 0.48, "S02": 0.52}
    assert found.pauses == Quantiles(count=1, p10=0.5, p50=0.5, p90=0.5)
    assert found.floor_transfer_offsets == Quantiles(count=2, p10=-0.35, p50=0.25, p90=0.85)


def test_nobody_speaking_has_figures_too() -> None:
    found = session_statistics((), 16000, 16000)
    assert (found.speech, found.silence_of_time, found.talk_shares) == (0.0, 1.0, {})
    assert found.pauses == Quantiles(count=0)


@settings(max_examples=60, deadline=None)
@given(data=st.data())
def test_figures_agree_with_counting_samples(
    sessions: st.SearchStrategy[Session], data: st.DataObject
) -> None:
    session = data.draw(sessions)
    length = session.audio.num_samples
    units = units_of(session.supervisions, 16000)
    masks = np.zeros((len(units), length), bool)
    for mask, spans in zip(masks, units.values(), strict=True):
        for start, end in spans:
            mask[start:end] = True
    count = masks.sum(axis=0)
    found = session_statistics(session.supervisions, length, 16000)
    assert found.speech == pytest.approx((count > 0).sum() / 16000, abs=1e-6)
    assert found.overlap == pytest.approx((count > 1).sum() / 16000, abs=1e-6)
    assert found.max_concurrent == count.max()
    assert sum(found.talk_shares.values()) == pytest.approx(1.0, abs=1e-5)
    total = occupancy(units, length)
    assert sum(total.by_count) == length
    assert total.silence == (count == 0).sum()


@settings(max_examples=100, deadline=None)
@given(
    spans=st.lists(
        st.tuples(st.integers(0, 300), st.integers(0, 40)).map(lambda x: (x[0], sum(x)))
    ),
    gap=st.integers(1, 20),
)
def test_joined_spans_cover_the_same_with_gaps_closed(
    spans: list[tuple[int, int]], gap: int
) -> None:
    joined = join_spans(spans, gap)
    assert (joined[1:, 0] - joined[:-1, 1] >= gap).all()
    mask, wanted = np.zeros(400, bool), np.zeros(400, bool)
    for start, end in joined:
        mask[start:end] = True
    for start, end in spans:
        wanted[start:end] = True
    holes = np.flatnonzero(mask & ~wanted)
    assert not (wanted & ~mask).any()
    for run in np.split(holes, np.flatnonzero(np.diff(holes) > 1) + 1):
        assert len(run) < gap


def test_a_pause_of_exactly_the_limit_separates() -> None:
    assert len(join_regions([(0, 10), (3210, 3220)], 16000)) == 2
    assert len(join_regions([(0, 10), (3209, 3220)], 16000)) == 1
