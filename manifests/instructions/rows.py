"""The contract of an instruction row, and its file.

A row's target is the answer in words; reading the target gives the answer back, and `check_rows`
holds that. So scoring a perfect copy of the targets finds no error.
"""

from __future__ import annotations

from collections.abc import Collection, Iterable, Iterator, Mapping
from pathlib import Path
from typing import Annotated, Literal, get_args

from pydantic import Field, ValidationError

from talkover.manifests.errors import ManifestError
from talkover.manifests.instructions.answers import Answer, CaptionAnswer, StampsAnswer
from talkover.manifests.lines import cuts_file, read_lines
from talkover.manifests.markers import atomic_path
from talkover.manifests.schema import SafeId, Session, TimeSpan, span_fields

INSTRUCTIONS_VERSION = "1.0"
"""Major: a reader must refuse; minor: only optional fields were added."""

INSTRUCTIONS_FILE = "instructions.jsonl"
"""Name of the file beside ``cuts.jsonl``."""

Task = Literal[
    "words",  # transcription, each word with its times
    "sentences",  # transcription, each turn with its times
    "caption",  # who and what is heard, and when
    "who",  # who speaks at a time
    "when",  # when something begins
    "span",  # from when to when something is said or heard
    "count",  # how many
    "first",  # which of two begins first
]
TASKS: tuple[Task, ...] = get_args(Task)

QUESTIONS: tuple[Task, ...] = ("who", "when", "span", "count", "first")
"""Tasks that are questions."""

KINDS: Mapping[Task, str] = {
    "words": "stamps",
    "sentences": "stamps",
    "caption": "caption",
    "who": "labels",
    "when": "time",
    "span": "span",
    "count": "number",
    "first": "labels",
}
"""What kind of answer each task has."""


class InstructionRow(TimeSpan):
    """A stretch of a session, what is asked of it, and the right answer."""

    schema_version: Annotated[str, Field(pattern=r"^[0-9]+\.[0-9]+$")] = INSTRUCTIONS_VERSION
    id: SafeId
    session: SafeId
    """Whose audio it is; start and samples are on that session's clock."""
    task: Task
    instruction: Annotated[str, Field(min_length=1)]
    target: Annotated[str, Field(min_length=1)]
    answer: Answer


def read_rows(where: Path | str) -> Iterator[InstructionRow]:
    """The rows of a file, or of the folder of a manifest, one at a time.

    Raises:
        ManifestError: With line and field, at the first line that is torn, is no row, has an id for
            the second time, or is of another major version.
    """
    path = Path(where)
    path = path / INSTRUCTIONS_FILE if path.is_dir() else path
    seen: set[str] = set()
    for line in read_lines(path):
        if not line.ended:
            raise ManifestError("the last line has no line end", path=path, line=line.number)
        try:
            row = InstructionRow.model_validate_json(line.text)
        except ValidationError as error:
            first = error.errors(include_url=False)[0]
            field = ".".join(str(part) for part in first["loc"])
            raise ManifestError(first["msg"], path=path, line=line.number, field=field) from error
        if row.schema_version.partition(".")[0] != INSTRUCTIONS_VERSION.partition(".")[0]:
            raise ManifestError(
                f"version {row.schema_version} cannot be read, only {INSTRUCTIONS_VERSION}",
                path=path,
                line=line.number,
                field="schema_version",
            )
        if row.id in seen:
            raise ManifestError(
                f"{row.id!r} is there twice", path=path, line=line.number, field="id"
            )
        seen.add(row.id)
        yield row


def write_rows(path: Path | str, rows: Iterable[InstructionRow]) -> int:
    """Write rows, one a line, and say how many; the same rows give the same bytes.

    Raises:
        ManifestError: If two rows have one id.
        RunError: If there is no space left on the device.
    """
    path = Path(path)
    seen: set[str] = set()
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf8", newline="\n") as file:
        for row in rows:
            if row.id in seen:
                raise ManifestError(f"two rows have the id {row.id!r}", path=path)
            seen.add(row.id)
            file.write(row.model_dump_json() + "\n")
    return len(seen)


def rows_by_session(manifest: Path | str) -> dict[str, list[InstructionRow]]:
    """The rows beside a manifest; none where there is no such file.

    Raises:
        ManifestError: If the file cannot be read.
    """
    path = cuts_file(manifest).parent / INSTRUCTIONS_FILE
    found: dict[str, list[InstructionRow]] = {}
    for row in read_rows(path) if path.is_file() else ():
        found.setdefault(row.session, []).append(row)
    return found


def check_rows(
    rows: Iterable[InstructionRow], sessions: Mapping[str, Session]
) -> Iterator[tuple[str, str]]:
    """(row, fault) of everything that is wrong with some rows, never only the first.

    Args:
        rows: Of one manifest.
        sessions: Of that manifest, by id.
    """
    for row in rows:
        yield from ((row.id, fault) for fault in _faults(row, sessions.get(row.session)))


def _faults(row: InstructionRow, session: Session | None) -> Iterator[str]:
    if session is None:
        yield f"session: {row.session!r} is not in the manifest"
        return
    rate = session.audio.sampling_rate
    right = span_fields(row.start_sample, row.num_samples, rate)
    if (row.start, row.duration) != (right["start"], right["duration"]):
        yield f"start, duration: are not those of the samples at {rate} Hz"
    if row.start_sample < 0 or row.end_sample > session.audio.num_samples or not row.num_samples:
        yield "start_sample, num_samples: the stretch is empty or beyond the session"
    if row.answer.kind != KINDS[row.task]:
        yield f"answer.kind: must be {KINDS[row.task]} for {row.task}, got {row.answer.kind}"
    if any(time > row.duration + 1e-6 for time in _times(row.answer)):
        yield "answer: a time lies behind the end of the stretch"


def _times(answer: object) -> Collection[float]:
    if isinstance(answer, StampsAnswer):
        return [item.end for item in answer.items]
    if isinstance(answer, CaptionAnswer):
        return [statement.end for statement in answer.statements]
    found = (getattr(answer, name, None) for name in ("seconds", "end"))
    return [float(time) for time in found if time is not None]
