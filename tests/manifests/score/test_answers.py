"""Scores of answers against ten-line references, and what must hold for any answer."""

from __future__ import annotations

from itertools import permutations

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.errors import ManifestError
from talkover.manifests.instructions.answers import (
    Answer,
    CaptionAnswer,
    LabelsAnswer,
    NumberAnswer,
    SpanAnswer,
    Stamp,
    StampsAnswer,
    Statement,
    TimeAnswer,
)
from talkover.manifests.instructions.rows import InstructionRow, Task
from talkover.manifests.instructions.stamps import write_stamps
from talkover.manifests.score.answer_result import answers_json, answers_table, score_answers
from talkover.manifests.score.answers import (
    ANSWER_METRICS,
    grounding,
    iou,
    match_stamps,
    score_answer,
)
from talkover.manifests.score.normalize import Normalizer

NORMALIZER = Normalizer()
WORDS = ("wahid", "ithnan", "thalatha")


def row(task: Task, answer: Answer, target: str = "x", id: str = "r0") -> InstructionRow:
    return InstructionRow(
        id=id,
        session="s0",
        start=0.0,
        duration=20.0,
        start_sample=0,
        num_samples=320000,
        task=task,
        instruction="?",
        target=target,
        answer=answer,
    )


def stamps(*said: tuple[str, float, float]) -> tuple[Stamp, ...]:
    return tuple(Stamp(text=text, start=a, end=b) for text, a, b in said)


def test_shift_is_the_mean_over_matched_stamps_and_comes_with_their_share() -> None:
    ours = stamps(("wahid", 0.0, 0.5), ("ithnan", 0.6, 1.0), ("thalatha", 2.0, 2.5))
    theirs = stamps(("wahid", 0.1, 0.5), ("arbaa", 0.6, 1.0), ("thalatha", 2.0, 2.8))
    found = score_answer(
        row("words", StampsAnswer(items=ours)), write_stamps(theirs, 1), NORMALIZER
    )
    assert found["aas"].error_rate == pytest.approx((0.1 + 0.0 + 0.0 + 0.3) / 4)
    assert found["aas"].parts["matched"] == 2
    assert found["unmatched_stamps"].error_rate == pytest.approx(1 / 3)
    assert found["stamped_wer"].error_rate == pytest.approx(1 / 3)


@settings(deadline=None)
@given(
    ours=st.lists(st.sampled_from(WORDS), max_size=5),
    theirs=st.lists(st.sampled_from(WORDS), max_size=5),
)
def test_words_are_matched_as_the_longest_common_subsequence(
    ours: list[str], theirs: list[str]
) -> None:
    def longest(a: list[str], b: list[str]) -> int:  # the textbook recursion
        if not a or not b:
            return 0
        if a[0] == b[0]:
            return 1 + longest(a[1:], b[1:])
        return max(longest(a[1:], b), longest(a, b[1:]))

    pairs = match_stamps(
        stamps(*((w, 0.0, 1.0) for w in ours)),
        stamps(*((w, 0.0, 1.0) for w in theirs)),
        NORMALIZER,
    )
    assert len(pairs) == longest(ours, theirs)
    assert all(ours[i] == theirs[j] for i, j in pairs)
    assert pairs == sorted(pairs) and len({j for _, j in pairs}) == len(pairs)


def test_sentences_with_half_their_words_right_are_matched() -> None:
    ours = stamps(("wahid ithnan", 0.0, 1.0), ("thalatha", 1.0, 2.0))
    theirs = stamps(("wahid arbaa", 0.0, 1.0), ("arbaa", 1.0, 2.0))
    assert match_stamps(ours, theirs, NORMALIZER) == [(0, 0)]


pair = st.tuples(st.integers(0, 20), st.integers(1, 10)).map(lambda p: (p[0], p[0] + p[1]))


@given(a=pair, b=pair)
def test_iou_is_that_of_counted_ticks(a: tuple[int, int], b: tuple[int, int]) -> None:
    ticks_a, ticks_b = set(range(*a)), set(range(*b))
    expected = len(ticks_a & ticks_b) / len(ticks_a | ticks_b)
    assert iou((float(a[0]), float(a[1])), (float(b[0]), float(b[1]))) == pytest.approx(expected)


