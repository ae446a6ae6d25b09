"""Utterances listed in a CSV or TSV file with a header, one row each.

Required columns are ``speaker``, ``file`` and ``text`` (a cell may be empty: no transcript known).
docs/corpora.md lists the others. Files are relative to the manifest's folder. Quoting is that of
`csv`; a byte-order mark and any line end are accepted.
"""

from __future__ import annotations

import csv
import json
import logging
import re
from collections.abc import Iterator, Mapping
from difflib import get_close_matches
from pathlib import Path
from typing import get_args

from talkover.manifests.errors import ManifestError
from talkover.manifests.schema import WordSource
from talkover.manifests.seeds import content_id
from talkover.simulate.corpus import (
    Channel,
    CorpusOptions,
    Rejection,
    TimedWord,
    Utterance,
    gender_of,
    recording_name,
    resolve_source,
)

REQUIRED = ("speaker", "file", "text")
ALIASES: dict[str, tuple[str, ...]] = {
    "utterance_id": ("utterance", "utt_id", "utt", "id"),
    "speaker": ("speaker_id", "spk", "spk_id"),
    "text": ("transcript", "transcription", "sentence"),
    "file": ("path", "audio", "audio_path", "audio_filepath", "filename", "wav"),
    "start": ("start_time",),
    "duration": ("length",),
    "start_sample": ("first_sample",),
    "num_samples": ("frames", "num_frames"),
    "sample_rate": ("sampling_rate", "samplerate"),
    "channel": (),
    "gender": ("sex",),
    "language": ("lang", "locale"),
    "licence": ("license",),
    "words": ("word_times", "alignment"),
    "word_source": (),
    "corpus": ("dataset",),
    "corpus_version": ("version",),
    "recording_id": ("recording", "source"),
    "topic": ("scene", "book", "chapter"),
}
"""Columns by name, and what else each may be called; the first one found in the header counts."""

MANIFESTS = ("manifest.csv", "manifest.tsv")
"""What is read where a folder is given."""

_UNSAFE = re.compile(r"[^A-Za-z0-9_-]+")
_LONGEST_STEM = 80  # characters of a derived id that come from the file's name
_log = logging.getLogger(__name__)


class _BadField(Exception):
    """A cell that cannot be what its column says."""

    def __init__(self, field: str, value: str, reason: str) -> None:
        super().__init__(reason)
        self.field, self.value, self.reason = field, value, reason


class CsvReader:
    """Reads a CSV or TSV file of utterances; see `talkover.simulate.corpus.CorpusReader`."""

    def __init__(self, path: Path, options: CorpusOptions) -> None:
        """Read the header.

        Raises:
            ManifestError: If a required column is missing or named twice.
        """
        if path.is_dir():
            path = next((path / name for name in MANIFESTS if (path / name).is_file()), path)
        self._path, self._options = path, options
        try:
            # A byte that is not UTF-8 spoils its row alone: see `_row`.
            with path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
                first = file.readline()
        except OSError as error:
            raise ManifestError(f"cannot be read: {error.strerror}", path=path) from error
        self._delimiter = _delimiter(path, first)
        header = next(csv.reader([first], delimiter=self._delimiter), [])
        self._columns = _columns(path, header)
        self._width = len(header)

    def __iter__(self) -> Iterator[Utterance | Rejection]:
        """Yield in the order of the rows."""
        with self._path.open(encoding="utf-8-sig", errors="surrogateescape", newline="") as file:
            rows = csv.reader(file, delimiter=self._delimiter)
            next(rows)
            while True:
                try:
                    cells = next(rows)
                except StopIteration:
                    return
                except csv.Error as error:
                    yield self._rejection(rows.line_num, {}, None, f"not readable as CSV: {error}")
                    continue
                if any(cell.strip() for cell in cells):
                    yield self._row(rows.line_num, cells)

    def _row(self, line: int, cells: list[str]) -> Utterance | Rejection:
        row = {
            column: cells[place].strip() if place < len(cells) else ""
            for column, place in self._columns.items()
        }
        if len(cells) != self._width:
            reason = "the row has another number of fields than the header"
            return self._rejection(line, row, None, reason, f"{len(cells)}, not {self._width}")
        for column, cell in row.items():
            if not cell.isascii() and any("\ud800" <= letter <= "\udfff" for letter in cell):
                return self._rejection(line, row, column, "not UTF-8", ascii(cell))
        try:
            return self._utterance(row)
        except _BadField as bad:
            return self._rejection(line, row, bad.field, bad.reason, bad.value)

    def _utterance(self, row: Mapping[str, str]) -> Utterance:
        options = self._options
        for column in ("speaker", "file"):
            if not row[column]:
                raise _BadField(column, "", "must not be empty")
        file = row["file"]
        words = _words(row.get("words", ""))
        return Utterance(
            utterance_id=row.get("utterance_id") or _derived_id(row),
            speaker=row["speaker"],
            path=resolve_source(self._path.parent, file),
            file=file,
            corpus=row.get("corpus") or options.name,
            corpus_version=row.get("corpus_version") or None,
            recording_id=row.get("recording_id") or recording_name(file),
            channel=_channel(row.get("channel", ""), options.channel),
            start_sample=_integer(row, "start_sample"),
            num_samples=_integer(row, "num_samples"),
            start=_number(row, "start"),
            duration=_number(row, "duration"),
            sampling_rate=_integer(row, "sample_rate"),
            text=" ".join(row["text"].split()) or None,
            words=words,
            word_source=None if words is None else self._word_source(row.get("word_source", "")),
            language=row.get("language") or None,
            gender=gender_of(row.get("gender", "")),
            topic=row.get("topic") or None,
            licence=row.get("licence") or options.licence,
        )

    def _word_source(self, text: str) -> WordSource:
        if not text:
            return self._options.word_source or "reference"
        for known in get_args(WordSource):
            if text == known:
                source: WordSource = known
                return source
        raise _BadField("word_source", text, f"must be one of {', '.join(get_args(WordSource))}")

    def _rejection(
        self,
        line: int,
        row: Mapping[str, str],
        field: str | None,
        reason: str,
        value: str | None = None,
    ) -> Rejection:
        def known(column: str) -> str | None:
            text = row.get(column, "").encode("utf8", "backslashreplace").decode("utf8")
            return text or None

        return Rejection(
            corpus=known("corpus") or self._options.name,
            utterance_id=known("utterance_id"),
            file=known("file"),
            place=f"{self._path.name}:{line}",
            field=field,
            value=value,
            reason=reason,
        )


