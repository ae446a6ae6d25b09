"""Edit distance and alignment against the textbook table, plain and bound to time."""

from __future__ import annotations

from collections.abc import Sequence

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.score.edit import Pattern, align, count_edits, edit_distance

TOKENS = st.lists(st.sampled_from("abcd"), max_size=14)


def table_distance(
    reference: Sequence[str], hypothesis: Sequence[str], allowed: Sequence[int] | None = None
) -> int:
    """The full table, one cell at a time; a forbidden pairing costs a deletion and an insertion."""
    last = list(range(len(reference) + 1))
    for j, token in enumerate(hypothesis, start=1):
        row = [j]
        for i, other in enumerate(reference, start=1):
            may_pair = allowed is None or allowed[j - 1] >> (i - 1) & 1
            pairing = last[i - 1] + (int(token != other) if may_pair else 2)
            row.append(min(pairing, last[i] + 1, row[i - 1] + 1))
        last = row
    return last[-1]


def check(reference: list[str], hypothesis: list[str], allowed: list[int] | None) -> None:
    """Distance and alignment are right, and the alignment keeps both orders and all bans."""
    expected = table_distance(reference, hypothesis, allowed)
    assert edit_distance(reference, hypothesis, allowed) == expected
    steps = align(reference, hypothesis, allowed)
    counts = count_edits(reference, hypothesis, steps)
    assert counts.errors == expected
    assert counts.length == len(reference)
    assert [i for i, _ in steps if i is not None] == list(range(len(reference)))
    assert [j for _, j in steps if j is not None] == list(range(len(hypothesis)))
    for i, j in steps:
        if i is not None and j is not None and allowed is not None:
            assert allowed[j] >> i & 1


def with_masks(data: st.DataObject, reference: list[str], hypothesis: list[str]) -> list[int]:
    """One random mask per hypothesis token."""
    mask = st.integers(0, 2 ** len(reference) - 1)
    return data.draw(st.lists(mask, min_size=len(hypothesis), max_size=len(hypothesis)))


@settings(max_examples=120, deadline=None)
@given(TOKENS, TOKENS)
def test_distance_and_alignment_equal_the_full_table(ref: list[str], hyp: list[str]) -> None:
    check(ref, hyp, None)


@settings(max_examples=120, deadline=None)
@given(TOKENS, TOKENS, st.data())
def test_masked_distance_and_alignment_equal_the_full_table(
    ref: list[str], hyp: list[str], data: st.DataObject
) -> None:
    check(ref, hyp, with_masks(data, ref, hyp))


@pytest.mark.slow
@settings(max_examples=5000, deadline=None)
@given(TOKENS, TOKENS, st.data())
def test_thousands_of_random_pairs_equal_the_full_table(
    ref: list[str], hyp: list[str], data: st.DataObject
) -> None:
    check(ref, hyp, None)
    check(ref, hyp, with_masks(data, ref, hyp))


def test_alignment_is_the_same_across_many_blocks_of_columns() -> None:
    reference = [f"w{(7 * i) % 31}" for i in range(400)]
    hypothesis = [word for i, word in enumerate(reference) if i % 9] + ["extra"] * 5
    counts = count_edits(reference, hypothesis, align(reference, hypothesis))
    assert counts.errors == table_distance(reference, hypothesis)


def test_a_pattern_serves_many_hypotheses() -> None:
    pattern = Pattern(["a", "b", "c"])
    assert [edit_distance(pattern, h) for h in (["a"], [], ["a", "b", "c"])] == [2, 3, 0]


def test_no_pairing_allowed_costs_both_sides_whole() -> None:
    assert edit_distance(["a", "b"], ["a", "b"], [0, 0]) == 4
