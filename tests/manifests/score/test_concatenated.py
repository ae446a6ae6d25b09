"""cp, sa, tm, ORC and DI-cp against brute force over all pairings, and the corner cases."""

from __future__ import annotations

from itertools import permutations, product

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.score import Normalizer, make_side
from talkover.manifests.score.concatenated import (
    cp_error_rate,
    dicp_error_rate,
    orc_error_rate,
    sa_error_rate,
    tm_error_rate,
)
from talkover.manifests.score.edit import edit_distance
from talkover.manifests.score.sessions import Region
from talkover.manifests.score.sides import Pair
from talkover.manifests.score.words import error_rate

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

Turns = list[tuple[str, float, str]]
"""Speaker, start, text; a segment lasts a second."""


def make_pair(reference: Turns, hypothesis: Turns) -> Pair:
    """Both sides from turns."""
    sides = [
        make_side([Region(name, start, start + 1.0, text) for name, start, text in turns])
        for turns in (reference, hypothesis)
    ]
    return Pair("s", sides[0], sides[1], Normalizer())


def turns(num_speakers: int, max_size: int) -> st.SearchStrategy[Turns]:
    """Random turns of a few words out of four."""
    words = st.lists(st.sampled_from("abcd"), max_size=4).map(" ".join)
    names = st.sampled_from([f"s{i}" for i in range(num_speakers)])
    starts = st.integers(0, 9).map(float)
    return st.lists(st.tuples(names, starts, words), max_size=max_size)


def texts(side: Turns) -> dict[str, list[str]]:
    """Words of each speaker, joined in order of start; those without words left out."""
    joined: dict[str, list[str]] = {}
    for name, _, text in sorted(side, key=lambda turn: (turn[1], turn[0], turn[2])):
        joined.setdefault(name, []).extend(text.split())
    return {name: words for name, words in joined.items() if words}


def cp_by_permutation(reference: Turns, hypothesis: Turns) -> int:
    """The fewest errors over all pairings, the smaller side filled up with nobody."""
    ours, theirs = list(texts(reference).values()), list(texts(hypothesis).values())
    size = max(len(ours), len(theirs))
    ours += [[]] * (size - len(ours))
    theirs += [[]] * (size - len(theirs))
    costs = [[edit_distance(a, b) for b in theirs] for a in ours]
    return min(sum(costs[i][j] for i, j in enumerate(p)) for p in permutations(range(size)))


def orc_by_enumeration(segments: Turns, streams: Turns) -> int:
    """The fewest errors over all ways to send segments to streams."""
    ordered = sorted(segments, key=lambda turn: (turn[1], turn[0], turn[2]))
    parts = [text.split() for _, _, text in ordered if text.split()]
    targets = list(texts(streams).values())
    if not targets:
        return sum(map(len, parts))
    best = None
    for choice in product(range(len(targets)), repeat=len(parts)):
        errors = 0
        for index, target in enumerate(targets):
            words = [w for part, c in zip(parts, choice, strict=True) if c == index for w in part]
            errors += edit_distance(words, target)
        best = errors if best is None else min(best, errors)
    assert best is not None
    return best


def check_cp(reference: Turns, hypothesis: Turns) -> None:
    tally = cp_error_rate(make_pair(reference, hypothesis), "word")
    assert tally.errors == cp_by_permutation(reference, hypothesis)
    assert tally.length == sum(map(len, texts(reference).values()))
    assert tally.errors == sum(
        tally.parts[name] for name in ("substitutions", "deletions", "insertions")
    )


@settings(max_examples=100, deadline=None)
@given(turns(5, 12), turns(5, 12))
def test_cp_equals_the_best_of_all_pairings(ref: Turns, hyp: Turns) -> None:
    check_cp(ref, hyp)


@pytest.mark.slow
@settings(max_examples=3000, deadline=None)
@given(turns(5, 12), turns(5, 12))
def test_cp_equals_the_best_of_all_pairings_thousands_of_times(ref: Turns, hyp: Turns) -> None:
    check_cp(ref, hyp)


def check_orc(reference: Turns, hypothesis: Turns) -> None:
    pytest.importorskip("meeteval")
    pair = make_pair(reference, hypothesis)
    expected = orc_by_enumeration(reference, hypothesis)
    assert orc_error_rate(pair, "word", "exact").errors == expected
    greedy = orc_error_rate(pair, "word", "greedy").errors
    assert expected <= greedy <= cp_error_rate(pair, "word").errors
    swapped = orc_by_enumeration(hypothesis, reference)
    tally = dicp_error_rate(pair, "word", "exact")
    assert tally.errors == swapped
    assert tally.length == sum(map(len, texts(reference).values()))
    greedy = dicp_error_rate(pair, "word", "greedy").errors
    assert swapped <= greedy <= cp_error_rate(pair, "word").errors