def _delimiter(path: Path, header: str) -> str:
    """A tab in a .tsv; otherwise what the header has most of, and a comma if it has none."""
    if path.suffix.lower() == ".tsv":
        return "\t"
    return max(",;\t", key=header.count)


def _columns(path: Path, header: list[str]) -> dict[str, int]:
    """Place of each known column of a header.

    Raises:
        ManifestError: If a required column is missing, or one is there twice.
    """
    names = [cell.strip().lower() for cell in header]
    places: dict[str, int] = {}
    for column, aliases in ALIASES.items():
        found = next((name for name in (column, *aliases) if name in names), None)
        if found is None:
            continue
        if names.count(found) > 1:
            raise ManifestError("the header has this column twice", path=path, line=1, field=found)
        places[column] = names.index(found)
    for column in REQUIRED:
        if column not in places:
            others = [name for n, name in enumerate(names) if n not in places.values()]
            hint = get_close_matches(column, others, n=1, cutoff=0.5)
            raise ManifestError(
                "column is missing"
                + (f": did you mean it by {hint[0]!r}?" if hint else "")
                + f" The header has: {', '.join(names) or 'nothing'}",
                path=path,
                line=1,
                field=column,
            )
    unused = sorted(set(names) - {names[place] for place in places.values()})
    if unused:
        _log.debug("%s: columns that are not used: %s", path, ", ".join(unused))
    return places


def _derived_id(row: Mapping[str, str]) -> str:
    """An id from the file and the start of the window, the same on every machine."""
    file = recording_name(row["file"])
    start = row.get("start_sample") or row.get("start") or "0"
    stem = _UNSAFE.sub("_", Path(file).stem)[:_LONGEST_STEM] or "utterance"
    return f"{stem}-{content_id(file, start, row.get('channel', ''), length=8)}"


def _integer(row: Mapping[str, str], column: str) -> int | None:
    text = row.get(column, "")
    if not text:
        return None
    try:
        return int(text)
    except ValueError:
        raise _BadField(column, text, "must be a whole number") from None


def _number(row: Mapping[str, str], column: str) -> float | None:
    text = row.get(column, "")
    if not text:
        return None
    try:
        return float(text)
    except ValueError:
        raise _BadField(column, text, "must be a number of seconds") from None


def _channel(text: str, default: Channel) -> Channel:
    if not text:
        return default
    if text == "mean":
        return "mean"
    if text.isascii() and text.isdecimal():
        return int(text)
    raise _BadField("channel", text, "must be a number from 0, or mean")


def _words(text: str) -> tuple[TimedWord, ...] | None:
    """Word times from ``[["symbol", start, duration], …]``; None if there are none."""
    if not text:
        return None
    try:
        rows = json.loads(text)
        words = tuple((symbol, float(start), float(length)) for symbol, start, length in rows)
    except (ValueError, TypeError):
        words = ((0, 0.0, 0.0),)
    if not all(isinstance(symbol, str) for symbol, _, _ in words):
        reason = 'must be JSON: [["symbol", start, duration], ...] in seconds'
        raise _BadField("words", text, reason)
    return words or None
