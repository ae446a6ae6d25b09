"""Lhotse's objects as plain JSON: lines of a manifest, recordings, supervisions as utterances.

Nothing here imports Lhotse: a manifest of a million turns is parsed in seconds.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

from talkover.manifests.convert.base import Faults, WriteOptions
from talkover.manifests.convert.conversation import (
    Conversation,
    Recording,
    SpokenWord,
    Utterance,
    absolute,
)
from talkover.manifests.errors import ManifestError
from talkover.manifests.label_json import PlacedSupervision, aligned_words, span_of, speaker_of
from talkover.manifests.lines import read_lines
from talkover.manifests.schema import TIME_DIGITS

Row = dict[str, Any]


def lines_of(path: Path, faults: Faults) -> Iterator[tuple[int, Row]]:
    """Numbered objects of a JSONL file, or of one that is a JSON list (numbered from 1, too)."""
    if path.name.removesuffix(".gz").endswith(".json"):
        yield from _list_of(path, faults)
        return
    for line in read_lines(path):
        if not line.text.strip():
            continue
        try:
            row = json.loads(line.text)
        except ValueError as error:
            faults.take(ManifestError(f"not JSON: {error}", path=path, line=line.number))
            continue
        if isinstance(row, dict):
            yield line.number, row
        else:
            reason = f"must be an object, got {line.text[:60]!r}"
            faults.take(ManifestError(reason, path=path, line=line.number))


def _list_of(path: Path, faults: Faults) -> Iterator[tuple[int, Row]]:
    try:
        rows = json.loads("\n".join(line.text for line in read_lines(path)))
    except ValueError as error:
        raise ManifestError(f"not JSON: {error}", path=path) from error
    if not isinstance(rows, list):
        raise ManifestError("must be a list of objects", path=path)
    for n, row in enumerate(rows, start=1):
        if isinstance(row, dict):
            yield n, row
        else:
            faults.take(ManifestError("must be an object", path=path, field=f"[{n - 1}]"))


def utterance_of(placed: PlacedSupervision) -> Utterance:
    """A supervision on the clock of its session.

    Raises:
        ManifestError: With the field, if something is not as Lhotse writes it.
    """
    row = placed.row
    try:
        start, end = span_of(row, placed.shift)
        words = aligned_words(row, placed.word_shift)
    except ManifestError as error:
        raise placed.error(error) from None
    text = row.get("text")
    return Utterance(
        id=_optional(row, "id"),
        speaker=speaker_of(row),
        start=start,
        end=end,
        text=text if isinstance(text, str) else None,
        words=tuple(
            SpokenWord(symbol=w.symbol, start=w.start, end=w.end, score=score)
            for w, score in words or ()
        )
        or None,
        language=_optional(row, "language"),
        gender=_optional(row, "gender"),
    )


def recording_of(row: Row, folder: Path) -> tuple[str, Recording]:
    """Id and file of a Lhotse recording.

    Args:
        row: The object.
        folder: Of the manifest; relative paths are below it.

    Raises:
        ManifestError: If it is not one file, or lacks its rate or length.
    """
    sources = row.get("sources")
    if not isinstance(sources, list) or len(sources) != 1 or not isinstance(sources[0], dict):
        count = len(sources) if isinstance(sources, list) else 0
        raise ManifestError(
            f"must be one file, has {count}: join them to one first", field="recording.sources"
        )
    kind, source = sources[0].get("type"), sources[0].get("source")
    if kind != "file" or not isinstance(source, str):
        raise ManifestError(
            f"must be a file, is of type {kind!r}: save the audio to files first",
            field="recording.sources[0].type",
        )
    for name in ("sampling_rate", "num_samples"):
        value = row.get(name)
        if not isinstance(value, int) or isinstance(value, bool) or value <= 0:
            raise ManifestError(
                f"must be a whole number above 0, got {value!r}", field=f"recording.{name}"
            )
    channels = sources[0].get("channels")
    return str(row.get("id", "")), Recording(
        path=absolute(folder, source),
        sampling_rate=row["sampling_rate"],
        num_samples=row["num_samples"],
        num_channels=len(channels) if isinstance(channels, list) else None,
    )


def lhotse_recording(conversation: Conversation, options: WriteOptions) -> Row:
    """The recording of a conversation, whose rate and length are known, as Lhotse has it."""
    recording = conversation.recording
    path = options.audio_path(recording, conversation.id)
    assert recording is not None and recording.sampling_rate and recording.num_samples
    channels = list(range(recording.num_channels or 1))
    return {
        "id": conversation.id,
        "sources": [{"type": "file", "channels": channels, "source": path}],
        "sampling_rate": recording.sampling_rate,
        "num_samples": recording.num_samples,
        "duration": round(recording.num_samples / recording.sampling_rate, TIME_DIGITS),
        "channel_ids": channels,
    }


def supervision_row(u: Utterance, recording: str, channels: int) -> Row:
    """An utterance on its recording's clock as Lhotse's supervision."""
    row: Row = {
        "id": u.id,
        "recording_id": recording,
        "start": u.start,
        "duration": round(u.end - u.start, TIME_DIGITS),
        "channel": 0 if channels == 1 else list(range(channels)),
        "text": u.text,
        "language": u.language,
        "speaker": u.speaker,
        "gender": u.gender,
    }
    if u.words:
        row["alignment"] = {
            "word": [
                [w.symbol, w.start, round(w.end - w.start, TIME_DIGITS), w.score] for w in u.words
            ]
        }
    return {key: value for key, value in row.items() if value is not None}


def _optional(row: Row, field: str) -> str | None:
    value = row.get(field)
    return None if value is None else str(value)
