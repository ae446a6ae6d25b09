"""Mirror images of a source in a shoebox room, and the pulses they bring (Allen and Berkley 1979).

Every mirror image within reach adds a delayed pulse, weaker by the reflection coefficient for each
wall that it crossed. Images are kept while they arrive within a time, not up to a reflection order,
which needs half of them; all microphones take the same images. One absorption can be found, for all
walls, whose decay has the asked T60 (the inverse of Sabine's formula is up to 30 % off in rooms
that are not cubes). The fractional delays are drawn by pyroomacoustics.

Legend: ``C`` channel, ``N`` image, ``L`` sample.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import lru_cache

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfilt

from talkover.manifests.schema import Metres
from talkover.simulate.decay import fit_t60
from talkover.simulate.directivity import rear_weight
from talkover.simulate.late_tail import HIGH_PASS_HZ
from talkover.simulate.plan import SPEED_OF_SOUND

MAX_IMAGES = 600_000
"""Images of one source at one microphone; what comes later is a diffuse tail."""
TAIL_MATCH_SECONDS = 0.05
"""The last stretch of images, whose level an exponential decay continues in the calibration."""

BINS_PER_SECOND = 1000
"""Resolution of the energy decay that the absorption is found on."""
BISECTIONS = 24
ABSORPTION_RANGE = (1e-3, 0.9999)

DELAY_TAPS = 81
"""Length of pyroomacoustics' fractional-delay filters for the direct path…"""
REFLECTION_TAPS = 41
"""…and for reflections, of which there are many."""
DELAY_STEPS = 20
"""Their interpolation table's steps a sample (pyroomacoustics' own default)."""


def shortest_t60(dimensions_m: Metres) -> float:
    """Seconds of reverberation with fully absorbing walls by Sabine's formula.

    >>> round(shortest_t60((6.0, 5.0, 3.0)), 3)
    0.115
    """
    x, y, z = dimensions_m
    volume, surface = x * y * z, 2 * (x * y + y * z + z * x)
    return 24 * math.log(10) / SPEED_OF_SOUND * volume / surface


@dataclass(frozen=True, kw_only=True, slots=True)
class Images:
    """The mirror images of one source, as all microphones hear them."""

    distances: NDArray[np.float64]  # [C, N]
    """Metres."""
    reflections: NDArray[np.int64]  # [N]
    """Walls crossed."""
    front: NDArray[np.float64] | None  # [C, N]
    """Cosine of the angle between the source's front and the way to the microphone."""


def images_of(
    dimensions_m: Metres,
    source: Metres,
    microphones: NDArray[np.float64],
    radius: float,
    *,
    facing: Metres | None = None,
) -> Images:
    """All images that any microphone hears within ``radius`` metres of way.

    Args:
        dimensions_m: Sides of the room.
        source: Position, metres.
        microphones: Positions, metres, shape ``[C, 3]``.
        radius: Metres.
        facing: Unit vector of the source's front; None leaves `Images.front` out.
    """
    middle = (microphones.max(axis=0) + microphones.min(axis=0)) / 2
    reach = radius + float(np.linalg.norm(microphones - middle, axis=1).max())
    axes = [_axis(*each, reach) for each in zip(dimensions_m, source, middle, strict=True)]
    (x, _, _), (y, _, _), (z, _, _) = axes
    away = [(along - m) ** 2 for along, m in zip((x, y, z), middle, strict=True)]
    inside = (away[0][:, None, None] + away[1][:, None] + away[2]) <= reach**2
    index = np.nonzero(inside)
    squares: NDArray[np.float64] | None = None
    towards: NDArray[np.float64] | None = None
    for axis, ((along, _, mirrored), n) in enumerate(zip(axes, index, strict=True)):
        steps = microphones[:, axis, None] - along  # [C, positions on this axis]
        part = (steps**2)[:, n]
        squares = part if squares is None else squares + part
        if facing is not None:
            front = (steps * mirrored * facing[axis])[:, n]
            towards = front if towards is None else towards + front
    assert squares is not None
    distances = np.sqrt(squares)
    heard = (distances <= radius).any(axis=0)
    distances = distances[:, heard]
    reflections = sum(count[n] for (_, count, _), n in zip(axes, index, strict=True))
    return Images(
        distances=distances,
        reflections=np.asarray(reflections)[heard],
        front=None if towards is None else towards[:, heard] / distances,
    )


