"""DER and JER against frames of a millisecond and all mappings, and against pyannote.metrics."""

from __future__ import annotations

from itertools import permutations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from talkover.manifests.score import Normalizer, make_side
from talkover.manifests.score.diarization import diarization_error, jaccard_error
from talkover.manifests.score.sessions import Region
from talkover.manifests.score.sides import Pair

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

Turns = list[tuple[str, int, int]]
"""Speaker, start and end in milliseconds."""

LENGTH = 2000
SESSION: st.SearchStrategy[Turns] = st.lists(
    st.tuples(st.sampled_from("abcde"), st.integers(0, LENGTH), st.integers(1, 600))
    .map(lambda t: (t[0], t[1], min(t[1] + t[2], LENGTH)))
    .filter(lambda t: t[2] > t[1]),
    max_size=8,
)


def make_pair(ref: Turns, hyp: Turns, uem: list[tuple[float, float]] | None = None) -> Pair:
    sides = [
        make_side(
            [Region(name, start / 1000, end / 1000) for name, start, end in turns],
            duration=LENGTH / 1000,
            uem=uem,
        )
        for turns in (ref, hyp)
    ]
    return Pair("s", sides[0], sides[1], Normalizer())


def frames(turns: Turns) -> NDArray[np.bool_]:
    """Activity per speaker and millisecond."""
    names = sorted({name for name, _, _ in turns})
    grid = np.zeros((len(names), LENGTH), dtype=np.bool_)
    for name, start, end in turns:
        grid[names.index(name), start:end] = True
    return grid


def scored_frames(turns: Turns, collar: int, skip_overlap: bool) -> NDArray[np.bool_]:
    """Which milliseconds are scored: none within the collar of a boundary of joined activity."""
    grid = frames(turns)
    scored = np.ones(LENGTH, dtype=np.bool_)
    if skip_overlap:
        scored &= grid.sum(axis=0) < 2
    for row in grid:
        padded = np.concatenate([[False], row, [False]])
        for edge in np.flatnonzero(padded[1:] != padded[:-1]) if collar else ():
            scored[max(0, edge - collar) : edge + collar] = False
    return scored


def der_by_frames(ref: Turns, hyp: Turns, collar: int, skip: bool) -> tuple[float, float]:
    scored = scored_frames(ref, collar, skip)
    ours, theirs = frames(ref)[:, scored], frames(hyp)[:, scored]
    size = max(len(ours), len(theirs), 1)
    common = np.zeros((size, size))
    common[: len(ours), : len(theirs)] = ours.astype(int) @ theirs.T.astype(int)
    correct = max(sum(common[i, j] for i, j in enumerate(p)) for p in permutations(range(size)))
    either = np.maximum(ours.sum(axis=0), theirs.sum(axis=0)).sum()
    return (float(either - correct) / 1000, float(ours.sum()) / 1000)


def jer_by_frames(ref: Turns, hyp: Turns) -> tuple[float, int]:
    ours, theirs = frames(ref), frames(hyp)
    size = max(len(ours), len(theirs), 1)
    rates = np.ones((len(ours), size))
    for i, a in enumerate(ours):
        for j, b in enumerate(theirs):
            rates[i, j] = (a ^ b).sum() / (a | b).sum()
    best = min(
        sum(rates[i, j] for i, j in enumerate(p[: len(ours)])) for p in permutations(range(size))
    )
    return float(best), len(ours)


def check(ref: Turns, hyp: Turns, collar: int, skip: bool) -> None:
    tally = diarization_error(make_pair(ref, hyp), collar / 1000, skip)
    errors, length = der_by_frames(ref, hyp, collar, skip)
    assert tally.errors == pytest.approx(errors, abs=1e-9)
    assert tally.length == pytest.approx(length, abs=1e-9)
    parts = [tally.parts[name] for name in ("miss", "false_alarm", "confusion")]
    assert sum(parts) == pytest.approx(tally.errors, abs=1e-9)
    jer = jaccard_error(make_pair(ref, hyp))
    assert (jer.errors, jer.length) == pytest.approx(jer_by_frames(ref, hyp), abs=1e-9)


