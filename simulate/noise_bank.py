"""The noise bank: stationary Gaussian noise at the price of an addition.

Drawing a Gaussian sample and shaping its spectrum costs more than all the rest of rendering. So
each kind of noise is kept as two loops, made once a process, and the noise of a session is the sum
of both, each from an offset of its own. The lengths have no common divisor but one frame: the sum
comes back after days, not after a loop, while its spectrum and distribution stay what they are.

Loops are made in the frequency domain, one Gaussian number a bin, so that they have no seam. For a
*diffuse* field (sound from all directions alike) the channels are mixed bin by bin such that the
coherence between two microphones at distance d is sin(2πfd/c)/(2πfd/c): Habets, Cohen and Gannot
(2008), "Generating nonstationary multisensor signals under a spatial coherence constraint", J.
Acoust. Soc. Am. 124, with the symmetric root of the coherence matrix.

Legend: ``C`` channel, ``T`` sample of a loop, ``F`` frequency bin, ``B`` band of bins.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from typing import Any

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from talkover.manifests.schema import Metres
from talkover.manifests.seeds import generator
from talkover.simulate.levels import FRAMES_PER_SECOND
from talkover.simulate.plan import SPEED_OF_SOUND

LOOP_FRAMES = (2**13, 3**8)
"""Lengths of the two loops in frames of 10 ms, 82 s and 66 s; their sum repeats after 6 days."""
DIFFUSE_LOOP_FRAMES = (2**11, 3**7)
"""Shorter, since they are made for every geometry: 20 s and 22 s, the sum repeats after 12 h."""
COHERENCE_BANDS = 1024
"""Within a band the coherence is constant: 8 Hz at 16 kHz."""
DISTANCE_STEP_M = 0.002
"""Steps of a distance between microphones: coarser than the rounding of a drawn position, so that
an array that is turned and moved keeps its loops."""
KEPT_LOOPS = 4
"""Pairs of loops in memory: 9 MB each at 16 kHz, a diffuse one 2.7 MB a channel."""

LOWEST_HZ = 20.0
"""Pink noise is flat below this: the lowest frequency that is heard."""

SPEECH_BANDS_HZ = (
    63, 80, 100, 125, 160, 200, 250, 315, 400, 500, 630, 800, 1000,
    1250, 1600, 2000, 2500, 3150, 4000, 5000, 6300, 8000, 10000, 12500, 16000,
)  # fmt: skip
SPEECH_BANDS_DB = (
    38.6, 43.5, 54.4, 57.7, 56.8, 60.2, 60.3, 59.0, 62.1, 62.1, 60.5, 56.8, 53.7,
    53.0, 52.0, 48.7, 48.1, 46.8, 45.6, 44.5, 44.3, 43.7, 43.4, 41.3, 40.7,
)  # fmt: skip
"""Long-term average speech spectrum over 12 languages, third-octave levels in dB SPL, males and
females combined (Byrne et al. 1994, J. Acoust. Soc. Am. 96, Table II)."""

Samples = NDArray[np.float32]


@dataclass(frozen=True, slots=True)
class NoiseLoops:
    """Two loops ``[C, T]`` without a seam whose sum has power 1 in each channel."""

    first: Samples
    second: Samples
    peak: float
    """No sample of a sum is larger in magnitude."""

    @classmethod
    def of(cls, first: Samples, second: Samples) -> NoiseLoops:
        """With the peak."""
        return cls(first, second, float(np.abs(first).max() + np.abs(second).max()))

    def add(self, channel: int, offsets: tuple[int, int], start: int, out: Samples) -> None:
        """Write the noise of a channel to ``out``, shape ``[T]``.

        Args:
            channel: Of the loops.
            offsets: Into both loops, of sample 0 of the session.
            start: Session sample of ``out[0]``.
            out: Is written over.
        """
        first, second = self.first[channel], self.second[channel]
        filled, wanted = 0, len(out)
        while filled < wanted:
            a = (offsets[0] + start + filled) % len(first)
            b = (offsets[1] + start + filled) % len(second)
            count = min(len(first) - a, len(second) - b, wanted - filled)
            np.add(first[a : a + count], second[b : b + count], out=out[filled : filled + count])
            filled += count


@lru_cache(maxsize=KEPT_LOOPS)
def noise_loops(spectrum: str, sampling_rate: int) -> NoiseLoops:
    """The bank's loops of one spectrum, one channel; the same in every process."""
    parts = [
        _loop(spectrum, sampling_rate, frames, f"noise bank/{spectrum}/{n}", None)
        for n, frames in enumerate(LOOP_FRAMES)
    ]
    return NoiseLoops.of(*parts)


Distances = tuple[tuple[float, ...], ...]  # [C, C]


