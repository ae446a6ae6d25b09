"""Responses of a shoebox room by the image-source method, cut by time and calibrated to a T60.

The method is Allen and Berkley's (1979): every mirror image of the source within reach adds a
delayed pulse, weaker by the reflection coefficient for each wall that it crossed. Here images are
kept while they arrive within the reverberation time, not up to a reflection order, which needs half
of them; and one absorption is found, for all walls, whose decay has the asked T60 (the inverse of
Sabine's formula is up to 30 % off in rooms that are not cubes). The fractional delays are drawn by
pyroomacoustics.

::

    energy of the images by (1 ms bin, reflections) ──► absorption whose T30 is the asked T60
    images of (source, microphone) ──► pulses ──► high-pass ──► response, 1.0 = direct path at 1 m
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.schema import Metres
from talkover.manifests.seeds import generator
from talkover.simulate.decay import fit_t60
from talkover.simulate.plan import SPEED_OF_SOUND

MAX_IMAGES = 600_000
"""Images of one source at one microphone; what comes later is a decaying random tail."""
TAIL_FADE_SECONDS = 0.02
"""Cross-fade from images to the random tail."""
TAIL_MATCH_SECONDS = 0.05
"""The last stretch of images, whose level the tail continues."""

BINS_PER_SECOND = 1000
"""Resolution of the energy decay that the absorption is found on."""
BISECTIONS = 24
ABSORPTION_RANGE = (1e-3, 0.9999)

HIGH_PASS_HZ = 40.0
"""Removes the slow pedestal that images of one sign pile up (Allen and Berkley 1979, appendix)."""
DELAY_TAPS = 81
"""Length of pyroomacoustics' fractional-delay filters, whose peak is at tap 40."""
DELAY_STEPS = 20
"""Their interpolation table's steps a sample (pyroomacoustics' own default)."""
HIGH_PASS_SETTLE_SECONDS = 0.05
"""After a pulse: two periods of the high-pass, by when it has died out."""

Images = tuple[NDArray[np.float64], NDArray[np.int64]]  # distances in metres, reflections


def shortest_t60(dimensions_m: Metres) -> float:
    """Seconds of reverberation with fully absorbing walls by Sabine's formula.

    >>> round(shortest_t60((6.0, 5.0, 3.0)), 3)
    0.115
    """
    x, y, z = dimensions_m
    volume, surface = x * y * z, 2 * (x * y + y * z + z * x)
    return 24 * math.log(10) / SPEED_OF_SOUND * volume / surface


def shoebox_responses(
    dimensions_m: Metres,
    t60: float,
    sources: Sequence[Metres],
    microphones: Sequence[Metres],
    sampling_rate: int,
    *,
    direct_only: bool = False,
) -> tuple[NDArray[np.float32], float]:
    """Responses from every source to every microphone, and the absorption of the walls.

    Time 0 is the emission and the amplitude of a direct path of 1 m is 1, so that inter-microphone
    delays and level differences are those of the geometry.

    Args:
        dimensions_m: Sides of the room.
        t60: Reverberation time to calibrate to, seconds.
        sources: Positions, metres.
        microphones: Positions, metres.
        sampling_rate: Hz.
        direct_only: Keep nothing but the direct paths.

    Returns:
        Responses of shape ``[K, C, L]``, cut at the T60 after the last direct path, and the energy
        absorption coefficient.

    Raises:
        ConfigurationError: If the room cannot have the reverberation time.
    """
    least = shortest_t60(dimensions_m)
    if t60 < least:
        raise ConfigurationError(
            f"a room of {dimensions_m} m cannot have a T60 of {t60:g} s: at least {least:.2f} s"
        )
    farthest = max(math.dist(s, m) for s in sources for m in microphones) / SPEED_OF_SOUND
    absorption = calibrated_absorption(dimensions_m, t60, sources[0], microphones[0])
    seconds = farthest + (HIGH_PASS_SETTLE_SECONDS if direct_only else t60)
    num_samples = math.ceil(seconds * sampling_rate) + DELAY_TAPS // 2 + 1
    high_pass = butter(2, HIGH_PASS_HZ, "highpass", fs=sampling_rate, output="sos")
    result = np.zeros((len(sources), len(microphones), num_samples), dtype=np.float32)
    for k, source in enumerate(sources):
        for c, microphone in enumerate(microphones):
            if direct_only:
                images = np.array([math.dist(source, microphone)]), np.zeros(1, dtype=np.int64)
                pulses = _pulses(images, absorption, num_samples, sampling_rate)
            else:
                reach = min(seconds, _image_seconds(dimensions_m))
                images = images_within(dimensions_m, source, microphone, reach * SPEED_OF_SOUND)
                pulses = _pulses(images, absorption, num_samples, sampling_rate)
                if reach < seconds:
                    rng = generator(0, 0, f"tail {dimensions_m} {source} {microphone}")
                    _continue_with_noise(pulses, reach, t60, sampling_rate, rng)
            result[k, c] = sosfilt(high_pass, pulses)
    return result, absorption


