"""Utterances of Lhotse manifests: recordings with supervisions, or cuts; one per supervision.

The JSON lines are read here one by one, without Lhotse. Only audio in files is used. Supervision
times are on the recording's clock beside recordings and on the cut's clock inside cuts; word
alignments are on the recording's clock in both (lhotse issue 1193).
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talkover.manifests.errors import ManifestError
from talkover.simulate.corpus import (
    Channel,
    CorpusOptions,
    Rejection,
    TimedWord,
    Utterance,
    gender_of,
    resolve_source,
)

Row = Mapping[str, Any]

EDGE = 1e-3
"""Seconds by which rounded times may leave what they lie in."""
TIME_DIGITS = 8
"""Digits after the point of seconds, as Lhotse rounds them."""


class _Unusable(Exception):
    """Something that cannot be one speaker's utterance from a file."""

    def __init__(self, field: str, reason: str, value: object = None) -> None:
        super().__init__(reason)
        self.field, self.reason = field, reason
        self.value = None if value is None else str(value)


@dataclass(frozen=True, slots=True)
class _Recording:
    """What is needed of a recording: where its channels are."""

    id: str
    sources: tuple[tuple[str, str, tuple[int, ...]], ...]
    """Kind, file and channels of each source."""
    sampling_rate: int
    is_transformed: bool


