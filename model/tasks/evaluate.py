"""A checkpoint's answers to instruction rows, and how right they are: `talkover instruct-eval`.

Every row counts: one whose audio cannot be heard, or that does not fit the model, is answered by
nothing, which is wrong.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

from talkover.manifests.errors import AudioError, ConfigurationError, ManifestError
from talkover.manifests.instructions import InstructionRow, check_rows
from talkover.manifests.instructions.rows import rows_by_session
from talkover.manifests.io import read_sessions
from talkover.manifests.lines import cuts_file
from talkover.manifests.markers import atomic_path
from talkover.manifests.schema import Session
from talkover.manifests.score.answer_result import (
    AnswerResult,
    answers_json,
    answers_table,
    score_answers,
)
from talkover.model.codec import UnknownCharacter
from talkover.model.data.examples import Example, Unusable, Window, example_of
from talkover.model.data.feeds import Entry
from talkover.model.inference.recognize import load_recognizer
from talkover.model.transcribe import Transcriber

BATCHES = 8
"""Batches of rows whose audio is held at a time."""


@dataclass(frozen=True, kw_only=True)
class Answered:
    """What a checkpoint answered."""

    result: AnswerResult
    answers: Mapping[str, str]
    """By row."""
    failed: Mapping[str, str]
    """Rows without an answer, and why."""


def evaluate_rows(
    checkpoint: Path | str,
    manifests: Sequence[Path | str],
    out: Path | str | None = None,
    *,
    tasks: Sequence[str] | None = None,
    normalizer: str = "default",
    bootstrap: int = 1000,
    seed: int = 0,
    batch_size: int = 16,
    device: str = "auto",
    progress: Callable[[float], None] | None = None,
) -> Answered:
    """Answer the rows beside some manifests, score and report.

    Args:
        checkpoint: Folder of a trained model.
        manifests: Folders or files with ``cuts.jsonl`` and ``instructions.jsonl`` beside it.
        out: Folder for figures and answers; None writes nothing.
        tasks: Names of tasks; None for all that there are.
        normalizer: Of the words of stamps.
        bootstrap: Resampled corpora of the intervals, 0 for none.
        seed: Of the resampling.
        batch_size: Rows that are answered at a time.
        device: As torch names it, or ``auto``.
        progress: Told of each row's seconds.

    Raises:
        ConfigurationError: If the checkpoint cannot be used.
        ManifestError: If there is no row, or a row does not fit its session; names the row.
    """
    asked = read_asked(manifests, tasks)
    recognizer = load_recognizer(checkpoint, batch_size=batch_size, device=device)
    answers, failed = answer(recognizer.transcriber, asked, progress)
    rows = [row for _, _, row in asked]
    result = score_answers(rows, answers, normalizer=normalizer, bootstrap=bootstrap, seed=seed)
    answered = Answered(result=result, answers=answers, failed=failed)
    if out is not None:
        write_answers(Path(out), rows, answered)
    return answered


Asked = tuple[Session, Path, InstructionRow]
"""A row with its session and the folder of its manifest."""


def read_asked(manifests: Sequence[Path | str], tasks: Sequence[str] | None = None) -> list[Asked]:
    """The rows beside some manifests.

    Raises:
        ManifestError: If there is none, two have one id, or one does not fit its session.
    """
    found: list[Asked] = []
    seen: set[str] = set()
    for manifest in manifests:
        folder = cuts_file(manifest).parent
        by_session = rows_by_session(manifest)
        sessions = {s.id: s for s in read_sessions(manifest) if s.id in by_session}
        rows = [row for rows in by_session.values() for row in rows]
        for name, fault in check_rows(rows, sessions):
            raise ManifestError(fault, path=folder / "instructions.jsonl", field=name)
        for row in rows:
            if tasks is not None and row.task not in tasks:
                continue
            if row.id in seen:
                raise ManifestError(f"two manifests have the row {row.id!r}", path=folder)
            seen.add(row.id)
            found.append((sessions[row.session], folder, row))
    if not found:
        raise ManifestError(
            "no instruction rows: make them by `talkover instruct`",
            path=manifests[0] if manifests else None,
        )
    return found


def answer(
    transcriber: Transcriber,
    asked: Sequence[Asked],
    progress: Callable[[float], None] | None = None,
) -> tuple[dict[str, str], dict[str, str]]:
    """What a model answers to rows, by their id, and why others have no answer."""
    answers: dict[str, str] = {}
    failed: dict[str, str] = {}
    size = BATCHES * transcriber.options.batch_size
    for begin in range(0, len(asked), size):
        chosen = asked[begin : begin + size]
        examples = list(_examples(transcriber, chosen, failed))
        for example, written in zip(examples, transcriber.answers(examples), strict=True):
            answers[example.id] = written.text
        if progress is not None:
            progress(sum(row.duration for _, _, row in chosen))
    return answers, failed


def _examples(
    transcriber: Transcriber, asked: Sequence[Asked], failed: dict[str, str]
) -> Iterator[Example]:
    rate = transcriber.model.parts.features.sampling_rate
    for session, folder, row in asked:
        window = Window(start_sample=row.start_sample, num_samples=row.num_samples)
        entry = Entry(session=session, folder=folder, window=window, manifest=0, row=row)
        try:
            heard = example_of(entry.load(), transcriber.codec, rate, whole=session)
            example = replace(heard, id=row.id, instruction=row.instruction)
            if (given := transcriber.collator.given) is not None:
                vectors = given.window(folder, session, window, len(heard.samples))
                example = replace(example, vectors=vectors)
            transcriber.collator.plan(example, with_answer=False)
        except (Unusable, UnknownCharacter, ConfigurationError) as error:
            failed[row.id] = str(error)
        except AudioError as error:
            failed[row.id] = error.reason
        else:
            yield example


def write_answers(out: Path, rows: Sequence[InstructionRow], answered: Answered) -> None:
    """Write figures, the table, and every answer beside its target."""
    out.mkdir(parents=True, exist_ok=True)
    table = "\n".join(["# Answers", "", *answers_table(answered.result)]) + "\n"
    lines = [
        {
            "id": row.id,
            "task": row.task,
            "instruction": row.instruction,
            "target": row.target,
            "answer": answered.answers.get(row.id),
            "fault": answered.failed.get(row.id),
        }
        for row in rows
    ]
    texts = {
        "answers.json": answers_json(answered.result),
        "answers.md": table,
        "answers.jsonl": "".join(json.dumps(line, ensure_ascii=False) + "\n" for line in lines),
    }
    for name, text in texts.items():
        with atomic_path(out / name) as temporary:
            temporary.write_text(text, encoding="utf8", newline="\n")
