"""Measured impulse responses from disk: a folder of files, or a ``manifest.csv`` of them.

Each response loses the silence before its direct path, by the same amount in all its channels, and
gets one gain that brings the direct path of its first channel to 1: like a shoebox response from a
distance of one metre. Channels are never aligned or scaled against each other.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.audio import read_audio
from talkover.manifests.errors import AudioError, ConfigurationError, ManifestError
from talkover.simulate.decay import find_direct

SUFFIXES = frozenset({".wav", ".flac", ".ogg"})
PRE_ROLL_SECONDS = 0.0025
"""Kept before the earliest direct path of any channel: the rise of a band-limited pulse."""
END_DB = -60.0
"""A response ends where less than this of its energy is left."""
REQUIRED_COLUMNS = ("rir_id", "file")


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredResponse:
    """One response, ready to convolve with."""

    rir_id: str
    room: str
    samples: NDArray[np.float32]  # [C, L]
    direct_delay_samples: int
    """Sample of the direct path in the first channel."""
    sha256: str
    """Of `samples`, little-endian, channel after channel."""
    licence: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class ResponseSet:
    """All responses of a folder at one sampling rate."""

    sampling_rate: int
    responses: Mapping[str, MeasuredResponse]
    rooms: Mapping[str, tuple[str, ...]]
    """Ids of the responses of each room, sorted."""
    rejected: tuple[tuple[str, str], ...]
    """(file, reason) of what could not be used."""

    def sha256(self) -> str:
        """Hash of all ids, rooms and samples."""
        rows = (f"{r.rir_id}\t{r.room}\t{r.sha256}\n" for r in self.responses.values())
        return hashlib.sha256("".join(sorted(rows)).encode()).hexdigest()

    def response(self, rir_id: str) -> MeasuredResponse:
        """The response of that id.

        Raises:
            ConfigurationError: If the set has none.
        """
        try:
            return self.responses[rir_id]
        except KeyError:
            raise ConfigurationError(
                f"no response {rir_id!r} in the set: the plan was made with another room.rirs"
            ) from None

    @classmethod
    def open(cls, path: Path, sampling_rate: int) -> ResponseSet:
        """Read a ``manifest.csv`` (columns rir_id, file, optional room and licence) or a folder.

        A room is the value of the column ``room``; without one, the subfolder that a file lies in;
        and a file directly in the folder is a room of its own.

        Raises:
            ManifestError: If the manifest has not the columns, or two rows have one id.
            ConfigurationError: If nothing is usable.
        """
        usable: dict[str, MeasuredResponse] = {}
        rejected: list[tuple[str, str]] = []
        for rir_id, file, room, licence in _rows(path):
            if rir_id in usable:
                raise ManifestError(f"two responses have the id {rir_id!r}", path=path)
            try:
                samples = read_audio(file, sampling_rate=sampling_rate, channel=None)
                trimmed, delay = _trimmed(samples, sampling_rate)
            except AudioError as error:
                rejected.append((file.name, error.reason))
                continue
            except ValueError as error:
                rejected.append((file.name, str(error)))
                continue
            usable[rir_id] = MeasuredResponse(
                rir_id=rir_id,
                room=room,
                samples=trimmed,
                direct_delay_samples=delay,
                sha256=hashlib.sha256(trimmed.astype("<f4").tobytes()).hexdigest(),
                licence=licence,
            )
        rooms = _rooms(usable, rejected)
        if not rooms:
            reasons = "; ".join(f"{file}: {reason}" for file, reason in rejected[:3])
            raise ConfigurationError(
                f"{path}: no usable response{': ' if reasons else ''}{reasons}"
            )
        kept = {rir_id: usable[rir_id] for ids in rooms.values() for rir_id in ids}
        return cls(
            sampling_rate=sampling_rate, responses=kept, rooms=rooms, rejected=tuple(rejected)
        )


def _rows(path: Path) -> Iterator[tuple[str, Path, str, str | None]]:
    """Id, file, room and licence of each response, in order of their ids."""
    manifest = path / "manifest.csv" if path.is_dir() else path
    if not manifest.is_file():
        if not path.is_dir():
            raise ConfigurationError(f"{path}: neither a folder nor a manifest of responses")
        for file in sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES):
            rir_id = file.relative_to(path).with_suffix("").as_posix()
            yield rir_id, file, _room_of(rir_id, file, path), None
        return
    with manifest.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        for column in REQUIRED_COLUMNS:
            if column not in (reader.fieldnames or ()):
                raise ManifestError(
                    f"no column {column!r}; a manifest of responses has rir_id, file and may have "
                    f"room, licence; got {', '.join(reader.fieldnames or ())}",
                    path=manifest,
                    line=1,
                )
        rows = sorted(reader, key=lambda row: row["rir_id"] or "")
    for row in rows:
        file = manifest.parent / (row["file"] or "")
        room = row.get("room") or _room_of(row["rir_id"], file, manifest.parent)
        yield row["rir_id"], file, room, row.get("licence") or None


def _room_of(rir_id: str, file: Path, root: Path) -> str:
    return rir_id if file.parent == root else file.parent.name


def _trimmed(samples: NDArray[np.float32], sampling_rate: int) -> tuple[NDArray[np.float32], int]:
    """The response without its silence at both ends, and where its direct path then is."""
    if not np.any(samples[0]):
        raise ValueError("silent first channel")
    direct = [find_direct(channel, sampling_rate) for channel in samples if np.any(channel)]
    start = max(0, min(direct) - round(PRE_ROLL_SECONDS * sampling_rate))
    energy = np.square(samples[:, start:], dtype=np.float64).sum(axis=0)
    remaining = np.cumsum(energy[::-1])[::-1]
    length = int(np.flatnonzero(remaining > remaining[0] * 10 ** (END_DB / 10))[-1]) + 1
    peak = abs(float(samples[0, direct[0]]))
    kept = samples[:, start : start + length] / np.float32(peak)
    return np.ascontiguousarray(kept, dtype=np.float32), direct[0] - start


def _rooms(
    usable: Mapping[str, MeasuredResponse], rejected: list[tuple[str, str]]
) -> dict[str, tuple[str, ...]]:
    """Rooms whose responses have one number of channels; others go to ``rejected``."""
    rooms: dict[str, list[str]] = {}
    for rir_id, response in sorted(usable.items()):
        ids = rooms.setdefault(response.room, [])
        if ids and len(usable[ids[0]].samples) != len(response.samples):
            rejected.append(
                (
                    rir_id,
                    f"{len(response.samples)} channels, but room {response.room!r} has "
                    f"{len(usable[ids[0]].samples)}",
                )
            )
            continue
        ids.append(rir_id)
    return {room: tuple(ids) for room, ids in sorted(rooms.items())}