class LhotseReader:
    """Reads Lhotse manifests; see `talkover.simulate.corpus.CorpusReader`.

    Takes a manifest of cuts, of supervisions or of recordings (the other is looked for beside it,
    under the name with the two words exchanged), or a folder of such.
    """

    def __init__(self, path: Path, options: CorpusOptions) -> None:
        """Find out which manifests belong together.

        Raises:
            ManifestError: If there is no manifest, or one lacks its partner.
        """
        self._options = options
        self._cuts: list[Path] = []
        self._pairs: list[tuple[Path, Path]] = []
        for manifest in _manifests(path):
            kind = _kind(manifest)
            if kind == "cuts":
                self._cuts.append(manifest)
                continue
            other = "supervisions" if kind == "recordings" else "recordings"
            pair = {kind: manifest, other: _partner(manifest, kind, other)}
            self._pairs.append((pair["recordings"], pair["supervisions"]))
        if not self._cuts and not self._pairs:
            raise ManifestError("no manifest of cuts, recordings or supervisions", path=path)

    def __iter__(self) -> Iterator[Utterance | Rejection]:
        """Yield manifest by manifest, in the order of their lines."""
        for manifest in self._cuts:
            for place, row in self._rows(manifest):
                if isinstance(row, Rejection):
                    yield row
                else:
                    yield from self._of_cut(row, place, manifest.parent)
        for recordings, supervisions in self._pairs:
            yield from self._of_pair(recordings, supervisions)

    def _rows(self, path: Path) -> Iterator[tuple[str, Row | Rejection]]:
        """Lines of a manifest with their places; a torn or wrong line comes as a rejection."""
        for number, line in _lines(path):
            place = f"{path.name}:{number}"
            try:
                row = json.loads(line)
            except ValueError:
                row = None
            if isinstance(row, dict):
                yield place, row
            else:
                yield place, self._rejection(place, None, _Unusable("line", "not a JSON object"))

    def _of_pair(self, recordings: Path, supervisions: Path) -> Iterator[Utterance | Rejection]:
        known: dict[str, _Recording] = {}
        for place, row in self._rows(recordings):
            if isinstance(row, Rejection):
                yield row
                continue
            try:
                recording = _recording(row)
            except _Unusable as unusable:
                yield self._rejection(place, None, unusable)
                continue
            known[recording.id] = recording
        for place, row in self._rows(supervisions):
            if isinstance(row, Rejection):
                yield row
                continue
            found = known.get(str(row.get("recording_id")))
            yield self._supervision(row, found, 0.0, place, recordings.parent)

    def _of_cut(self, cut: Row, place: str, folder: Path) -> Iterator[Utterance | Rejection]:
        try:
            kind = cut.get("type", "MonoCut")
            if kind not in ("MonoCut", "MultiCut"):
                raise _Unusable("type", "only MonoCut and MultiCut hold one recording", kind)
            recording = _recording(_mapping(cut, "recording"))
            start, duration = _seconds(cut, "start"), _seconds(cut, "duration")
            supervisions = cut.get("supervisions")
            if not isinstance(supervisions, list) or not supervisions:
                raise _Unusable("supervisions", "the cut has no supervision, so no speaker")
        except _Unusable as unusable:
            yield self._rejection(place, str(cut.get("id")), unusable)
            return
        for row in supervisions:
            if not isinstance(row, dict):
                bad = _Unusable("supervisions", "not a JSON object")
                yield self._rejection(place, str(cut.get("id")), bad)
                continue
            yield self._supervision(row, recording, start, place, folder, longest=duration)

    def _supervision(
        self,
        row: Row,
        recording: _Recording | None,
        origin: float,
        place: str,
        folder: Path,
        *,
        longest: float | None = None,
    ) -> Utterance | Rejection:
        try:
            return self._utterance(row, recording, origin, folder, longest)
        except _Unusable as unusable:
            return self._rejection(place, str(row.get("id")), unusable)

    def _utterance(
        self,
        row: Row,
        recording: _Recording | None,
        origin: float,
        folder: Path,
        longest: float | None,
    ) -> Utterance:
        """An utterance of a supervision.

        Args:
            row: The supervision.
            recording: Its recording, if there is one.
            origin: Where the supervision's clock begins on the recording's, in seconds.
            folder: Of the manifest.
            longest: Duration of the cut that the supervision must lie in; None beside recordings.
        """
        if recording is None:
            raise _Unusable("recording_id", "no such recording", row.get("recording_id"))
        if not row.get("speaker"):
            raise _Unusable("speaker", "the supervision has no speaker")
        start, duration = _seconds(row, "start"), _seconds(row, "duration")
        if longest is not None and (start < -EDGE or start + duration > longest + EDGE):
            raise _Unusable("supervisions", "the supervision is longer than its cut")
        start = max(0.0, round(origin + start, TIME_DIGITS))
        file, channel = _source(recording, row.get("channel"), self._options.channel)
        words = _words(row, start, duration)
        custom = row.get("custom")
        custom = custom if isinstance(custom, dict) else {}
        licence = custom.get("licence") or custom.get("license") or self._options.licence
        topic = custom.get("topic") or custom.get("book") or custom.get("chapter")
        text = row.get("text")
        return Utterance(
            utterance_id=str(row.get("id", "")),
            speaker=str(row["speaker"]),
            path=resolve_source(folder, file),
            file=file,
            corpus=self._options.name,
            recording_id=recording.id,
            channel=channel,
            start=start,
            duration=duration,
            sampling_rate=recording.sampling_rate,
            text=" ".join(text.split()) or None if isinstance(text, str) else None,
            words=words,
            word_source=None if words is None else self._options.word_source or "alignment",
            language=row.get("language") or None,
            gender=gender_of(str(row.get("gender") or "")),
            topic=None if topic is None else str(topic),
            licence=None if licence is None else str(licence),
        )

    def _rejection(self, place: str, name: str | None, unusable: _Unusable) -> Rejection:
        return Rejection(
            corpus=self._options.name,
            utterance_id=name,
            place=place,
            field=unusable.field,
            reason=unusable.reason,
            value=unusable.value,
        )


def _manifests(path: Path) -> list[Path]:
    """The manifests that a path means: itself, or the cuts or recordings of a folder."""
    if not path.is_dir():
        return [path]
    for word in ("cuts", "recordings"):
        if found := sorted(path.glob(f"*{word}*.jsonl")) + sorted(path.glob(f"*{word}*.jsonl.gz")):
            return found
    return []


def _kind(path: Path) -> str:
    """What a manifest holds, from its first line.

    Raises:
        ManifestError: If it is none of the three kinds.
    """
    number, line = next(_lines(path), (1, ""))
    try:
        row = json.loads(line)
    except ValueError as error:
        raise ManifestError(f"not JSON: {error}", path=path, line=number) from error
    if isinstance(row, dict):
        if "sources" in row:
            return "recordings"
        if "recording_id" in row:
            return "supervisions"
        if "type" in row or "supervisions" in row:
            return "cuts"
    raise ManifestError(
        "neither a recording, a supervision nor a cut", path=path, line=number, field="type"
    )


