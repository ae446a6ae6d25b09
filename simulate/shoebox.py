"""The default room: image sources at first, then a decaying diffuse tail, with the asked T60.

::

    images ─► pulses (directivity) ─► octave-band decay ─┐ cross-fade at
    bank of diffuse noise ─► octave-band decay ──────────┘ the mixing time ─► T30 = asked ─► h

The reflections that can be told apart, until the mixing time, are exact image sources; after it a
response costs the same whatever the reverberation time. The level of the tail follows from theory
and needs no fit: images have the density ``4 π c³ t² / V`` and the energy ``1 / (c t)²`` each, so
without absorption a room of volume V brings ``4 π c / V`` of energy a second. The absorption of the
walls is the one with which the images have decayed, at the mixing time, just as far as the tail.

Legend: ``B`` octave band, ``C`` channel, ``L`` sample of the response, ``N`` image.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import lru_cache

import numpy as np
import scipy.fft
from numpy.typing import NDArray

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.schema import Metres
from talkover.manifests.seeds import generator
from talkover.simulate.decay import t60_correction
from talkover.simulate.directivity import depth_at, radiated_power
from talkover.simulate.emitters import Emitter
from talkover.simulate.image_sources import (
    Images,
    calibrated_absorption,
    image_pulses,
    image_seconds,
    images_of,
    shortest_t60,
)
from talkover.simulate.late_tail import (
    Distances,
    band_weights,
    diffuse_noise,
    draw_offsets,
    late_tail,
    num_bands,
)
from talkover.simulate.plan import SPEED_OF_SOUND

MIXING_SECONDS = 0.05
"""From the last direct path to the tail in a small room, and…"""
MIXING_SECONDS_PER_M3 = 11.7e-6
"""…more in a larger one (of the size that Lindau et al. 2012, JAES 60, 887, found audible)."""
FADE_SECONDS = 0.01
"""Cross-fade from images to the tail, before the mixing time."""
LONG_MIXING_SECONDS = 0.2
"""Above this (images all along) one microphone is done at a time."""
SETTLE_SECONDS = 0.05
"""After a direct path: two periods of the high-pass, by when it has died out."""
DIRECTIONS = 256
"""Directions over which the decay of the images is averaged."""
ABSORPTION_STEPS = 30
"""Bisections of the absorption exponent."""
MOST_ABSORPTION_EXPONENT = 20.0
"""-ln(1 - absorption) of walls that give nothing back."""
DECAY_NEPERS = 3 * math.log(10)
"""Of amplitude within the reverberation time: 60 dB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Shoebox:
    """A room and its microphones."""

    dimensions_m: Metres
    t60: float
    """Of the whole band by a T30 fit, seconds."""
    microphones_m: tuple[Metres, ...]
    t60_octaves: tuple[float, ...] = (1.0,) * 7
    """Relative reverberation time of each octave band of `OCTAVES_HZ`."""
    spacing_m: Distances | None = None
    """Distances between the microphones, where they are known better than from the positions."""

    @property
    def volume(self) -> float:
        """Cubic metres."""
        return math.prod(self.dimensions_m)

    @property
    def energy_per_second(self) -> float:
        """Of all reflections without absorption; a direct path of one metre has energy 1."""
        return 4 * math.pi * SPEED_OF_SOUND / self.volume


def shoebox_response(
    room: Shoebox, source: Emitter, sampling_rate: int, *, all_images: bool = False
) -> tuple[NDArray[np.float32], float]:
    """The response from a source to all microphones, and the energy absorption of the walls.

    Time 0 is the emission and the amplitude of a direct path of 1 m in front is 1.

    Args:
        room: Its T60 is what the response of all microphones together has.
        source: Where it sounds.
        sampling_rate: Hz.
        all_images: Image sources until the end (or until `MAX_IMAGES`), not until the mixing time.

    Returns:
        Response of shape ``[C, L]``, cut at the T60 after the last direct path, and the absorption.

    Raises:
        ConfigurationError: If the room cannot have the reverberation time.
    """
    _check(room)
    direct = _direct_seconds(room, source)
    num_samples = math.ceil((direct.max() + room.t60) * sampling_rate) + 1
    if all_images:
        mixing = min(num_samples / sampling_rate, image_seconds(room.dimensions_m))
        absorption = calibrated_absorption(
            room.dimensions_m, room.t60, source.position, room.microphones_m[0]
        )
        exponent = -math.log(1.0 - absorption)
    else:
        mixing = direct.max() + MIXING_SECONDS + MIXING_SECONDS_PER_M3 * room.volume
        exponent = absorption_exponent(room.dimensions_m, room.t60, mixing)
    early = _early(room, source, mixing, exponent, direct, sampling_rate)
    response = _late(room, source, mixing, direct, num_samples, sampling_rate)
    shared = min(early.shape[1], num_samples)
    response[:, :shared] += early[:, :shared]
    faster = t60_correction(response, room.t60, direct, sampling_rate)
    response *= np.exp(np.float32(-faster) * _since(direct, num_samples, sampling_rate))
    return response, 1.0 - math.exp(-exponent)


