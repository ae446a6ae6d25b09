"""Which files are to be annotated, and what is known of each beforehand.

Nothing that looks like audio is passed over in silence: what is in a folder under the name of an
audio file and is none, or cannot even be looked at, is listed with the reason.
"""

from __future__ import annotations

import csv
import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from talkover.annotate.speaker_count import SpeakerCount
from talkover.manifests.errors import ConfigurationError
from talkover.manifests.settings_files import yaml_mapping

SUFFIXES = frozenset(
    ".wav .wave .w64 .rf64 .flac .ogg .oga .opus .mp3 .aif .aiff .aifc .au .snd .caf "
    ".m4a .aac .mp4 .mkv .mka .webm .mov .wma .amr .3gp".split()
)
"""What is looked for in a folder, also what cannot be decoded; a file that is named itself may be
called anything."""
COLUMNS = ("file", "exact", "min", "max")
"""Of a table of speaker counts."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Rejected:
    """A file that is not among the sessions."""

    path: str
    """As it was given or found."""
    reason: str
    stage: str = "find"
    """Where it failed."""

    def row(self) -> dict[str, str]:
        """As a line of ``rejected.jsonl``."""
        return {"path": self.path, "stage": self.stage, "reason": self.reason}


@dataclass(frozen=True, kw_only=True, slots=True)
class Inputs:
    """Files in a fixed order, and what was no file."""

    files: tuple[Path, ...]
    rejected: tuple[Rejected, ...]


def find_audio(audio: Sequence[Path | str]) -> Inputs:
    """Files, and audio files below folders by name; links to folders are not followed.

    Args:
        audio: Files and folders. What is given or found twice counts once.
    """
    files: dict[str, Path] = {}
    rejected: list[Rejected] = []
    for given in map(Path, audio):
        found = [given]
        if given.is_dir():
            found = _below(given, rejected)
        for path in found:
            files.setdefault(os.path.abspath(path), path)
    return Inputs(files=tuple(files.values()), rejected=tuple(rejected))


def _below(folder: Path, rejected: list[Rejected]) -> list[Path]:
    """Audio files below a folder, sorted; a folder without any is rejected."""
    before = len(rejected)
    found: list[Path] = []

    def unreadable(error: OSError) -> None:
        rejected.append(
            Rejected(path=str(error.filename), reason=f"not readable: {error.strerror}")
        )

    for place, folders, names in os.walk(folder, onerror=unreadable):
        folders.sort()
        for name in sorted(folders):
            if Path(name).suffix.lower() in SUFFIXES:
                path = str(Path(place) / name)
                rejected.append(Rejected(path=path, reason="a folder, not a file"))
        found += [Path(place) / n for n in names if Path(n).suffix.lower() in SUFFIXES]
    if not found and len(rejected) == before:
        rejected.append(Rejected(path=str(folder), reason="a folder without audio files"))
    return sorted(found)


def read_counts(path: Path) -> dict[str, SpeakerCount]:
    """Numbers of speakers by file, from a CSV (`COLUMNS`) or a YAML mapping.

    In YAML a value is a number, a text ``MIN-MAX`` or a mapping with the names of the columns.

    Raises:
        ConfigurationError: If the table cannot be read, or a count is none; names file and row.
    """
    if path.suffix.lower() in (".yaml", ".yml"):
        rows = {str(name): value for name, value in yaml_mapping(path).items()}
    else:
        rows = dict(_csv_rows(path))
    return {name: _count(value, f"{path}: {name}") for name, value in rows.items()}


def parse_count(text: str) -> SpeakerCount:
    """``3`` as exact, ``2-4`` as least and most, ``2-`` and ``-4`` as one of them.

    Raises:
        ConfigurationError: If the text is neither.

    >>> parse_count("2-4").limits, parse_count("3").limits, parse_count("-4").limits
    ((2, 4), (3, 3), (1, 4))
    """
    least, dash, most = (part.strip() for part in text.partition("-"))
    try:
        if not dash:
            return SpeakerCount(exact=int(least))
        return SpeakerCount(least=int(least) if least else None, most=int(most) if most else None)
    except ValueError as error:
        raise ConfigurationError(
            f"speakers: takes N, MIN-MAX or a table by file, got {text!r} ({error})"
        ) from None


def count_for(
    path: Path, counts: Mapping[str, SpeakerCount], general: SpeakerCount
) -> SpeakerCount:
    """The count of a file: by its path, its absolute path or its name, or the general one."""
    for name in (str(path), os.path.abspath(path), path.name, path.stem):
        if name in counts:
            return counts[name]
    return general


def check_counts(counts: Mapping[str, SpeakerCount], files: Sequence[Path]) -> None:
    """Refuse a table with rows of files that are not there, or are there more than once.

    Raises:
        ConfigurationError: With the first such row.
    """
    for name in counts:
        own = [p for p in files if name in (str(p), os.path.abspath(p), p.name, p.stem)]
        whole = [p for p in own if name in (str(p), os.path.abspath(p))]
        if not own:
            raise ConfigurationError(f"speakers: no file of this run is called {name!r}")
        if len(own) > 1 and len(whole) != 1:
            raise ConfigurationError(
                f"speakers: {len(own)} files are called {name!r}: give their paths"
            )


def _csv_rows(path: Path) -> list[tuple[str, Any]]:
    try:
        with path.open(encoding="utf-8-sig", newline="") as file:
            reader = csv.DictReader(file)
            unknown = set(reader.fieldnames or ()) - set(COLUMNS)
            if unknown or "file" not in (reader.fieldnames or ()):
                raise ConfigurationError(
                    f"{path}: needs the columns file and exact, or min and max, got "
                    f"{', '.join(reader.fieldnames or ('nothing',))}"
                )
            return [(row["file"], {k: v for k, v in row.items() if k != "file"}) for row in reader]
    except (OSError, UnicodeDecodeError, csv.Error) as error:
        raise ConfigurationError(f"{path}: not a readable CSV file: {error}") from error


def _count(value: object, where: str) -> SpeakerCount:
    if not isinstance(value, dict):
        return parse_count(str(value))
    unknown = set(value) - set(COLUMNS)
    if unknown:
        raise ConfigurationError(f"{where}: no such column: {', '.join(map(str, sorted(unknown)))}")
    numbers: dict[str, int | None] = {}
    for name in ("exact", "min", "max"):
        text = str(value.get(name) if value.get(name) is not None else "").strip()
        if text and not text.isdecimal():
            raise ConfigurationError(f"{where}: {name} must be a number, got {text!r}")
        numbers[name] = int(text) if text else None
    try:
        return SpeakerCount(exact=numbers["exact"], least=numbers["min"], most=numbers["max"])
    except ValueError as error:
        raise ConfigurationError(f"{where}: {error}") from error
