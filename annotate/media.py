"""Recordings: what they are, and their samples as every branch hears them.

Branches hear one channel at `RATE`. A recording with several channels is mixed down to their mean,
or one channel is taken; which, is part of every stage's key. Decoding goes block by block into a
plain file of int16 samples, so memory does not depend on how long a recording is.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.audio import probe, read_audio, resample, resampled_length
from talkover.manifests.errors import AudioError
from talkover.manifests.markers import atomic_path, file_sha256
from talkover.manifests.pcm import to_pcm16
from talkover.manifests.seeds import content_id

RATE = 16000
"""Hz: what speech models are made for."""
BLOCK_SECONDS = 60.0
"""Seconds decoded at a time."""
FULL_SCALE = 32768.0
LOUDEST = 1e6
"""Times full scale; float files may hold more, which would not stay finite in a filter."""
LOWEST_RATE = 2000
"""Hz: a header that says less is damaged, or the file is no sound."""
HIGHEST_RATE = 768_000
"""Hz: of the fastest audio interfaces; the resampling filter grows with the rate."""
MOST_CHANNELS = 256
"""More are a damaged header: of arrays that are sold, none has more."""

Channel = int | Literal["mean"]


@dataclass(frozen=True, kw_only=True, slots=True)
class Recording:
    """A file to be annotated."""

    id: str
    """Letters, digits, ``-_.``; from the name of the file and its content."""
    path: Path
    sha256: str
    """Of the file."""
    sampling_rate: int
    num_samples: int
    channels: int

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.num_samples / self.sampling_rate


def open_recording(path: Path) -> Recording:
    """A recording from its header and content.

    Raises:
        AudioError: If the file is missing, empty, truncated or not decodable, or its header says
            what no sound has.
    """
    info = probe(path)
    if not LOWEST_RATE <= info.sampling_rate <= HIGHEST_RATE:
        raise AudioError(
            path, f"{info.sampling_rate} Hz is not from {LOWEST_RATE} to {HIGHEST_RATE} Hz"
        )
    if info.channels > MOST_CHANNELS:
        raise AudioError(path, f"{info.channels} channels are more than {MOST_CHANNELS}")
    digest = file_sha256(path)
    return Recording(
        id=recording_id(path, digest),
        path=path,
        sha256=digest,
        sampling_rate=info.sampling_rate,
        num_samples=info.num_samples,
        channels=info.channels,
    )


def recording_id(path: Path, sha256: str) -> str:
    """A safe id: what is readable of the file's name, and eight digits of its content.

    >>> recording_id(Path("talk show (1).mp3"), "ab" * 32)[:12]
    'talk-show--1'
    """
    readable = "".join(c if c.isascii() and (c.isalnum() or c in "_-") else "-" for c in path.stem)
    return f"{readable.strip('-')[:60] or 'recording'}-{content_id(sha256, length=8)}"


class DecodedAudio:
    """The samples of a recording at `RATE`, one channel, on disk.

    Args:
        path: File of int16 samples, little-endian.
        num_samples: How many.
        recording: The file that they are of, for what must be measured at its own rate.
        channel: Which of its channels.
    """

    def __init__(
        self,
        path: Path,
        num_samples: int,
        recording: Recording | None = None,
        channel: Channel = "mean",
    ) -> None:
        """Remember where the samples are."""
        self.path = path
        self.num_samples = num_samples
        self.recording = recording
        self.channel = channel

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.num_samples / RATE

    def read(self, start: int, stop: int) -> NDArray[np.float32]:
        """Samples from one to another, full scale 1, zeros outside the recording; ``[T]``."""
        result = np.zeros(max(0, stop - start), dtype=np.float32)
        first, last = max(0, start), min(self.num_samples, stop)
        if first < last:
            with self.path.open("rb") as file:
                file.seek(2 * first)
                part = np.frombuffer(file.read(2 * (last - first)), dtype="<i2")
            result[first - start : last - start] = part * np.float32(1 / FULL_SCALE)
        return result

    def blocks(
        self, num_samples: int, *, halo: int = 0
    ) -> Iterator[tuple[int, NDArray[np.float32]]]:
        """First sample of each block, and the block with ``halo`` samples on both sides."""
        for start in range(0, self.num_samples, num_samples):
            stop = min(start + num_samples, self.num_samples)
            yield start, self.read(start - halo, stop + halo)


def decoded_length(recording: Recording) -> int:
    """Samples at `RATE` that a recording decodes to."""
    return resampled_length(recording.num_samples, recording.sampling_rate, RATE)


def decode(recording: Recording, path: Path, *, channel: Channel = "mean") -> DecodedAudio:
    """Write the samples of a recording as the branches hear them; atomic.

    Args:
        recording: What to decode.
        path: The file to write.
        channel: One channel, counted from 0, or the mean of all.

    Raises:
        AudioError: If the file ends early, has no such channel or holds values that are not finite.
    """
    total = decoded_length(recording)
    path.parent.mkdir(parents=True, exist_ok=True)
    written = 0
    with atomic_path(path) as temporary, temporary.open("wb") as file:
        for block in _resampled(recording, channel):
            block = block[: total - written]
            file.write(to_pcm16(block).astype("<i2").tobytes())
            written += len(block)
    if written != total:
        raise AudioError(recording.path, f"gave {written} samples at {RATE} Hz, not {total}")
    return DecodedAudio(path, total, recording, channel)


def _resampled(recording: Recording, channel: Channel) -> Iterator[NDArray[np.float32]]:
    """Blocks at `RATE`, the same as if all had been resampled at once.

    Blocks begin at multiples of the ratio's denominator and are read with a margin as long as the
    filter, whose ends are thrown away.
    """
    rate = recording.sampling_rate
    common = math.gcd(rate, RATE)
    up, down = RATE // common, rate // common
    filter_reach = 0 if up == down else -(-10 * max(up, down) // up) + down  # SciPy: 10 × the ratio
    margin = -(-filter_reach // down) * down
    size = max(1, round(BLOCK_SECONDS * rate) // down) * down
    for start in range(0, recording.num_samples, size):
        stop = min(start + size, recording.num_samples)
        first, last = max(0, start - margin), min(recording.num_samples, stop + margin)
        part = read_audio(
            recording.path, start_sample=first, num_samples=last - first, channel=channel
        )
        at_rate = resample(np.clip(part, -LOUDEST, LOUDEST), rate, RATE)
        skip = (start - first) // down * up
        wanted = resampled_length(stop, rate, RATE) - start // down * up
        yield at_rate[skip : skip + wanted]