def _partner(path: Path, kind: str, other: str) -> Path:
    partner = path.with_name(path.name.replace(kind, other))
    if kind not in path.name or not partner.is_file():
        raise ManifestError(f"no manifest of {other} beside it: expected {partner.name}", path=path)
    return partner


def _lines(path: Path) -> Iterator[tuple[int, str]]:
    """Numbered lines of a plain or gzipped file, without blank ones.

    Raises:
        ManifestError: If the file cannot be read to its end.
    """
    try:
        opened = gzip.open if path.suffix.lower() == ".gz" else open
        with opened(path, "rt", encoding="utf-8-sig", errors="replace") as file:
            for number, line in enumerate(file, start=1):
                if line.strip():
                    yield number, line
    except (OSError, EOFError) as error:
        raise ManifestError(f"cannot be read: {error}", path=path) from error


def _mapping(row: Row, field: str) -> Row:
    value = row.get(field)
    if not isinstance(value, dict):
        raise _Unusable(field, "missing")
    return value


def _seconds(row: Row, field: str) -> float:
    value = row.get(field)
    if isinstance(value, bool) or not isinstance(value, (int, float)):
        raise _Unusable(field, "must be a number of seconds", value)
    return float(value)


def _recording(row: Row) -> _Recording:
    try:
        return _Recording(
            id=str(row["id"]),
            sources=tuple(
                (str(s["type"]), str(s["source"]), tuple(int(c) for c in s["channels"]))
                for s in row["sources"]
            ),
            sampling_rate=int(row["sampling_rate"]),
            is_transformed=bool(row.get("transforms")),
        )
    except (KeyError, TypeError, ValueError) as error:
        raise _Unusable("recording", "not a Lhotse recording", error) from error


def _source(recording: _Recording, asked: object, default: Channel) -> tuple[str, Channel]:
    """File and channel in that file; a supervision's own single channel wins over the default.

    Args:
        recording: Where to look.
        asked: The supervision's channel or list of channels.
        default: Used where the supervision is about several channels.
    """
    if recording.is_transformed:
        raise _Unusable("transforms", "the recording is changed on reading: save it to files first")
    everything = [channel for _, _, channels in recording.sources for channel in channels]
    asked = asked[0] if isinstance(asked, list) and len(asked) == 1 else asked
    one = asked if isinstance(asked, int) and len(everything) > 1 else default
    for kind, file, channels in recording.sources:
        if one != "mean" and one not in channels:
            continue
        if one == "mean" and len(recording.sources) > 1:
            reason = "channels are in several files, so their mean is not offered: choose a channel"
            raise _Unusable("channel", reason)
        if kind != "file":
            raise _Unusable("sources", "only audio in files is read", kind)
        return file, one if one == "mean" else channels.index(one)
    raise _Unusable("channel", "no such channel", one)


def _words(row: Row, start: float, duration: float) -> tuple[TimedWord, ...] | None:
    """Word times from the start of the utterance.

    Args:
        row: The supervision.
        start: Of the utterance on the recording's clock, in seconds.
        duration: Of the utterance.
    """
    alignment = row.get("alignment")
    items = alignment.get("word") if isinstance(alignment, dict) else None
    if not items:
        return None
    try:
        words = [
            (str(symbol), round(float(at) - start, TIME_DIGITS), float(length))
            for symbol, at, length, *_ in items
        ]
    except (TypeError, ValueError) as error:
        raise _Unusable("alignment.word", "must be [symbol, start, duration, score]") from error
    first, last = words[0][1], max(at + length for _, at, length in words)
    if first < -EDGE or last > duration + EDGE:
        reason = "words outside of the supervision, on the recording's clock"
        raise _Unusable("alignment.word", reason, f"{first:.3f} to {last:.3f} of {duration:.3f} s")
    return tuple((symbol, max(0.0, at), length) for symbol, at, length in words)
