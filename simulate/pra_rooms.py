"""Responses by pyroomacoustics: image sources to an order, or few orders and ray tracing.

Both take the absorption that `calibrated_absorption` finds, since Sabine's formula misses the T60
by up to 30 % (pyroomacoustics#46). The rays' own random numbers are seeded from the room and the
source. What then is left of the error of the T60 is corrected like that of our own responses: an
exponential decay after the direct path (ray tracing alone may be wrong by a factor, #404).
"""

from __future__ import annotations

import math
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.seeds import generator
from talkover.simulate.decay import t60_correction
from talkover.simulate.emitters import Emitter
from talkover.simulate.image_sources import calibrated_absorption, shortest_t60
from talkover.simulate.plan import SPEED_OF_SOUND, RoomPlan
from talkover.simulate.providers import Response
from talkover.simulate.response_sets import ResponseSet

RAY_ORDER = 3
"""Reflections by image sources before the rays (pyroomacoustics' own choice for its examples)."""
RAY_RECEIVER_M = 0.5
"""Radius within which a microphone catches rays (pyroomacoustics' default)."""
LARGEST_CORRECTION = 1.0
"""Correction of the decay, as a share of the asked decay, above which a response is refused."""


class PyroomImages:
    """All image sources up to the order that the reverberation time needs."""

    geometry: Literal["shoebox", "measured", "dry"] = "shoebox"

    def response(
        self, room: RoomPlan, source: Emitter, sampling_rate: int, rirs: ResponseSet | None
    ) -> Response:
        """The response by ``pyroomacoustics.ShoeBox`` without ray tracing."""
        return _response(room, source, sampling_rate, rays=False)


class PyroomRays:
    """A few orders of image sources, then ray tracing."""

    geometry: Literal["shoebox", "measured", "dry"] = "shoebox"

    def response(
        self, room: RoomPlan, source: Emitter, sampling_rate: int, rirs: ResponseSet | None
    ) -> Response:
        """The response by ``pyroomacoustics.ShoeBox`` with ray tracing."""
        return _response(room, source, sampling_rate, rays=True)


def _response(room: RoomPlan, source: Emitter, sampling_rate: int, *, rays: bool) -> Response:
    if room.dimensions_m is None or room.t60 is None or room.microphone_positions_m is None:
        raise ValueError("a shoebox room needs dimensions_m, t60 and microphone_positions_m")
    if room.t60 < shortest_t60(room.dimensions_m):
        raise ConfigurationError(
            f"a room of {room.dimensions_m} m cannot have a T60 of {room.t60:g} s"
        )
    microphones = room.microphone_positions_m
    absorption = calibrated_absorption(room.dimensions_m, room.t60, source.position, microphones[0])
    raw = _simulated(room, source, sampling_rate, absorption, rays)
    direct = np.array([math.dist(source.position, m) for m in microphones]) / SPEED_OF_SOUND
    num_samples = math.ceil((direct.max() + room.t60) * sampling_rate) + 1
    response = np.zeros((len(raw), num_samples), dtype=np.float32)
    for channel, samples in zip(response, raw, strict=True):
        count = min(num_samples, len(samples))
        channel[:count] = samples[:count]
    faster = t60_correction(response, room.t60, direct, sampling_rate)
    if abs(faster) * room.t60 > LARGEST_CORRECTION * 3 * math.log(10):
        raise ConfigurationError(
            f"room.kind {room.kind}: pyroomacoustics' response is too far from a T60 of "
            f"{room.t60:g} s in a room of {room.dimensions_m} m: use shoebox or images"
        )
    time = np.arange(num_samples) / sampling_rate
    since = np.maximum(time - direct[:, None], 0.0)
    return (response * np.exp(-faster * since)).astype(np.float32), absorption


def _simulated(
    room: RoomPlan, source: Emitter, sampling_rate: int, absorption: float, rays: bool
) -> list[NDArray[np.float64]]:
    """One response a channel, without the latency; a path of one metre is 1 here too."""
    import pyroomacoustics as pra

    assert room.dimensions_m is not None and room.t60 is not None
    assert room.microphone_positions_m is not None
    seed = int(generator(0, 0, f"rays {room.dimensions_m} {source.position}").integers(2**31))
    pra.random.seed(numpy=seed, libroom=seed)
    densest = math.hypot(*(1 / side for side in room.dimensions_m))  # reflections a metre of path
    order = RAY_ORDER if rays else math.ceil(room.t60 * SPEED_OF_SOUND * densest)
    box = pra.ShoeBox(
        room.dimensions_m,
        fs=sampling_rate,
        materials=pra.Material(energy_absorption=absorption),
        max_order=order,
        ray_tracing=rays,
        air_absorption=False,
        use_rand_ism=False,
    )
    if rays:
        box.set_ray_tracing(receiver_radius=_receiver_radius(room, source))
    box.set_sound_speed(SPEED_OF_SOUND)
    box.add_source(source.position, directivity=_directivity(source))
    box.add_microphone_array(np.array(room.microphone_positions_m).T)
    box.compute_rir()
    latency = pra.constants.get("frac_delay_length") // 2
    return [np.asarray(rirs[0])[latency:] for rirs in box.rir]


def _receiver_radius(room: RoomPlan, source: Emitter) -> float:
    """Pyroomacoustics' default, but no source or wall inside of it."""
    assert room.microphone_positions_m is not None
    nearest = min(math.dist(source.position, m) for m in room.microphone_positions_m)
    return min(RAY_RECEIVER_M, nearest / 2)


def _directivity(source: Emitter) -> Any:
    """The nearest pattern of the cardioid family: it has none that depends on frequency."""
    if source.front is None:
        return None
    from pyroomacoustics.directivities import Cardioid, DirectionVector, SubCardioid

    facing = DirectionVector(azimuth=source.facing_deg or 0.0, colatitude=90.0, degrees=True)
    pattern = Cardioid if source.directivity == "cardioid" else SubCardioid
    return pattern(orientation=facing)