@settings(max_examples=30, deadline=None)
@given(turns(3, 4), turns(3, 4))
def test_orc_and_dicp_lie_between_the_enumerated_optimum_and_cp(ref: Turns, hyp: Turns) -> None:
    check_orc(ref, hyp)


@pytest.mark.slow
@settings(max_examples=1000, deadline=None)
@given(turns(3, 5), turns(3, 5))
def test_orc_and_dicp_bounds_hold_over_a_thousand_sessions(ref: Turns, hyp: Turns) -> None:
    check_orc(ref, hyp)


@settings(max_examples=25, deadline=None)
@given(turns(4, 10), turns(4, 10))
def test_cp_agrees_with_meeteval(ref: Turns, hyp: Turns) -> None:
    meeteval = pytest.importorskip("meeteval")
    sides = [{name: " ".join(words) for name, words in texts(side).items()} for side in (ref, hyp)]
    if not sides[0] or not sides[1]:
        return
    expected = meeteval.wer.cp_word_error_rate(*sides)
    assert cp_error_rate(make_pair(ref, hyp), "word").errors == expected.errors


def test_joined_strings_are_not_compared_across_speakers() -> None:
    reference: Turns = [("a", 0.0, "the cat"), ("b", 1.0, "sat on")]
    pair = make_pair(reference, [("1", 0.0, "the cat sat"), ("2", 1.0, "on")])
    assert cp_error_rate(pair, "word").error_rate == 0.5
    assert error_rate(pair, "word").error_rate == 0.0


def test_two_swapped_speakers_cost_nothing() -> None:
    reference: Turns = [("a", 0.0, "the cat"), ("b", 1.0, "sat on")]
    pair = make_pair(reference, [("b", 0.0, "the cat"), ("a", 1.0, "sat on")])
    tally = cp_error_rate(pair, "word")
    assert tally.errors == 0
    assert tally.detail["assignment"] == [["a", "b"], ["b", "a"]]


def test_an_empty_hypothesis_is_all_deletions() -> None:
    tally = cp_error_rate(make_pair([("a", 0.0, "one two"), ("b", 1.0, "three")], []), "word")
    assert (tally.parts["deletions"], tally.error_rate) == (3, 1.0)
    assert tally.parts["missed_speakers"] == 2


def test_extra_speakers_are_all_insertions() -> None:
    pair = make_pair([("a", 0.0, "one two")], [("a", 0.0, "one two"), ("b", 3.0, "three")])
    tally = cp_error_rate(pair, "word")
    assert (tally.parts["insertions"], tally.parts["extra_speakers"]) == (1, 1)


def test_an_empty_reference_has_insertions_and_no_rate() -> None:
    tally = cp_error_rate(make_pair([], [("a", 0.0, "one")]), "word")
    assert (tally.errors, tally.length, tally.error_rate) == (1, 0, None)


def test_more_than_twenty_speakers_are_scored() -> None:
    reference: Turns = [(f"s{i:02}", float(i), f"word{i}") for i in range(30)]
    hypothesis: Turns = [(f"h{29 - i:02}", float(i), f"word{i}") for i in range(30)]
    assert cp_error_rate(make_pair(reference, hypothesis), "word").errors == 0


def test_overlap_makes_cp_less_than_the_speaker_free_rate() -> None:
    reference: Turns = [("a", 0.0, "one two"), ("b", 0.1, "three four")]
    hypothesis: Turns = [("y", 0.1, "one two"), ("x", 0.0, "three four")]
    pair = make_pair(reference, hypothesis)
    assert cp_error_rate(pair, "character").errors == 0
    assert error_rate(pair, "character").errors > 0


def test_a_wrong_name_is_all_insertions_and_deletions_under_sa() -> None:
    pair = make_pair([("ana", 0.0, "one two")], [("bo", 0.0, "one two")])
    tally = sa_error_rate(pair, "word")
    assert (tally.parts["deletions"], tally.parts["insertions"]) == (2, 2)
    assert cp_error_rate(pair, "word").errors == 0


def test_tm_keeps_the_pairing_of_time_even_where_text_fits_another() -> None:
    pair = make_pair([("a", 0.0, "one"), ("b", 5.0, "two")], [("1", 0.0, "two"), ("2", 5.0, "one")])
    assert tm_error_rate(pair, "word").errors == 2
    assert cp_error_rate(pair, "word").errors == 0


def test_the_exact_search_refuses_a_table_that_would_not_fit() -> None:
    pytest.importorskip("meeteval")
    many: Turns = [(f"s{i}", float(j), "a b c d") for i in range(6) for j in range(10)]
    with pytest.raises(ConfigurationError, match="greedy"):
        orc_error_rate(make_pair(many, many), "word", "exact")


def test_orc_takes_more_streams_than_ten() -> None:
    pytest.importorskip("meeteval")
    many: Turns = [(f"s{i:02}", float(i), f"w{i} x") for i in range(14)]
    assert orc_error_rate(make_pair(many, many), "word", "greedy").errors == 0
