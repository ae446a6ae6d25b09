"""Writing audio: block by block, atomic, and the same bytes every time."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from itertools import chain
from pathlib import Path
from typing import Any, Literal, NamedTuple

import numpy as np
import soundfile
from numpy.typing import NDArray

from talkover.manifests import riff
from talkover.manifests.errors import AudioError
from talkover.manifests.markers import atomic_path
from talkover.manifests.pcm import count_clipped, little_endian, require_finite, to_pcm16, to_pcm24

FileFormat = Literal["flac", "wav"]
Subtype = Literal["PCM_16", "PCM_24", "FLOAT"]

MOST_FLAC_CHANNELS = 8
"""RFC 9639, section 9.1.3."""

_BYTES = {"PCM_16": 2, "PCM_24": 3, "FLOAT": 4}  # of one sample
_PROBE = bytes(1 << 16)  # more than fits into the last block of a full disk


class WrittenAudio(NamedTuple):
    """What was written."""

    num_samples: int
    """Per channel."""
    pcm_sha256: str
    num_clipped: int
    """Samples, over all channels, that did not fit and were set to the nearest that does."""


def write_audio(
    path: Path,
    blocks: Iterable[NDArray[np.float32] | NDArray[np.float64] | NDArray[np.int16]],
    sampling_rate: int,
    *,
    format: FileFormat = "flac",
    subtype: Subtype = "PCM_16",
) -> WrittenAudio:
    """Write a signal block by block, under its name only when it is complete.

    Args:
        path: The file to make or replace.
        blocks: ``[T]`` or ``[C, T]``, float with full scale at 1.0 or int16; the same number of
            channels in all.
        sampling_rate: In Hz.
        format: Container.
        subtype: What a sample becomes; FLOAT is for wav only.

    Raises:
        AudioError: If there is no sample, a value is not finite, or the container cannot hold this
            many channels or bytes.
        RunError: If there is no space left on the device.
        ValueError: If the blocks differ in channels, or format and subtype do not go together.
    """
    if format == "flac" and subtype == "FLOAT":
        raise ValueError("flac holds integers: choose wav for FLOAT, or PCM_24 for flac")
    encoded = _encode(path, blocks, subtype)
    first = next(encoded, None)
    if first is None:
        raise AudioError(path, "empty: there is no sample to write")
    channels = first[0].shape[1]
    if format == "flac" and channels > MOST_FLAC_CHANNELS:
        raise AudioError(
            path, f"flac holds at most {MOST_FLAC_CHANNELS} channels, got {channels}: write wav"
        )
    limit = riff.MOST_BYTES // (channels * _BYTES[subtype])
    digest = hashlib.sha256()
    num_samples = num_clipped = 0
    with atomic_path(path) as temporary:
        with _created(path, temporary, sampling_rate, channels, format, subtype) as file:
            for samples, clipped in chain([first], encoded):  # [T, C]
                if samples.shape[1] != channels:
                    raise ValueError(f"{path}: {samples.shape[1]} channels follow {channels}")
                num_samples += len(samples)
                num_clipped += clipped
                if format == "wav" and num_samples > limit:
                    raise AudioError(path, f"wav holds at most {limit} such samples: use flac")
                file.write(samples)
                digest.update(little_endian(samples))
        if soundfile.info(temporary).frames != num_samples:
            raise AudioError(path, "not writable: not all samples arrived in the file")
    return WrittenAudio(num_samples, digest.hexdigest(), num_clipped)


def _encode(
    path: Path, blocks: Iterable[NDArray[Any]], subtype: Subtype
) -> Iterator[tuple[NDArray[Any], int]]:
    """Blocks as the ``[T, C]`` that is stored bit by bit, with the number of clipped values."""
    position = 0
    for block in blocks:
        if block.shape[-1] == 0:
            continue
        if block.dtype != np.int16:
            require_finite(path, block, position)
        position += block.shape[-1]
        samples = np.ascontiguousarray(np.atleast_2d(block).T)
        if samples.dtype == np.int16:
            yield _widened(samples, subtype), 0
        elif samples.dtype not in (np.float32, np.float64):
            raise ValueError(f"{path}: blocks must be float or int16, got {samples.dtype}")
        elif subtype == "FLOAT":
            yield samples.astype(np.float32, copy=False), 0
        elif subtype == "PCM_16":
            yield to_pcm16(samples), count_clipped(samples)
        else:
            yield to_pcm24(samples), count_clipped(samples, 24)


def _widened(samples: NDArray[np.int16], subtype: Subtype) -> NDArray[Any]:
    if subtype == "PCM_16":
        return samples
    if subtype == "PCM_24":
        return samples.astype(np.int32) << 16
    return samples.astype(np.float32) / np.float32(2**15)


@contextmanager
def _created(
    path: Path, temporary: Path, sampling_rate: int, channels: int, format: str, subtype: Subtype
) -> Iterator[soundfile.SoundFile]:
    """A file open for writing whose bytes hold no time, and errors that say what happened."""
    try:
        with soundfile.SoundFile(
            temporary, "w", sampling_rate, channels, subtype, format=format.upper()
        ) as file:
            yield file
    except soundfile.LibsndfileError as error:  # "System error" and no more: ask the system itself
        with temporary.open("ab") as plain:
            plain.write(_PROBE)
            plain.flush()
        raise AudioError(path, f"not writable: {error.error_string}") from error
    if format == "wav":
        riff.clear_peak_time(temporary)
