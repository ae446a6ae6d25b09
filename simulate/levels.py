"""Levels: decibels, power over active speech, the meaning of SNR, and headroom.

Full scale is 1.0. A level is the RMS in dB re full scale, so a full-scale sine has -3.01 dBFS.
"""

from __future__ import annotations

import math
from bisect import bisect_right
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.loudness import SILENT_DBFS

SNR_DEFINITION = (
    "power of reverberant speech over power of noise, first channel, "
    "mean over 10 ms frames with at least one active speaker (labels)"
)
"""What `NoisePlan.snr_db` asks for and what is measured; stored with every session."""

FRAMES_PER_SECOND = 100
"""Frames of the SNR definition: 10 ms each."""

LEVEL_DIGITS = 3
"""Digits after the point of a reported level or ratio in dB."""

LARGEST_PCM16 = 32767 / 32768
"""Largest value that 16 bit can hold; a peak of 1.0 would be clipped by one step."""

SILENT_POWER = 1e-10
"""Mean square at or below this is silence: -100 dBFS, below the rounding of 16 bit."""


def gain_of(decibels: float) -> float:
    """Amplitude factor of a level difference.

    >>> gain_of(20.0)
    10.0
    """
    return float(10.0 ** (decibels / 20.0))


def decibels_of(amplitude: float) -> float:
    """Level difference of an amplitude factor, at least `SILENT_DBFS`.

    >>> decibels_of(0.0)
    -200.0
    """
    if amplitude <= 0.0:
        return SILENT_DBFS
    return max(SILENT_DBFS, 20.0 * math.log10(amplitude))


def decibels_of_power(power: float) -> float:
    """Level of a mean square, at least `SILENT_DBFS`.

    >>> round(decibels_of_power(0.5), 2)
    -3.01
    """
    return decibels_of(math.sqrt(max(power, 0.0)))


def active_frames(
    active: NDArray[np.int64], num_samples: int, sampling_rate: int
) -> NDArray[np.int64]:
    """The stretches of `SNR_DEFINITION`: 10 ms frames that an active interval touches.

    Args:
        active: Start and end of activity in samples, shape ``[N, 2]``, in any order.
        num_samples: Length of the session; the last frame may be shorter.
        sampling_rate: Hz.

    Returns:
        Start and end in samples of runs of such frames, shape ``[M, 2]``, sorted and disjoint.

    >>> active_frames(np.array([[100, 170], [310, 320]]), 1000, 16000).tolist()
    [[0, 320]]
    """
    frame = max(1, round(sampling_rate / FRAMES_PER_SECOND))
    spans = np.asarray(active, dtype=np.int64).reshape(-1, 2)
    spans = np.clip(spans, 0, num_samples)
    spans = spans[spans[:, 1] > spans[:, 0]]
    spans = spans[np.argsort(spans[:, 0], kind="stable")]
    starts = spans[:, 0] // frame * frame
    ends = np.minimum(-(-spans[:, 1] // frame) * frame, num_samples)
    runs: list[list[int]] = []
    for start, end in zip(starts.tolist(), ends.tolist(), strict=True):
        if runs and start <= runs[-1][1]:
            runs[-1][1] = max(runs[-1][1], end)
        else:
            runs.append([start, end])
    return np.array(runs, dtype=np.int64).reshape(-1, 2)


class ActivePower:
    """Mean power of a streamed signal over given stretches, at a cost of one pass.

    Args:
        frames: Start and end in samples, sorted and disjoint, shape ``[M, 2]``.
    """

    def __init__(self, frames: NDArray[np.int64]) -> None:
        """Begin at sample 0."""
        self._frames: list[list[int]] = frames.tolist()
        self._ends = [end for _, end in self._frames]
        self._position = 0
        self._energy = 0.0

    def add(self, block: NDArray[np.float32]) -> None:
        """Count the next samples of the signal, shape ``[T]``."""
        start, end = self._position, self._position + len(block)
        for begin, stop in self._frames[bisect_right(self._ends, start) :]:
            if begin >= end:
                break
            first, last = max(begin, start) - start, min(stop, end) - start
            # Not a dot product: the sum of BLAS depends on its number of threads. In single
            # precision the sum of a block is right to 1e-6, a hundredth of a thousandth of a dB.
            part = block[first:last]
            self._energy += float(np.einsum("i,i->", part, part))
        self._position = end

    @property
    def num_samples(self) -> int:
        """Samples in all stretches."""
        return sum(stop - begin for begin, stop in self._frames)

    @property
    def power(self) -> float:
        """Mean square over all stretches; 0 where there is none."""
        return self._energy / self.num_samples if self.num_samples else 0.0


def active_level_dbfs(
    samples: NDArray[np.float32], active: NDArray[np.int64], sampling_rate: int
) -> float:
    """RMS over the 10 ms frames with activity, dB re full scale, of a signal of shape ``[T]``."""
    meter = ActivePower(active_frames(active, len(samples), sampling_rate))
    meter.add(samples)
    return decibels_of_power(meter.power)


def mean_level_dbfs(levels_dbfs: Sequence[float], weights: Sequence[float]) -> float:
    """Level of signals one after the other: the mean of their powers, weighted by their lengths.

    >>> round(mean_level_dbfs([-20.0, -200.0], [1, 1]), 2)
    -23.01
    """
    powers = [10.0 ** (level / 10.0) for level in levels_dbfs]
    total = sum(weights)
    if total <= 0:
        raise ValueError("weights must add up to more than 0")
    mean = sum(p * w for p, w in zip(powers, weights, strict=True)) / total
    return decibels_of_power(mean)


def noise_gain(speech_power: float, noise_power: float, snr_db: float) -> float:
    """Amplitude factor that brings noise to the asked ratio.

    Raises:
        ValueError: If either power is not above 0.

    >>> round(noise_gain(1.0, 0.25, 6.0206), 4)
    1.0
    """
    if speech_power <= 0.0 or noise_power <= 0.0:
        raise ValueError(f"powers must be above 0, got {speech_power} and {noise_power}")
    return math.sqrt(speech_power / noise_power) / gain_of(snr_db)


def headroom_gain(peak: float, peak_dbfs: float) -> float:
    """Amplitude factor that brings a peak down to a limit; 1 where it is below.

    >>> headroom_gain(0.5, -1.0), round(headroom_gain(2.0, -6.0206), 4)
    (1.0, 0.25)
    """
    limit = min(gain_of(peak_dbfs), LARGEST_PCM16)
    return 1.0 if peak <= limit else limit / peak
