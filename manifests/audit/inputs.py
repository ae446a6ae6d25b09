"""What an audit reads: manifests and label files, cut into parts that are read side by side.

A plain ``.jsonl`` of cuts is cut into byte ranges; anything else is one part. Parts depend on the
files alone, never on the number of workers.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from talkover.manifests.errors import ManifestError
from talkover.manifests.labels import guess_format
from talkover.manifests.lines import CUTS_NAMES, cuts_file, read_lines

PART_BYTES = 64 << 20
"""Bytes of a part: about 30,000 turns with words, some 200 MB while they are read."""
AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")

Kind = Literal["cuts", "labels"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """A stretch of a file that is read at once."""

    path: Path
    kind: Kind
    start: int = 0
    """First byte; the part begins with the first line that begins here or later."""
    stop: int | None = None
    """The part ends with the line that holds this byte; None reads to the end."""
    split: str | None = None
    """What its sessions belong to, where the caller says so."""

    @property
    def folder(self) -> Path:
        """What paths in the file are relative to."""
        return self.path.parent

    @property
    def is_first(self) -> bool:
        """Whether the part begins its file."""
        return self.start == 0


def parts_of(
    paths: Iterable[Path | str],
    splits: Mapping[str, Path | str] | None = None,
    *,
    part_bytes: int = PART_BYTES,
) -> list[Part]:
    """All parts of some inputs, in their order.

    Args:
        paths: Folders or files: ``cuts.jsonl`` (ours or plain Lhotse), a folder of splits
            (``*/cuts.jsonl``), label files, or a folder of RTTM (or other label) and audio files.
        splits: More inputs, by the name of their split.
        part_bytes: Bytes of a part of a plain ``.jsonl``.

    Raises:
        ManifestError: If there is nothing to read.
    """
    found: list[Part] = []
    for path in paths:
        for file, split in _files(Path(path)):
            found += _parts(file, split, part_bytes)
    for name, path in (splits or {}).items():
        for file, _ in _files(Path(path)):
            found += _parts(file, name, part_bytes)
    if not found:
        raise ManifestError("nothing to audit: name a folder or a manifest")
    return found


def _files(path: Path) -> Iterator[tuple[Path, str | None]]:
    """Files of an input, with the split that the layout of a folder of splits says."""
    if not path.exists():
        raise ManifestError("no such file or folder", path=path)
    if path.is_file():
        yield path, None
        return
    if any((path / name).is_file() for name in CUTS_NAMES):
        yield cuts_file(path), None
        return
    below = sorted(f for name in CUTS_NAMES for f in path.glob(f"*/{name}"))
    if below:
        yield from ((file, file.parent.name) for file in below)
        return
    labels = sorted(f for f in path.iterdir() if f.is_file() and guess_format(f) is not None)
    labels = [f for f in labels if not f.name.startswith(".")]
    rttm = [f for f in labels if guess_format(f) == "rttm"]
    if not labels:
        raise ManifestError(
            "holds no cuts.jsonl, no folders of splits and no label files "
            "(.rttm, .stm, .ctm, .tsv, .json)",
            path=path,
        )
    yield from ((file, None) for file in rttm or labels)


def _parts(file: Path, split: str | None, part_bytes: int) -> Iterator[Part]:
    if not _holds_cuts(file):
        yield Part(path=file, kind="labels", split=split)
        return
    size = file.stat().st_size
    if file.name.endswith(".gz") or size <= part_bytes:
        yield Part(path=file, kind="cuts", split=split)
        return
    for start in range(0, size, part_bytes):
        stop = start + part_bytes
        yield Part(
            path=file,
            kind="cuts",
            start=start,
            stop=stop if stop < size else None,
            split=split,
        )


def _holds_cuts(file: Path) -> bool:
    """Whether a file has a Lhotse cut a line; one without a readable line counts as such."""
    if guess_format(file) != "lhotse":
        if guess_format(file) is None:
            raise ManifestError(
                "the name does not say the format: use .jsonl, .rttm, .stm, .ctm, .tsv or .json "
                "(with or without .gz)",
                path=file,
            )
        return False
    for line in read_lines(file):
        try:
            row = json.loads(line.text)
        except ValueError:
            continue
        return not (isinstance(row, dict) and "type" not in row and "recording_id" in row)
    return True


def lines_of(part: Part) -> Iterator[tuple[int, bytes, bool]]:
    """The lines of a part of cuts: number within the part from 1, bytes, whether a line end came.

    Raises:
        ManifestError: If the file cannot be read.
    """
    if part.path.name.endswith(".gz"):
        for line in read_lines(part.path):
            yield line.number, line.text.encode(), line.ended
        return
    try:
        with part.path.open("rb") as file:
            if part.start:
                file.seek(part.start - 1)
                file.readline()  # of the part before
            number = 0
            while part.stop is None or file.tell() < part.stop:
                raw = file.readline()
                if not raw:
                    return
                number += 1
                yield number, raw.rstrip(b"\r\n"), raw.endswith(b"\n")
    except OSError as error:
        raise ManifestError(f"cannot be read: {error.strerror}", path=part.path) from error
