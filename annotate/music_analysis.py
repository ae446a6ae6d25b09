"""Tempo and key of a piece of music, by signal processing alone.

Tempo: the autocorrelation of the onset strength (half-wave rectified flux of log-mel bands), a comb
over its multiples, and a log-normal preference around 120 BPM (Ellis 2007, "Beat tracking by
dynamic programming", §3). Key: the chroma profile's correlation with the profiles of all 24 keys
(Krumhansl and Kessler 1982), after the tuning is found.

Legend: ``T`` sample, ``N`` frame, ``B`` band, ``F`` frequency bin.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.signal import stft

HOP_SECONDS = 0.01
WINDOW_SECONDS = 0.064
BANDS = 40
LOWEST_HZ, HIGHEST_HZ = 40.0, 7600.0

SLOWEST_BPM, FASTEST_BPM = 40.0, 220.0
USUAL_BPM = 120.0
USUAL_OCTAVES = 0.9
"""Standard deviation of the preference in octaves (Ellis 2007: 0.9 fits listeners' tapping)."""
COMB = 4
"""Multiples of a period that count: a bar of four beats."""
LONGEST_LAG_SECONDS = COMB * 60.0 / SLOWEST_BPM
LEAST_SECONDS = 4.0
"""Shorter pieces hold too few beats."""

CHROMA_WINDOW_SECONDS = 0.256
"""Resolves semitones from 110 Hz on."""
CHROMA_HZ = (110.0, 1760.0)
A4_HZ = 440.0
MAJOR = (6.35, 2.23, 3.48, 2.33, 4.38, 4.09, 2.52, 5.19, 2.39, 3.66, 2.29, 2.88)
MINOR = (6.33, 2.68, 3.52, 5.38, 2.60, 3.53, 2.54, 4.75, 3.98, 2.69, 3.34, 3.17)
"""Probe-tone ratings from the tonic on (Krumhansl and Kessler 1982, Table 2)."""
PITCHES = ("C", "C#", "D", "Eb", "E", "F", "F#", "G", "Ab", "A", "Bb", "B")

Signal = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class Tempo:
    """Beats a minute, and how clear they are from 0 to 1."""

    bpm: float
    clarity: float


@dataclass(frozen=True, slots=True)
class Key:
    """Such as ``A minor``, and its correlation with the profile."""

    name: str
    correlation: float


def estimate_tempo(signal: Signal, sampling_rate: int) -> Tempo | None:
    """Tempo of a piece; None if it is too short or has no onsets.

    Args:
        signal: Shape ``[T]``.
        sampling_rate: Hz, at least 16 kHz.
    """
    if len(signal) < LEAST_SECONDS * sampling_rate:
        return None
    return tempo_of_onsets(onset_strength(signal, sampling_rate))


def tempo_of_onsets(onsets: NDArray[np.float64]) -> Tempo | None:
    """Tempo from onset strengths every 10 ms, ``[N]``; None if there are too few or none."""
    if len(onsets) * HOP_SECONDS < LEAST_SECONDS - WINDOW_SECONDS:
        return None
    onsets = onsets - onsets.mean()
    power = float(onsets @ onsets)
    if power <= 1e-12:
        return None
    lags = min(len(onsets), round(LONGEST_LAG_SECONDS / HOP_SECONDS) + COMB + 2)
    size = 1 << (2 * len(onsets) - 1).bit_length()
    spectrum = np.abs(np.fft.rfft(onsets, size)) ** 2
    correlation = np.fft.irfft(spectrum)[:lags] / power
    correlation *= len(onsets) / (len(onsets) - np.arange(lags))  # fewer products at long lags
    periods = np.arange(60.0 / FASTEST_BPM, 60.0 / SLOWEST_BPM, HOP_SECONDS / 8) / HOP_SECONDS
    at = np.arange(lags)
    comb = sum(np.interp(k * periods, at, correlation, right=0.0) for k in range(1, COMB + 1))
    bpm = 60.0 / (periods * HOP_SECONDS)
    liking = np.exp(-0.5 * (np.log2(bpm / USUAL_BPM) / USUAL_OCTAVES) ** 2)
    best = int(np.argmax(np.asarray(comb) * liking))
    clarity = float(np.clip(np.asarray(comb)[best] / COMB, 0.0, 1.0))
    return Tempo(bpm=round(float(bpm[best]), 2), clarity=round(clarity, 4))


def onset_strength(signal: Signal, sampling_rate: int) -> NDArray[np.float64]:
    """How much louder the bands get, every 10 ms, shape ``[N]``."""
    return np.asarray(band_onsets(signal, sampling_rate).mean(axis=0))


def band_onsets(signal: Signal, sampling_rate: int) -> NDArray[np.float64]:
    """How much louder each band gets, every 10 ms, shape ``[B, N]``.

    A frame stands for what begins in the 10 ms at its start: a window rises when a sound enters it,
    so frames are counted from the middle of their window on. Signals that are too short have none.
    """
    if len(signal) < round(WINDOW_SECONDS * sampling_rate):
        return np.zeros((BANDS, 0))
    power = _power(signal, sampling_rate, WINDOW_SECONDS, HOP_SECONDS)  # [F, N]
    frequencies = np.fft.rfftfreq(2 * (len(power) - 1), 1 / sampling_rate)
    bands = _bands(frequencies) @ power  # [B, N]
    level = np.log1p(bands / max(float(bands.mean()), 1e-20) * 100.0)
    rise = np.maximum(np.diff(level, axis=1, prepend=level[:, :1]), 0.0)
    middle = round(WINDOW_SECONDS / 2 / HOP_SECONDS)
    return np.pad(rise, ((0, 0), (middle, 0)))


def estimate_key(signal: Signal, sampling_rate: int) -> Key | None:
    """Key of a piece; None if it has no tones in the range of `CHROMA_HZ`."""
    tones = Tones(sampling_rate)
    tones.add(signal)
    return tones.key()


class Tones:
    """How much of each frequency sounds in a piece that comes part by part; gives its key.

    Args:
        sampling_rate: Hz.
    """

    def __init__(self, sampling_rate: int) -> None:
        """Start with nothing."""
        self._rate = sampling_rate
        size = round(CHROMA_WINDOW_SECONDS * sampling_rate)
        frequencies = np.fft.rfftfreq(size, 1 / sampling_rate)
        self._inside = (frequencies >= CHROMA_HZ[0]) & (frequencies <= CHROMA_HZ[1])
        self._semitones = 12 * np.log2(frequencies[self._inside] / A4_HZ)
        self._strength = np.zeros(int(self._inside.sum()))

    def add(self, signal: Signal) -> None:
        """Hear the next part, ``[T]``."""
        window = CHROMA_WINDOW_SECONDS
        if len(signal) < round(window * self._rate):
            return
        amplitude = np.sqrt(_power(signal, self._rate, window, window / 2)[self._inside])
        if amplitude.max(initial=0.0) <= 1e-6:
            return
        loud = amplitude / (amplitude.max(axis=0, keepdims=True) + 1e-12)
        # Tones, not the noise between them.
        self._strength += np.where(loud > 0.1, loud, 0.0).sum(axis=1)

    def key(self) -> Key | None:
        """The key of all that was heard; None if there were no tones."""
        if not self._strength.any():
            return None
        turn = np.exp(2j * np.pi * self._semitones)
        # Semitones, within half a one.
        tuning = float(np.angle((self._strength * turn).sum()) / (2 * np.pi))
        chroma = np.zeros(12)
        pitches = np.round(self._semitones - tuning + 9).astype(int) % 12  # A is 9 over C
        np.add.at(chroma, pitches, self._strength)
        names, scores = [], []
        for profile, mode in ((MAJOR, "major"), (MINOR, "minor")):
            for tonic in range(12):
                names.append(f"{PITCHES[tonic]} {mode}")
                scores.append(float(np.corrcoef(chroma, np.roll(profile, tonic))[0, 1]))
        if not np.isfinite(scores).all():
            return None
        best = int(np.argmax(scores))
        return Key(name=names[best], correlation=round(scores[best], 4))


def _power(signal: Signal, rate: int, window: float, hop: float) -> NDArray[np.float64]:
    size, step = round(window * rate), round(hop * rate)
    _, _, spectra = stft(
        signal, rate, nperseg=size, noverlap=size - step, boundary=None, padded=False
    )
    return np.asarray(np.abs(spectra) ** 2, dtype=np.float64)


def _bands(frequencies: NDArray[np.floating[Any]]) -> NDArray[np.float64]:
    """Triangles on the mel scale, shape ``[B, F]``."""
    mel = 2595 * np.log10(1 + frequencies / 700)  # O'Shaughnessy 1987
    low, high = (2595 * np.log10(1 + hz / 700) for hz in (LOWEST_HZ, HIGHEST_HZ))
    edges = np.linspace(low, high, BANDS + 2)
    rising = (mel[None] - edges[:-2, None]) / (edges[1:-1] - edges[:-2])[:, None]
    falling = (edges[2:, None] - mel[None]) / (edges[2:] - edges[1:-1])[:, None]
    return np.asarray(np.maximum(0.0, np.minimum(rising, falling)))
