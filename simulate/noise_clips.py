"""Recorded noises from disk: a folder of files, or a ``manifest.csv`` of them.

A clip becomes a loop without a seam: its digitally silent ends and its mean are removed, and its
end is cross-faded into its beginning.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping
from contextlib import suppress
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.audio import read_audio
from talkover.manifests.errors import AudioError, ConfigurationError, ManifestError
from talkover.manifests.markers import atomic_path, file_sha256

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3"})
NOT_AMBIENT = frozenset({"music", "speech"})
"""Kinds of a manifest that are never drawn as ambient noise."""
CROSSFADE_SECONDS = 0.05
"""From a clip's end to its beginning; at most a quarter of the clip."""
SHORTEST_SECONDS = 0.5
"""Below this a loop is heard as a tone."""
DIGITAL_SILENCE = 1e-4
"""Samples below this at either end are padding: three steps of 16 bit."""
QUIETEST_RMS = 1e-4
"""-80 dBFS; scaling up less than that would scale up the quantisation."""
DECODED_CLIPS = 8
"""Loops kept in memory in each process."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseClip:
    """One usable noise."""

    clip_id: str
    path: Path
    sha256: str
    """Of the file."""
    loop_samples: int
    """Length of its loop at the collection's rate."""
    label: str | None = None
    kind: str | None = None
    licence: str | None = None


@dataclass(frozen=True, kw_only=True, slots=True)
class NoiseCollection:
    """The usable noises of a folder at one sampling rate."""

    sampling_rate: int
    clips: Mapping[str, NoiseClip]
    """By id, in order of their ids."""
    rejected: tuple[tuple[str, str], ...]
    """(file, reason) of what could not be used."""
    kept: Path | None = None
    """Folder of decoded loops."""

    @classmethod
    def open(cls, path: Path, sampling_rate: int, *, kept: Path | None = None) -> NoiseCollection:
        """Read a ``manifest.csv`` (columns clip_id, file, optional label, kind, licence) or a tree.

        Args:
            path: The manifest or the folder.
            sampling_rate: Hz.
            kept: Folder where decoded loops are kept, so that they are decoded once for all
                processes and mapped into memory; None decodes in each.

        Raises:
            ManifestError: If the manifest lacks a column, or two rows have one id.
            ConfigurationError: If no clip is usable.
        """
        clips: dict[str, NoiseClip] = {}
        contents: dict[str, str] = {}
        rejected: list[tuple[str, str]] = []
        for row in _rows(path):
            clip_id, file = row["clip_id"], Path(row["path"])
            if clip_id in clips:
                raise ManifestError(f"two noises have the id {clip_id!r}", path=path)
            try:
                digest = file_sha256(file) if file.is_file() else ""
                loop_samples = len(_kept_loop(file, digest, sampling_rate, kept))
            except AudioError as error:
                rejected.append((row["file"], error.reason))
                continue
            if digest in contents:
                rejected.append((row["file"], f"same content as {contents[digest]}"))
                continue
            contents[digest] = clip_id
            clips[clip_id] = NoiseClip(
                clip_id=clip_id,
                path=file,
                sha256=digest,
                loop_samples=loop_samples,
                label=row.get("label") or None,
                kind=row.get("kind") or None,
                licence=row.get("licence") or None,
            )
        collection = cls(
            sampling_rate=sampling_rate, clips=clips, rejected=tuple(rejected), kept=kept
        )
        if not collection.ambient:
            reasons = "; ".join(f"{file}: {reason}" for file, reason in rejected[:3])
            raise ConfigurationError(f"{path}: no usable noise{': ' if reasons else ''}{reasons}")
        return collection

    @property
    def ambient(self) -> tuple[NoiseClip, ...]:
        """Clips that may be drawn as ambient noise: all but music and speech."""
        return tuple(c for c in self.clips.values() if (c.kind or "") not in NOT_AMBIENT)

    def sha256(self) -> str:
        """Hash of ids, kinds, licences and contents; paths do not count."""
        rows = (
            f"{c.clip_id}\t{c.kind or ''}\t{c.licence or ''}\t{c.sha256}\n"
            for c in self.clips.values()
        )
        return hashlib.sha256("".join(rows).encode()).hexdigest()

    def clip(self, clip_id: str | None, sha256: str | None) -> NoiseClip:
        """The clip that a plan names.

        Raises:
            ConfigurationError: If the collection has none of that id, or another content.
        """
        clip = self.clips.get(clip_id or "")
        if clip is None or (sha256 is not None and clip.sha256 != sha256):
            what = "no noise" if clip is None else "another content of noise"
            raise ConfigurationError(
                f"{what} {clip_id!r} in the collection: the plan was made with another noise.path"
            )
        return clip

    def loop(self, clip: NoiseClip) -> NDArray[np.float32]:
        """The clip as a loop without a seam, mono, shape ``[loop_samples]``; read-only."""
        return _kept_loop(clip.path, clip.sha256, self.sampling_rate, self.kept)