def images_within(
    dimensions_m: Metres, source: Metres, microphone: Metres, radius: float
) -> Images:
    """Distances and numbers of reflections of all images at most ``radius`` metres away."""
    (x, nx), (y, ny), (z, nz) = (
        _axis(side, s, m, radius)
        for side, s, m in zip(dimensions_m, source, microphone, strict=True)
    )
    squares = x[:, None, None] + y[None, :, None] + z[None, None, :]
    inside = squares <= radius**2
    reflections = nx[:, None, None] + ny[None, :, None] + nz[None, None, :]
    return np.sqrt(squares[inside]), reflections[inside]


def calibrated_absorption(
    dimensions_m: Metres, t60: float, source: Metres, microphone: Metres
) -> float:
    """The absorption of all walls whose image energies decay with the asked T60 (T30 fit)."""
    reach = min(t60 + math.dist(source, microphone) / SPEED_OF_SOUND, _image_seconds(dimensions_m))
    distances, reflections = images_within(dimensions_m, source, microphone, reach * SPEED_OF_SOUND)
    num_bins, num_orders = int(reach * BINS_PER_SECOND) + 1, int(reflections.max()) + 1
    bins = (distances / SPEED_OF_SOUND * BINS_PER_SECOND).astype(np.int64)
    table = np.bincount(
        bins * num_orders + reflections, weights=distances**-2.0, minlength=num_bins * num_orders
    ).reshape(num_bins, num_orders)[bins.min() : -1]  # from the direct path to the last full bin
    orders = np.arange(num_orders)
    match = round(TAIL_MATCH_SECONDS * BINS_PER_SECOND)
    low, high = ABSORPTION_RANGE
    for _ in range(BISECTIONS):
        middle = (low + high) / 2
        energy = (table * (1.0 - middle) ** orders).sum(axis=1)
        # All that an exponential decay of the asked T60 would still bring after the last bin.
        rest = energy[-match:].sum() / math.expm1(6 * math.log(10) * TAIL_MATCH_SECONDS / t60)
        measured = fit_t60(np.append(energy, rest), BINS_PER_SECOND)
        low, high = (middle, high) if measured is None or measured > t60 else (low, middle)
    return (low + high) / 2


def _axis(
    side: float, source: float, microphone: float, radius: float
) -> tuple[NDArray[np.float64], NDArray[np.int64]]:
    """Squared distances along one axis and the reflections at its two walls.

    ::

        wall 0          wall L
          |   s      m    |          images at 2nL + s (2|n| reflections)
          |               |          and at 2nL - s (|2n - 1| reflections)
    """
    reach = int(radius / (2 * side)) + 2
    n = np.arange(-reach, reach + 1)
    along = np.concatenate([2 * n * side + source, 2 * n * side - source]) - microphone
    reflections = np.concatenate([2 * np.abs(n), np.abs(2 * n - 1)])
    kept = np.abs(along) <= radius
    return along[kept] ** 2, reflections[kept]


def _image_seconds(dimensions_m: Metres) -> float:
    """Time within which about `MAX_IMAGES` images arrive: a sphere has one for each volume."""
    volume = math.prod(dimensions_m)
    return float(np.cbrt(MAX_IMAGES * volume * 3 / (4 * math.pi))) / SPEED_OF_SOUND


def _pulses(
    images: Images, absorption: float, num_samples: int, sampling_rate: int
) -> NDArray[np.float64]:
    """The images as pulses at their fractional delays, shape ``[L]``."""
    from pyroomacoustics import libroom

    distances, reflections = images
    coefficients = math.sqrt(1.0 - absorption) ** np.arange(int(reflections.max()) + 1)
    latency = DELAY_TAPS // 2
    # One tap filter longer than wanted at both ends: no pulse may reach over the buffer.
    buffer = np.zeros(num_samples + 2 * DELAY_TAPS, dtype=np.float32)
    times = distances / SPEED_OF_SOUND + latency / sampling_rate
    libroom.rir_builder(
        buffer,
        times.astype(np.float32),
        (coefficients[reflections] / distances).astype(np.float32),
        sampling_rate,
        DELAY_TAPS,
        DELAY_STEPS,
        1,  # thread
    )
    return buffer[latency : latency + num_samples].astype(np.float64)


def _continue_with_noise(
    pulses: NDArray[np.float64],
    seconds: float,
    t60: float,
    sampling_rate: int,
    rng: np.random.Generator,
) -> None:
    """Let Gaussian noise of the same level and decay take over at ``seconds``, in place."""
    end = int(seconds * sampling_rate)
    match, fade = (
        round(TAIL_MATCH_SECONDS * sampling_rate),
        round(TAIL_FADE_SECONDS * sampling_rate),
    )
    start = end - fade
    decay = 3 * math.log(10) / (t60 * sampling_rate)  # of the amplitude, per sample
    stretch = pulses[start - match : start]
    # The pedestal is not part of the level: the high-pass after this removes it.
    undecayed = (stretch - stretch.mean()) * np.exp(decay * (np.arange(match) - match))
    tail = rng.standard_normal(len(pulses) - start) * undecayed.std()
    tail *= np.exp(-decay * np.arange(len(tail)))
    ramp = np.sin(np.linspace(0, np.pi / 2, fade))
    pulses[start:end] *= ramp[::-1]
    pulses[end:] = 0.0
    tail[:fade] *= ramp
    pulses[start:] += tail
