"""Loudness of one channel after ITU-R BS.1770-4, in LUFS: K-weighting, blocks, two gates.

A full-scale sine of 997 Hz in one channel has -3.01 LUFS, as the recommendation says. Its two
filters are given for 48 kHz; here their response is sampled for a signal of any rate, which is
exact where a bilinear transform at 8 kHz would be 0.2 LU off.

Legend: ``T`` sample, ``B`` block.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.signal
from numpy.typing import NDArray

SILENT_DBFS = -200.0
"""Reported for a level of zero power, since the contract has no infinity."""

PUBLISHED_HZ = 48000
"""Rate of the published filters."""
HIGH_SHELF = (
    (1.53512485958697, -2.69169618940638, 1.19839281085285),
    (1.0, -1.69065929318241, 0.73248077421585),
)
"""Numerator and denominator of the head's high shelf (BS.1770-4, table 1)."""
HIGH_PASS = ((1.0, -2.0, 1.0), (1.0, -1.99004745483398, 0.99007225036621))
"""Numerator and denominator of the high-pass (BS.1770-4, table 2)."""
DECAY_SECONDS = 0.06
"""The high-pass at 38 Hz has died away by more than 100 dB after this."""

BLOCK_SECONDS = 0.4
HOP_SECONDS = 0.1
"""Blocks of 400 ms overlap by 75 % (BS.1770-4, annex 1)."""
ABSOLUTE_GATE_LUFS = -70.0
RELATIVE_GATE_LU = -10.0
OFFSET = -0.691
"""dB; makes the sine above come out right."""


def integrated_lufs(signal: NDArray[np.floating], sampling_rate: int) -> float:
    """Integrated loudness of a signal of shape ``[T]``; full scale at 1.

    A signal shorter than a block is one block: the recommendation gives it no loudness, a short
    utterance needs one.

    Returns:
        LUFS; `SILENT_DBFS` where nothing passes the absolute gate.

    >>> sine = np.sin(2 * np.pi * 997 * np.arange(48000) / 48000)
    >>> round(integrated_lufs(sine, 48000), 2)
    -3.01
    """
    return gated_lufs(block_powers(signal, sampling_rate))


def gated_lufs(powers: NDArray[np.float64]) -> float:
    """Integrated loudness from mean squares of K-weighted blocks, ``[B]``; `SILENT_DBFS` if none.

    A gain on the signal is a factor on the powers, so trying gains needs no signal.
    """
    loud = powers[_lufs(powers) > ABSOLUTE_GATE_LUFS]
    if not len(loud):
        return SILENT_DBFS
    gate = float(_lufs(loud.mean())) + RELATIVE_GATE_LU
    return float(_lufs(loud[_lufs(loud) > gate].mean()))


def block_powers(signal: NDArray[np.floating], sampling_rate: int) -> NDArray[np.float64]:
    """Mean squares of the K-weighted signal in overlapping blocks, ``[B]``."""
    if not len(signal):
        return np.zeros(1)
    weighted = k_weighted(signal, sampling_rate)
    hop = round(HOP_SECONDS * sampling_rate)
    parts = round(BLOCK_SECONDS / HOP_SECONDS)
    count = len(weighted) // hop
    if count < parts:
        return np.array([np.mean(weighted**2)])
    hops = np.mean(weighted[: count * hop].reshape(count, hop) ** 2, axis=1)
    return np.asarray(np.convolve(hops, np.ones(parts) / parts, mode="valid"))


def k_weighted(signal: NDArray[np.floating], sampling_rate: int) -> NDArray[np.float64]:
    """The signal as a listener's head and ears weigh it, shape ``[T]``."""
    taps = _taps(sampling_rate)
    first = len(taps) // 2
    weighted = scipy.signal.oaconvolve(signal.astype(np.float32), taps.astype(np.float32))
    return np.asarray(weighted[first : first + len(signal)], dtype=np.float64)


@lru_cache(maxsize=8)
def _taps(sampling_rate: int) -> NDArray[np.float64]:
    """Impulse response of both filters at a rate, time 0 in its middle.

    Above 24 kHz they are as at 24 kHz. A response that is cut at another rate's Nyquist frequency
    rings a little before time 0, too.
    """
    size = 2 * round(DECAY_SECONDS * sampling_rate)
    hz = np.minimum(np.fft.rfftfreq(size, 1 / sampling_rate), PUBLISHED_HZ / 2)
    delay = np.exp(-2j * np.pi * hz / PUBLISHED_HZ)
    response = np.ones(len(hz), dtype=np.complex128)
    for numerator, denominator in (HIGH_SHELF, HIGH_PASS):
        response *= np.polyval(numerator[::-1], delay) / np.polyval(denominator[::-1], delay)
    return np.asarray(np.roll(np.fft.irfft(response, size), size // 2))


def _lufs(power: NDArray[np.float64] | np.float64) -> NDArray[np.float64]:
    """Loudness of a K-weighted mean square of one channel of weight 1."""
    return np.asarray(OFFSET + 10 * np.log10(np.maximum(power, 1e-30)))
