"""Lhotse: cuts of ours and of others, and separate manifests of recordings and supervisions.

A line of ours is read whole and written back byte for byte. Of other cuts the labels are put on the
clock of the session, word times too (Lhotse keeps those on the recording's), and the audio is what
the cut says: a file, a window or some channels of one, or a mix. Written is a folder of ours: each
session made to fit the data contract (`talkover.manifests.convert.to_session`), its audio below the
folder, label files beside it.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Any

from talkover.manifests.convert.base import AudioNeed, Faults, WriteOptions, text_file
from talkover.manifests.convert.conversation import (
    Conversation,
    Recording,
    Utterance,
    make_conversation,
    of_session,
)
from talkover.manifests.convert.cut_rows import (
    Row,
    lhotse_recording,
    lines_of,
    recording_of,
    supervision_row,
    utterance_of,
)
from talkover.manifests.convert.losses import LOSSES
from talkover.manifests.convert.to_session import SessionMaker
from talkover.manifests.errors import ManifestError
from talkover.manifests.exports import write_labels
from talkover.manifests.io import read_sessions, write_sessions
from talkover.manifests.label_json import placed_supervisions
from talkover.manifests.lhotse_form import from_cut
from talkover.manifests.lines import cuts_file
from talkover.manifests.segments import seconds

RECORDINGS, SUPERVISIONS = "recordings", "supervisions"

_EDGE = 1.5  # samples by which a cut may miss the ends of its recording, by rounding


class Cuts:
    """Reads cuts of anybody; writes a folder of ours, or its ``cuts.jsonl`` alone."""

    name = "lhotse"
    suffixes: tuple[str, ...] = (".jsonl",)
    is_folder = False  # a name with a suffix is a file, any other a folder
    audio: AudioNeed = "form"
    losses = LOSSES["lhotse"]

    def read(self, path: Path, faults: Faults) -> Iterator[Conversation]:
        """A conversation of each cut."""
        file = cuts_file(path)
        seen: dict[str, int] = {}
        for number, row in lines_of(file, faults):
            try:
                conversation = _of_cut(row, file.parent)
                if (first := seen.setdefault(conversation.id, number)) != number:
                    raise ManifestError(
                        f"{conversation.id!r} is on line {first} already", field="id"
                    )
            except ManifestError as error:
                reason, field = error.reason, error.field
                faults.take(ManifestError(reason, path=file, line=number, field=field))
                continue
            yield conversation

    def write(
        self, path: Path, conversations: Iterable[Conversation], options: WriteOptions
    ) -> None:
        """``cuts.jsonl``, the audio and, in a folder, the label files."""
        is_file = path.name.endswith((".jsonl",))
        file = path if is_file else path / "cuts.jsonl"
        maker = SessionMaker(
            folder=file.parent, licence=options.licence, source_format=options.source_format
        )
        write_sessions(file, map(maker.session, conversations))
        if not is_file:
            write_labels(path, read_sessions(file))


class CutPair:
    """Reads and writes a manifest of recordings and one of supervisions."""

    name = "lhotse-pair"
    suffixes: tuple[str, ...] = ()
    is_folder = True
    audio: AudioNeed = "form"
    losses = LOSSES["lhotse-pair"]

    def read(self, path: Path, faults: Faults) -> Iterator[Conversation]:
        """A conversation of each recording; supervisions without one have no audio."""
        first, second = _pair(path)
        recordings: dict[str, Recording] = {}
        utterances: dict[str, list[Utterance]] = {}
        for number, row in lines_of(first, faults) if first else ():
            try:
                name, recording = recording_of(row, first.parent if first else path)
            except ManifestError as error:
                reason, field = error.reason, error.field
                faults.take(ManifestError(reason, path=first, line=number, field=field))
                continue
            recordings[name] = recording
            utterances[name] = []
        for number, row in lines_of(second, faults):
            try:
                for placed in placed_supervisions(row):
                    if first and placed.session not in recordings:
                        raise ManifestError(
                            f"{placed.session!r} is not in {first.name}", field="recording_id"
                        )
                    utterances.setdefault(placed.session, []).append(utterance_of(placed))
            except ManifestError as error:
                reason, field = error.reason, error.field
                faults.take(ManifestError(reason, path=second, line=number, field=field))
        for name, rows in utterances.items():
            yield make_conversation(name, rows, recording=recordings.get(name))

    def write(
        self, path: Path, conversations: Iterable[Conversation], options: WriteOptions
    ) -> None:
        """Both manifests."""
        with ExitStack() as stack:
            files = {
                name: stack.enter_context(text_file(path / f"{name}.jsonl"))
                for name in (RECORDINGS, SUPERVISIONS)
            }
            for conversation in conversations:
                recording = lhotse_recording(conversation, options)
                files[RECORDINGS].write(json.dumps(recording, ensure_ascii=False) + "\n")
                for u in conversation.utterances:
                    row = supervision_row(u, conversation.id, len(recording["channel_ids"]))
                    files[SUPERVISIONS].write(json.dumps(row, ensure_ascii=False) + "\n")


def is_pair(path: Path) -> bool:
    """Whether a path names manifests of recordings and supervisions."""
    if path.is_dir():
        return any(path.glob(f"*{SUPERVISIONS}*.jsonl*"))
    return any(word in path.name for word in (RECORDINGS, SUPERVISIONS))


def _pair(path: Path) -> tuple[Path | None, Path]:
    """The manifest of recordings, if there is one, and that of supervisions."""
    if path.is_dir():
        found = sorted(path.glob(f"*{SUPERVISIONS}*.jsonl*"))
        if len(found) != 1:
            raise ManifestError(
                f"must hold one manifest of supervisions, holds {len(found)}: name the file",
                path=path,
            )
        path = found[0]
    if RECORDINGS in path.name:
        path = path.with_name(path.name.replace(RECORDINGS, SUPERVISIONS))
    partner = path.with_name(path.name.replace(SUPERVISIONS, RECORDINGS))
    return (partner if partner != path and partner.is_file() else None), path


def _of_cut(row: Row, folder: Path) -> Conversation:
    if _is_ours(row):
        return of_session(from_cut(row), folder)
    name, kind = row.get("id"), row.get("type")
    if kind not in ("MonoCut", "MultiCut", "MixedCut"):
        raise ManifestError(f"must be MonoCut, MultiCut or MixedCut, got {kind!r}", field="type")
    if not isinstance(name, str) or not name:
        raise ManifestError(f"must be text, got {name!r}", field="id")
    utterances = [utterance_of(placed) for placed in placed_supervisions(row)]
    recording = _mix_of(row, folder) if kind == "MixedCut" else _window_of(row, folder)
    return make_conversation(name, utterances, recording=recording)


def _is_ours(row: Row) -> bool:
    custom = row.get("custom")
    return isinstance(custom, dict) and isinstance(custom.get("talkover"), dict)


def _window_of(row: Row, folder: Path) -> Recording | None:
    """The file of a cut, or the part of it that the cut is."""
    if row.get("recording") is None:
        return None  # a cut over features alone has labels and no audio
    if not isinstance(row["recording"], dict):
        raise ManifestError("must be an object", field="recording")
    _, recording = recording_of(row["recording"], folder)
    rate, total = recording.sampling_rate, recording.num_samples
    assert rate and total
    start = seconds(row.get("start"), "start") * rate
    count = seconds(row.get("duration"), "duration") * rate
    if start < -_EDGE or start + count > total + _EDGE or count < 1:
        raise ManifestError(
            f"the cut is from {start / rate:g} s for {count / rate:g} s, its recording has "
            f"{total / rate:g} s",
            field="duration",
        )
    channels = _channels(row)
    is_whole = (
        abs(start) <= _EDGE
        and abs(count - total) <= _EDGE
        and channels == tuple(range(recording.num_channels or 1))
    )
    if is_whole:
        return recording
    first = max(0, round(start))
    return replace(
        recording,
        start_sample=first,
        num_samples=min(round(count), total - first),
        num_channels=len(channels),
        channels=channels,
        is_whole=False,
    )


def _channels(row: Row) -> tuple[int, ...]:
    channel: Any = row.get("channel", 0)
    values = channel if isinstance(channel, list) else [channel]
    if not values or not all(isinstance(v, int) and v >= 0 for v in values):
        raise ManifestError(f"must be numbers from 0, got {channel!r}", field="channel")
    return tuple(values)


def _mix_of(row: Row, folder: Path) -> Recording:
    """A mix as a recording that has yet to be made, the paths in it absolute."""
    tracks, first = [], None
    for n, track in enumerate(row["tracks"] if isinstance(row.get("tracks"), list) else []):
        cut = track.get("cut") if isinstance(track, dict) else None
        if not isinstance(cut, dict):
            raise ManifestError("must be an object", field=f"tracks[{n}].cut")
        if isinstance(cut.get("recording"), dict):
            try:
                _, recording = recording_of(cut["recording"], folder)
            except ManifestError as error:
                raise ManifestError(error.reason, field=f"tracks[{n}].cut.{error.field}") from None
            first = first or recording
            source = {**cut["recording"]["sources"][0], "source": str(recording.path)}
            cut = {**cut, "recording": {**cut["recording"], "sources": [source]}}
        tracks.append({**track, "cut": cut})
    if first is None:
        raise ManifestError("no track has a recording", field="tracks")
    mix = json.dumps({**row, "tracks": tracks}, ensure_ascii=False)
    rate = first.sampling_rate
    assert rate
    return Recording(
        path=first.path,
        sampling_rate=rate,
        num_samples=max(1, round(_length_of_mix(tracks) * rate)),
        mix=mix,
        is_whole=False,
    )


def _length_of_mix(tracks: list[Row]) -> float:
    """Seconds from the start of a mix to the end of its last track."""
    return max(
        seconds(track.get("offset", 0.0), "tracks.offset")
        + seconds(track["cut"].get("duration"), "tracks.cut.duration")
        for track in tracks
    )
