"""Reading one session of a shard by its byte ranges; needs neither torch nor Lhotse.

Shapes: ``C`` channel, ``T`` time in samples.
"""

from __future__ import annotations

import gzip
import io
import zlib
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
from numpy.typing import NDArray

from talkover.manifests.errors import AudioError, ManifestError
from talkover.manifests.io import SessionAudio
from talkover.manifests.lhotse_form import session_of_line
from talkover.manifests.pcm import require_finite
from talkover.manifests.schema import Audio, Session
from talkover.manifests.shards.archive import Span
from talkover.manifests.shards.index import read_index
from talkover.manifests.shards.places import Place


def read_sharded(
    where: Path | str, *, storage_options: Mapping[str, Any] | None = None
) -> Iterator[SessionAudio]:
    """All sessions of shards with their audio, in the order of the corpus.

    Args:
        where: Path or URL of the folder of the index.
        storage_options: For fsspec's file system.

    Raises:
        ManifestError: If a file is missing, cut short or not what the index says.
        AudioError: If audio cannot be decoded or is not what its labels say.
    """
    index, place, _ = read_index(where, storage_options=storage_options)
    for shard in index.shards:
        for entry in shard.sessions:
            yield read_entry(
                place, entry.id, shard.labels.path, entry.labels, shard.audio.path, entry.audio
            )


def read_entry(
    place: Place, id: str, labels_path: str, labels: Span, audio_path: str, audio: Span
) -> SessionAudio:
    """A session by where its line and its audio lie; see `read_sharded` for errors.

    Both in one file are read in one piece.
    """
    if labels_path == audio_path:
        start = labels[0]
        piece = place.read(labels_path, (start, sum(audio) - start))
        raw, encoded = piece[: labels[1]], piece[audio[0] - start :]
    else:
        raw = _decompress(place.read(labels_path, labels), f"{place.url}/{labels_path}")
        encoded = place.read(audio_path, audio)
    session = session_of_line(raw, path=f"{place.url}/{labels_path}")
    if session.id != id:
        raise ManifestError(
            f"the index says {id!r} lies at byte {labels[0]}, found {session.id!r}: "
            "index and shards are not of one run",
            path=f"{place.url}/{labels_path}",
        )
    samples = _decode(encoded, session, f"{place.url}/{audio_path}")
    return SessionAudio(session=session, samples=samples, sampling_rate=session.audio.sampling_rate)


def _decompress(data: bytes, path: str) -> bytes:
    try:
        return gzip.decompress(data)
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ManifestError(f"torn or no gzip file: {error}", path=path) from error


def _decode(data: bytes, session: Session, path: str) -> NDArray[np.float32]:
    """Samples ``[C, T]`` of an audio file in memory, held against its labels."""
    try:
        with soundfile.SoundFile(io.BytesIO(data)) as file:
            _require_declared(file, session.audio, session.id, path)
            samples = file.read(dtype="float32", always_2d=True)  # [T, C]
    except soundfile.LibsndfileError as error:
        reason = error.error_string.strip().rstrip(".")
        raise AudioError(path, f"audio of {session.id} not decodable: {reason}") from error
    if len(samples) != session.audio.num_samples:
        raise AudioError(
            path,
            f"audio of {session.id} short: {session.audio.num_samples} samples are declared, "
            f"{len(samples)} could be decoded",
        )
    signal = np.ascontiguousarray(samples.T)  # [C, T]
    require_finite(path, signal, 0)
    return signal


def _require_declared(file: soundfile.SoundFile, audio: Audio, id: str, path: str) -> None:
    got = (file.samplerate, file.channels, file.frames)
    declared = (audio.sampling_rate, audio.num_channels, audio.num_samples)
    if got != declared:
        raise AudioError(
            path,
            f"audio of {id} is {got[0]} Hz, {got[1]} channels, {got[2]} samples; its labels say "
            f"{declared[0]} Hz, {declared[1]} channels, {declared[2]} samples",
        )