def direct_response(room: Shoebox, source: Emitter, sampling_rate: int) -> NDArray[np.float32]:
    """The direct paths alone, as they are in `shoebox_response`, shape ``[C, L]``."""
    direct = _direct_seconds(room, source)
    num_samples = math.ceil((direct.max() + SETTLE_SECONDS) * sampling_rate)
    distances = (direct * SPEED_OF_SOUND)[:, None]
    front = None
    if source.front is not None:
        away = np.array(room.microphones_m) - np.array(source.position)
        front = (away @ np.array(source.front))[:, None] / distances
    images = Images(distances=distances, reflections=np.zeros(1, dtype=np.int64), front=front)
    pulses = image_pulses(images, 0.0, 2 * num_samples, sampling_rate)
    flat = replace(room, t60_octaves=(1.0,) * len(room.t60_octaves))
    shaped = _by_band(flat, source, pulses, direct, 2 * num_samples, sampling_rate)
    return np.ascontiguousarray(shaped[:, :num_samples])


def _check(room: Shoebox) -> None:
    least = shortest_t60(room.dimensions_m)
    if room.t60 < least:
        raise ConfigurationError(
            f"a room of {room.dimensions_m} m cannot have a T60 of {room.t60:g} s: "
            f"at least {least:.2f} s"
        )


def _direct_seconds(room: Shoebox, source: Emitter) -> NDArray[np.float64]:
    """Arrival of the direct path at each microphone, shape ``[C]``."""
    metres = [math.dist(source.position, microphone) for microphone in room.microphones_m]
    return np.array(metres) / SPEED_OF_SOUND


def _since(
    direct: NDArray[np.float64], num_samples: int, sampling_rate: int
) -> NDArray[np.float32]:
    """Seconds since the direct path arrived, 0 before that, shape ``[C, L]``."""
    time = np.arange(num_samples, dtype=np.float32) / np.float32(sampling_rate)
    since = time - direct[:, None].astype(np.float32)
    return np.asarray(np.maximum(since, np.float32(0.0)), dtype=np.float32)


def absorption_exponent(dimensions_m: Metres, t60: float, seconds: float) -> float:
    """``-ln(1 - absorption)`` of walls with which images decay as asked up to a time.

    An image at the distance ``r`` in the direction ``u`` was reflected about ``r · Σ |u_i| / L_i``
    times; its energy is averaged over all directions.
    """
    rates = _reflections_per_metre(dimensions_m) * seconds * SPEED_OF_SOUND
    wanted = 10 ** (-6 * seconds / t60)
    low, high = 0.0, MOST_ABSORPTION_EXPONENT
    for _ in range(ABSORPTION_STEPS):
        middle = (low + high) / 2
        low, high = (middle, high) if np.exp(-middle * rates).mean() > wanted else (low, middle)
    return (low + high) / 2


@lru_cache(maxsize=64)
def _reflections_per_metre(dimensions_m: Metres) -> NDArray[np.float64]:
    """Reflections a metre of path, over directions spread evenly (a Fibonacci lattice)."""
    n = np.arange(DIRECTIONS) + 0.5
    height = 1 - n / DIRECTIONS  # one half of the sphere: the other is its mirror image
    azimuth = np.pi * (1 + 5**0.5) * n
    radius = np.sqrt(1 - height**2)
    unit = np.stack([radius * np.cos(azimuth), radius * np.sin(azimuth), height])
    return np.asarray((np.abs(unit) / np.array(dimensions_m)[:, None]).sum(axis=0))


