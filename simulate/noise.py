"""Noise of a session: which one, and its samples as a stream.

Synthetic noises are Gaussian, shaped by a filter with the asked spectrum, and independent in each
channel. An ambient clip is looped and is the same in all channels. Neither is a diffuse field.

Samples depend on (plan, channel, position) alone: they are made in blocks of a fixed size and
handed out in blocks of any size.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.seeds import generator
from talkover.simulate.config import NoiseConfig
from talkover.simulate.noise_clips import NoiseClip, NoiseCollection
from talkover.simulate.plan import NoisePlan

__all__ = ["NoiseClip", "NoiseCollection", "draw_noise", "noise_blocks", "noise_filter"]

SNR_DIGITS = 4
"""Digits after the point of a drawn SNR in dB."""

FFT_SAMPLES = 32768
FILTER_TAPS = 2049
"""Odd, so that the filter has a middle; 128 ms at 16 kHz resolve 20 Hz."""
HOP_SAMPLES = FFT_SAMPLES - FILTER_TAPS + 1

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


def draw_noise(
    config: NoiseConfig,
    rng: np.random.Generator,
    collection: NoiseCollection | None,
    sampling_rate: int,
) -> NoisePlan | None:
    """One noise for a session, or None where none is asked for.

    Raises:
        ConfigurationError: If ambient noise is asked for without a collection.
    """
    if config.kind == "none":
        return None
    snr_db = round(float(rng.uniform(*config.snr_db)), SNR_DIGITS)
    if config.kind != "ambient":
        return NoisePlan(kind=config.kind, snr_db=snr_db, seed=int(rng.integers(2**32)))
    if collection is None:
        raise ConfigurationError("noise.kind ambient needs noise.path: a folder or a manifest.csv")
    if collection.sampling_rate != sampling_rate:
        raise ValueError(f"noises at {collection.sampling_rate} Hz, plan at {sampling_rate} Hz")
    clip = collection.ambient[int(rng.integers(len(collection.ambient)))]
    return NoisePlan(
        kind="ambient",
        snr_db=snr_db,
        clip=clip.clip_id,
        clip_sha256=clip.sha256,
        offset_samples=int(rng.integers(clip.loop_samples)),
    )


def noise_blocks(
    plan: NoisePlan,
    *,
    num_channels: int,
    num_samples: int,
    block_samples: int,
    sampling_rate: int,
    collection: NoiseCollection | None = None,
) -> Iterator[NDArray[np.float32]]:
    """The noise of a session at an arbitrary level, in blocks of shape ``[C, block_samples]``.

    The last block is as short as it must be. The samples do not depend on the size of the blocks,
    nor those of a channel on the number of channels.

    Raises:
        ConfigurationError: If the collection lacks the clip.
    """
    if plan.kind == "ambient":
        if collection is None:
            raise ConfigurationError("this plan has ambient noise: give noise.path to render it")
        loop = collection.loop(collection.clip(plan.clip, plan.clip_sha256))
        pieces = _looped(loop, plan.offset_samples, num_channels)
    else:
        pieces = _coloured(plan, num_channels, sampling_rate)
    return _reblocked(pieces, num_samples, block_samples)


def noise_filter(kind: str, sampling_rate: int) -> NDArray[np.float64]:
    """Linear-phase filter that gives white noise the spectrum of a kind, shape ``[FILTER_TAPS]``.

    Its energy is 1, so that the power of the noise is 1.
    """
    frequencies = np.fft.rfftfreq(FILTER_TAPS, 1 / sampling_rate)
    if kind == "white":
        amplitude = np.ones_like(frequencies)
    elif kind == "pink":
        amplitude = np.maximum(frequencies, LOWEST_HZ) ** -0.5
    elif kind == "speech_shaped":
        bands = np.array(SPEECH_BANDS_HZ, dtype=np.float64)
        # A third octave is proportional to its frequency: level per band to level per Hz.
        per_hz = np.array(SPEECH_BANDS_DB) - 10 * np.log10(bands)
        inside = np.log(np.maximum(frequencies, LOWEST_HZ / 10))
        amplitude = 10 ** (np.interp(inside, np.log(bands), per_hz) / 20)
        below = (
            frequencies < bands[0]
        )  # below the table: 12 dB an octave, voices have nothing there
        amplitude[below] *= (frequencies[below] / bands[0]) ** 2
    else:
        raise ValueError(f"kind must be white, pink or speech_shaped, got {kind!r}")
    taps = np.roll(np.fft.irfft(amplitude, FILTER_TAPS), FILTER_TAPS // 2) * np.hanning(FILTER_TAPS)
    return np.asarray(taps / np.sqrt(np.sum(taps**2)))


@lru_cache(maxsize=8)
def _filter_spectrum(kind: str, sampling_rate: int) -> NDArray[np.complex64]:
    taps = noise_filter(kind, sampling_rate).astype(np.float32)
    spectrum: NDArray[np.complex64] = scipy.fft.rfft(taps, FFT_SAMPLES, workers=1)
    return spectrum


def _coloured(
    plan: NoisePlan, num_channels: int, sampling_rate: int
) -> Iterator[NDArray[np.float32]]:
    """Endless blocks ``[C, HOP_SAMPLES]``; overlap-save, so each starts with the last one's end."""
    rngs = [generator(plan.seed, c, f"noise/{plan.kind}") for c in range(num_channels)]
    if plan.kind == "white":
        while True:
            yield np.stack([rng.standard_normal(HOP_SAMPLES, dtype=np.float32) for rng in rngs])
    spectrum = _filter_spectrum(plan.kind, sampling_rate)
    window = np.empty((num_channels, FFT_SAMPLES), dtype=np.float32)
    overlap = FILTER_TAPS - 1
    for row, rng in zip(window, rngs, strict=True):
        rng.standard_normal(out=row[-overlap:], dtype=np.float32)
    while True:
        window[:, :overlap] = window[:, -overlap:].copy()
        for row, rng in zip(window, rngs, strict=True):
            rng.standard_normal(out=row[overlap:], dtype=np.float32)
        shaped = scipy.fft.rfft(window, axis=1, workers=1)
        shaped *= spectrum
        yield scipy.fft.irfft(shaped, FFT_SAMPLES, axis=1, workers=1)[:, overlap:]


def _looped(
    loop: NDArray[np.float32], offset: int, num_channels: int
) -> Iterator[NDArray[np.float32]]:
    """Endless blocks ``[C, T]`` of a loop from an offset on."""
    every = np.broadcast_to(loop, (num_channels, len(loop)))
    yield every[:, offset % len(loop) :]
    while True:
        yield every


def _reblocked(
    pieces: Iterator[NDArray[np.float32]], num_samples: int, block_samples: int
) -> Iterator[NDArray[np.float32]]:
    """The first samples of a stream in blocks of one size."""
    if block_samples < 1:
        raise ValueError(f"block_samples must be at least 1, got {block_samples}")
    rest = next(pieces)
    for start in range(0, num_samples, block_samples):
        wanted = min(block_samples, num_samples - start)
        parts, held = [rest], rest.shape[1]
        while held < wanted:
            parts.append(next(pieces))
            held += parts[-1].shape[1]
        joined = parts[0] if len(parts) == 1 else np.concatenate(parts, axis=1)
        yield joined[:, :wanted]
        rest = joined[:, wanted:]
