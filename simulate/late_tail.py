"""The late part of a room's response: noise that decays, as coherent as a diffuse field.

After the mixing time so many reflections arrive at once, from everywhere, that only three things
can be told: how strong they are, how fast each frequency band decays, and how much two microphones
hear the same (in a spherically isotropic field ``sinc(2 f d / c)``, Cook et al. 1955). A bank of
stationary noise with this coherence is made once for a geometry of microphones, split into octave
bands; a tail takes a stretch of each band at an offset of its own and shapes it.

Legend: ``B`` octave band, ``C`` channel, ``T`` sample of the bank, ``F`` frequency, ``L`` sample.
"""

from __future__ import annotations

from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray
from scipy.signal import butter, sosfreqz

from talkover.manifests.seeds import generator
from talkover.simulate.directivity import OCTAVES_HZ
from talkover.simulate.plan import SPEED_OF_SOUND

BANK_SECONDS = 4.0
"""Least length of the bank; it repeats after that."""
HIGH_PASS_HZ = 40.0
"""Rooms have no modes far below; also takes the slow pedestal that images of one sign pile up
(Allen and Berkley 1979, appendix)."""
COHERENCE_POINTS = 1025
"""Frequencies at which the root of the coherence is computed; it is interpolated between them."""
BALANCED_BINS_PER_CHANNEL = 8
"""Neighbouring frequencies over which the channels of the bank are made exactly independent before
they are mixed, for each channel: a bank of four seconds would else be 0.1 off by chance."""
BANKS_KEPT = 2
"""Banks in memory: 15 MB for 8 channels at 16 kHz."""

Distances = tuple[tuple[float, ...], ...]  # C by C, metres


def num_bands(sampling_rate: int) -> int:
    """Octave bands below half the sampling rate; the last one reaches up to it.

    >>> num_bands(16000), num_bands(8000)
    (7, 6)
    """
    return 1 + sum(centre * 2**0.5 < sampling_rate / 2 for centre in OCTAVES_HZ[:-1])


def band_weights(frequencies: NDArray[np.float64], sampling_rate: int) -> NDArray[np.float64]:
    """Amplitude of each octave band, shape ``[B, F]``, summing to 1 at every frequency.

    Raised cosines over the logarithm of the frequency, 1 at a band's centre and 0 at the next; the
    first band reaches down to 0 Hz and the last up to half the sampling rate.
    """
    count = num_bands(sampling_rate)
    octave = np.log2(np.maximum(frequencies, 1e-3) / OCTAVES_HZ[0])
    octave = np.clip(octave, 0.0, count - 1.0)
    away = np.abs(octave[None] - np.arange(count)[:, None])
    return np.asarray(np.where(away < 1.0, 0.5 + 0.5 * np.cos(np.pi * away), 0.0))


def isotropic_coherence(
    frequencies: NDArray[np.float64], metres: NDArray[np.float64]
) -> NDArray[np.float64]:
    """Coherence between two microphones in a spherically isotropic field, by Cook et al. (1955).

    Args:
        frequencies: Hz, any shape that broadcasts with ``metres``.
        metres: Distances.

    >>> float(isotropic_coherence(np.array(1715.0), np.array(0.1)).round(9))
    0.0
    """
    return np.asarray(np.sinc(2 * frequencies * metres / SPEED_OF_SOUND))


def diffuse_noise(distances: Distances, sampling_rate: int) -> NDArray[np.float32]:
    """The bank of a geometry: periodic Gaussian noise, shape ``[B, C, T]``, read-only.

    The bands add up in power to white noise of variance 1 above `HIGH_PASS_HZ`, and in every band
    the channels have the coherence of a diffuse field.
    """
    return _bank(distances, sampling_rate)


