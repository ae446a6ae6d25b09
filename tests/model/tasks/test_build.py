"""Instruction rows: pure, checkable against the labels, and right when their targets are copied."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from typer.testing import CliRunner

from talkover.cli import app
from talkover.manifests.instructions import TASKS, InstructionRow, check_rows, read_rows
from talkover.manifests.instructions.answers import (
    CaptionAnswer,
    LabelsAnswer,
    NumberAnswer,
    StampsAnswer,
    Statement,
    TimeAnswer,
)
from talkover.manifests.io import SessionAudio, read_sessions
from talkover.manifests.schema import Session, SoundEvent, span_fields
from talkover.manifests.score.answer_result import score_answers
from talkover.model.tasks.build import InstructConfig, ask, build_rows
from talkover.model.tasks.facts import facts_of
from talkover.model.tasks.questions import MARGIN

Make = Callable[..., SessionAudio]
RATE = 16000
WORDS = ("wahid", "ithnan", "thalatha", "arbaa", "[x] \\y")
turns = st.lists(
    st.tuples(
        st.sampled_from(["ana", "bo", "cy"]),
        st.integers(0, 60).map(lambda n: n / 8),
        st.lists(st.sampled_from(WORDS), min_size=1, max_size=3).map(" ".join),
    ),
    min_size=1,
    max_size=6,
    unique_by=lambda turn: (turn[0], turn[1]),
)


def with_sounds(session: Session, *sounds: tuple[str, float, float]) -> Session:
    events = tuple(
        SoundEvent(
            id=f"e{n}",
            kind="sound",
            label=label,
            **span_fields(int(a * RATE), int((b - a) * RATE), RATE),  # type: ignore[arg-type]
        )
        for n, (label, a, b) in enumerate(sounds)
    )
    return session.model_copy(update={"events": events})


@settings(max_examples=25, deadline=None)
@given(said=turns, seed=st.integers(0, 5), digits=st.integers(0, 2))
def test_targets_read_back_as_their_answers_and_rows_fit_their_session(
    make_tones: Make, said: list[tuple[str, float, str]], seed: int, digits: int
) -> None:
    session = make_tones("s", said, 10.0).session
    session = with_sounds(session, ("door", 1.0, 1.5), ("bell", 9.5, 10.0))
    config = InstructConfig(questions=3, digits=digits)
    rows = list(build_rows([session], config, seed=seed))
    assert list(check_rows(rows, {"s": session})) == []
    result = score_answers(rows, {row.id: row.target for row in rows}, bootstrap=0)
    assert {name: t.errors for name, t in result.overall.items() if t.errors} == {}
    assert rows == list(build_rows([session], config, seed=seed))
    assert {row.id for row in rows} == {row.id for row in set_of(rows)}


def set_of(rows: list[InstructionRow]) -> list[InstructionRow]:
    """Rows with different ids."""
    return list({row.id: row for row in rows}.values())


def test_every_task_is_asked_of_a_session_that_has_all(make_tones: Make) -> None:
    item = make_tones("s", [("ana", 0.5, "wahid"), ("bo", 2.0, "ithnan arbaa")], 5.0)
    session = with_sounds(item.session, ("door", 3.0, 3.5))
    rows = list(build_rows([session], InstructConfig(questions=8), seed=0))
    assert {row.task for row in rows} == set(TASKS)
    assert {row.session for row in rows} == {"s"}
    texts = {row.instruction for row in rows}
    assert (
        len(texts) == len([r for r in rows if r.task not in ("words", "sentences", "caption")]) + 3
    )


def test_one_sessions_rows_do_not_depend_on_the_others(make_tones: Make) -> None:
    one = make_tones("one", [("ana", 0.5, "wahid")], 3.0).session
    two = make_tones("two", [("bo", 0.5, "ithnan")], 3.0).session
    both = list(build_rows([one, two], seed=1))
    assert both == [*build_rows([one], seed=1), *build_rows([two], seed=1)]
    assert both != list(build_rows([one, two], seed=2))


def test_stamps_and_captions_say_what_the_labels_say(make_tones: Make) -> None:
    item = make_tones("s", [("ana", 0.5, "wahid arbaa"), ("bo", 0.75, "ithnan")], 3.0)
    facts = facts_of(with_sounds(item.session, ("door", 2.0, 2.5)), 2)
    rng = np.random.default_rng(0)
    words = ask(facts, "words", rng)
    assert words is not None and isinstance(words.answer, StampsAnswer)
    assert [w.text for w in words.answer.items] == ["wahid", "arbaa", "ithnan"]
    assert words.target == "[0.50]wahid[0.75][0.75]arbaa[1.00][0.75]ithnan[1.00]"
    sentences = ask(facts, "sentences", rng)
    assert sentences is not None
    assert sentences.target == "[0.50]wahid arbaa[1.00][0.75]ithnan[1.00]"
    caption = ask(facts, "caption", rng)
    assert caption is not None and isinstance(caption.answer, CaptionAnswer)
    assert caption.target == (
        "2 speakers. S01 speaks from 0.50 to 1.00 s. S02 speaks from 0.75 to 1.00 s. "
        "door is heard from 2.00 to 2.50 s."
    )
    assert caption.answer.statements[-1] == Statement(label="door", start=2.0, end=2.5)


@settings(max_examples=40, deadline=None)
@given(said=turns, seed=st.integers(0, 1000))
def test_who_is_asked_only_where_it_is_clear(
    make_tones: Make, said: list[tuple[str, float, str]], seed: int
) -> None:
    facts = facts_of(make_tones("s", said, 10.0).session, 1)
    asked = ask(facts, "who", np.random.default_rng(seed))
    if asked is None:
        return
    time = float(asked.instruction.split(" at ")[1].split()[0])
    assert isinstance(asked.answer, LabelsAnswer)
    for region in facts.regions:
        assert min(abs(region.start - time), abs(region.end - time)) >= MARGIN - 1e-9
    heard = {r.label for r in facts.regions if r.start <= time < r.end}
    assert set(asked.answer.labels) == heard


def test_questions_about_counts_and_order_have_the_labels_answers(make_tones: Make) -> None:
    item = make_tones(
        "s", [("ana", 0.5, "wahid"), ("bo", 2.0, "ithnan"), ("ana", 3.0, "arbaa")], 6.0
    )
    facts = facts_of(with_sounds(item.session, ("door", 4.0, 4.5), ("door", 5.0, 5.5)), 1)
    expected = {
        "How many speakers are there?": 2,
        "How many turns does S01 take?": 2,
        "How many turns does S02 take?": 1,
        "How often is door heard?": 2,
    }
    found = {}
    for seed in range(60):
        asked = ask(facts, "count", np.random.default_rng(seed))
        assert asked is not None and isinstance(asked.answer, NumberAnswer)
        found[asked.instruction] = asked.answer.value
    assert found == expected
    for seed in range(20):
        asked = ask(facts, "first", np.random.default_rng(seed))
        assert asked is not None
        order = ["S01", "S02", "door"]
        named = [name for name in order if name in asked.instruction]
        assert asked.target == named[0] and len(named) == 2
    for seed in range(20):
        asked = ask(facts, "when", np.random.default_rng(seed))
        assert asked is not None and isinstance(asked.answer, TimeAnswer)
        assert asked.answer.seconds in (0.5, 2.0, 3.0, 4.0)


def test_what_labels_do_not_know_is_not_asked(make_tones: Make) -> None:
    session = make_tones("s", [("ana", 0.5, "wahid")], 3.0).session
    bare = session.supervisions[0].model_copy(
        update={"words": None, "word_samples": None, "word_source": None}
    )
    rows = list(build_rows([session.model_copy(update={"supervisions": (bare,)})]))
    assert "words" not in {row.task for row in rows} and "sentences" in {row.task for row in rows}
    silent = bare.model_copy(update={"text": None})
    rows = list(build_rows([session.model_copy(update={"supervisions": (silent,)})]))
    assert not {"words", "sentences"} & {row.task for row in rows}
    empty = list(build_rows([session.model_copy(update={"supervisions": ()})]))
    assert {row.task for row in empty} == {"caption", "count"}
    assert next(row.target for row in empty if row.task == "caption") == "No speakers."


def test_long_sessions_are_asked_window_by_window(make_tones: Make) -> None:
    said = [("ana" if n % 2 else "bo", 0.5 + 1.5 * n, "wahid") for n in range(12)]
    session = make_tones("long", said, 20.0).session
    rows = list(build_rows([session], InstructConfig(longest=6.0)))
    starts = sorted({row.start_sample for row in rows})
    assert len(starts) > 3 and starts[0] == 0
    assert all(row.duration <= 6.0 for row in rows)
    assert list(check_rows(rows, {"long": session})) == []


@pytest.mark.parametrize(
    "bad", [{"tasks": ("sing",)}, {"tasks": ()}, {"questions": 0}, {"longest": 0.5}]
)
def test_a_wrong_configuration_is_refused(bad: dict[str, object]) -> None:
    with pytest.raises(ValueError, match="must be"):
        replace(InstructConfig(), **bad)  # type: ignore[arg-type]


def test_instruct_writes_rows_beside_the_manifest(tmp_path: Path, tone_folder: Path) -> None:
    out = tmp_path / "rows.jsonl"
    arguments = ["instruct", str(tone_folder), "--out", str(out), "--tasks", "count,caption"]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    rows = list(read_rows(out))
    sessions = {session.id: session for session in read_sessions(tone_folder)}
    assert len(rows) == 2 * len(sessions) and {row.task for row in rows} == {"count", "caption"}
    assert list(check_rows(rows, sessions)) == []
    first = out.read_bytes()
    assert CliRunner().invoke(app, arguments).exit_code == 0
    assert out.read_bytes() == first
    wrong = CliRunner().invoke(app, ["instruct", str(tone_folder), "--tasks", "sing"])
    assert wrong.exit_code == 1 and "tasks must be of" in str(wrong.exception)
