"""Readers of label files: who spoke when, and what, in seconds, whoever wrote the file.

========  ==============================  =========================================================
format    names                           what a line or object holds
========  ==============================  =========================================================
rttm      ``*.rttm``                      ``SPEAKER session 1 start duration <NA> <NA> speaker``
stm       ``*.stm``                       ``session channel speaker start end [<label,…>] text…``
ctm       ``*.ctm``                       ``session speaker start duration word [score]``
words     ``*.tsv``                       header; session, speaker, start, end, word
seglst    ``*.json``                      list of {session_id, speaker, start_time, end_time, words}
lhotse    ``*.jsonl``, ``*.json``, DIR    Lhotse cuts or supervisions, one a line or one list
========  ==============================  =========================================================

Any of them may end in ``.gz``. The second column of a CTM is a channel by its standard, which knows
no speakers; here it is the speaker, as `talkover.manifests.exports` writes it.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Iterable, Iterator
from operator import itemgetter
from pathlib import Path
from typing import Any, Literal, get_args

from talkover.manifests.errors import ManifestError
from talkover.manifests.label_json import is_lhotse, segment_of_seglst, segments_of_lhotse
from talkover.manifests.lines import Line, cuts_file, read_lines
from talkover.manifests.segments import LabelWord, Segment, length, make_segment, seconds

__all__ = [
    "LabelFormat",
    "LabelWord",
    "OnError",
    "Segment",
    "guess_format",
    "read_labels",
    "read_uem",
]

LabelFormat = Literal["rttm", "stm", "ctm", "words", "seglst", "lhotse"]

OnError = Callable[[ManifestError], None]
"""Is told of what cannot be read, with its place."""

UNSCORED = "ignore_time_segment_in_scoring"
"""Text of a stretch that NIST's tools leave out; read as a segment without text."""

_BY_SUFFIX: dict[str, LabelFormat] = {
    ".rttm": "rttm",
    ".stm": "stm",
    ".ctm": "ctm",
    ".tsv": "words",
    ".jsonl": "lhotse",
}
STM_LABEL = re.compile(r"<[^<>\s]*,[^<>\s]*>(\s+|$)")  # STM's <O,F0,male>, not <unk>
_SESSION_COLUMNS = ("session_id", "recording", "recording_id")
_WORD_COLUMNS = ("session", "speaker", "start", "end", "word")


def read_labels(
    path: Path | str,
    *,
    format: LabelFormat | None = None,
    regions: bool = False,
    on_error: OnError | None = None,
) -> dict[str, list[Segment]]:
    """All segments of a file, by session.

    Args:
        path: A file, or a produced folder, of which ``cuts.jsonl`` is read.
        format: None takes it from the name.
        regions: Of Lhotse cuts with talkover's fields, give one segment a speech region, without
            text, instead of one a supervision. Other files have no regions and read as ever.
        on_error: Is told of each line or object that cannot be read, which is then passed over;
            None raises the first.

    Returns:
        Sessions and their segments in the order of the file. CTM and word TSV give one segment a
        word. Segments of no length are kept: words of some corpora have none.

    Raises:
        ManifestError: With file and line, if the file is missing or breaks its format, or if its
            name says nothing about its format.
    """
    file = cuts_file(path)
    sessions: dict[str, list[Segment]] = {}
    for segment in _READERS[format or _known_format(file)](file, regions, on_error or raise_it):
        sessions.setdefault(segment.session, []).append(segment)
    return sessions


def raise_it(error: ManifestError) -> None:
    """What is done with an error where nothing else is said."""
    raise error from None


def read_uem(
    path: Path | str, *, on_error: OnError | None = None
) -> dict[str, list[tuple[float, float]]]:
    """The stretches to score of each session, in seconds: ``session channel start end`` a line.

    Raises:
        ManifestError: As `read_labels`.
    """
    sessions: dict[str, list[tuple[float, float]]] = {}
    for row in _parsed(Path(path), lambda text: _stretch(text.split()), on_error or raise_it):
        sessions.setdefault(row.session, []).append((row.start, row.end))
    return sessions


def segments_of_rttm(lines: Iterable[str], *, path: Path, first_line: int = 1) -> list[Segment]:
    """Segments of lines that were read from an RTTM already.

    Raises:
        ManifestError: With file and line.
    """
    numbered = (Line(n, text, True) for n, text in enumerate(lines, start=first_line))
    return list(_parsed(path, _rttm_segment, raise_it, lines=numbered))


def guess_format(path: Path | str) -> LabelFormat | None:
    """The format that a file name says, or None.

    ``.json`` may be SegLST or Lhotse: SegLST is said, and `read_labels` looks inside.

    >>> guess_format("hyp.seglst.json.gz"), guess_format("labels.rttm"), guess_format("a.txt")
    ('seglst', 'rttm', None)
    """
    suffix = Path(Path(path).name.removesuffix(".gz")).suffix.lower()
    return "seglst" if suffix == ".json" else _BY_SUFFIX.get(suffix)


def _known_format(path: Path) -> LabelFormat:
    if (kind := guess_format(path)) is None:
        raise ManifestError(
            "the name does not say the format: use .rttm, .stm, .ctm, .tsv, .json or .jsonl "
            f"(with or without .gz), or name one of {', '.join(get_args(LabelFormat))}",
            path=path,
        )
    return kind


