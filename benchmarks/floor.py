"""The floor: how fast a session could be rendered if rendering were all that is done.

A bare overlap-add of four speakers: int16 sources in memory, one forward transform a speaker and
block, products summed over speakers in frequency, one inverse transform a channel, a fixed noise
added, 16-bit WAV written. No labels, levels, headroom or manifests. `benchmarks/simulate.py`
measures it in the same run as the product, since machines differ from minute to minute.

    python benchmarks/floor.py
"""

from __future__ import annotations

import statistics
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import scipy.fft
import soundfile
from numpy.typing import NDArray

RATE = 16000
SPEAKERS = 4
RESPONSE_SECONDS = 0.6
FFT_SAMPLES = 32768
ACTIVITY = 0.35
"""Share of the session in which each speaker speaks; the sum is that of a lively meeting."""
NOISE_LEVEL = 0.003
TURN_SECONDS = 4.0


@dataclass(frozen=True, slots=True)
class Material:
    """Synthetic sources and responses, made before the clock starts."""

    sources: NDArray[np.int16]  # [K, T]
    responses: NDArray[np.float32]  # [K, C, L]
    noise: NDArray[np.float32]  # [C, T]


def make_material(channels: int, seconds: float, seed: int = 0) -> Material:
    """Noise in turns as speech, and exponentially decaying noise as responses."""
    rng = np.random.default_rng(seed)
    num_samples, length = round(seconds * RATE), round(RESPONSE_SECONDS * RATE)
    sources = np.zeros((SPEAKERS, num_samples), dtype=np.int16)
    turn = round(TURN_SECONDS * RATE)
    for source in sources:
        for start in range(0, num_samples, turn):
            if rng.random() < ACTIVITY:
                part = source[start : start + turn]
                part[:] = rng.normal(0, 1500, len(part))
    decay = 10 ** (-3 * np.arange(length) / length)
    responses = 0.02 * rng.standard_normal((SPEAKERS, channels, length)) * decay
    noise = NOISE_LEVEL * rng.standard_normal((channels, FFT_SAMPLES), dtype=np.float32)
    return Material(sources, responses.astype(np.float32), noise)


def render_bare(material: Material, path: Path) -> None:
    """Convolve, sum, add noise and write; the whole of the floor."""
    channels, length = material.responses.shape[1:]
    hop = FFT_SAMPLES - length + 1
    spectra = scipy.fft.rfft(material.responses, FFT_SAMPLES, axis=2, workers=1)
    tail = np.zeros((channels, length - 1), dtype=np.float32)
    buffer = np.zeros(FFT_SAMPLES, dtype=np.float32)
    product = np.empty(spectra.shape[1:], dtype=np.complex64)
    num_samples = material.sources.shape[1]
    with soundfile.SoundFile(path, "w", RATE, channels, "PCM_16") as file:
        for start in range(0, num_samples, hop):
            count = min(hop, num_samples - start)
            summed = np.zeros_like(product)
            for source, spectrum in zip(material.sources, spectra, strict=True):
                part = source[start : start + count]
                if not part.any():
                    continue
                np.multiply(part, np.float32(1 / 32768), out=buffer[:count])
                buffer[count:] = 0.0
                np.multiply(spectrum, scipy.fft.rfft(buffer, workers=1), out=product)
                summed += product
            signal = scipy.fft.irfft(summed, FFT_SAMPLES, axis=1, workers=1)
            signal[:, : length - 1] += tail
            tail = signal[:, hop:].copy()
            mixture = signal[:, :count] + material.noise[:, :count]
            mixture *= np.float32(32767)
            file.write(np.ascontiguousarray(mixture.T).astype(np.int16))


def floor(channels: int, seconds: float = 120.0, *, runs: int = 5) -> float:
    """Seconds of audio a second of CPU time on one core, median of several runs.

    Args:
        channels: Microphones.
        seconds: Length of the session.
        runs: Repetitions; one more warms up.
    """
    material = make_material(channels, seconds)
    rates = []
    with tempfile.TemporaryDirectory() as folder:
        for _ in range(runs + 1):
            start = time.process_time()
            render_bare(material, Path(folder) / "mixture.wav")
            rates.append(seconds / (time.process_time() - start))
    return statistics.median(rates[1:])


def main() -> None:
    """Print the floor for 1 and 8 channels."""
    for channels in (1, 8):
        print(f"{channels} channel{'s' * (channels > 1)}: {floor(channels):,.0f} x real time")


if __name__ == "__main__":
    main()
