"""NeMo manifests: one JSON object an utterance, one a line, and an RTTM of each session beside.

A line has what NeMo's speech recognisers read (``audio_filepath offset duration text``) and what
its diarizers read (``speaker rttm_filepath num_speakers``); ``session_id utterance_id lang gender``
are passed over by NeMo and read by us. Where the text is not known there is no ``text``. Read are
also the diarizers' own manifests, one line a recording without a speaker, whose turns are in
``rttm_filepath``. Relative paths are relative to the manifest, as in NeMo.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any

from talkover.manifests.convert.base import (
    AudioNeed,
    Faults,
    WriteOptions,
    file_name,
    text_file,
)
from talkover.manifests.convert.conversation import (
    Conversation,
    Recording,
    Utterance,
    absolute,
    make_conversation,
)
from talkover.manifests.convert.losses import LOSSES
from talkover.manifests.errors import ManifestError
from talkover.manifests.exports import rttm_line
from talkover.manifests.labels import read_labels
from talkover.manifests.lines import read_lines
from talkover.manifests.schema import TIME_DIGITS
from talkover.manifests.segments import length, seconds

NO_TEXT = "-"
"""What diarizers' manifests have as text."""

Row = dict[str, Any]


class Nemo:
    """Reads and writes NeMo manifests."""

    name = "nemo"
    suffixes: tuple[str, ...] = (
        ".nemo.json", ".nemo.jsonl", "_manifest.json", "_manifest.jsonl", "manifest.json",
    )  # fmt: skip
    is_folder = False
    audio: AudioNeed = "path"
    losses = LOSSES["nemo"]

    def read(self, path: Path, faults: Faults) -> Iterator[Conversation]:
        """A conversation of each session id, or of each recording where there is none."""
        recordings: dict[str, Recording] = {}
        utterances: dict[str, list[Utterance]] = {}
        for line in read_lines(path):
            if not line.text.strip():
                continue
            try:
                row = _object(line.text)
                recording = Recording(path=absolute(path.parent, _text(row, "audio_filepath")))
                session = str(row.get("session_id") or recording.path.stem)
                known = recordings.setdefault(session, recording)
                if known != recording:
                    raise ManifestError(
                        f"{session!r} is of {known.path.name} on a line before",
                        field="audio_filepath",
                    )
                found = list(_utterances(row, path.parent))
            except ManifestError as error:
                reason, field = error.reason, error.field
                faults.take(ManifestError(reason, path=path, line=line.number, field=field))
                continue
            utterances.setdefault(session, []).extend(found)
        for session, rows in utterances.items():
            yield make_conversation(session, rows, recording=recordings[session])

    def write(
        self, path: Path, conversations: Iterable[Conversation], options: WriteOptions
    ) -> None:
        """The manifest, and ``NAME_rttm/SESSION.rttm`` beside it."""
        folder = path.with_name(path.name.partition(".")[0] + "_rttm")
        with text_file(path) as file:
            for conversation in conversations:
                rttm = folder / f"{file_name(conversation.id)}.rttm"
                _write_rttm(rttm, conversation)
                shared = {
                    "audio_filepath": options.audio_path(conversation.recording, conversation.id),
                    "rttm_filepath": rttm.relative_to(path.parent).as_posix(),
                    "num_speakers": len({u.speaker for u in conversation.utterances}),
                    "session_id": conversation.id,
                }
                for u in conversation.utterances:
                    row = _row(u, shared)
                    file.write(json.dumps(row, ensure_ascii=False) + "\n")


def _row(u: Utterance, shared: Row) -> Row:
    row: Row = {
        "audio_filepath": shared["audio_filepath"],
        "offset": u.start,
        "duration": round(u.end - u.start, TIME_DIGITS),
        "text": u.text,
        "speaker": u.speaker,
        **shared,
        "utterance_id": u.id,
        "lang": u.language,
        "gender": u.gender,
    }
    return {key: value for key, value in row.items() if value is not None}


def _write_rttm(path: Path, conversation: Conversation) -> None:
    with text_file(path) as file:
        for u in conversation.utterances:
            name = "_".join(u.speaker.split()) or "unknown"
            file.write(rttm_line(path.stem, name, u.start, u.end))


def _utterances(row: Row, folder: Path) -> Iterator[Utterance]:
    """The utterance of a line, or those of the RTTM that it names."""
    start = seconds(row.get("offset") or 0.0, "offset")
    duration = row.get("duration")
    end = None if duration is None else start + length(duration, "duration")
    rttm = row.get("rttm_filepath")
    if row.get("speaker") is None and isinstance(rttm, str) and rttm:
        yield from _of_rttm(absolute(folder, rttm), start, end)
        return
    if end is None:
        raise ManifestError("must be a number of seconds, got None", field="duration")
    text = row.get("text", row.get("pred_text"))
    if text is not None and not isinstance(text, str):
        raise ManifestError(f"must be text, got {text!r}", field="text")
    speaker = row.get("speaker")
    if speaker is None and text == NO_TEXT:
        raise ManifestError("neither a speaker nor an rttm_filepath", field="speaker")
    yield Utterance(
        id=_optional(row, "utterance_id"),
        speaker="" if speaker is None else str(speaker),
        start=start,
        end=end,
        text=text,
        language=_optional(row, "lang"),
        gender=_optional(row, "gender"),
    )


def _of_rttm(path: Path, start: float, end: float | None) -> Iterator[Utterance]:
    """The turns of an RTTM that lie in a window, on the clock of the recording."""
    for segments in read_labels(path, format="rttm").values():
        for s in segments:
            if s.end >= start and (end is None or s.start <= end):
                yield Utterance(speaker=s.speaker, start=s.start, end=s.end)


def _object(text: str) -> Row:
    try:
        row = json.loads(text)
    except ValueError as error:
        raise ManifestError(f"not JSON: {error}") from error
    if not isinstance(row, dict):
        raise ManifestError(f"must be an object, got {text[:60]!r}")
    return row


def _text(row: Row, field: str) -> str:
    value = row.get(field)
    if not isinstance(value, str) or not value:
        raise ManifestError(f"must be text, got {value!r}", field=field)
    return value


def _optional(row: Row, field: str) -> str | None:
    value = row.get(field)
    return None if value is None else str(value)
