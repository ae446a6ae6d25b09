"""Reading and writing sessions: ``cuts.jsonl``, plain or gzip, one session a line.

Reading is lazy and strict; writing is atomic, and the same sessions give the same bytes.
"""

from __future__ import annotations

import gzip
import json
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import ManifestError
from talkover.manifests.lhotse_form import session_of_line, to_cut
from talkover.manifests.lines import cuts_file, read_lines
from talkover.manifests.markers import atomic_path
from talkover.manifests.schema import Session

_GZIP_LEVEL = 6  # of the levels of zlib, the usual one; fixed, since it decides the bytes


@dataclass(frozen=True, kw_only=True)
class SessionAudio:
    """A session with its samples in memory."""

    session: Session
    samples: NDArray[np.float32]
    """Shape ``[C, T]``, full scale at 1.0."""
    sampling_rate: int


class SessionSource(Protocol):
    """Any iterable of sessions with audio: what training on the fly takes."""

    def __iter__(self) -> Iterator[SessionAudio]:
        """Start over, or go on; a source may be endless."""


def session_line(session: Session) -> str:
    """A session as its line of ``cuts.jsonl``, without the line end."""
    return json.dumps(to_cut(session), ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def write_sessions(path: Path | str, sessions: Iterable[Session]) -> int:
    """Write a manifest and say how many sessions it has.

    The file appears whole or not at all. A name that ends in ``.gz`` is compressed, without the
    time of writing, so that bytes do not differ between writes.

    Raises:
        ManifestError: If two sessions have one id.
        RunError: If there is no space left on the device.
    """
    path = Path(path)
    seen: set[str] = set()
    with atomic_path(path) as temporary, temporary.open("wb") as plain:
        file = (
            gzip.GzipFile("", "wb", compresslevel=_GZIP_LEVEL, fileobj=plain, mtime=0)
            if path.name.endswith(".gz")
            else plain
        )
        for session in sessions:
            if session.id in seen:
                raise ManifestError(f"two sessions have the id {session.id!r}", path=path)
            seen.add(session.id)
            file.write(session_line(session).encode() + b"\n")
        if file is not plain:
            file.close()
    return len(seen)


def read_sessions(path: Path | str) -> Iterator[Session]:
    """The sessions of a manifest, one at a time.

    Args:
        path: A file, or a folder that holds ``cuts.jsonl`` or ``cuts.jsonl.gz``.

    Raises:
        ManifestError: With line and field, at the first line that is torn, is not a session, or
            has an id for the second time. The sessions before it have been given by then.
    """
    file = cuts_file(path)
    seen: dict[str, int] = {}
    for line in read_lines(file):
        if not line.ended:
            raise ManifestError(
                "the last line has no line end, so it may be half a line: make the file again",
                path=file,
                line=line.number,
            )
        session = session_of_line(line.text, path=file, line=line.number)
        if session.id in seen:
            raise ManifestError(
                f"{session.id!r} is on line {seen[session.id]} already",
                path=file,
                line=line.number,
                field="id",
            )
        seen[session.id] = line.number
        yield session
