"""Sounds by their acoustic shape alone: impulsive, tonal, hum or broadband.

No model: something happens where two bands or more rise far enough over their own noise floor, and
what it is like is read from its envelope and spectrum. It has no name for a dog; it knows that
there was something short, and when.

Legend: ``T`` sample, ``N`` frame, ``B`` band, ``F`` frequency bin.
"""

from __future__ import annotations

from functools import cache
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import uniform_filter1d

from talkover.annotate.levels import FLOOR_HALO_SECONDS, SILENT_DB, noise_floor
from talkover.annotate.media import RATE, DecodedAudio

Shape = Literal["impulsive", "tonal", "hum", "broadband"]
SHAPES: tuple[Shape, ...] = ("impulsive", "tonal", "hum", "broadband")

HOP = 256
"""Samples of a frame: 16 ms."""
WINDOW = 512
NUM_BANDS = 20
LOWEST_HZ, HIGHEST_HZ = 80.0, 7800.0
BLOCK_SECONDS = 60.0
FLOOR_POWER = 10 ** (SILENT_DB / 10)
"""Added to the power of a band: what digital silence has."""
LEAST_FLOOR_DB = -90.0
"""No floor is under this, so that the rounding of 16 bits is no event."""
SMOOTH = 3
"""Frames whose mean power counts: the level of noise in one frame of a narrow band says little."""
RANK = 3
"""How many bands must rise: the chance that noise does so in all of them is small."""
LONELY_DB = 7.0
"""So much further must a single band rise, as by a pure tone: in noise some band often does."""

LONG = 0.35
"""Seconds; an impulsive sound is over before."""
NEAR_PEAK_DB = 10.0
"""An impulsive sound is this far below its peak most of the time."""
NEAR_PEAK_SECONDS = 0.12
TONAL_BINS = 6
"""Of a frame's 256 bins, so many strongest ones hold most of the power of a tonal sound."""
TONAL_SHARE = 0.6
HUM_HZ = 350.0
"""A hum has its power below this."""


def excess_curve(audio: DecodedAudio) -> NDArray[np.float32]:
    """How far `RANK` bands or a lonely one are over their floors, in dB, every 16 ms; ``[N]``."""
    halo = -(-round(FLOOR_HALO_SECONDS * RATE) // HOP) + SMOOTH
    size = round(BLOCK_SECONDS * RATE) // HOP
    total = -(-audio.num_samples // HOP)
    parts = [np.zeros(0, dtype=np.float32)]
    for first in range(0, total, size):
        count = min(size, total - first)
        begin = max(0, first - halo)
        stop = min(total, first + count + halo)
        levels = _whole_levels(audio, begin, stop)
        floor = np.maximum(noise_floor(levels, RATE / HOP, first=begin), LEAST_FLOOR_DB)
        over = levels - floor
        ranked = np.partition(over, (-RANK, -1), axis=1)
        risen = np.maximum(ranked[:, -RANK], ranked[:, -1] - LONELY_DB)
        parts.append(risen[first - begin : first - begin + count].astype(np.float32))
    return np.concatenate(parts)


def _whole_levels(audio: DecodedAudio, first: int, stop: int) -> NDArray[np.float64]:
    """Levels of some frames; those that reach beyond the end are as the last whole one."""
    end = min(stop * HOP + WINDOW - HOP, audio.num_samples)
    levels = band_levels(audio.read(first * HOP, end))[: stop - first]
    if not len(levels):
        return np.full((stop - first, NUM_BANDS), SILENT_DB)
    return np.pad(levels, ((0, stop - first - len(levels)), (0, 0)), mode="edge")


def band_levels(signal: NDArray[np.float32]) -> NDArray[np.float64]:
    """Level of each band around each frame, in dB; ``[N, B]``."""
    if len(signal) < WINDOW:
        return np.zeros((0, NUM_BANDS))
    frames = np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[::HOP]
    power = np.abs(np.fft.rfft(frames * _taper(), axis=1)) ** 2 / WINDOW  # [N, F]
    steady = uniform_filter1d(power @ _bands(), SMOOTH, axis=0, mode="nearest")
    return np.asarray(10 * np.log10(steady + FLOOR_POWER))


def shape_of(signal: NDArray[np.float32]) -> tuple[Shape, float]:
    """The shape of a sound that fills a signal, and how clear it is from 0 to 1.

    Args:
        signal: The sound alone, ``[T]``, with half a window or so around it.
    """
    if len(signal) < WINDOW:
        signal = np.pad(signal, (0, WINDOW - len(signal)))
    frames = np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[:: HOP // 2]
    power = np.abs(np.fft.rfft(frames * _taper(), axis=1)) ** 2  # [N, F]
    power[:, :2] = 0.0  # an offset is no sound
    envelope = 10 * np.log10(power.sum(axis=1) + 1e-12)
    loud = float((envelope > envelope.max() - NEAR_PEAK_DB).sum()) * HOP / 2 / RATE
    if len(signal) < LONG * RATE + WINDOW and loud < NEAR_PEAK_SECONDS:
        return "impulsive", _clear(NEAR_PEAK_SECONDS / max(loud, HOP / RATE))
    spectrum = power.mean(axis=0)
    total = float(spectrum.sum())
    if total <= 0:
        return "broadband", 0.0
    strongest = float(np.sort(power, axis=1)[:, -TONAL_BINS:].sum() / power.sum())
    low = float(spectrum[: round(HUM_HZ * WINDOW / RATE)].sum()) / total
    if low > TONAL_SHARE:
        return "hum", _clear(low / TONAL_SHARE)
    if strongest > TONAL_SHARE:
        return "tonal", _clear(strongest / TONAL_SHARE)
    return "broadband", _clear(TONAL_SHARE / max(strongest, 1e-3))


def _clear(ratio: float) -> float:
    """0.5 at the border between two shapes, nearer to 1 further away."""
    return float(np.clip(1.0 - 0.5 / max(ratio, 0.5), 0.0, 1.0))


@cache
def _taper() -> NDArray[np.float32]:
    return np.hanning(WINDOW).astype(np.float32)


@cache
def _bands() -> NDArray[np.float64]:
    """Which bins each band sums, ``[F, B]``; bands are evenly spaced in octaves."""
    edges = np.geomspace(LOWEST_HZ, HIGHEST_HZ, NUM_BANDS + 1)
    hz = np.fft.rfftfreq(WINDOW, 1 / RATE)
    inside = (hz[:, None] >= edges[:-1]) & (hz[:, None] < edges[1:])
    for band in np.flatnonzero(~inside.any(axis=0)):  # narrower than a bin: the nearest one
        inside[int(np.argmin(np.abs(hz - edges[band : band + 2].mean()))), band] = True
    return inside.astype(np.float64)
