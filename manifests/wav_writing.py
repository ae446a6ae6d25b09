"""Writing 16-bit WAV: the common case, in one pass from samples to file and hashes.

`talkover.manifests.audio_writing` writes everything and hashes a file by reading it again. That
costs as much as rendering a channel, so this writes the header itself, with the sizes that are
known beforehand: the same bytes that libsndfile writes (a test compares).

Legend: ``C`` channel, ``T`` sample.
"""

from __future__ import annotations

import hashlib
import struct
from collections.abc import Iterable
from pathlib import Path
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from talkover.manifests import riff
from talkover.manifests.errors import AudioError
from talkover.manifests.markers import atomic_path

_PCM = 1  # format tag of integer samples
_BYTES = 2  # of one sample
_FORMAT_SIZE = 16  # bytes of the fmt chunk
_HEADER_SIZE = 44  # bytes in all


class WrittenWav(NamedTuple):
    """What was written."""

    sha256: str
    """Of the file."""
    pcm_sha256: str
    """Of the samples, interleaved little-endian."""


def write_wav16(
    path: Path,
    blocks: Iterable[NDArray[np.int16]],
    sampling_rate: int,
    num_channels: int,
    num_samples: int,
) -> WrittenWav:
    """Write a signal of known length block by block, under its name only when it is complete.

    Args:
        path: The file to make or replace.
        blocks: ``[C, T]``; fastest where it is the transpose of an array ``[T, C]``.
        sampling_rate: In Hz.
        num_channels: ``C``.
        num_samples: Sum of all ``T``.

    Raises:
        AudioError: If a WAV file cannot hold so many bytes.
        RunError: If there is no space left on the device.
        ValueError: If the blocks have other channels, or more or fewer samples.
    """
    size = num_samples * num_channels * _BYTES
    if not 0 < size <= riff.MOST_BYTES:
        raise AudioError(path, f"wav holds 1 to {riff.MOST_BYTES} bytes, got {size}: use flac")
    header = _header(sampling_rate, num_channels, size)
    whole, pcm = hashlib.sha256(header), hashlib.sha256()
    left = size
    with atomic_path(path) as temporary:
        with temporary.open("wb", buffering=0) as file:
            file.write(header)
            for block in blocks:
                if len(block) != num_channels:
                    raise ValueError(f"{path}: {len(block)} channels, not {num_channels}")
                data = np.ascontiguousarray(block.T, dtype="<i2").data.cast("B")
                left -= len(data)
                if left < 0:
                    break
                whole.update(data)
                pcm.update(data)
                while data:  # an unbuffered write may take a part
                    data = data[file.write(data) :]
        if left:
            raise ValueError(f"{path}: not {num_samples} samples")
    return WrittenWav(whole.hexdigest(), pcm.hexdigest())


def _header(sampling_rate: int, num_channels: int, size: int) -> bytes:
    frame = num_channels * _BYTES
    return struct.pack(
        "<4sI4s4sIHHIIHH4sI",
        b"RIFF",
        _HEADER_SIZE - 8 + size,
        b"WAVE",
        b"fmt ",
        _FORMAT_SIZE,
        _PCM,
        num_channels,
        sampling_rate,
        sampling_rate * frame,
        frame,
        8 * _BYTES,
        b"data",
        size,
    )
