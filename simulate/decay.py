"""Measuring a room impulse response: its reverberation time and how direct it is."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

FIT_FROM_DB, FIT_TO_DB = -5.0, -35.0
"""Range of the decay that T30 is fitted on (ISO 3382-1)."""
DIRECT_SECONDS = 0.0025
"""Half width around the direct path that counts as direct (ACE challenge, Eaton et al. 2016)."""
CLOSE_DRR_DB = 15.0
"""Above this the direct sound hides so much of the range of T30 that it is left out of the fit."""
BIN_SECONDS = 0.001
"""Resolution at which the decay of a response is corrected."""
CORRECTIONS = 12
CORRECTED = 1e-3
"""Relative error of the T60 at which the correction stops."""


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


def measure_t60(
    response: NDArray[np.floating], sampling_rate: int, direct: int | None = None
) -> float | None:
    """Reverberation time (T30) of a response of shape ``[L]`` in seconds; see `fit_t60`.

    Args:
        response: One channel.
        sampling_rate: Hz.
        direct: Sample of the direct path, which is left out where it is more than `CLOSE_DRR_DB`
            over the reverberation, as at a headset; None never leaves it out.
    """
    energy = np.square(response, dtype=np.float64)
    if direct is not None:
        half = round(DIRECT_SECONDS * sampling_rate)
        window = slice(max(0, direct - half), direct + half + 1)
        if energy[window].sum() > 10 ** (CLOSE_DRR_DB / 10) * (energy.sum() - energy[window].sum()):
            energy[: direct + half + 1] = 0.0
            energy = energy[direct + half + 1 :]
    return fit_t60(energy, sampling_rate)


def t60_correction(
    response: NDArray[np.float32], t60: float, direct: NDArray[np.float64], sampling_rate: int
) -> float:
    """How much faster a response must decay to have a reverberation time, nepers a second.

    All channels count the same; each without its direct sound where that is more than
    `CLOSE_DRR_DB` over the rest.

    Args:
        response: Shape ``[C, L]``.
        t60: Asked T30, seconds.
        direct: Arrival of the direct path in each channel, seconds, shape ``[C]``.
        sampling_rate: Hz.

    Returns:
        Decay of the amplitude to add after the direct path; 0 where no decay can be measured.
    """
    width = max(1, round(BIN_SECONDS * sampling_rate))
    count = response.shape[1] // width
    cut = response[:, : count * width].reshape(len(response), count, width)
    energy = np.einsum("cbw,cbw->cb", cut, cut).astype(np.float64)  # [C, bins]
    time = np.arange(count) * (width / sampling_rate)
    near = np.abs(time + BIN_SECONDS / 2 - direct[:, None]) <= DIRECT_SECONDS
    close = np.where(near, energy, 0.0).sum(axis=1)
    rest = energy.sum(axis=1) - close
    energy[near & (close > rest * 10 ** (CLOSE_DRR_DB / 10))[:, None]] = 0.0
    decay = (energy / np.maximum(rest, 1e-30)[:, None]).sum(axis=0)
    since = np.maximum(time - direct.min(), 0.0)
    asked, faster = 1 / t60, 0.0
    known: dict[bool, tuple[float, float]] = {}  # by "decays too fast": decay added, 1 / T60
    for _ in range(CORRECTIONS):
        measured = fit_t60(decay * np.exp(-2 * faster * since), 1 / BIN_SECONDS)
        if measured is None:
            return 0.0
        if abs(measured / t60 - 1) < CORRECTED:
            break
        known[measured < t60] = faster, 1 / measured
        if len(known) == 2:  # a curved decay answers more or less than an exponential one
            (low, low_rate), (high, high_rate) = known[False], known[True]
            faster = low + (high - low) * (asked - low_rate) / (high_rate - low_rate)
        else:
            faster += 3 * math.log(10) * (asked - 1 / measured)
    return faster


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


def drr_gain(
    response: NDArray[np.floating], sampling_rate: int, direct: int, drr_db: float
) -> float:
    """Gain of everything but the direct sound that gives a response ``[L]`` an asked DRR.

    1 where there is nothing but direct sound.
    """
    measured = measure_drr(response, sampling_rate, direct)
    return 1.0 if measured is None else float(10 ** ((measured - drr_db) / 20))


def fit_drr(
    response: NDArray[np.float32],
    sampling_rate: int,
    direct: Sequence[int],
    drr_db: float,
    t60: float | None,
) -> tuple[float, float]:
    """Gain and decay for `scale_reverberation` that give a response an asked DRR.

    Args:
        response: Shape ``[C, L]``; the ratio is that of the first channel.
        sampling_rate: Hz.
        direct: Sample of the direct path in each channel.
        drr_db: Asked ratio.
        t60: Reverberation time to keep: with more or less direct sound, T30 is fitted on another
            part of the decay. None leaves it.
    """
    gain = drr_gain(response[0], sampling_rate, direct[0], drr_db)
    if t60 is None:
        return gain, 0.0
    scaled = scale_reverberation(response, sampling_rate, direct, gain)
    faster = t60_correction(scaled, t60, np.array(direct) / sampling_rate, sampling_rate)
    scaled = scale_reverberation(response, sampling_rate, direct, gain, faster)
    return gain * drr_gain(scaled[0], sampling_rate, direct[0], drr_db), faster


def scale_reverberation(
    response: NDArray[np.float32],
    sampling_rate: int,
    direct: Sequence[int],
    gain: float,
    faster: float = 0.0,
) -> NDArray[np.float32]:
    """A response ``[C, L]`` with a gain on everything but `DIRECT_SECONDS` around the direct path.

    Args:
        response: All channels; they get the same gain, so that they keep their differences.
        sampling_rate: Hz.
        direct: Sample of the direct path in each channel.
        gain: Factor.
        faster: Decay to add to it, nepers a second from the direct path on.
    """
    half = round(DIRECT_SECONDS * sampling_rate)
    scaled = response * np.float32(gain)
    time = np.arange(response.shape[1]) / sampling_rate
    for c, at in enumerate(direct):
        if faster:
            scaled[c] *= np.exp(-faster * np.maximum(time - at / sampling_rate, 0.0))
        window = slice(max(0, at - half), at + half + 1)
        scaled[c, window] = response[c, window]
    return scaled
