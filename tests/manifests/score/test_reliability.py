"""Counts, failures, loops and names on small sessions."""

from __future__ import annotations

import pytest

from talkover.manifests.score import Normalizer, make_side
from talkover.manifests.score.reliability import (
    coverage,
    fail_rate,
    false_names,
    hallucinated_turns,
    longest_loop,
    loop_rate,
    speaker_count_error,
    speaker_switches,
)
from talkover.manifests.score.sessions import Region
from talkover.manifests.score.sides import Pair

Turns = list[tuple[str, float, float, str]]


def make_pair(
    ref: Turns, hyp: Turns, *, duration: float | None = None, registered: str | None = None
) -> Pair:
    names = frozenset(registered.split()) if registered is not None else None
    reference = make_side([Region(*t) for t in ref], duration=duration, registered=names)
    return Pair("s", reference, make_side([Region(*t) for t in hyp]), Normalizer())


def test_speaker_counts_give_share_difference_and_bias() -> None:
    pair = make_pair([("a", 0, 1, "x"), ("b", 1, 2, "y")], [("1", 0, 2, "x y")])
    tally = speaker_count_error(pair)
    assert (tally.errors, tally.parts) == (1, {"absolute_error": 1, "bias": -1})


def test_a_failed_session_counts_and_an_empty_one_does_not() -> None:
    reference = make_side([Region("a", 0.0, 1.0, "x")])
    for side, expected in ((make_side([], failed=True), 1), (make_side([]), 0)):
        assert fail_rate(Pair("s", reference, side, Normalizer())).errors == expected


def test_coverage_is_the_last_end_over_the_length() -> None:
    pair = make_pair([("a", 0, 9, "x")], [("1", 0, 4, "x")], duration=10.0)
    tally = coverage(pair)
    assert (tally.errors, tally.length, tally.parts["covered"]) == (6.0, 10.0, 4.0)
    assert coverage(make_pair([("a", 0, 9, "x")], [("1", 0, 40, "x")])).errors == 0.0


@pytest.mark.parametrize(
    ("text", "length"),
    [
        ("so " * 10, 10),
        ("so " * 9, 0),
        ("and then " * 5, 10),
        ("we went and then and then and then and then and then home", 10),
        ("one two three four five six seven eight nine ten eleven", 0),
        ("", 0),
    ],
)
def test_loops_need_five_repeats_and_ten_words(text: str, length: int) -> None:
    assert longest_loop(text.split()) == length


def test_a_loop_that_was_really_said_is_none() -> None:
    said: Turns = [("a", 0, 9, "no " * 12)]
    assert loop_rate(make_pair(said, said)).errors == 0
    assert loop_rate(make_pair([("a", 0, 9, "no")], said)).errors == 1


def test_turns_of_silent_registered_speakers_are_hallucinated() -> None:
    pair = make_pair(
        [("ana", 0, 1, "x")],
        [("ana", 0, 1, "x"), ("bo", 1, 2, "y"), ("bo", 2, 3, "z"), ("guest", 3, 4, "w")],
        registered="ana bo cy",
    )
    tally = hallucinated_turns(pair)
    assert (tally.errors, tally.length) == (2, 4)
    assert tally.parts == {"silent_speakers": 2, "silent_speakers_named": 1}


def test_a_registered_name_is_false_while_another_speaks_or_nobody() -> None:
    pair = make_pair(
        [("ana", 0, 2, "x"), ("bo", 2, 4, "y")],
        [("ana", 0, 2, "x"), ("ana", 2.2, 4, "y"), ("bo", 8, 9, "z"), ("guest", 0, 1, "w")],
        registered="ana bo",
    )
    tally = false_names(pair)
    assert (tally.errors, tally.length) == (2, 3)


def test_switches_inside_a_turn_are_counted_and_short_ones_are_not() -> None:
    reference: Turns = [("a", 0, 4, "x"), ("b", 5, 6, "y")]
    hypothesis: Turns = [
        ("1", 0, 1, ""),
        ("2", 1, 2, ""),
        ("1", 2, 3, ""),
        ("2", 3, 3.1, ""),
        ("1", 3.1, 4, ""),
        ("2", 5, 6, ""),
    ]
    tally = speaker_switches(make_pair(reference, hypothesis))
    assert (tally.errors, tally.length) == (2, 2)


def test_the_other_speaker_of_an_overlap_is_no_switch() -> None:
    reference: Turns = [("a", 0, 4, "x"), ("b", 1, 2, "y")]
    hypothesis: Turns = [("1", 0, 1, ""), ("2", 1, 2, ""), ("1", 2, 4, "")]
    assert speaker_switches(make_pair(reference, hypothesis)).errors == 0
