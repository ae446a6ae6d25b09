"""Converting: read, say what will be lost, and only then write."""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from talkover.manifests.convert.base import (
    Converter,
    Faults,
    WriteOptions,
    required,
    text_file,
)
from talkover.manifests.convert.conversation import Conversation, make_conversation
from talkover.manifests.convert.losses import take_out, without
from talkover.manifests.convert.recordings import located, opened, whole
from talkover.manifests.convert.registry import converter, format_of_input, format_of_output
from talkover.manifests.errors import ConfigurationError, ManifestError

MOST_KEPT = 100_000
"""Utterances kept between the two passes; AMI's 66,734 with 788,624 words are 0.5 GB."""

_EXAMPLES = 3  # sessions that a message names


@dataclass(frozen=True, kw_only=True, slots=True)
class Lost:
    """What a format could not hold of these sessions."""

    what: str
    sessions: tuple[str, ...]
    """Ids of the sessions that lost something."""
    blocks: bool
    """Whether it is of who said what, when."""

    def text(self) -> str:
        """For a person: what, and in how many sessions."""
        some = ", ".join(self.sessions[:_EXAMPLES])
        more = ", …" if len(self.sessions) > _EXAMPLES else ""
        count = len(self.sessions)
        return f"{self.what} (in {count} session{'s' if count > 1 else ''}: {some}{more})"


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversion:
    """What was converted, and what was not."""

    source_format: str
    target_format: str
    sessions: int
    utterances: int
    lost: tuple[Lost, ...]
    rejected: tuple[ManifestError, ...]
    """What could not be read and was passed over."""

    def plain(self) -> dict[str, object]:
        """For a machine."""
        return {
            "from": self.source_format,
            "to": self.target_format,
            "sessions": self.sessions,
            "utterances": self.utterances,
            "lost": {loss.what: len(loss.sessions) for loss in self.lost if loss.blocks},
            "not_held": {loss.what: len(loss.sessions) for loss in self.lost if not loss.blocks},
            "rejected": len(self.rejected),
        }


class LossRefused(ConfigurationError):
    """A conversion that would lose labels, which nobody allowed."""


def convert(
    source: Path | str,
    target: Path | str,
    *,
    from_: str | Converter | None = None,
    to: str | Converter | None = None,
    allow_loss: bool = False,
    skip_bad: bool = False,
    audio: Path | str | None = None,
    absolute_paths: bool = False,
    local_speakers: bool = False,
    licence: str | None = None,
) -> Conversion:
    """Read one format and write another.

    Args:
        source: File or folder.
        target: File or folder.
        from_: Format or converter; None looks at the name and, if need be, inside.
        to: Format or converter; None takes it from the name.
        allow_loss: Write although labels will be lost.
        skip_bad: Pass over what cannot be read, listing it in ``rejected.jsonl`` in the target
            folder, or ``TARGET.rejected.jsonl`` beside a file.
        audio: Folder of the recordings, where the labels do not name them or they are elsewhere.
        absolute_paths: Write absolute paths of recordings, not relative to the target.
        local_speakers: Speakers of two sessions are never one: put the session before each name.
        licence: SPDX id for sessions that come without one.

    Raises:
        LossRefused: If labels would be lost and `allow_loss` is not set; nothing is written then.
        ManifestError: With the place, if something cannot be read.
        ConfigurationError: If a format cannot be told or does not fit.
    """
    source, target = Path(source), Path(target)
    reader = converter(from_ or format_of_input(source))
    writer = converter(to or format_of_output(target))
    folder = target if _is_folder(writer, target) else target.parent
    faults = Faults(skip=skip_bad)

    def conversations(noted: Faults) -> Iterator[Conversation]:
        for found in reader.read(source, noted):
            c = _local(found) if local_speakers else found
            if writer.audio != "none":
                c = located(c, None if audio is None else Path(audio))
            if writer.audio in ("path", "form"):
                required(c.recording, c.id)
            yield opened(c) if writer.audio == "form" else c

    survey = _survey(conversations(faults), writer)
    sessions, utterances, report = survey.sessions, survey.utterances, survey.report(writer)
    if not sessions:
        raise ManifestError("holds no session", path=source)
    if not allow_loss and any(loss.blocks for loss in report):
        said = "; ".join(loss.text() for loss in report if loss.blocks)
        raise LossRefused(
            f"{writer.name} cannot hold {said}: allow it with --allow-loss, or choose another "
            "format (docs/convert.md)"
        )
    options = WriteOptions(
        folder=folder,
        absolute_paths=absolute_paths,
        licence=licence,
        source_format=reader.name,
    )

    def left() -> Iterator[Conversation]:
        if survey.kept is not None:
            yield from survey.kept
            return
        # Faults were told in the first pass; the second meets the same ones.
        for c in conversations(Faults(skip=skip_bad)):
            ready = whole(c, folder) if writer.audio != "none" else c
            if (kept := without(ready, writer.losses)) is not None:
                yield kept

    writer.write(target, left(), options)
    if faults.found:
        _write_rejected(target, folder, _is_folder(writer, target), faults)
    return Conversion(
        source_format=reader.name,
        target_format=writer.name,
        sessions=sessions,
        utterances=utterances,
        lost=tuple(report),
        rejected=tuple(faults.found),
    )


@dataclass(kw_only=True)
class _Survey:
    """What a first look at all sessions found."""

    sessions: int = 0
    utterances: int = 0
    lost: dict[str, list[str]] = field(default_factory=dict)
    """Sessions by the name of the loss."""
    kept: list[Conversation] | None = field(default_factory=list)
    """What is to be written, where that is little enough to keep; else it is read again."""

    def report(self, writer: Converter) -> list[Lost]:
        """The losses in the order of the table."""
        return [
            Lost(what=loss.says, sessions=tuple(self.lost[loss.name]), blocks=loss.blocks)
            for loss in writer.losses
            if loss.name in self.lost
        ]


def _survey(conversations: Iterator[Conversation], writer: Converter) -> _Survey:
    survey = _Survey()
    for c in conversations:
        survey.sessions += 1
        survey.utterances += len(c.utterances)
        left, losses = take_out(c, writer.losses)
        for loss in losses:
            survey.lost.setdefault(loss.name, []).append(c.id)
        is_whole = writer.audio == "none" or c.recording is None or c.recording.is_whole
        if survey.utterances > MOST_KEPT or not is_whole:
            survey.kept = None
        if survey.kept is not None and left is not None:
            survey.kept.append(left)
    return survey


def _local(c: Conversation) -> Conversation:
    """Speakers named after their session."""
    rows = [replace(u, speaker=f"{c.id}-{u.speaker or 'unknown'}") for u in c.utterances]
    return make_conversation(c.id, rows, recording=c.recording, uem=c.uem)


def _is_folder(writer: Converter, target: Path) -> bool:
    if writer.is_folder or target.is_dir():
        return True
    return not target.name.lower().endswith(tuple(writer.suffixes)) and target.suffix == ""


def _write_rejected(target: Path, folder: Path, is_folder: bool, faults: Faults) -> None:
    path = folder / "rejected.jsonl" if is_folder else folder / f"{target.name}.rejected.jsonl"
    with text_file(path) as file:
        for error in faults.found:
            row = {
                "file": Path(error.path).name if error.path else None,
                "line": error.line,
                "field": error.field,
                "reason": error.reason,
            }
            file.write(json.dumps(row, ensure_ascii=False) + "\n")
