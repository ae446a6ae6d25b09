"""Measured microphone responses from disk: a folder of impulse responses, or a manifest of them.

A response keeps its phase. Its largest tap is time 0, so that labels stay where they are, and its
gain at 1 kHz, where microphones are specified (IEC 60268-4), is brought to 0 dB.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.audio import read_audio
from talkover.manifests.errors import AudioError, ConfigurationError, ManifestError
from talkover.manifests.markers import file_sha256

SUFFIXES = frozenset({".wav", ".flac"})
REFERENCE_HZ = 1000.0
"""Where the gain is 0 dB (IEC 60268-4)."""
LONGEST_SECONDS = 1.0
"""A microphone is not a room."""
SMALLEST_GAIN = 1e-6
"""Of the reference frequency: a response that stops it cannot be normalised there."""


@dataclass(frozen=True, kw_only=True, slots=True)
class MeasuredMicrophone:
    """One usable response."""

    id: str
    path: Path
    sha256: str
    """Of the file."""
    licence: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class MicrophoneResponses:
    """The usable responses of a folder, by id, in order of their ids."""

    sampling_rate: int
    microphones: Mapping[str, MeasuredMicrophone]
    rejected: tuple[tuple[str, str], ...] = ()
    """(file, reason) of what could not be used."""

    @classmethod
    def open(cls, path: Path, sampling_rate: int) -> MicrophoneResponses:
        """Read a folder of audio files, or a ``manifest.csv`` (columns id, file, maybe licence).

        Raises:
            ManifestError: If the manifest lacks a column or two rows have one id.
            ConfigurationError: If no response is usable.
        """
        found: dict[str, MeasuredMicrophone] = {}
        rejected: list[tuple[str, str]] = []
        for name, file, licence in _rows(path):
            if name in found:
                raise ManifestError(f"two microphone responses have the id {name!r}", path=path)
            try:
                _taps(file, sampling_rate)
                digest = file_sha256(file)
            except AudioError as error:
                rejected.append((file.name, error.reason))
                continue
            found[name] = MeasuredMicrophone(id=name, path=file, sha256=digest, licence=licence)
        if not found:
            reasons = "; ".join(f"{file}: {reason}" for file, reason in rejected[:3])
            raise ConfigurationError(
                f"{path}: no usable microphone response{': ' if reasons else ''}{reasons}"
            )
        return cls(sampling_rate=sampling_rate, microphones=found, rejected=tuple(rejected))

    @property
    def ids(self) -> tuple[str, ...]:
        """Ids in order."""
        return tuple(self.microphones)

    def sha256(self) -> str:
        """Hash of ids, licences and contents; paths do not count."""
        rows = (f"{m.id}\t{m.licence or ''}\t{m.sha256}\n" for m in self.microphones.values())
        return hashlib.sha256("".join(rows).encode()).hexdigest()

    def taps(self, name: str, sha256: str | None = None) -> tuple[NDArray[np.float64], int]:
        """A response, ``[L]``, and its tap at time 0.

        Raises:
            ConfigurationError: If there is none of that name, or it has another content.
        """
        found = self.microphones.get(name)
        if found is None or (sha256 is not None and found.sha256 != sha256):
            what = "no microphone" if found is None else "another content of microphone"
            raise ConfigurationError(f"channel.responses has {what} {name!r}")
        return _taps(self.microphones[name].path, self.sampling_rate)


@lru_cache(maxsize=64)
def _taps(path: Path, sampling_rate: int) -> tuple[NDArray[np.float64], int]:
    taps = read_audio(path, sampling_rate=sampling_rate).astype(np.float64)
    if len(taps) > LONGEST_SECONDS * sampling_rate:
        raise AudioError(path, f"longer than {LONGEST_SECONDS:g} s: not a microphone's response")
    phase = -2j * np.pi * REFERENCE_HZ / sampling_rate * np.arange(len(taps))
    gain = abs(np.sum(taps * np.exp(phase)))
    if gain < SMALLEST_GAIN:
        raise AudioError(path, f"no gain at {REFERENCE_HZ:g} Hz")
    taps /= gain
    taps.flags.writeable = False
    return taps, int(np.argmax(np.abs(taps)))


def _rows(path: Path) -> Iterator[tuple[str, Path, str | None]]:
    """Id, file and licence, in order of the ids."""
    manifest = path / "manifest.csv" if path.is_dir() else path
    if not manifest.is_file():
        if not path.is_dir():
            raise ConfigurationError(f"{path}: neither a folder nor a manifest of responses")
        for file in sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES):
            yield file.relative_to(path).with_suffix("").as_posix(), file, None
        return
    with manifest.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        for column in ("id", "file"):
            if column not in (reader.fieldnames or ()):
                raise ManifestError(
                    f"no column {column!r}; a manifest of microphone responses has id, file and "
                    f"may have licence; got {', '.join(reader.fieldnames or ())}",
                    path=manifest,
                )
        rows = sorted(reader, key=lambda row: row["id"] or "")
    for row in rows:
        yield row["id"], manifest.parent / (row["file"] or ""), row.get("licence") or None