def image_pulses(
    images: Images, exponent: float, num_samples: int, sampling_rate: int
) -> NDArray[np.float32]:
    """The images as pulses at their fractional delays, after the high-pass.

    Args:
        images: From `images_of`.
        exponent: ``-ln(1 - absorption)`` of every wall.
        num_samples: Length; later images are left out.
        sampling_rate: Hz.

    Returns:
        Shape ``[1, C, L]``; with `Images.front` ``[2, C, L]``, where the second has the weights
        that `talkover.simulate.directivity` filters.
    """
    from pyroomacoustics import libroom

    orders = np.arange(int(images.reflections.max()) + 1)
    kept = np.exp(-exponent / 2 * orders)[images.reflections]
    amplitudes = [kept / images.distances]
    if images.front is not None:
        amplitudes.append(amplitudes[0] * rear_weight(images.front))
    latency = DELAY_TAPS // 2
    arrivals = images.distances / SPEED_OF_SOUND + latency / sampling_rate  # [C, N]
    inside = arrivals <= np.float32((num_samples - 1 + latency) / sampling_rate)
    straight = np.broadcast_to(images.reflections == 0, inside.shape)
    # One tap filter longer than wanted at both ends: no pulse may reach into a neighbour.
    stride = num_samples + 2 * DELAY_TAPS
    buffer = np.zeros((len(amplitudes), len(arrivals), stride), dtype=np.float32)
    rows = np.arange(len(arrivals))[:, None] * (stride / sampling_rate)
    for row, weights in zip(buffer, amplitudes, strict=True):
        for taps, chosen in ((DELAY_TAPS, straight), (REFLECTION_TAPS, ~straight)):
            drawn = inside & chosen
            if not drawn.any():
                continue
            libroom.rir_builder(  # all channels as one long signal: each call makes a table first
                row.reshape(-1),
                (arrivals + rows)[drawn].astype(np.float32),
                weights[drawn].astype(np.float32),
                sampling_rate,
                taps,
                DELAY_STEPS,
                1,  # thread
            )
    pulses = buffer[:, :, latency : latency + num_samples]
    return np.asarray(sosfilt(_high_pass(sampling_rate), pulses), dtype=np.float32)


@lru_cache(maxsize=8)
def _high_pass(sampling_rate: int) -> NDArray[np.float64]:
    return np.asarray(butter(2, HIGH_PASS_HZ, "highpass", fs=sampling_rate, output="sos"))


def calibrated_absorption(
    dimensions_m: Metres, t60: float, source: Metres, microphone: Metres
) -> float:
    """The absorption of all walls whose image energies decay with the asked T60 (T30 fit)."""
    reach = min(t60 + math.dist(source, microphone) / SPEED_OF_SOUND, image_seconds(dimensions_m))
    images = images_of(dimensions_m, source, np.array([microphone]), reach * SPEED_OF_SOUND)
    distances, reflections = images.distances[0], images.reflections
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
    side: float, source: float, middle: float, radius: float
) -> tuple[NDArray[np.float64], NDArray[np.int64], NDArray[np.float64]]:
    """Coordinates of the images on one axis, their reflections at its two walls, and their sense.

    ::

        wall 0          wall L
          |   s      m    |          images at 2nL + s (2|n| reflections, as the source)
          |               |          and at 2nL - s (|2n - 1| reflections, mirrored: -1)
    """
    reach = int((radius + side) / (2 * side)) + 2
    n = np.arange(-reach, reach + 1)
    along = np.concatenate([2 * n * side + source, 2 * n * side - source])
    reflections = np.concatenate([2 * np.abs(n), np.abs(2 * n - 1)])
    mirrored = np.repeat([1.0, -1.0], len(n))
    kept = np.abs(along - middle) <= radius
    return along[kept], reflections[kept], mirrored[kept]


def image_seconds(dimensions_m: Metres) -> float:
    """Time within which about `MAX_IMAGES` images arrive: a sphere has one for each volume."""
    volume = math.prod(dimensions_m)
    return float(np.cbrt(MAX_IMAGES * volume * 3 / (4 * math.pi))) / SPEED_OF_SOUND