def _early(
    room: Shoebox,
    source: Emitter,
    mixing: float,
    exponent: float,
    direct: NDArray[np.float64],
    sampling_rate: int,
) -> NDArray[np.float32]:
    """All images until the mixing time, faded out, shape ``[C, L]``."""
    num_samples = math.ceil(mixing * sampling_rate)
    size = scipy.fft.next_fast_len(num_samples + num_samples // 2, real=True)
    ears = np.array(room.microphones_m)
    # One microphone at a time where there are many images, so that memory stays small.
    groups = [ears] if mixing < LONG_MIXING_SECONDS else [ear[None] for ear in ears]
    pulses = np.concatenate(
        [
            image_pulses(
                images_of(
                    room.dimensions_m,
                    source.position,
                    group,
                    mixing * SPEED_OF_SOUND,
                    facing=source.front,
                ),
                exponent,
                size,
                sampling_rate,
            )
            for group in groups
        ],
        axis=1,
    )  # [1 or 2, C, L]
    shaped = _by_band(room, source, pulses, direct, size, sampling_rate)[:, :num_samples]
    fade = round(FADE_SECONDS * sampling_rate)
    shaped[:, -fade:] *= np.cos(np.linspace(0, np.pi / 2, fade)).astype(np.float32)
    return shaped


def _by_band(
    room: Shoebox,
    source: Emitter,
    pulses: NDArray[np.float32],
    direct: NDArray[np.float64],
    size: int,
    sampling_rate: int,
) -> NDArray[np.float32]:
    """Directivity, and each octave band's own decay after the direct path."""
    depth, bands = _filters(source.directivity, size, sampling_rate)
    excess = _decay_rates(room, sampling_rate) - DECAY_NEPERS / room.t60  # [B]
    if len(pulses) == 1 and not excess.any():
        return np.asarray(pulses[0])
    spectrum = scipy.fft.rfft(pulses, axis=2, workers=1)  # [1 or 2, C, F]
    if len(pulses) == 2:
        spectrum[0] += depth * spectrum[1]
    if not excess.any():
        signal: NDArray[np.float32] = scipy.fft.irfft(spectrum[0], size, axis=1, workers=1)
        return signal
    split = scipy.fft.irfft(bands[:, None] * spectrum[0], size, axis=2, workers=1)  # [B, C, L]
    since = _since(direct, size, sampling_rate)
    split *= np.exp(-excess.astype(np.float32)[:, None, None] * since)
    return np.asarray(split.sum(axis=0))


@lru_cache(maxsize=64)
def _filters(
    directivity: str, size: int, sampling_rate: int
) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
    """Depth of the directivity ``[F]`` and amplitudes of the octave bands ``[B, F]``."""
    frequencies = scipy.fft.rfftfreq(size, 1 / sampling_rate)
    depth = depth_at(directivity, frequencies).astype(np.float32)
    return depth, band_weights(frequencies, sampling_rate).astype(np.float32)


def _decay_rates(room: Shoebox, sampling_rate: int) -> NDArray[np.float64]:
    """Nepers a second of amplitude in each octave band below half the sampling rate."""
    factors = np.array(room.t60_octaves[: num_bands(sampling_rate)])
    return np.asarray(DECAY_NEPERS / (room.t60 * factors))


def _late(
    room: Shoebox,
    source: Emitter,
    mixing: float,
    direct: NDArray[np.float64],
    num_samples: int,
    sampling_rate: int,
) -> NDArray[np.float32]:
    """The tail from before the mixing time on, shape ``[C, L]``; zero where it ends earlier."""
    count = num_bands(sampling_rate)
    response = np.zeros((len(direct), num_samples), dtype=np.float32)
    fade = round(FADE_SECONDS * sampling_rate)
    start = math.ceil(mixing * sampling_rate) - fade
    if start >= num_samples:
        return response
    rates = _decay_rates(room, sampling_rate)
    excess = rates - DECAY_NEPERS / room.t60
    power = room.energy_per_second / sampling_rate * radiated_power(source.directivity)[:count]
    gains = np.sqrt(power)[:, None] * np.exp(excess[:, None] * direct)  # [B, C]
    time = np.arange(start, num_samples, dtype=np.float32) / np.float32(sampling_rate)
    envelopes = np.exp(-rates.astype(np.float32)[:, None] * time)  # [B, L]
    ramp = np.sin(np.linspace(0, np.pi / 2, fade)).astype(np.float32)
    envelopes[:, :fade] *= ramp[: envelopes.shape[1]]
    spacing = room.spacing_m or spacing_of(room.microphones_m)
    rng = generator(0, 0, f"{room.dimensions_m} {room.t60} {source.position}")
    response[:, start:] = late_tail(
        diffuse_noise(spacing, sampling_rate),
        draw_offsets(rng, count),
        envelopes,
        gains.astype(np.float32),
    )
    return response


def spacing_of(points: Sequence[Metres]) -> Distances:
    """Distances between all pairs of points in metres, to a tenth of a millimetre."""
    return tuple(tuple(round(math.dist(a, b), 4) for b in points) for a in points)
