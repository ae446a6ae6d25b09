"""What a stretch of speech tells of the voice: mean and spread of its spectrum, and its harmonics.

Shapes: ``T`` feature frames, ``F`` mel bands, ``W`` stretches, ``D`` statistics.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

Array = NDArray[np.float64]

QUIETEST = 0.3
"""Share of the frames of a stretch that is left out: pauses and noise between its sounds."""

LEAST_FRAMES = 5
"""Frames from which statistics are taken at all."""

LEAST_CLEAN = 0.15
"""Seconds without anybody else from which only these are looked at."""


def num_statistics(num_mels: int) -> int:
    """``D`` for so many bands.

    >>> num_statistics(80)
    181
    """
    return 2 * num_mels + (num_mels // 2) // 2 + 1


def stretch_statistics(frames: NDArray[np.float32]) -> Array:
    """Statistics of some frames, ``[T, F]`` log-mel to ``[D]``.

    Mean (its own level taken out) and standard deviation of each band over the louder frames, then
    the mean magnitude of the Fourier transform over the lower half of the bands, which shows how
    far apart harmonics are.
    """
    chosen = frames.astype(np.float64)
    if len(chosen) > 2 * LEAST_FRAMES:
        level = chosen.mean(1)
        chosen = chosen[level >= np.quantile(level, QUIETEST)]
    low = chosen[:, : chosen.shape[1] // 2]
    waves = (low - low.mean(1, keepdims=True)) * np.hanning(low.shape[1])
    mean = chosen.mean(0)
    return np.concatenate(
        [mean - mean.mean(), chosen.std(0), np.abs(np.fft.rfft(waves, axis=1)).mean(0)]
    )


def voice_statistics(
    features: NDArray[np.float32], spans: Sequence[tuple[float, float]], frame_rate: float
) -> tuple[Array, Array]:
    """Statistics of each stretch of a recording, from where nobody else is heard if that is enough.

    Args:
        features: ``[T, F]`` log-mel.
        spans: Start and end of each stretch, in seconds.
        frame_rate: Frames a second.

    Returns:
        ``[W, D]``, and ``[W]`` seconds without anybody else; a stretch too short for statistics has
        zeros and -1.
    """
    edges = [
        (max(0, int(start * frame_rate)), min(len(features), int(end * frame_rate)))
        for start, end in spans
    ]
    covered = np.zeros(len(features) + 1, dtype=np.int64)
    for first, last in edges:
        covered[first:last] += 1
    rows = np.zeros((len(spans), num_statistics(features.shape[1])))
    clean = np.full(len(spans), -1.0)
    for row, (first, last) in enumerate(edges):
        places = np.arange(first, last)
        alone = places[covered[places] == 1]
        seconds = len(alone) / frame_rate
        chosen = alone if seconds >= LEAST_CLEAN else places
        if len(chosen) >= LEAST_FRAMES:
            rows[row], clean[row] = stretch_statistics(features[chosen]), seconds
    return rows, clean
