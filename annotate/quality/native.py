"""What can only be measured on a recording as it was made: at its own rate, channel by channel.

Clipping, offset, bandwidth and loudness change on the way to one channel at 16 kHz. The file is
read in blocks, so memory does not depend on its length.

Legend: ``C`` channel, ``T`` sample, ``F`` frequency bin.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.media import Recording
from talkover.manifests.audio import read_audio
from talkover.manifests.loudness import (
    BLOCK_SECONDS,
    DECAY_SECONDS,
    HOP_SECONDS,
    SILENT_DBFS,
    gated_lufs,
    k_weighted,
)

READ_HOPS = 300
"""Hops of loudness, 0.1 s each, read at a time."""
NEAR_FULL = 1.0 - 2.0 / 32768.0
"""A sample from here on may be clipped."""
CLIPPED_RUN = 3
"""Samples in a row at one extreme that are clipping and no peak."""
SPECTRUM_SECONDS = 0.064
BELOW_PEAK_DB = 75.0
"""Sound so far below the strongest frequency is none; 16 bits end at about 85."""
OVER_ROUNDING = 4.0
"""How much more power than the rounding to 16 bits has must a frequency have to count (6 dB)."""


@dataclass(frozen=True, kw_only=True, slots=True)
class NativeFigures:
    """Figures of a recording at its own rate.

    Attributes:
        clipped_share: Clipped samples of all, over all channels.
        dc_offset: Mean of the channel whose mean is furthest from 0, full scale 1.
        peak_dbfs: Of all channels.
        bandwidth_hz: Highest frequency with sound in any channel; None of silence.
        loudness_lufs: ITU-R BS.1770-4, all channels with weight 1; None of silence.
    """

    clipped_share: float
    dc_offset: float
    peak_dbfs: float
    bandwidth_hz: float | None
    loudness_lufs: float | None


def measure(recording: Recording) -> NativeFigures:
    """Measure a recording in one pass.

    Raises:
        AudioError: If it cannot be decoded.
    """
    rate = recording.sampling_rate
    sums = np.zeros(recording.channels)
    peak, clipped = 0.0, 0
    hops: list[NDArray[np.float64]] = []
    spectra = _Spectra(recording)
    for start, margin, block in _blocks(recording):
        inside = block[:, margin : margin + _block_size(rate)]
        inside = inside[:, : recording.num_samples - start]
        sums += inside.sum(axis=1, dtype=np.float64)
        peak = max(peak, float(np.abs(inside).max()))
        clipped += sum(clipped_samples(signal) for signal in inside)
        spectra.add(inside)
        hops.append(_hop_powers(block, margin, inside.shape[1], rate))
    total = recording.num_samples
    loudness = gated_lufs(_block_powers(np.concatenate(hops)))
    means = sums / total
    return NativeFigures(
        clipped_share=clipped / (total * recording.channels),
        dc_offset=float(means[np.argmax(np.abs(means))]),
        peak_dbfs=20 * float(np.log10(peak)) if peak > 0 else SILENT_DBFS,
        bandwidth_hz=spectra.bandwidth(),
        loudness_lufs=None if loudness <= SILENT_DBFS else loudness,
    )


def _block_size(rate: int) -> int:
    return round(HOP_SECONDS * rate) * READ_HOPS


def _blocks(recording: Recording) -> Iterator[tuple[int, int, NDArray[np.float32]]]:
    """First sample, margin before it, and the block ``[C, T]`` with the filter's margins."""
    rate, total = recording.sampling_rate, recording.num_samples
    size, halo = _block_size(rate), round(DECAY_SECONDS * rate)
    for start in range(0, total, size):
        first, last = max(0, start - halo), min(total, start + size + halo)
        block = read_audio(
            recording.path, start_sample=first, num_samples=last - first, channel=None
        )
        yield start, start - first, block


def clipped_samples(signal: NDArray[np.float32]) -> int:
    """Samples in runs at full scale: `CLIPPED_RUN` and more of one sign.

    >>> clipped_samples(np.array([0, 1, 1, 1, 0, -1, -1, 0.5], dtype=np.float32))
    3
    """
    count = 0
    for full in (signal >= NEAR_FULL, signal <= -NEAR_FULL):
        edges = np.flatnonzero(np.diff(np.concatenate([[0], full.astype(np.int8), [0]])))
        runs = edges[1::2] - edges[::2]
        count += int(runs[runs >= CLIPPED_RUN].sum())
    return count


def _hop_powers(
    block: NDArray[np.float32], margin: int, count: int, rate: int
) -> NDArray[np.float64]:
    """K-weighted mean squares of hops of 0.1 s, summed over channels; a last part is one, too."""
    hop = round(HOP_SECONDS * rate)
    total = np.zeros(-(-count // hop))
    for signal in block:
        weighted = k_weighted(signal, rate)[margin : margin + count]
        whole = count // hop
        total[:whole] += np.mean(weighted[: whole * hop].reshape(whole, hop) ** 2, axis=1)
        if whole < len(total):
            total[-1] += np.mean(weighted[whole * hop :] ** 2)
    return total


def _block_powers(hops: NDArray[np.float64]) -> NDArray[np.float64]:
    """Mean squares of overlapping blocks; a recording shorter than a block is one block."""
    parts = round(BLOCK_SECONDS / HOP_SECONDS)
    if len(hops) <= parts:
        return np.array([hops.mean()])
    # The last hop may be shorter than the others, and is left out as BS.1770-4 says.
    return np.convolve(hops[:-1], np.ones(parts) / parts, mode="valid")


class _Spectra:
    """Mean power spectrum of each channel, from a block at a time."""

    def __init__(self, recording: Recording) -> None:
        """Start with nothing."""
        self._rate = recording.sampling_rate
        self._size = max(16, round(SPECTRUM_SECONDS * self._rate) // 2 * 2)
        self._taper = np.hanning(self._size).astype(np.float32)
        self._power = np.zeros((recording.channels, self._size // 2 + 1))
        self._frames = 0

    def add(self, block: NDArray[np.float32]) -> None:
        """Hear whole frames of a block, ``[C, T]``."""
        whole = block.shape[1] // self._size
        if not whole:
            return
        frames = block[:, : whole * self._size].reshape(len(block), whole, self._size)
        self._power += (np.abs(np.fft.rfft(frames * self._taper, axis=2)) ** 2).sum(axis=1)
        self._frames += whole

    def bandwidth(self) -> float | None:
        """Highest frequency with sound, in Hz; None of silence."""
        power = self._power.copy()
        power[:, :2] = 0.0  # the lowest bins hold an offset
        rounding = float((self._taper**2).sum()) * self._frames / 12 / 32768.0**2
        peak = power.max(axis=1, keepdims=True)
        sounding = power > np.maximum(peak * 10 ** (-BELOW_PEAK_DB / 10), OVER_ROUNDING * rounding)
        bins = np.flatnonzero(sounding.any(axis=0))
        return float(bins[-1] * self._rate / self._size) if len(bins) else None
