"""Instruction rows beside manifests: what `talkover instruct` writes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.instructions import (
    INSTRUCTIONS_FILE,
    TASKS,
    InstructionRow,
    Task,
    write_rows,
)
from talkover.manifests.io import read_sessions
from talkover.manifests.lines import cuts_file
from talkover.model.tasks.build import InstructConfig, build_rows


@dataclass(frozen=True, kw_only=True)
class Instructed:
    """What was written."""

    files: tuple[Path, ...]
    rows: Mapping[str, int]
    """By task."""


def instruct(
    manifests: Sequence[Path | str],
    out: Path | str | None = None,
    *,
    tasks: Sequence[str] = TASKS,
    questions: int = 1,
    longest: float = 30.0,
    digits: int = 1,
    seed: int = 0,
) -> Instructed:
    """Make instruction rows of the sessions of some manifests.

    Args:
        manifests: Folders or files with ``cuts.jsonl``.
        out: File, for one manifest; None writes ``instructions.jsonl`` beside each.
        tasks: Names of tasks.
        questions: Questions of each kind about a window.
        longest: Seconds of a window.
        digits: Digits after the point of a written time.
        seed: Root seed.

    Raises:
        ConfigurationError: If a task is unknown, a number is wrong, or one file is asked for
            several manifests.
        ManifestError: If a manifest cannot be read.
    """
    if out is not None and len(manifests) != 1:
        raise ConfigurationError(
            f"--out is one file, for one manifest; got {len(manifests)}: leave it out to write "
            f"{INSTRUCTIONS_FILE} beside each"
        )
    try:
        chosen: tuple[Task, ...] = tuple(t for t in TASKS if t in tasks)
        if unknown := sorted(set(tasks) - set(TASKS)):
            raise ValueError(f"tasks must be of {', '.join(TASKS)}, got {', '.join(unknown)}")
        config = InstructConfig(tasks=chosen, questions=questions, longest=longest, digits=digits)
    except ValueError as error:
        raise ConfigurationError(str(error)) from error
    counts: Counter[str] = Counter()

    def counted(rows: Iterator[InstructionRow]) -> Iterator[InstructionRow]:
        for row in rows:
            counts[row.task] += 1
            yield row

    files = []
    for manifest in manifests:
        file = cuts_file(manifest).parent / INSTRUCTIONS_FILE if out is None else Path(out)
        write_rows(file, counted(build_rows(read_sessions(manifest), config, seed=seed)))
        files.append(file)
    return Instructed(files=tuple(files), rows={task: counts[task] for task in chosen})
