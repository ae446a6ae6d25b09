"""Lines of UTF-8 text files, plain or gzip, that say where they are torn."""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from talkover.manifests.errors import ManifestError

CUTS_NAMES = ("cuts.jsonl", "cuts.jsonl.gz")
"""What the manifest of a produced folder is called."""

_BUFFER = 1 << 20  # bytes


@dataclass(frozen=True, slots=True)
class Line:
    """One line of a file, without its line end."""

    number: int
    """From 1."""
    text: str
    ended: bool
    """False for a last line without a line end, which may be half a line."""


def read_lines(path: Path) -> Iterator[Line]:
    """The lines of a file, read as they are asked for.

    Raises:
        ManifestError: If the file is missing, if its gzip data are torn, or if it is not UTF-8.
    """
    number = 0
    try:
        with path.open("rb") as plain:
            file: io.BufferedIOBase = plain
            if path.name.endswith(".gz"):  # a buffer of its own makes lines four times as fast
                file = io.BufferedReader(gzip.GzipFile(fileobj=plain), _BUFFER)
            for number, raw in enumerate(file, start=1):
                text = raw.decode("utf-8-sig" if number == 1 else "utf-8")
                yield Line(number, text.rstrip("\r\n"), text.endswith("\n"))
    except UnicodeDecodeError as error:
        raise ManifestError(f"not UTF-8: {error.reason}", path=path, line=number) from error
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ManifestError(f"torn or no gzip file: {error}", path=path, line=number + 1) from error
    except OSError as error:
        raise ManifestError(f"cannot be read: {error.strerror}", path=path) from error


def cuts_file(path: Path | str) -> Path:
    """The file itself, or the ``cuts.jsonl`` (or ``cuts.jsonl.gz``) of a folder.

    Raises:
        ManifestError: If a folder holds neither.
    """
    path = Path(path)
    if not path.is_dir():
        return path
    for name in CUTS_NAMES:
        if (path / name).is_file():
            return path / name
    raise ManifestError(f"folder holds no {' or '.join(CUTS_NAMES)}", path=path)
