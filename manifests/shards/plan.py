"""Which sessions go into which shard: decided from the manifest and file sizes, before any copy."""

from __future__ import annotations

import gzip
import hashlib
import re
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

from pydantic import JsonValue

from talkover.manifests.canonical import json_sha256
from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.lhotse_form import session_of_line
from talkover.manifests.lines import cuts_file
from talkover.manifests.schema import Session
from talkover.manifests.shards.index import ShardFormat

LAYOUT = 1
"""Raise it with any change of the bytes that are written, so that no run goes on with old ones."""

_UNITS = {"MB": 10**6, "GB": 10**9, "MiB": 2**20, "GiB": 2**30}


@dataclass(frozen=True, kw_only=True)
class ShardSize:
    """How much a shard holds at most; a session that is larger has a shard of its own."""

    sessions: int | None = None
    num_bytes: int | None = None
    """Of audio and labels, before the labels are compressed."""

    def is_over(self, sessions: int, num_bytes: int) -> bool:
        """Whether so much is too much."""
        if self.sessions is not None:
            return sessions > self.sessions
        return self.num_bytes is not None and num_bytes > self.num_bytes


@dataclass(frozen=True, kw_only=True)
class ShardPlan:
    """A run of lines of the manifest."""

    number: int
    first_line: int
    """From 1."""
    offset: int
    """Of its first line in the (decompressed) manifest, in bytes."""
    size: int
    """Of its lines, in bytes."""
    lines_sha256: str


@dataclass(frozen=True, kw_only=True)
class CorpusPlan:
    """All shards of a corpus."""

    cuts: Path
    format: ShardFormat
    shards: tuple[ShardPlan, ...]
    inputs_hash: str


def parse_size(text: int | str) -> ShardSize:
    """A number of sessions, or of bytes with a unit.

    Raises:
        ConfigurationError: If it is neither, or below 1.

    >>> parse_size(100), parse_size("2 GB")
    (ShardSize(sessions=100, num_bytes=None), ShardSize(sessions=None, num_bytes=2000000000))
    """
    match = re.fullmatch(rf"([0-9]+) ?({'|'.join(_UNITS)})?", str(text))
    if match is None or int(match[1]) < 1:
        raise ConfigurationError(
            f"shard size must be a number of sessions, or of bytes with one of "
            f"{', '.join(_UNITS)}, such as 256MB, got {text!r}"
        )
    if match[2] is None:
        return ShardSize(sessions=int(match[1]))
    return ShardSize(num_bytes=int(match[1]) * _UNITS[match[2]])


def plan_shards(folder: Path, format: ShardFormat, size: ShardSize) -> CorpusPlan:
    """Cut a corpus into shards of consecutive sessions.

    Raises:
        ManifestError: If a line is not a session, an id comes twice, or audio is missing.
    """
    cuts = cuts_file(folder)
    shards: list[ShardPlan] = []
    seen: dict[str, int] = {}
    first, offset, position, filled = 1, 0, 0, 0
    digest = hashlib.sha256()
    for number, raw in numbered_lines(cuts):
        session = session_of_line(raw, path=cuts, line=number)
        if session.id in seen:
            raise ManifestError(
                f"{session.id!r} is on line {seen[session.id]} already",
                path=cuts,
                line=number,
                field="id",
            )
        seen[session.id] = number
        cost = audio_size(cuts, number, session) + len(raw)
        if number > first and size.is_over(number - first + 1, filled + cost):
            shards.append(_shard(len(shards), first, offset, position, digest.hexdigest()))
            first, offset, filled, digest = number, position, 0, hashlib.sha256()
        digest.update(raw)
        position += len(raw)
        filled += cost
    if not seen:
        raise ManifestError("holds no session, so there is nothing to shard", path=cuts)
    shards.append(_shard(len(shards), first, offset, position, digest.hexdigest()))
    inputs: dict[str, JsonValue] = {
        "layout": LAYOUT,
        "format": format,
        "shards": [one.lines_sha256 for one in shards],
    }
    return CorpusPlan(
        cuts=cuts, format=format, shards=tuple(shards), inputs_hash=json_sha256(inputs)
    )


def lines_of(plan: CorpusPlan, shard: ShardPlan) -> Iterator[tuple[int, bytes]]:
    """The lines of a shard with their numbers.

    Raises:
        ManifestError: If they are not what they were when the plan was made.
    """
    with _opened(plan.cuts) as file:
        file.seek(shard.offset)  # of a gzip file this decompresses all that lies before
        data = file.read(shard.size)
    if hashlib.sha256(data).hexdigest() != shard.lines_sha256:
        raise ManifestError("has changed since the run began: start again", path=plan.cuts)
    return enumerate(data.split(b"\n")[:-1], start=shard.first_line)


def audio_size(cuts: Path, line: int, session: Session) -> int:
    """Bytes of a session's audio file.

    Raises:
        ManifestError: If it is not there.
    """
    path = cuts.parent / session.audio.path
    try:
        return path.stat().st_size
    except OSError as error:
        raise ManifestError(
            f"audio of {session.id} cannot be read: {path}: {error.strerror}", path=cuts, line=line
        ) from error


def numbered_lines(cuts: Path) -> Iterator[tuple[int, bytes]]:
    """The lines of a manifest as bytes, line ends included, counted from 1.

    Raises:
        ManifestError: If the file cannot be read or its last line has no end.
    """
    number = 0
    try:
        with _opened(cuts) as file:
            for number, raw in enumerate(file, start=1):
                if not raw.endswith(b"\n"):
                    raise ManifestError(
                        "the last line has no line end, so it may be half a line: make the file "
                        "again",
                        path=cuts,
                        line=number,
                    )
                yield number, raw
    except (EOFError, gzip.BadGzipFile) as error:
        raise ManifestError(f"torn or no gzip file: {error}", path=cuts, line=number + 1) from error
    except OSError as error:
        raise ManifestError(f"cannot be read: {error.strerror}", path=cuts) from error


def _opened(cuts: Path) -> BinaryIO:
    file = gzip.open(cuts, "rb") if cuts.name.endswith(".gz") else cuts.open("rb")
    return cast(BinaryIO, file)


def _shard(number: int, first: int, offset: int, end: int, digest: str) -> ShardPlan:
    return ShardPlan(
        number=number, first_line=first, offset=offset, size=end - offset, lines_sha256=digest
    )