@lru_cache(maxsize=BANKS_KEPT)
def _bank(distances: Distances, sampling_rate: int) -> NDArray[np.float32]:
    count = len(distances)
    size = 2 ** int(np.ceil(np.log2(BANK_SECONDS * sampling_rate)))
    frequencies = scipy.fft.rfftfreq(size, 1 / sampling_rate)
    rng = generator(0, 0, f"late tail {sampling_rate} {distances}")
    white = rng.standard_normal((2, count, len(frequencies)), dtype=np.float32)
    spectrum = (white[0] + 1j * white[1]) * np.float32((size / 2) ** 0.5)  # [C, F]
    mixed = _mixed(_balanced(spectrum), np.array(distances), frequencies)
    sos = butter(2, HIGH_PASS_HZ, "highpass", fs=sampling_rate, output="sos")
    mixed *= np.abs(sosfreqz(sos, frequencies, fs=sampling_rate)[1]).astype(np.float32)
    # Bands of one noise would have to add up in amplitude; they are used at different offsets,
    # where they are independent, and have to add up in power.
    weights = np.sqrt(band_weights(frequencies, sampling_rate)).astype(np.float32)
    bank = np.stack([scipy.fft.irfft(mixed * weight, size, workers=1) for weight in weights])
    bank.flags.writeable = False
    return bank


def _balanced(spectrum: NDArray[np.complex64]) -> NDArray[np.complex64]:
    """Channels ``[C, F]`` of the same power and without correlation in every block of bins."""
    channels, bins = spectrum.shape
    width = BALANCED_BINS_PER_CHANNEL * channels
    count = bins // width
    if channels == 1 or count == 0:
        return spectrum
    blocks = spectrum[:, : count * width].reshape(channels, count, width).transpose(1, 0, 2)
    gram = np.matmul(blocks, blocks.conj().transpose(0, 2, 1)).astype(np.complex128)
    power = np.trace(gram, axis1=1, axis2=2).real.mean() / channels
    whitening = np.linalg.inv(np.linalg.cholesky(gram)) * power**0.5
    even = np.matmul(whitening.astype(np.complex64), blocks)
    spectrum[:, : count * width] = even.transpose(1, 0, 2).reshape(channels, -1)
    return spectrum


def _mixed(
    spectrum: NDArray[np.complex64],
    distances: NDArray[np.float64],
    frequencies: NDArray[np.float64],
) -> NDArray[np.complex64]:
    """Independent channels mixed by the symmetric root of the coherence matrix (Habets 2008)."""
    if len(distances) == 1:
        return spectrum
    coarse = np.linspace(0.0, frequencies[-1], COHERENCE_POINTS)
    values, vectors = np.linalg.eigh(isotropic_coherence(coarse[:, None, None], distances))
    roots = np.einsum("fij,fj,fkj->fik", vectors, np.sqrt(np.maximum(values, 0.0)), vectors)
    place = frequencies / coarse[1]
    lower = np.minimum(place.astype(np.int64), COHERENCE_POINTS - 2)
    share = (place - lower)[:, None, None]
    mixing = (roots[lower] * (1 - share) + roots[lower + 1] * share).astype(np.float32)
    return np.ascontiguousarray(np.matmul(mixing, spectrum.T[:, :, None])[:, :, 0].T)


def draw_offsets(rng: np.random.Generator, count: int) -> NDArray[np.float64]:
    """Where in the bank each band of a tail begins, as a share of its length, and its sign."""
    return rng.uniform(-1.0, 1.0, size=count)


def late_tail(
    bank: NDArray[np.float32],
    offsets: NDArray[np.float64],
    envelopes: NDArray[np.float32],
    gains: NDArray[np.float32],
) -> NDArray[np.float32]:
    """A tail of shape ``[C, L]``.

    Args:
        bank: From `diffuse_noise`.
        offsets: From `draw_offsets`, one a band: its size is the place, its sign the sign.
        envelopes: Amplitude of each band over time, shape ``[B, L]``.
        gains: Of each band in each channel, shape ``[B, C]``.
    """
    size, length = bank.shape[2], envelopes.shape[1]
    tail = np.zeros((bank.shape[1], length), dtype=np.float32)
    for band, offset, envelope, gain in zip(bank, offsets, envelopes, gains, strict=True):
        place, done = int(abs(offset) * size), 0
        signed = envelope * np.float32(np.sign(offset))
        while done < length:
            count = min(length - done, size - place)
            part = band[:, place : place + count] * signed[done : done + count]
            part *= gain[:, None]
            tail[:, done : done + count] += part
            done, place = done + count, 0
    return tail
