"""What the audio files of sessions really hold: measured once, kept, held against labels later.

A file is read in blocks of whole frames, so memory does not grow with its length.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow as pa
import pyarrow.parquet as pq
from numpy.typing import NDArray

from talkover.manifests.audio import file_sha256, pcm_sha256, probe, read_audio
from talkover.manifests.audit.cells import NAN
from talkover.manifests.audit.columns import TABLES, arrow_table
from talkover.manifests.audit.tables import VERSION
from talkover.manifests.errors import AudioError
from talkover.manifests.markers import atomic_path

FRAME = 0.1
"""Seconds of a frame of the level contour."""
FLOOR_DBFS = -120.0
"""Level that digital silence is given."""
_SPECTRUM = 1024  # samples of a frame of the mean spectrum: 16 Hz bins at 16 kHz
_BELOW_PEAK_DB = 75.0  # sound this far below the strongest bin is none: 16 bits end at about 85
_FRAMES_A_BLOCK = 300
_FULL = 1 - 1 / 32768
_RUN = 3  # samples at full scale in a row that are clipping, not a peak
_LEVEL_QUANTILE = 95  # of frames: speech, in a session that is silent half the time, too


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionFiles:
    """The files of one session."""

    session_row: int
    folder: Path
    files: tuple[tuple[str, str], ...]
    """(role, path) of each."""

    def state(self) -> Iterator[str]:
        """What changes when a file does."""
        for role, path in self.files:
            try:
                stat = (self.folder / path).stat()
                file = f"{stat.st_dev} {stat.st_ino} {stat.st_size} {stat.st_mtime_ns}"
                yield f"{role} {path} {file}"
            except (OSError, ValueError):
                yield f"{role} {path} missing"


@dataclass(frozen=True, kw_only=True)
class Measure:
    """Measures some sessions, or finds what was measured before. Can be pickled.

    Args:
        cache: Folder of Parquet files; None keeps nothing.
    """

    cache: Path | None

    def __call__(self, sessions: Sequence[SessionFiles]) -> pa.Table:
        """The table ``audio`` of some sessions."""
        if self.cache is None:
            return measure(sessions)
        state = "\n".join(line for session in sessions for line in session.state())
        key = hashlib.sha256(f"{VERSION}\n{state}".encode()).hexdigest()[:32]
        rows = [session.session_row for session in sessions for _ in session.files]
        file = self.cache / f"audio-{key}.parquet"
        if not file.is_file():
            self.cache.mkdir(parents=True, exist_ok=True)
            with atomic_path(file) as temporary:
                pq.write_table(measure(sessions), temporary, compression="zstd")
        table = pq.read_table(file, use_threads=False)
        return table.set_column(0, table.schema.field(0), pa.array(rows, pa.int64()))


def measure(sessions: Sequence[SessionFiles]) -> pa.Table:
    """The table ``audio`` of some sessions; what cannot be read is noted, never raised."""
    values: dict[str, list[Any]] = {column.name: [] for column in TABLES["audio"]}
    for session in sessions:
        for row in _facts(session):
            for column in TABLES["audio"]:
                missing = NAN if column.dtype == "float64" else None
                values[column.name].append(row.get(column.name, missing))
    return arrow_table("audio", values)


def contour(data: bytes) -> NDArray[np.float64]:
    """Levels of frames in dB full scale, from a column ``contour``."""
    return np.frombuffer(data, dtype=np.float16).astype(np.float64)


def _facts(session: SessionFiles) -> list[dict[str, Any]]:
    rows = [_file_facts(session, role, path) for role, path in session.files]
    usable = {row["role"]: row for row in rows if row["fault"] is None and row["exists"]}
    stems = [row for row in rows if row["role"].endswith("_stem")]
    whole = usable.get("pre_channel", usable.get("audio"))
    if stems and whole is not None and all(row["fault"] is None and row["exists"] for row in stems):
        has_channel = any(role == "pre_channel" for role, _ in session.files)
        if "pre_channel" in usable or not has_channel:
            paths = [session.folder / row["path"] for row in stems]
            audio = next(row for row in rows if row["role"] == "audio")
            audio["residual"] = _residual(session.folder / whole["path"], paths)
    return rows


def _file_facts(session: SessionFiles, role: str, path: str) -> dict[str, Any]:
    row: dict[str, Any] = {"session_row": session.session_row, "role": role, "path": path}
    file = session.folder / path
    row |= {"exists": int(file.is_file()), "fault": None}
    if not row["exists"]:
        return row
    try:
        info = probe(file)
        row |= {
            "sampling_rate": info.sampling_rate,
            "num_samples": info.num_samples,
            "num_channels": info.channels,
            "sha256": file_sha256(file),
        }
        if role == "audio":
            row["pcm_sha256"] = pcm_sha256(file)
            row |= _signal_facts(file, info.num_samples, info.sampling_rate)
        elif role.endswith("_stem"):
            levels = [
                _levels(b, info.sampling_rate)
                for b in _blocks(file, info.num_samples, info.sampling_rate)
            ]
            row["contour"] = np.concatenate(levels).astype(np.float16).tobytes()
        else:
            for _ in _blocks(file, info.num_samples, info.sampling_rate):
                pass
    except AudioError as error:
        row["fault"] = error.reason
    return row


def _signal_facts(file: Path, num_samples: int, rate: int) -> dict[str, Any]:
    levels, spectrum = [], np.zeros(_SPECTRUM // 2 + 1)
    total, peak, clipped, window = 0.0, 0.0, 0, np.hanning(_SPECTRUM)
    for block in _blocks(file, num_samples, rate):
        first = block[0].astype(np.float64)
        levels.append(_levels(block, rate))
        total += float(first.sum())
        peak = max(peak, float(np.abs(block).max()))
        clipped += _clipped(block)
        frames = first[: len(first) // _SPECTRUM * _SPECTRUM].reshape(-1, _SPECTRUM)
        spectrum += (np.abs(np.fft.rfft(frames * window)) ** 2).sum(axis=0)
    contour_db = np.concatenate(levels)
    return {
        "peak": peak,
        "dc": total / num_samples,
        "level_dbfs": float(np.percentile(contour_db, _LEVEL_QUANTILE)),
        "clipped": float(clipped),
        "bandwidth": _bandwidth(spectrum, rate),
        "contour": contour_db.astype(np.float16).tobytes(),
    }


def _bandwidth(spectrum: NDArray[np.float64], rate: int) -> float:
    """Highest frequency with sound; NaN of a signal without any."""
    inner = spectrum[2:]  # the lowest bins hold an offset
    if inner.max(initial=0.0) <= 0:
        return NAN
    loud = np.flatnonzero(inner > inner.max() * 10 ** (-_BELOW_PEAK_DB / 10))
    return float((loud[-1] + 2) * rate / _SPECTRUM)


def _levels(block: NDArray[np.float32], rate: int) -> NDArray[np.float64]:
    """Level of each frame of the first channel, without its offset, in dB full scale."""
    size = max(1, round(FRAME * rate))
    first = block[0].astype(np.float64)
    frames = np.array_split(first, range(size, len(first), size)) if len(first) % size else None
    if frames is None:
        power = first.reshape(-1, size).var(axis=1)
    else:
        power = np.array([frame.var() for frame in frames])
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (FLOOR_DBFS / 10))))


def _clipped(block: NDArray[np.float32]) -> int:
    """Samples in runs of `_RUN` and more at full scale, over all channels."""
    count = 0
    for signal in block:
        full = np.concatenate([[0], (np.abs(signal) >= _FULL).astype(np.int8), [0]])
        edges = np.flatnonzero(np.diff(full))
        runs = edges[1::2] - edges[::2]
        count += int(runs[runs >= _RUN].sum())
    return count


def _residual(mixture: Path, stems: Sequence[Path]) -> float:
    """Largest difference of a mixture and the sum of its stems; infinite if lengths differ."""
    infos = [probe(path) for path in (mixture, *stems)]
    if len({(info.num_samples, info.channels) for info in infos}) > 1:
        return float("inf")
    count, rate = infos[0].num_samples, infos[0].sampling_rate
    worst = 0.0
    signals = [_blocks(path, count, rate) for path in (mixture, *stems)]
    for whole, *parts in zip(*signals, strict=True):
        total = np.sum([part.astype(np.float64) for part in parts], axis=0)
        worst = max(worst, float(np.abs(whole - total).max()))
    return worst


def _blocks(file: Path, num_samples: int, rate: int) -> Iterator[NDArray[np.float32]]:
    """Samples ``[C, T]`` in blocks of whole frames; the last may be shorter."""
    size = max(1, round(FRAME * rate)) * _FRAMES_A_BLOCK
    for start in range(0, num_samples, size):
        count = min(size, num_samples - start)
        yield read_audio(file, start_sample=start, num_samples=count, channel=None)
