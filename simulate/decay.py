"""Measuring a room impulse response: its reverberation time and how direct it is."""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

FIT_FROM_DB, FIT_TO_DB = -5.0, -35.0
"""Range of the decay that T30 is fitted on (ISO 3382-1)."""
DIRECT_SECONDS = 0.0025
"""Half width around the direct path that counts as direct (ACE challenge, Eaton et al. 2016)."""


def decay_curve_db(energy: NDArray[np.floating]) -> NDArray[np.float64]:
    """Backward-integrated energy, dB re its start (Schroeder 1965), shape as given.

    Args:
        energy: Energy per bin, shape ``[T]``, not all zero.
    """
    remaining = np.cumsum(np.asarray(energy, dtype=np.float64)[::-1])[::-1]
    return np.asarray(10 * np.log10(np.maximum(remaining / remaining[0], 1e-30)))


def fit_t60(energy: NDArray[np.floating], bins_per_second: float) -> float | None:
    """Reverberation time in seconds, from a line through -5 to -35 dB of the decay curve (T30).

    None where nothing decays. A response that is cut above -45 dB or so looks faster than it is.
    """
    if not len(energy) or not np.any(energy):
        return None
    curve = decay_curve_db(energy)
    inside = np.flatnonzero((curve <= FIT_FROM_DB) & (curve >= FIT_TO_DB))
    if len(inside) < 3:
        return None
    # By sums, not by LAPACK, whose last digit depends on its number of threads.
    seconds, level = inside / bins_per_second, curve[inside]
    seconds = seconds - seconds.mean()
    slope = float((seconds * (level - level.mean())).sum() / np.square(seconds).sum())
    return -60.0 / slope if slope < 0 else None


def measure_t60(response: NDArray[np.floating], sampling_rate: int) -> float | None:
    """Reverberation time (T30) of a response of shape ``[L]`` in seconds; see `fit_t60`."""
    return fit_t60(np.square(response, dtype=np.float64), sampling_rate)


def find_direct(response: NDArray[np.floating], sampling_rate: int) -> int:
    """Sample of the direct path's peak in a response of shape ``[L]``.

    The first sample that comes within 6 dB of the largest opens the search, since a reflection may
    be louder than the direct path; the largest within the next millisecond is the peak.
    """
    level = np.abs(response)
    first = int(np.argmax(level >= 0.5 * level.max()))
    return first + int(np.argmax(level[first : first + max(1, sampling_rate // 1000)]))


def measure_drr(response: NDArray[np.floating], sampling_rate: int, direct: int) -> float | None:
    """Direct-to-reverberant ratio in dB of a response of shape ``[L]``.

    Args:
        response: One channel.
        sampling_rate: Hz.
        direct: Sample of the direct path; `DIRECT_SECONDS` around it count as direct.

    Returns:
        None where there is nothing but direct sound.
    """
    half = round(DIRECT_SECONDS * sampling_rate)
    energy = np.square(response, dtype=np.float64)
    inside = float(energy[max(0, direct - half) : direct + half + 1].sum())
    outside = float(energy.sum()) - inside
    if outside <= 1e-12 * inside or inside <= 0.0:
        return None
    return float(10 * np.log10(inside / outside))
