"""Streaming convolution of all speakers with all their responses, by overlap-add.

Per block: one forward transform a speaker who speaks in it, shared by all channels; products are
summed over speakers in frequency; one inverse transform a channel. Stems cost one more inverse
transform each and leave the sum as it is, to the bit. The grid of blocks depends on the length of
the responses alone, and memory on the block, not on the session.

Legend: ``K`` speaker, ``C`` channel, ``T`` sample, ``F`` frequency bin, ``L`` sample of a response.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Protocol

import numpy as np
import scipy.fft
from numpy.typing import NDArray

FFT_SAMPLES = 32768
"""Fastest size for responses of half a second at 16 kHz; doubled for longer ones."""
LEAST_RATIO = 3
"""The transform is at least this many times as long as the response, or too much of it is tail."""

Samples = NDArray[np.float32]
Spectrum = NDArray[np.complex64]


class Track(Protocol):
    """A dry signal that can be read anywhere."""

    def block(self, start: int, num_samples: int) -> Samples | None:
        """Samples from ``start`` on, shape ``[T]``; None where they are all zero."""


@dataclass(frozen=True, slots=True)
class Block:
    """A stretch of the convolved session."""

    start: int
    speech: Samples  # [C, T]
    """Sum over speakers."""
    stems: tuple[Samples | None, ...]  # K times [C, T]
    """Each speaker, None where silent; empty where stems were not asked for."""


def fft_size(response_samples: int) -> int:
    """Length of the transform for responses of a length.

    >>> fft_size(8000), fft_size(48000)
    (32768, 262144)
    """
    size = FFT_SAMPLES
    while size < LEAST_RATIO * response_samples:
        size *= 2
    return size


def block_size(response_samples: int) -> int:
    """Samples of a block for responses of a length: what a transform holds beside their tail.

    >>> block_size(1), block_size(8001)
    (32768, 24768)
    """
    return fft_size(response_samples) - response_samples + 1


def convolve(
    tracks: Sequence[Track], h: Samples, num_samples: int, *, stems: bool = False
) -> Iterator[Block]:
    """The tracks convolved with their responses, in blocks of `block_size`; the last is shorter.

    Args:
        tracks: One a speaker.
        h: Responses, shape ``[K, C, L]``.
        num_samples: Length of the session; what would sound after it is cut.
        stems: Give each speaker's signal beside the sum.
    """
    if len(tracks) != len(h):
        raise ValueError(f"{len(tracks)} tracks for {len(h)} responses")
    length = h.shape[2]
    size, hop = fft_size(length), block_size(length)
    if length == 1:
        yield from _scaled(tracks, h[:, :, 0], num_samples, hop, stems)
        return
    transforms: Spectrum = scipy.fft.rfft(h, size, axis=2, workers=1)  # [K, C, F]
    total = _Overlap(h.shape[1], size, hop)
    single = [_Overlap(h.shape[1], size, hop) for _ in tracks] if stems else []
    buffer = np.zeros(size, dtype=np.float32)
    product = np.empty(transforms.shape[1:], dtype=np.complex64)
    for start in range(0, num_samples, hop):
        wanted = min(hop, num_samples - start)
        summed: Spectrum | None = None
        parts: list[Samples | None] = []
        for k, track in enumerate(tracks):
            dry = track.block(start, wanted)
            if dry is not None:
                buffer[:wanted] = dry
                buffer[wanted:hop] = 0.0
                np.multiply(transforms[k], scipy.fft.rfft(buffer, workers=1), out=product)
                if summed is None:
                    summed = product.copy()
                else:
                    summed += product
            if stems:
                parts.append(single[k].next(product if dry is not None else None, wanted))
        speech = total.next(summed, wanted)
        if speech is None:
            speech = np.zeros((h.shape[1], wanted), dtype=np.float32)
        yield Block(start, speech, tuple(parts))


class _Overlap:
    """Adds the tail of each block to the beginning of the next."""

    def __init__(self, num_channels: int, size: int, hop: int) -> None:
        self._size, self._hop = size, hop
        self._tail: Samples | None = None  # [C, L - 1]
        self._channels = num_channels

    def next(self, spectrum: Spectrum | None, wanted: int) -> Samples | None:
        """The next samples, shape ``[C, wanted]``; None where all are zero."""
        if spectrum is None:
            tail, self._tail = self._tail, None
            if tail is None:
                return None
            # A tail is shorter than a block (LEAST_RATIO), so nothing of it is left after this.
            result = np.zeros((self._channels, wanted), dtype=np.float32)
            count = min(wanted, tail.shape[1])
            result[:, :count] = tail[:, :count]
            return result
        signal: Samples = scipy.fft.irfft(spectrum, self._size, axis=1, workers=1)
        if self._tail is not None:
            signal[:, : self._tail.shape[1]] += self._tail
        self._tail = signal[:, self._hop :].copy()
        return signal[:, :wanted]


def _scaled(
    tracks: Sequence[Track], gains: Samples, num_samples: int, hop: int, stems: bool
) -> Iterator[Block]:
    """Responses of one sample: nothing to convolve. Gains have the shape ``[K, C]``."""
    for start in range(0, num_samples, hop):
        wanted = min(hop, num_samples - start)
        speech = np.zeros((gains.shape[1], wanted), dtype=np.float32)
        parts: list[Samples | None] = []
        for track, gain in zip(tracks, gains, strict=True):
            dry = track.block(start, wanted)
            scaled = None if dry is None else gain[:, None] * dry
            if scaled is not None:
                speech += scaled
            if stems:
                parts.append(scaled)
        yield Block(start, speech, tuple(parts))
