"""Labelled sounds and music from disk: a ``manifest.csv`` of clips, or folders named by label.

A clip is measured once: where it sounds (runs of activity, joined over short gaps), so that an
event on the timeline begins and ends where something is heard, not where a file does.
"""

from __future__ import annotations

import csv
import hashlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.audio import read_audio
from talkover.manifests.errors import AudioError, ConfigurationError, ManifestError
from talkover.manifests.markers import file_sha256
from talkover.simulate.activity import join_regions, measure_activity

SUFFIXES = frozenset({".wav", ".flac", ".ogg", ".mp3"})
NOT_EVENTS = frozenset({"music", "speech", "noise"})
"""Kinds of a manifest that are no sound events: music has a section of its own, noise is steady."""
EVENT_GAP = 0.5
"""Seconds; two barks this close are one event, as annotators of DCASE and AudioSet-strong do."""
SHORTEST_RUN = 0.05
"""Seconds; shorter runs are clicks."""
QUIETEST_DBFS = -70.0
"""A run below this would scale up the recording's own noise."""
FAINTEST = 1e-4
"""A clip whose every sample is below this holds three steps of 16 bit at most."""
MEASURED_CLIPS = 65536
"""Clips whose measurements are kept in each process; a configuration is opened more than once."""
DECODED_CLIPS = 64
"""Clips kept in memory in each process."""

SoundKind = Literal["sound", "music"]


