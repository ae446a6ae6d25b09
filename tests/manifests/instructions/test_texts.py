"""Stamps and statements: what is written is read back, and nothing that is read raises."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkover.manifests.instructions.answers import Stamp, Statement
from talkover.manifests.instructions.stamps import read_stamps, write_stamps
from talkover.manifests.instructions.statements import (
    mentioned,
    read_count,
    read_numbers,
    read_speakers,
    read_statements,
    write_statements,
)

LABELS = ("S01", "S02", "door", "door slam", "phone")


@st.composite
def spans(draw: st.DrawFn) -> tuple[float, float]:
    start = draw(st.integers(0, 9000))
    return start / 10, draw(st.integers(start, 9999)) / 10


@given(items=st.lists(st.tuples(st.text(max_size=12), spans()), max_size=6))
def test_stamps_come_back_whatever_the_text_holds(
    items: list[tuple[str, tuple[float, float]]],
) -> None:
    stamps = tuple(Stamp(text=text, start=a, end=b) for text, (a, b) in items)
    assert read_stamps(write_stamps(stamps, 1)) == stamps


@given(text=st.text(alphabet="[]0123456789.\\ab ", max_size=60))
def test_reading_stamps_never_raises_and_times_are_in_order(text: str) -> None:
    assert all(stamp.start <= stamp.end for stamp in read_stamps(text))


def test_a_stamp_that_is_cut_off_is_passed_over() -> None:
    assert read_stamps("[0.1]one[0.2][0.3]tw") == (Stamp(text="one", start=0.1, end=0.2),)


@given(said=st.lists(st.tuples(st.sampled_from(LABELS), spans()), max_size=6))
def test_statements_come_back_by_label(said: list[tuple[str, tuple[float, float]]]) -> None:
    statements = [Statement(label=label, start=a, end=b) for label, (a, b) in said]
    order = list(dict.fromkeys(label for label, _ in said))
    found = read_statements(write_statements(statements, 1), LABELS)
    assert found == tuple(sorted(statements, key=lambda s: order.index(s.label)))


@given(text=st.text(max_size=60))
def test_reading_a_caption_never_raises(text: str) -> None:
    for statement in read_statements(text, LABELS):
        assert statement.label in LABELS and statement.start <= statement.end
    assert mentioned(text, LABELS) <= set(LABELS)
    read_count(text), read_numbers(text), read_speakers(text)


def test_free_captions_are_read_as_far_as_they_name_times() -> None:
    text = "A door slam (3.0-3.4 seconds), then S01 talks 4 s to 6.5 s and laughs."
    assert read_statements(text, LABELS) == (
        Statement(label="door slam", start=3.0, end=3.4),
        Statement(label="S01", start=4.0, end=6.5),
    )


@pytest.mark.parametrize(
    ("text", "count"),
    [("3", 3), ("There are two.", 2), ("S01 takes 4 turns", 4), ("a few", None), ("3.5", None)],
)
def test_counts_are_read_from_figures_and_words(text: str, count: int | None) -> None:
    assert read_count(text) == count


@pytest.mark.parametrize(
    ("text", "count"),
    [("No speakers.", 0), ("1 speaker.", 1), ("Three people talk", 3), ("S01 speaks", None)],
)
def test_captions_tell_how_many_speak(text: str, count: int | None) -> None:
    assert read_speakers(text) == count


def test_a_name_inside_a_word_is_not_mentioned() -> None:
    assert mentioned("the doorbell and S012", ("door", "S01")) == frozenset()
    assert mentioned("The DOOR, then s01.", ("door", "S01")) == {"door", "S01"}
