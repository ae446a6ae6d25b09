"""Instruction rows beside transcription: one small model, trained, asked and scored."""

from __future__ import annotations

import json
import shutil
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from itertools import islice
from pathlib import Path

import pytest
import torch
from typer.testing import CliRunner

from talkover.cli import app
from talkover.manifests.errors import ManifestError
from talkover.manifests.instructions import TASKS, read_rows
from talkover.manifests.io import SessionAudio
from talkover.model.build import vocabulary_of
from talkover.model.codec import SatsCodec
from talkover.model.data.collate import Collator
from talkover.model.data.examples import Skips, example_of
from talkover.model.data.feeds import Choice, ManifestFeed, read_entries
from talkover.model.layout import IGNORED, Kind
from talkover.model.modeling import SatsModel
from talkover.model.presets import Preset
from talkover.model.run import train
from talkover.model.stages import Stage
from talkover.model.tasks.evaluate import evaluate_rows
from talkover.model.tasks.files import instruct

EVERY = {"transcribe": 1.0, **dict.fromkeys(TASKS, 0.5)}


@pytest.fixture(scope="module")
def asked_folder(tone_folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The tone corpus with instruction rows beside it."""
    folder = tmp_path_factory.mktemp("asked") / "corpus"
    shutil.copytree(tone_folder, folder)
    instruct([folder], questions=1, seed=3)
    return folder


def test_rows_are_read_by_their_weight(
    asked_folder: Path, model: SatsModel, codec: SatsCodec
) -> None:
    skips = Skips()
    entries = read_entries([asked_folder], 8.0, skips, with_rows=True)
    rows = {row.id: row.task for row in read_rows(asked_folder)}
    assert skips.total == 0 and sum(entry.row is not None for entry in entries) == len(rows)
    feed = ManifestFeed(
        entries, Collator(model, codec, vocabulary_of(codec)), seed=0, buckets="plain"
    )

    def drawn(tasks: dict[str, float] | None) -> Counter[str]:
        choice = Choice(seconds=12.0, tasks=tasks)
        batches = islice(feed.batches(choice, 0), len(feed.epoch(choice, 0)))
        ids = [name for handed in batches if handed.batch for name in handed.batch.ids]
        return Counter(rows.get(name, "transcribe") for name in ids)

    assert set(drawn(None)) == {"transcribe"}
    twice = drawn({"caption": 2.0, "transcribe": 1.0})
    assert twice == {"caption": 24, "transcribe": 12}
    assert set(drawn(EVERY)) == {"transcribe", *TASKS}


def test_the_instruction_is_read_and_only_the_target_is_learned(
    asked_folder: Path, model: SatsModel, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    row = next(row for row in read_rows(asked_folder) if row.task == "caption")
    item = next(item for item in tone_items if item.session.id == row.session)
    example = replace(
        example_of(item, codec, 16000), instruction=row.instruction, target=row.target
    )
    collator = Collator(model, codec, vocabulary_of(codec))
    plan = collator.plan(example)
    learned = [index for index in plan.labels if index != IGNORED]
    assert codec.decode(learned) == row.target and learned[-1] == codec.end_id
    last = plan.positions(Kind.SEMANTIC)[-1]
    read = [
        i for i, kind in zip(plan.ids[last:], plan.kinds[last:], strict=True) if kind is Kind.TEXT
    ]
    assert row.instruction in codec.decode(read)
    batch = collator([example])
    assert int(batch.num_units[0]) > 0  # what is said is still learned by CTC
    assert bool(batch.activity.any())


def test_rows_of_unknown_sessions_are_counted(asked_folder: Path, tmp_path: Path) -> None:
    folder = tmp_path / "corpus"
    shutil.copytree(asked_folder, folder)
    lines = (folder / "cuts.jsonl").read_text().splitlines(keepends=True)
    (folder / "cuts.jsonl").write_text("".join(lines[1:]))
    skips = Skips()
    entries = read_entries([folder], 8.0, skips, with_rows=True)
    lost = sum(row.session not in {e.session.id for e in entries} for row in read_rows(folder))
    assert skips.total == lost > 0
    with pytest.raises(ManifestError, match="is not in the manifest"):
        evaluate_rows("nowhere", [folder])


def small_answering(small: Callable[..., Preset], steps: int) -> Preset:
    preset = small(steps)
    stage = Stage(
        name="answer",
        steps=steps,
        losses={"answer": 1.0, "ctc": 0.5},
        data=Choice(seconds=16.0, tasks=EVERY),
        lr=3e-3,
    )
    lm = replace(
        preset.parts.lm, config={**preset.parts.lm.config, "max_position_embeddings": 1024}
    )
    return Preset(
        parts=replace(preset.parts, lm=lm), training=replace(preset.training, stages=(stage,))
    )


@pytest.mark.medium
def test_a_model_trains_on_every_task_answers_and_is_scored(
    asked_folder: Path, tmp_path: Path, small: Callable[..., Preset]
) -> None:
    torch.manual_seed(0)
    trained = train([asked_folder], small_answering(small, 20), tmp_path / "model")
    assert trained.steps == 20 and trained.skips.total == 0
    log = [json.loads(line) for line in (tmp_path / "model/run/log.jsonl").read_text().splitlines()]
    assert log[-1]["losses"]["answer"] < 0.8 * log[0]["losses"]["answer"]
    out = tmp_path / "answers"
    arguments = ["instruct-eval", str(tmp_path / "model"), str(asked_folder), "--out", str(out)]
    done = CliRunner().invoke(app, [*arguments, "--bootstrap", "50"])
    assert done.exit_code == 0, done.output
    result = json.loads((out / "answers.json").read_text())
    assert set(result["tasks"]) == set(TASKS)
    rows = list(read_rows(asked_folder))
    lines = [json.loads(line) for line in (out / "answers.jsonl").read_text().splitlines()]
    assert [line["id"] for line in lines] == [row.id for row in rows]
    assert all(isinstance(line["answer"], str) for line in lines)
    for name in ("aas", "unmatched_stamps", "grounding", "answer", "unreadable"):
        assert result["overall"][name]["length"] >= 0
    questions = sum(row.task in ("who", "when", "span", "count", "first") for row in rows)
    assert result["overall"]["answer"]["length"] == questions
    assert "| answer |" in (out / "answers.md").read_text()