statements = st.lists(
    st.tuples(st.sampled_from(["S01", "door"]), pair).map(
        lambda s: Statement(label=s[0], start=float(s[1][0]), end=float(s[1][1]))
    ),
    max_size=4,
)


@settings(deadline=None)
@given(ours=statements, theirs=statements)
def test_grounding_is_the_best_of_all_pairings(
    ours: list[Statement], theirs: list[Statement]
) -> None:
    few, many = sorted((ours, theirs), key=len)

    def common(a: Statement, b: Statement) -> float:
        return iou((a.start, a.end), (b.start, b.end)) if a.label == b.label else 0.0

    best = max(
        sum(common(a, b) for a, b in zip(few, order, strict=False)) for order in permutations(many)
    )
    tally = grounding(ours, theirs)
    assert tally.length == len(many)
    assert tally.errors == pytest.approx(len(many) - best)


CASES: list[tuple[Task, Answer, str, str]] = [
    ("when", TimeAnswer(seconds=3.2, tolerance=0.5), "At 3.6 s", "At 3.8 s"),
    ("count", NumberAnswer(value=2), "There are two.", "3"),
    ("who", LabelsAnswer(labels=("S01",), choices=("S01", "S02")), "It is S01.", "S01 and S02"),
    ("who", LabelsAnswer(labels=(), choices=("S01",)), "Nobody", "S01"),
    ("first", LabelsAnswer(labels=("door",), choices=("bell", "door")), "the door", "the bell"),
    ("span", SpanAnswer(start=2.0, end=4.0), "From 2.0 to 3.0 s", "From 3.5 to 5.0 s"),
]


@pytest.mark.parametrize(("task", "answer", "right", "wrong"), CASES)
def test_questions_are_right_or_wrong(task: Task, answer: Answer, right: str, wrong: str) -> None:
    asked = row(task, answer)
    assert score_answer(asked, right, NORMALIZER)["answer"].errors == 0
    assert score_answer(asked, wrong, NORMALIZER)["answer"].errors == 1
    for nothing in (None, "", "I do not know"):
        scored = score_answer(asked, nothing, NORMALIZER)
        assert scored["answer"].errors == 1 and scored["unreadable"].errors == 1


def test_captions_are_scored_by_what_they_state() -> None:
    answer = CaptionAnswer(
        num_speakers=1,
        statements=(
            Statement(label="S01", start=0.0, end=2.0),
            Statement(label="door", start=3.0, end=4.0),
        ),
    )
    found = score_answer(
        row("caption", answer), "2 speakers. S01 speaks from 0 to 1 s.", NORMALIZER
    )
    assert found["grounding"].error_rate == pytest.approx(1 - (0.5 + 0.0) / 2)
    assert found["speaker_count"].errors == 1 and found["unreadable"].errors == 0


@given(text=st.text(max_size=40), case=st.sampled_from(CASES))
def test_no_answer_breaks_the_scoring(text: str, case: tuple[Task, Answer, str, str]) -> None:
    for tally in score_answer(row(case[0], case[1]), text, NORMALIZER).values():
        assert 0 <= tally.errors and tally.length >= 0
    assert set(score_answer(row(case[0], case[1]), text, NORMALIZER)) <= set(ANSWER_METRICS)


def test_a_row_without_an_answer_counts_in_full() -> None:
    rows = [row("count", NumberAnswer(value=n), id=f"r{n}") for n in range(4)]
    result = score_answers(rows, {"r0": "0", "r1": "1", "r2": "9"}, bootstrap=0)
    assert result.overall["answer"].error_rate == 0.5
    assert result.overall["answer"].length == 4
    assert result.tasks["count"]["unreadable"].errors == 1
    assert answers_json(result) == answers_json(
        score_answers(rows, {"r0": "0", "r1": "1", "r2": "9"}, bootstrap=0)
    )
    assert any("answer" in line and "0.500" in line for line in answers_table(result))


def test_answers_to_rows_that_there_are_not_are_told() -> None:
    with pytest.raises(ManifestError, match="r9"):
        score_answers([row("count", NumberAnswer(value=1))], {"r9": "1"})
    with pytest.raises(ManifestError, match="no instruction row"):
        score_answers([], {})
