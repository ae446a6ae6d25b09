"""Changes of log-mel frames that leave the labels true: other rooms, voices and noise for nothing.

Legend: ``T`` log-mel frame, ``M`` mel band.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

Mels = NDArray[np.float32]
FRAMES_PER_SECOND = 100
"""Log-mel frames."""
KNOTS = 6
"""Points of a random spectrum, between which it is a straight line."""


@dataclass(frozen=True, kw_only=True)
class AugmentConfig:
    """How often and how much."""

    shift: float = 0.3
    """Probability that all bands move by one or two: a shorter or longer vocal tract."""
    noise: float = 0.5
    """Probability of a steady noise below the signal."""
    noise_db: tuple[float, float] = (-30.0, 0.0)
    """Its level over the median level of the window."""
    bursts: float = 0.0
    """Probability of noises that come and go, such as breath, rustling and handling, which people
    and microphones make between and beside words."""
    burst_db: tuple[float, float] = (-45.0, -8.0)
    """Level of each over the loud parts of the window."""
    burst_s: tuple[float, float] = (0.05, 2.0)
    """How long each lasts."""
    most_bursts: int = 30
    """In a window."""
    masked: float = 0.3
    """Probability that some bands are not heard."""
    most_masked: int = 12
    """Bands."""
    coloured: float = 0.0
    """Probability of another microphone: a smooth random gain of the bands."""
    colour_db: float = 8.0
    """Largest such gain or loss."""


def sum_of(one: Mels, other: Mels, gain_db: float) -> Mels:
    """Two signals at once: powers add."""
    return np.asarray(np.logaddexp(one, other + np.float32(gain_db * np.log(10) / 10)))


def shift_bands(mels: Mels, rng: np.random.Generator, config: AugmentConfig) -> Mels:
    """All bands moved up or down by up to two, the outermost repeated."""
    if rng.random() >= config.shift:
        return mels
    return moved_bands(mels, int(rng.choice([-2, -1, 1, 2])))


def moved_bands(mels: Mels, by: int) -> Mels:
    """All bands moved up (or down, below 0), the outermost repeated."""
    if by == 0:
        return mels
    moved = np.roll(mels, by, axis=1)
    if by > 0:
        moved[:, :by] = mels[:, :1]
    else:
        moved[:, by:] = mels[:, -1:]
    return moved


def colour(mels: Mels, rng: np.random.Generator, config: AugmentConfig) -> Mels:
    """A smooth gain over the bands, as of another microphone or place."""
    if rng.random() >= config.coloured:
        return mels
    knots = rng.uniform(-config.colour_db, config.colour_db, KNOTS) * np.log(10) / 10
    bands = np.interp(np.linspace(0, KNOTS - 1, mels.shape[1]), np.arange(KNOTS), knots)
    return np.asarray(mels + bands.astype(np.float32))


def add_noise(mels: Mels, rng: np.random.Generator, config: AugmentConfig) -> Mels:
    """A steady noise of a random spectrum, with the ripple that short windows show of noise."""
    if rng.random() >= config.noise:
        return mels
    bands = mels.shape[1]
    knots = rng.uniform(-12, 12, KNOTS)
    shape_db = np.interp(np.linspace(0, KNOTS - 1, bands), np.arange(KNOTS), knots)
    level = float(np.median(mels)) + rng.uniform(*config.noise_db) * np.log(10) / 10
    # the power of a few bins of Gaussian noise: a logarithm with a spread of about half a neper
    ripple = 0.5 * rng.standard_normal(mels.shape, dtype=np.float32)
    noise = (level + shape_db * np.log(10) / 10).astype(np.float32) + ripple
    return np.asarray(np.logaddexp(mels, noise))


def add_bursts(mels: Mels, rng: np.random.Generator, config: AugmentConfig) -> Mels:
    """Noises that come and go, each of a random spectrum, most of them stronger at low bands."""
    if rng.random() >= config.bursts:
        return mels
    frames, bands = mels.shape
    neper = np.log(10) / 10
    loud = float(np.quantile(mels.mean(axis=1), 0.95))
    noise = np.full(mels.shape, -np.inf, dtype=np.float32)
    shortest, longest = np.log(config.burst_s)
    for _ in range(int(rng.integers(1, config.most_bursts + 1))):
        length = max(2, round(float(np.exp(rng.uniform(shortest, longest))) * FRAMES_PER_SECOND))
        first = int(rng.integers(-length + 1, frames))
        inside = slice(max(0, first), min(frames, first + length))
        shape = np.sin(np.pi * (np.arange(length) + 0.5) / length) ** rng.uniform(0.3, 3)
        rise = 20 * np.log10(shape)[inside.start - first : inside.stop - first]
        knots = rng.uniform(-12, 12, KNOTS) - rng.uniform(-6, 30) * np.linspace(-0.5, 0.5, KNOTS)
        spectrum = np.interp(np.linspace(0, KNOTS - 1, bands), np.arange(KNOTS), knots)
        level = loud + rng.uniform(*config.burst_db) * neper
        burst = (level + (rise[:, None] + spectrum) * neper).astype(np.float32)
        noise[inside] = np.logaddexp(noise[inside], burst)
    # short windows of noise: a logarithm with a spread of about half a neper
    noise += 0.5 * rng.standard_normal(mels.shape, dtype=np.float32)
    return np.asarray(np.logaddexp(mels, noise))


def mask_bands(mels: Mels, rng: np.random.Generator, config: AugmentConfig) -> Mels:
    """Some neighbouring bands at their mean (Park et al. 2019, SpecAugment)."""
    if rng.random() >= config.masked:
        return mels
    count = int(rng.integers(1, config.most_masked + 1))
    first = int(rng.integers(mels.shape[1] - count + 1))
    masked = mels.copy()
    masked[:, first : first + count] = mels.mean()
    return masked