def microphone_distances(positions_m: Sequence[Metres]) -> Distances:
    """Metres between microphones, in steps of `DISTANCE_STEP_M`.

    One array has one key, wherever it stands.
    """
    places = np.array(positions_m, dtype=np.float64)
    distances = np.linalg.norm(places[:, np.newaxis] - places, axis=2)
    steps = np.rint(distances / DISTANCE_STEP_M) * DISTANCE_STEP_M
    return tuple(tuple(float(d) for d in row) for row in steps)


@lru_cache(maxsize=KEPT_LOOPS)
def diffuse_loops(spectrum: str, sampling_rate: int, distances_m: Distances) -> NoiseLoops:
    """Loops of an isotropic field at some microphones.

    Args:
        spectrum: Name of a spectrum.
        sampling_rate: Hz.
        distances_m: From `microphone_distances`.
    """
    parts = [
        _loop(spectrum, sampling_rate, frames, f"diffuse bank/{spectrum}/{n}", distances_m)
        for n, frames in enumerate(DIFFUSE_LOOP_FRAMES)
    ]
    return NoiseLoops.of(*parts)


def spectrum_amplitude(
    spectrum: str, frequencies: NDArray[np.floating[Any]]
) -> NDArray[np.float64]:
    """Amplitude of a spectrum, up to a factor, at frequencies in Hz.

    Args:
        spectrum: white (flat), pink (-3 dB an octave) or speech_shaped (Byrne et al. 1994).
        frequencies: From 0 on.
    """
    if spectrum == "white":
        return np.ones(len(frequencies))
    if spectrum == "pink":
        return np.asarray(np.maximum(frequencies, LOWEST_HZ) ** -0.5, dtype=np.float64)
    if spectrum != "speech_shaped":
        raise ValueError(f"spectrum must be white, pink or speech_shaped, got {spectrum!r}")
    bands = np.array(SPEECH_BANDS_HZ, dtype=np.float64)
    # A third octave is proportional to its frequency: level per band to level per Hz.
    per_hz = np.array(SPEECH_BANDS_DB) - 10 * np.log10(bands)
    inside = np.log(np.maximum(frequencies, LOWEST_HZ / 10))
    amplitude = 10 ** (np.interp(inside, np.log(bands), per_hz) / 20)
    below = frequencies < bands[0]  # 12 dB an octave below the table: voices have nothing there
    amplitude[below] *= (frequencies[below] / bands[0]) ** 2
    return np.asarray(amplitude)


def isotropic_coherence(
    distances_m: Distances, frequencies: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Coherence of a spherically isotropic field between microphones, shape ``[B, C, C]``."""
    distances = np.array(distances_m, dtype=np.float64)
    coherence = np.sinc(2.0 * frequencies[:, np.newaxis, np.newaxis] * distances / SPEED_OF_SOUND)
    return np.asarray(coherence)


def _loop(
    spectrum: str,
    sampling_rate: int,
    frames: int,
    decision: str,
    distances_m: Distances | None,
) -> Samples:
    """One loop ``[C, T]`` of power 1/2."""
    num_samples = frames * round(sampling_rate / FRAMES_PER_SECOND)
    frequencies = np.fft.rfftfreq(num_samples, 1 / sampling_rate)
    amplitude = spectrum_amplitude(spectrum, frequencies)
    amplitude[0] = 0.0  # no offset
    amplitude /= np.sqrt(np.sum(amplitude**2))  # each bin holds half of the power of its numbers
    channels = 1 if distances_m is None else len(distances_m)
    numbers = generator(0, 0, decision).standard_normal(
        (channels, len(frequencies), 2), dtype=np.float32
    )
    if distances_m is not None:
        _make_coherent(numbers, distances_m, sampling_rate)
    numbers *= (amplitude * num_samples / np.sqrt(8.0)).astype(np.float32)[:, np.newaxis]
    bins = numbers.view(np.complex64)[..., 0]  # [C, F]
    loop: Samples = scipy.fft.irfft(bins, num_samples, axis=1, workers=1)
    loop.flags.writeable = False
    return loop


def _make_coherent(numbers: Samples, distances_m: Distances, sampling_rate: int) -> None:
    """Mix independent bins ``[C, F, 2]`` of all channels, in place, band by band."""
    edges = np.linspace(0, numbers.shape[1], COHERENCE_BANDS + 1).astype(np.int64)
    middles = (edges[1:] + edges[:-1]) / 2 / numbers.shape[1] * sampling_rate / 2
    values, vectors = np.linalg.eigh(isotropic_coherence(distances_m, middles))
    roots = (vectors * np.sqrt(np.maximum(values, 0.0))[:, np.newaxis]) @ vectors.swapaxes(1, 2)
    for root, first, end in zip(roots.astype(np.float32), edges[:-1], edges[1:], strict=True):
        band = numbers[:, first:end].reshape(len(numbers), -1)
        numbers[:, first:end] = (root @ band).reshape(len(numbers), -1, 2)