@dataclass(frozen=True, kw_only=True, slots=True)
class SoundClip:
    """One usable clip."""

    clip_id: str
    path: Path
    sha256: str
    """Of the file."""
    kind: SoundKind
    label: str
    num_samples: int
    """At the collection's rate."""
    runs: tuple[tuple[int, int], ...]
    """First sample and end of each run of activity."""
    licence: str | None = None
    attribution: str | None = None
    """Author and source, as the manifest names them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SoundCollection:
    """The usable clips of a folder at one sampling rate."""

    sampling_rate: int
    kind: SoundKind
    clips: Mapping[str, SoundClip]
    """By id, in order of their ids."""
    rejected: tuple[tuple[str, str], ...]
    """(file, reason) of what could not be used."""

    @classmethod
    def open(cls, path: Path, sampling_rate: int, kind: SoundKind) -> SoundCollection:
        """Read a manifest or a tree of folders.

        A ``manifest.csv`` has the columns clip_id, file, label and may have kind, licence, author,
        source; its clips of kind music are music, those of `NOT_EVENTS` no events. In a tree the
        name of a clip's folder is its label.

        Raises:
            ManifestError: If the manifest lacks a column, or two rows have one id.
            ConfigurationError: If no clip is usable.
        """
        clips: dict[str, SoundClip] = {}
        contents: dict[str, str] = {}
        rejected: list[tuple[str, str]] = []
        for row in _rows(path, kind):
            name = row["clip_id"]
            if name in clips:
                raise ManifestError(f"two sounds have the id {name!r}", path=path)
            try:
                clip = _measured(row, kind, sampling_rate)
            except AudioError as error:
                rejected.append((row["file"], error.reason))
                continue
            if clip.sha256 in contents:
                rejected.append((row["file"], f"same content as {contents[clip.sha256]}"))
                continue
            contents[clip.sha256] = name
            clips[name] = clip
        if not clips:
            reasons = "; ".join(f"{file}: {reason}" for file, reason in rejected[:3])
            what = "music" if kind == "music" else "sound event"
            raise ConfigurationError(f"{path}: no usable {what}{': ' if reasons else ''}{reasons}")
        return cls(sampling_rate=sampling_rate, kind=kind, clips=clips, rejected=tuple(rejected))

    @property
    def labels(self) -> tuple[str, ...]:
        """Labels that there are, sorted."""
        return tuple(sorted({clip.label for clip in self.clips.values()}))

    def of(self, label: str) -> tuple[SoundClip, ...]:
        """Clips of a label, in order of their ids."""
        return tuple(clip for clip in self.clips.values() if clip.label == label)

    def sha256(self) -> str:
        """Hash of ids, labels, licences, authors and contents; paths do not count."""
        rows = (
            f"{c.clip_id}\t{c.kind}\t{c.label}\t{c.licence}\t{c.attribution}\t{c.sha256}\n"
            for c in self.clips.values()
        )
        return hashlib.sha256("".join(rows).encode()).hexdigest()

    def clip(self, clip_id: str, sha256: str) -> SoundClip:
        """The clip that a plan names.

        Raises:
            ConfigurationError: If the collection has none of that id, or another content.
        """
        clip = self.clips.get(clip_id)
        if clip is None or clip.sha256 != sha256:
            what = f"no {self.kind}" if clip is None else f"another content of {self.kind}"
            section = "music" if self.kind == "music" else "sounds"
            raise ConfigurationError(
                f"{what} {clip_id!r}: the plan was made with another {section}.path"
            )
        return clip

    def samples(self, clip: SoundClip) -> NDArray[np.float32]:
        """The clip, mono and without an offset, ``[num_samples]``; read-only."""
        return _samples(clip.path, self.sampling_rate)


@dataclass(frozen=True, kw_only=True, slots=True)
class Sounds:
    """The collections of one run."""

    events: SoundCollection | None = None
    music: SoundCollection | None = None

    def of(self, kind: SoundKind) -> SoundCollection:
        """The collection of a kind.

        Raises:
            ConfigurationError: If there is none.
        """
        found = self.music if kind == "music" else self.events
        if found is None:
            section = "music" if kind == "music" else "sounds"
            raise ConfigurationError(f"this plan has {section}: give {section}.path to render it")
        return found


@lru_cache(maxsize=DECODED_CLIPS)
def _samples(path: Path, sampling_rate: int) -> NDArray[np.float32]:
    samples = read_audio(path, sampling_rate=sampling_rate)
    if not len(samples):
        raise AudioError(path, "empty")
    centred = np.asarray(samples - samples.mean(dtype=np.float64), dtype=np.float32)
    centred.flags.writeable = False
    return centred


def _measured(row: dict[str, str], kind: SoundKind, rate: int) -> SoundClip:
    path = Path(row["path"])
    try:
        state = path.stat()
    except OSError as error:
        raise AudioError(path, "not found") from error
    num_samples, runs, sha256 = _activity(path, rate, state.st_size, state.st_mtime_ns)
    names = [row.get("author") or "", row.get("source") or ""]
    return SoundClip(
        clip_id=row["clip_id"],
        path=path,
        sha256=sha256,
        kind=kind,
        label=row["label"],
        num_samples=num_samples,
        runs=runs,
        licence=row.get("licence") or None,
        attribution=", ".join(name for name in names if name) or None,
    )


@lru_cache(maxsize=MEASURED_CLIPS)
def _activity(
    path: Path, rate: int, size: int, modified: int
) -> tuple[int, tuple[tuple[int, int], ...], str]:
    """Length, runs of activity and hash of a file; size and time tell it from a later one."""
    samples = _samples(path, rate)
    if float(np.abs(samples).max()) < FAINTEST:
        raise AudioError(path, "silent")
    try:
        regions = measure_activity(samples, rate).regions
    except ValueError as error:
        raise AudioError(path, "too short") from error
    joined = join_regions([(int(a), int(b)) for a, b in regions], rate, EVENT_GAP)
    quietest = 10 ** (QUIETEST_DBFS / 10)
    runs = tuple(
        (int(start), int(end))
        for start, end in joined
        if end - start >= SHORTEST_RUN * rate
        and float(np.mean(np.square(samples[start:end], dtype=np.float64))) > quietest
    )
    if not runs:
        raise AudioError(path, "silent")
    return len(samples), runs, file_sha256(path)


def _rows(path: Path, kind: SoundKind) -> Iterator[dict[str, str]]:
    """Rows with clip_id, file, label and path, in order of their ids."""
    manifest = path / "manifest.csv" if path.is_dir() else path
    if manifest.is_file():
        yield from _manifest_rows(manifest, kind)
        return
    if not path.is_dir():
        raise ConfigurationError(f"{path}: neither a folder nor a manifest of sounds")
    for file in sorted(file for file in path.rglob("*") if file.suffix.lower() in SUFFIXES):
        name = file.relative_to(path)
        yield {
            "clip_id": name.with_suffix("").as_posix(),
            "file": name.as_posix(),
            "label": name.parent.name or kind,
            "path": str(file),
        }


def _manifest_rows(manifest: Path, kind: SoundKind) -> Iterator[dict[str, str]]:
    with manifest.open(newline="", encoding="utf-8-sig") as stream:
        reader = csv.DictReader(stream)
        for column in ("clip_id", "file", "label"):
            if column not in (reader.fieldnames or ()):
                raise ManifestError(
                    f"no column {column!r}; a manifest of sounds has clip_id, file, label and may "
                    f"have kind, licence, author, source; got {', '.join(reader.fieldnames or ())}",
                    path=manifest,
                )
        rows = sorted(reader, key=lambda row: row["clip_id"] or "")
    for row in rows:
        known = {key: value for key, value in row.items() if key and isinstance(value, str)}
        said = known.get("kind", kind)
        if said != "music" if kind == "music" else said in NOT_EVENTS:
            continue
        if not known.get("label") or not known.get("file"):
            raise ManifestError(f"clip {known.get('clip_id')!r} lacks file or label", path=manifest)
        yield {**known, "path": str(manifest.parent / known["file"])}
