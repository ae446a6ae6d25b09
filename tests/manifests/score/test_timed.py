"""tcpWER against meeteval and against the plain table with its bans written out."""

from __future__ import annotations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.score import Normalizer, make_side
from talkover.manifests.score.concatenated import cp_error_rate
from talkover.manifests.score.sessions import Region
from talkover.manifests.score.sides import Pair
from talkover.manifests.score.timed import (
    TimedStream,
    _Bounds,
    hypothesis_stream,
    reference_stream,
    tcp_error_rate,
)

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

Turns = list[tuple[str, float, float, str]]
"""Speaker, start, duration, text."""

WORDS = st.lists(st.sampled_from(["a", "bb", "ccc", "d"]), min_size=1, max_size=4).map(" ".join)
TURNS: st.SearchStrategy[Turns] = st.lists(
    st.tuples(
        st.sampled_from("xyz"), st.integers(0, 40).map(float), st.integers(1, 8).map(float), WORDS
    ),
    min_size=1,
    max_size=8,
    unique_by=lambda turn: (turn[0], turn[1]),
)


def make_pair(reference: Turns, hypothesis: Turns) -> Pair:
    sides = [
        make_side([Region(name, t, t + d, text) for name, t, d, text in turns])
        for turns in (reference, hypothesis)
    ]
    return Pair("s", sides[0], sides[1], Normalizer())


def check_against_meeteval(reference: Turns, hypothesis: Turns, collar: float) -> None:
    meeteval = pytest.importorskip("meeteval")
    sides = [
        meeteval.io.SegLST(
            [
                {"session_id": "s", "speaker": n, "start_time": t, "end_time": t + d, "words": w}
                for n, t, d, w in turns
            ]
        )
        for turns in (reference, hypothesis)
    ]
    expected = meeteval.wer.time_constrained_minimum_permutation_word_error_rate(
        *sides, collar=collar
    )
    tally = tcp_error_rate(make_pair(reference, hypothesis), "word", collar)
    assert (tally.errors, tally.length) == (expected.errors, expected.length)


@settings(max_examples=25, deadline=None)
@given(TURNS, TURNS, st.sampled_from([0.25, 1.0, 5.0]))
def test_tcp_agrees_with_meeteval(ref: Turns, hyp: Turns, collar: float) -> None:
    check_against_meeteval(ref, hyp, collar)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(TURNS, TURNS, st.sampled_from([0.25, 1.0, 5.0]))
def test_tcp_agrees_with_meeteval_thousands_of_times(ref: Turns, hyp: Turns, c: float) -> None:
    check_against_meeteval(ref, hyp, c)


@settings(max_examples=50, deadline=None)
@given(TURNS, TURNS)
def test_tcp_falls_with_the_collar_down_to_cp(ref: Turns, hyp: Turns) -> None:
    pair = make_pair(ref, hyp)
    errors = [tcp_error_rate(pair, "word", collar).errors for collar in (0.5, 2.0, 5.0, 1000.0)]
    assert errors == sorted(errors, reverse=True)
    assert errors[-1] == cp_error_rate(pair, "word").errors


@settings(max_examples=100, deadline=None)
@given(
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 9)), max_size=12),
    st.lists(st.tuples(st.integers(0, 20), st.integers(0, 9)), max_size=6),
    st.sampled_from([0.0, 0.5, 3.0]),
)
def test_masks_name_the_tokens_that_overlap(
    first: list[tuple[int, int]], second: list[tuple[int, int]], collar: float
) -> None:
    streams = [
        TimedStream(
            tokens=["x"] * len(spans),
            starts=[float(start) for start, _ in spans],
            ends=[float(start + length) for start, length in spans],
        )
        for spans in (first, second)
    ]
    masks = _Bounds(streams[0]).masks(streams[1], collar)
    for j, (start, length) in enumerate(second):
        overlapping = [a < start + length + collar and a + d > start - collar for a, d in first]
        assert masks[j] == sum(1 << i for i, flag in enumerate(overlapping) if flag)


def test_a_word_at_the_wrong_time_is_an_insertion_and_a_deletion() -> None:
    pair = make_pair([("a", 0.0, 1.0, "hello")], [("a", 20.0, 1.0, "hello")])
    tally = tcp_error_rate(pair, "word", 5.0)
    assert (tally.parts["insertions"], tally.parts["deletions"]) == (1, 1)


def test_errors_in_overlapped_speech_are_counted_apart() -> None:
    reference: Turns = [("a", 0.0, 4.0, "one two"), ("b", 0.0, 2.0, "red"), ("b", 9.0, 1.0, "sun")]
    hypothesis: Turns = [("a", 0.0, 4.0, "one two"), ("b", 9.0, 1.0, "sun")]
    tally = tcp_error_rate(make_pair(reference, hypothesis), "word", 5.0)
    assert tally.errors == 1
    assert (tally.parts["overlapped_errors"], tally.parts["overlapped_length"]) == (1, 2)


def test_reference_words_share_the_segment_and_hypothesis_words_are_points() -> None:
    pair = make_pair([("a", 0.0, 4.0, "abc b")], [("a", 0.0, 4.0, "abc b")])
    ours = reference_stream(pair.streams("reference", "word")["a"])
    theirs = hypothesis_stream(pair.streams("hypothesis", "word")["a"])
    assert (ours.starts, ours.ends) == ([0.0, 3.0], [3.0, 4.0])
    assert (theirs.starts, theirs.ends) == ([1.5, 3.5], [1.5, 3.5])


class _Word:
    def __init__(self, symbol: str, start: float, end: float) -> None:
        self.symbol, self.start, self.end = symbol, start, end


def test_known_word_times_are_used_and_shared_by_characters() -> None:
    words = [_Word("Hi,", 0.0, 0.5), _Word("你好", 3.0, 4.0)]
    side = make_side([Region("a", 0.0, 4.0, "Hi, 你好", words)])
    pair = Pair("s", side, side, Normalizer())
    stream = hypothesis_stream(pair.streams("hypothesis", "word")["a"])
    assert stream.tokens == ["hi", "你", "好"]
    assert (stream.starts, stream.ends) == ([0.0, 3.0, 3.5], [0.5, 3.5, 4.0])


def test_word_times_that_do_not_fit_the_text_are_not_used() -> None:
    side = make_side([Region("a", 0.0, 4.0, "other text", [_Word("hi", 0.0, 0.5)])])
    (segment,) = Pair("s", side, side, Normalizer()).tokens("reference", "word")
    assert segment.times is None
