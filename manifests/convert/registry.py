"""The table of converters, and which one a file or folder is for."""

from __future__ import annotations

import json
from collections.abc import Callable
from importlib.metadata import entry_points
from pathlib import Path

from talkover.manifests.convert.audacity import Audacity
from talkover.manifests.convert.base import Converter
from talkover.manifests.convert.cuts import CutPair, Cuts, is_pair
from talkover.manifests.convert.kaldi import Kaldi
from talkover.manifests.convert.label_files import Ctm, Rttm, Seglst, Stm, Uem, WordTable
from talkover.manifests.convert.moss import Moss
from talkover.manifests.convert.nemo import Nemo
from talkover.manifests.convert.parquet import HuggingFace, Parquet
from talkover.manifests.convert.subtitles import Srt, Vtt
from talkover.manifests.convert.tagspeech import TagSpeech
from talkover.manifests.convert.textgrid import TextGrid
from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.lines import CUTS_NAMES, read_lines

CONVERTERS: dict[str, Callable[[], Converter]] = {
    "lhotse": Cuts,
    "lhotse-pair": CutPair,
    "rttm": Rttm,
    "stm": Stm,
    "ctm": Ctm,
    "words": WordTable,
    "seglst": Seglst,
    "uem": Uem,
    "textgrid": TextGrid,
    "audacity": Audacity,
    "srt": Srt,
    "vtt": Vtt,
    "kaldi": Kaldi,
    "nemo": Nemo,
    "parquet": Parquet,
    "datasets": HuggingFace,
    "moss": Moss,
    "tagspeech": TagSpeech,
}
"""Name to class; others come from the entry points of `ENTRY_POINTS`."""

ENTRY_POINTS = "talkover.converters"

_COMPRESSED = {
    "rttm",
    "stm",
    "ctm",
    "words",
    "seglst",
    "uem",
    "audacity",
    "srt",
    "vtt",
    "nemo",
    "moss",
}
"""Formats whose files are read plain or as ``.gz``."""


def converter(name: str | Converter) -> Converter:
    """A converter by name, or the given one.

    Raises:
        ConfigurationError: If there is none of this name.

    >>> converter("rttm").suffixes
    ('.rttm',)
    """
    if not isinstance(name, str):
        return name
    if name in CONVERTERS:
        return CONVERTERS[name]()
    for entry in entry_points(group=ENTRY_POINTS, name=name):
        made: Converter = entry.load()()
        return made
    others = sorted(entry.name for entry in entry_points(group=ENTRY_POINTS))
    raise ConfigurationError(
        f"no format {name!r}: choose from {', '.join([*CONVERTERS, *others])}, or install a "
        f"package with an entry point of this name in the group {ENTRY_POINTS}"
    )


def format_of_input(path: Path) -> str:
    """The format of something to read, by its name, and where that leaves it open by a look inside.

    Raises:
        ManifestError: If there is no such file or folder.
        ConfigurationError: If nothing says the format.
    """
    if not path.exists():
        raise ManifestError("no such file or folder", path=path)
    found = _of_folder(path) if path.is_dir() else _of_file(path)
    if found is None:
        raise ConfigurationError(f"{path}: nothing says the format: name it with --from")
    return found


def format_of_output(path: Path) -> str:
    """The format that a name asks for; a name without a suffix is a folder of Lhotse cuts.

    Raises:
        ConfigurationError: If the suffix is of no format.
    """
    found = _by_suffix(path.name)
    if found is not None:
        return found
    if path.suffix == "" or path.is_dir():
        return "lhotse"
    raise ConfigurationError(f"{path}: nothing says the format: name it with --to")


def _by_suffix(name: str) -> str | None:
    """The format of the longest suffix that fits."""
    plain = name.lower().removesuffix(".gz")
    fitting = [
        (len(suffix), key)
        for key, make in CONVERTERS.items()
        for suffix in make().suffixes
        if plain.endswith(suffix)
    ]
    return max(fitting)[1] if fitting else None


def _of_folder(path: Path) -> str | None:
    """By the files that a folder holds."""
    if any((path / name).is_file() for name in CUTS_NAMES):
        return "lhotse"
    if (path / "wav.scp").is_file():
        return "kaldi"
    if any((path / name).is_file() for name in ("state.json", "dataset_dict.json")):
        return "datasets"
    if is_pair(path):
        return "lhotse-pair"
    names = [p.name for p in path.rglob("*") if p.is_file()]
    one_a_session = ("textgrid", "srt", "vtt", "audacity", "parquet")
    present = [
        key
        for key in one_a_session
        if any(n.lower().endswith(CONVERTERS[key]().suffixes) for n in names)
    ]
    return present[0] if len(present) == 1 else None


def _of_file(path: Path) -> str | None:
    by_name = _by_suffix(path.name)
    if by_name not in ("lhotse", "seglst"):
        return by_name
    return _by_content(path) or by_name


def _by_content(path: Path) -> str | None:
    """The kind of JSON that a file begins with; None if that says nothing."""
    line = next((line.text for line in read_lines(path) if line.text.strip()), "")
    try:
        row = json.loads(line)
    except ValueError:
        return "seglst" if path.name.removesuffix(".gz").endswith(".seglst.json") else None
    if not isinstance(row, dict):
        return None
    if "conversation" in row:
        return "moss"
    if "audio_filepath" in row:
        return "nemo"
    return "lhotse-pair" if "recording_id" in row or "sources" in row else None
