"""The file of instruction rows: round trip, versions, faults with their place."""

from __future__ import annotations

import json
from pathlib import Path

import jsonschema
import pytest

from talkover.manifests.errors import ManifestError
from talkover.manifests.instructions import InstructionRow, check_rows, read_rows, write_rows
from talkover.manifests.instructions.answers import NumberAnswer, Stamp, StampsAnswer, TimeAnswer
from talkover.manifests.io import read_sessions
from talkover.manifests.json_schema import (
    INSTRUCTIONS_NAME,
    instructions_schema_text,
    published_path,
)
from talkover.manifests.schema import Session
from talkover.manifests.validate import validate


def row(id: str = "r0", **changes: object) -> InstructionRow:
    values: dict[str, object] = {
        "id": id,
        "session": "s0",
        "start": 0.5,
        "duration": 1.0,
        "start_sample": 8000,
        "num_samples": 16000,
        "task": "count",
        "instruction": "How many?",
        "target": "2",
        "answer": NumberAnswer(value=2),
    }
    return InstructionRow.model_validate(values | changes)


STAMPS = StampsAnswer(items=(Stamp(text="wāḥid", start=0.1, end=0.4),))


def test_rows_come_back_and_the_same_rows_are_the_same_bytes(tmp_path: Path) -> None:
    rows = [row(), row("r1", task="words", answer=STAMPS, target="[0.1]wāḥid[0.4]")]
    assert write_rows(tmp_path / "instructions.jsonl", rows) == 2
    assert list(read_rows(tmp_path)) == rows
    first = (tmp_path / "instructions.jsonl").read_bytes()
    write_rows(tmp_path / "instructions.jsonl", iter(rows))
    assert (tmp_path / "instructions.jsonl").read_bytes() == first


def write_changed(path: Path, **changes: object) -> None:
    values = json.loads(row().model_dump_json()) | changes
    path.write_text(row("fine").model_dump_json() + "\n" + json.dumps(values) + "\n")


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"schema_version": "2.0"}, r":2: schema_version: version 2\.0 cannot be read"),
        ({"task": "sing"}, r":2: task"),
        ({"id": "../r"}, r":2: id"),
        ({"id": "fine"}, r":2: id: 'fine' is there twice"),
        ({"answer": {"kind": "number", "value": -1}}, r":2: answer\.number\.value"),
        ({"mood": "glad"}, r":2: mood"),
    ],
)
def test_a_faulty_line_is_named(tmp_path: Path, changes: dict[str, object], message: str) -> None:
    write_changed(tmp_path / "rows.jsonl", **changes)
    with pytest.raises(ManifestError, match=message):
        list(read_rows(tmp_path / "rows.jsonl"))


def test_a_newer_minor_version_is_read(tmp_path: Path) -> None:
    write_changed(tmp_path / "rows.jsonl", schema_version="1.7")
    assert [r.schema_version for r in read_rows(tmp_path / "rows.jsonl")] == ["1.0", "1.7"]


def test_a_torn_last_line_and_two_rows_of_one_id_are_refused(tmp_path: Path) -> None:
    (tmp_path / "rows.jsonl").write_text(row().model_dump_json())
    with pytest.raises(ManifestError, match="no line end"):
        list(read_rows(tmp_path / "rows.jsonl"))
    with pytest.raises(ManifestError, match="two rows have the id 'r0'"):
        write_rows(tmp_path / "rows.jsonl", [row(), row()])


def test_every_fault_of_a_row_against_its_session_is_told(full_session: Session) -> None:
    session = full_session.model_copy(update={"id": "s0"})
    rate, length = session.audio.sampling_rate, session.audio.num_samples
    span = {"start": 0.5, "duration": 1.0, "start_sample": rate // 2, "num_samples": rate}
    assert length > 2 * rate
    fine = row(**span)
    assert list(check_rows([fine], {"s0": session})) == []
    faults = dict(
        check_rows(
            [
                row("elsewhere", **span, session="s9"),
                row("clock", **{**span, "start": 0.6}),
                row(
                    "beyond",
                    start=0.5,
                    duration=float(length / rate),
                    start_sample=rate // 2,
                    num_samples=length,
                ),
                row("kind", **span, task="when"),
                row("late", **span, task="when", answer=TimeAnswer(seconds=1.5, tolerance=0.5)),
            ],
            {"s0": session},
        )
    )
    assert set(faults) == {"elsewhere", "clock", "beyond", "kind", "late"}


def test_validate_holds_rows_against_the_sessions(produced: Path) -> None:
    session = next(iter(read_sessions(produced)))
    rate = session.audio.sampling_rate
    span = {"start": 0.5, "duration": 1.0, "start_sample": rate // 2, "num_samples": rate}
    fine = row("fine", **span, session=session.id)
    write_rows(produced / "instructions.jsonl", [fine])
    assert list(validate(produced)) == []
    late = row("late", **span | {"start": 0.6}, session=session.id)
    write_rows(produced / "instructions.jsonl", [fine, late, row("lost", **span, session="s9")])
    found = [v for v in validate(produced) if v.rule == "instructions"]
    assert [(v.session, v.field) for v in found] == [(session.id, "late"), ("s9", "")]
    (produced / "instructions.jsonl").write_text("{}\n")
    assert [v.rule for v in validate(produced)] == ["file"]


def test_the_published_schema_is_current_and_takes_what_we_write() -> None:
    text = published_path(INSTRUCTIONS_NAME).read_text(encoding="utf8")
    assert text == instructions_schema_text(), "run python -m talkover.manifests.json_schema"
    validator = jsonschema.Draft202012Validator(json.loads(text))
    line = json.loads(row(task="words", answer=STAMPS).model_dump_json())
    assert list(validator.iter_errors(line)) == []
    assert list(validator.iter_errors(line | {"task": "sing"}))
    assert list(validator.iter_errors(line | {"mood": "glad"}))