@settings(max_examples=100, deadline=None)
@given(SESSION, SESSION, st.sampled_from([0, 30, 250]), st.booleans())
def test_der_and_jer_equal_millisecond_frames(r: Turns, h: Turns, collar: int, s: bool) -> None:
    check(r, h, collar, s)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None)
@given(SESSION, SESSION, st.sampled_from([0, 30, 250]), st.booleans())
def test_der_and_jer_equal_frames_thousands_of_times(r: Turns, h: Turns, c: int, s: bool) -> None:
    check(r, h, c, s)


@pytest.mark.medium
@settings(max_examples=12, deadline=None)
@given(SESSION, SESSION, st.sampled_from([0.0, 0.1]))
def test_der_agrees_with_pyannote_on_joined_activity(r: Turns, h: Turns, collar: float) -> None:
    pytest.importorskip("pyannote.metrics")
    from pyannote.core import Annotation, Segment, Timeline
    from pyannote.metrics.diarization import DiarizationErrorRate, JaccardErrorRate

    sides = []
    for turns in (r, h):
        annotation = Annotation()
        for track, (name, start, end) in enumerate(turns):
            annotation[Segment(start / 1000, end / 1000), track] = name
        sides.append(annotation.support())
    uem = Timeline([Segment(0, LENGTH / 1000)])
    detail = DiarizationErrorRate(collar=2 * collar)(*sides, uem=uem, detailed=True)
    tally = diarization_error(make_pair(r, h), collar, False)
    assert tally.length == pytest.approx(detail["total"], abs=1e-6)
    for ours, theirs in (
        ("miss", "missed detection"),
        ("false_alarm", "false alarm"),
        ("confusion", "confusion"),
    ):
        assert tally.parts[ours] == pytest.approx(detail[theirs], abs=1e-6)
    if r:  # its mapping is by common time, ours is the one that makes the JER least
        jer = jaccard_error(make_pair(r, h))
        theirs = JaccardErrorRate()(*sides, uem=uem)
        assert jer.errors / jer.length <= theirs + 1e-6


def test_der_is_a_known_figure() -> None:
    reference: Turns = [("a", 0, 1000), ("b", 1000, 2000)]
    hypothesis: Turns = [("x", 0, 1200), ("y", 1200, 1800)]
    tally = diarization_error(make_pair(reference, hypothesis), 0.0, False)
    assert tally.parts["confusion"] == pytest.approx(0.2)
    assert tally.parts["miss"] == pytest.approx(0.2)
    assert tally.error_rate == pytest.approx(0.2)
    assert tally.detail["mapping"] == {"a": "x", "b": "y"}


def test_one_speaker_who_overlaps_himself_counts_once() -> None:
    doubled = make_pair([("a", 0, 1000), ("a", 500, 1500)], [("x", 0, 1500)])
    tally = diarization_error(doubled, 0.0, False)
    assert (tally.errors, tally.length) == (0.0, 1.5)


def test_an_early_false_alarm_is_counted_without_a_uem() -> None:
    tally = diarization_error(make_pair([("a", 500, 1000)], [("x", 0, 1000)]), 0.0, False)
    assert tally.parts["false_alarm"] == pytest.approx(0.5)


def test_nothing_outside_the_uem_is_scored() -> None:
    pair = make_pair([("a", 0, 1000)], [("x", 1000, 2000)], uem=[(0.0, 0.5)])
    tally = diarization_error(pair, 0.0, False)
    assert (tally.errors, tally.length) == (0.5, 0.5)


def test_an_empty_hypothesis_misses_everything() -> None:
    pair = make_pair([("a", 0, 1000), ("b", 500, 1500)], [])
    assert diarization_error(pair, 0.0, False).error_rate == 1.0
    assert jaccard_error(pair).error_rate == 1.0


def test_errors_of_speakers_and_of_overlap_are_apart() -> None:
    pair = make_pair([("a", 0, 1000), ("b", 500, 1500)], [("x", 0, 1000)])
    tally = diarization_error(pair, 0.0, False)
    assert tally.speakers["a"] == (0.0, 1.0)
    assert tally.speakers["b"] == (1.0, 1.0)
    assert tally.parts["overlapped_errors"] == pytest.approx(0.5)
    assert tally.parts["overlapped_length"] == pytest.approx(1.0)