def _rttm(path: Path, regions: bool, on_error: OnError) -> Iterator[Segment]:
    return _parsed(path, _rttm_segment, on_error)


def _rttm_segment(text: str) -> Segment | None:
    fields = text.split()
    if fields[0] != "SPEAKER":
        return None
    _require(fields, 8)
    start = seconds(fields[3], "start")
    return make_segment(fields[1], fields[7], start, start + length(fields[4], "duration"))


def _stm(path: Path, regions: bool, on_error: OnError) -> Iterator[Segment]:
    def segment(text: str) -> Segment | None:
        fields = text.split(None, 5)
        _require(fields, 5)
        if fields[2] == "inter_segment_gap":
            return None
        said = fields[5].rstrip() if len(fields) == 6 else ""
        said = STM_LABEL.sub("", said, count=1) if STM_LABEL.match(said) else said
        start, end = seconds(fields[3], "start"), seconds(fields[4], "end")
        known = said.lower() != UNSCORED
        return make_segment(fields[0], fields[2], start, end, said if known else None)

    return _parsed(path, segment, on_error)


def _ctm(path: Path, regions: bool, on_error: OnError) -> Iterator[Segment]:
    def segment(text: str) -> Segment:
        fields = text.split()
        _require(fields, 5)
        start = seconds(fields[2], "start")
        return _word(fields[0], fields[1], start, start + length(fields[3], "duration"), fields[4])

    return _parsed(path, segment, on_error)


def _words(path: Path, regions: bool, on_error: OnError) -> Iterator[Segment]:
    header = next((line.text for line in read_lines(path)), "").split("\t")
    header = ["session" if name in _SESSION_COLUMNS else name for name in header]
    if missing := [name for name in _WORD_COLUMNS if name not in header]:
        raise ManifestError(f"header lacks {', '.join(missing)}", path=path, line=1)
    columns = [header.index(name) for name in _WORD_COLUMNS]
    pick, least = itemgetter(*columns), max(columns) + 1

    def segment(text: str) -> Segment:
        fields = text.split("\t")
        _require(fields, least)
        session, speaker, first, last, word = pick(fields)
        start, end = seconds(first, "start"), seconds(last, "end")
        # Words of AMI that end before they start (a few in 788,624) are said, but take no time.
        return _word(session, speaker, start, max(start, end), word)

    return _parsed(path, segment, on_error, skip_lines=1)


def _seglst(path: Path, regions: bool, on_error: OnError) -> Iterator[Segment]:
    try:
        rows = json.loads("\n".join(line.text for line in read_lines(path)))
    except ValueError as error:
        raise ManifestError(f"not JSON: {error}", path=path) from error
    if not isinstance(rows, list) or not all(isinstance(row, dict) for row in rows):
        raise ManifestError("must be a list of objects", path=path)
    default = path.name.removesuffix(".gz").removesuffix(".json").removesuffix(".seglst")
    for number, row in enumerate(rows):
        try:
            if is_lhotse(row):
                yield from segments_of_lhotse(row, regions=regions)
            else:
                yield segment_of_seglst(row, default)
        except ManifestError as error:
            place = f"[{number}].{error.field or ''}".rstrip(".")
            on_error(ManifestError(error.reason, path=path, field=place))


def _lhotse(path: Path, regions: bool, on_error: OnError) -> Iterator[Segment]:
    for line in read_lines(path):
        try:
            row: Any = json.loads(line.text)
            if not isinstance(row, dict):
                raise ManifestError(f"must be an object, got {line.text[:80]!r}")
            yield from segments_of_lhotse(row, regions=regions)
        except ManifestError as error:
            on_error(_placed(error, path, line.number))
        except ValueError as error:
            on_error(ManifestError(f"not JSON: {error}", path=path, line=line.number))


def _parsed(
    path: Path,
    parse: Callable[[str], Segment | None],
    on_error: OnError,
    *,
    skip_lines: int = 0,
    lines: Iterable[Line] | None = None,
) -> Iterator[Segment]:
    """What a parser makes of each line of a file that is neither empty nor a comment."""
    for line in read_lines(path) if lines is None else lines:
        if line.number <= skip_lines or not line.text.strip() or line.text.startswith(";;"):
            continue
        try:
            segment = parse(line.text)
        except ManifestError as error:
            on_error(_placed(error, path, line.number))
            continue
        if segment is not None:
            yield segment


def _placed(error: ManifestError, path: Path, line: int) -> ManifestError:
    return ManifestError(error.reason, path=path, line=line, field=error.field)


def _require(fields: list[str], least: int) -> None:
    if len(fields) < least:
        raise ManifestError(f"must have {least} fields, got {len(fields)}")


def _stretch(fields: list[str]) -> Segment:
    """A line of a UEM as a segment of nobody."""
    _require(fields, 4)
    return make_segment(fields[0], "", seconds(fields[2], "start"), seconds(fields[3], "end"))


def _word(session: str, speaker: str, start: float, end: float, word: str) -> Segment:
    words = (LabelWord(symbol=word, start=start, end=end),)
    return make_segment(session, speaker, start, end, word, words)


_READERS: dict[LabelFormat, Callable[[Path, bool, OnError], Iterator[Segment]]] = {
    "rttm": _rttm,
    "stm": _stm,
    "ctm": _ctm,
    "words": _words,
    "seglst": _seglst,
    "lhotse": _lhotse,
}