def _kept_loop(
    path: Path, sha256: str, sampling_rate: int, kept: Path | None
) -> NDArray[np.float32]:
    """The loop of a file, from the folder of decoded loops where it is there already."""
    if kept is None:
        return _loop(path, sampling_rate)
    file = kept / f"{sha256}-{sampling_rate}.npy"
    with suppress(OSError, ValueError):  # not there yet, or not whole: decode
        mapped: NDArray[np.float32] = np.load(file, mmap_mode="r")
        return mapped
    loop = _loop(path, sampling_rate)
    with atomic_path(file) as temporary, temporary.open("wb") as stream:
        np.save(stream, loop)
    return loop


@lru_cache(maxsize=DECODED_CLIPS)
def _loop(path: Path, sampling_rate: int) -> NDArray[np.float32]:
    samples = read_audio(path, sampling_rate=sampling_rate)
    loud = np.flatnonzero(np.abs(samples) > DIGITAL_SILENCE)
    if not len(loud):
        raise AudioError(path, "silent")
    exact = samples[loud[0] : loud[-1] + 1].astype(np.float64)
    if len(exact) < SHORTEST_SECONDS * sampling_rate:
        raise AudioError(path, f"shorter than {SHORTEST_SECONDS:g} s without its silent ends")
    exact -= exact.mean()
    if float(np.sqrt(np.mean(exact**2))) < QUIETEST_RMS:
        raise AudioError(path, "silent or constant (DC)")
    loop = _without_seam(exact, sampling_rate).astype(np.float32)
    loop.flags.writeable = False
    return loop


def _without_seam(samples: NDArray[np.float64], sampling_rate: int) -> NDArray[np.float64]:
    """The samples as a loop: the last stretch is faded into the first, at constant power."""
    fade = min(round(CROSSFADE_SECONDS * sampling_rate), len(samples) // 4)
    period = len(samples) - fade
    angle = np.pi / 2 * (np.arange(fade) + 0.5) / fade
    loop = samples[:period].copy()
    loop[:fade] = loop[:fade] * np.sin(angle) + samples[period:] * np.cos(angle)
    return loop


def _rows(path: Path) -> Iterator[dict[str, str]]:
    """Rows with clip_id, file and path, in order of their ids."""
    manifest = path / "manifest.csv" if path.is_dir() else path
    if not manifest.is_file():
        if not path.is_dir():
            raise ConfigurationError(f"{path}: neither a folder nor a manifest of noises")
        for file in sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES):
            name = file.relative_to(path)
            yield {
                "clip_id": name.with_suffix("").as_posix(),
                "file": name.as_posix(),
                "path": str(file),
            }
        return
    with manifest.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        for column in ("clip_id", "file"):
            if column not in (reader.fieldnames or ()):
                raise ManifestError(
                    f"no column {column!r}; a manifest of noises has clip_id, file and may have "
                    f"label, kind, licence; got {', '.join(reader.fieldnames or ())}",
                    path=manifest,
                    line=1,
                )
        rows = sorted(reader, key=lambda row: row["clip_id"] or "")
    for row in rows:
        known = {key: value for key, value in row.items() if key and isinstance(value, str)}
        yield {**known, "path": str(manifest.parent / known.get("file", ""))}
