"""Speakers who walk: their path, where they are at a time, and the places that responses are for.

The path is piecewise linear. Between two responses the sound is cross-faded, and two copies of the
direct path that differ by a delay cancel at half its frequency; so the places are chosen such that
the direct path to no microphone changes by more than `LEG_DELAY_METRES` from one to the next.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.schema import Metres
from talkover.simulate.plan import SPEED_OF_SOUND, PlannedSeat, Waypoint

LEG_DELAY_METRES = 0.01
"""Largest change of a direct path between two responses: a quarter of a wavelength at 8.6 kHz, so
that half-way through a cross-fade 3 dB are missing there, and 0.6 dB at 4 kHz."""
LEG_METRES = 0.1
"""Largest way between two responses, where the direct path hardly changes."""
STEP_METRES = 0.005
"""Resolution at which a path is looked at."""

Points = NDArray[np.float64]  # [N, 3], metres


def place_at(seat: PlannedSeat, sample: float) -> tuple[Metres, float | None]:
    """Position and facing (degrees) of a seat at a session sample of emission.

    Raises:
        ValueError: If the seat has no position.
    """
    if seat.position_m is None:
        raise ValueError(f"seat of {seat.speaker_local} has no position_m")
    if not seat.trajectory:
        return seat.position_m, seat.facing_deg
    samples = [point.sample for point in seat.trajectory]
    x, y, z = (
        float(np.interp(sample, samples, [point.position_m[axis] for point in seat.trajectory]))
        for axis in range(3)
    )
    turned = np.unwrap([math.radians(point.facing_deg) for point in seat.trajectory])
    return (x, y, z), math.degrees(float(np.interp(sample, samples, turned)))


def direct_delay_at(
    seat: PlannedSeat, microphone: Metres | None, sampling_rate: int, sample: int
) -> int:
    """Samples from emission at a time to the direct path at a microphone, rounded.

    Seats that stay have the delay of the plan, whatever the microphone.
    """
    if not seat.trajectory or microphone is None:
        return seat.direct_delay_samples
    place, _ = place_at(seat, sample)
    return direct_delay(place, microphone, sampling_rate)


def largest_delay(seat: PlannedSeat, microphone: Metres | None, sampling_rate: int) -> int:
    """Largest direct delay of a seat in samples: on a straight way it is at one of the ends."""
    samples = [point.sample for point in seat.trajectory] or [0]
    return max(direct_delay_at(seat, microphone, sampling_rate, sample) for sample in samples)


def direct_delay(source: Metres, microphone: Metres, sampling_rate: int) -> int:
    """Samples that sound takes from one place to the other, rounded.

    >>> direct_delay((0.0, 0.0, 0.0), (3.43, 0.0, 0.0), 16000)
    160
    """
    return round(math.dist(source, microphone) / SPEED_OF_SOUND * sampling_rate)


def leg_samples(seat: PlannedSeat, microphones: Sequence[Metres]) -> list[int]:
    """Session samples at which a response is needed, strictly increasing; ``[0]`` for who stays."""
    if not seat.trajectory:
        return [0]
    ears = np.array(microphones)
    samples = {seat.trajectory[0].sample, seat.trajectory[-1].sample}
    for here, there in zip(seat.trajectory, seat.trajectory[1:], strict=False):
        samples |= {here.sample, there.sample}
        samples |= set(_between(here, there, ears))
    return sorted(samples)


def _between(here: Waypoint, there: Waypoint, ears: Points) -> list[int]:
    """Samples that divide one straight way evenly enough."""
    start, end = np.array(here.position_m), np.array(there.position_m)
    metres = float(np.linalg.norm(end - start))
    steps = max(1, math.ceil(metres / STEP_METRES))
    share = np.linspace(0.0, 1.0, steps + 1)
    path = start + share[:, None] * (end - start)
    away = np.linalg.norm(path[:, None] - ears, axis=2)  # [steps + 1, C]
    changes = np.maximum(
        np.abs(np.diff(away, axis=0)).max(axis=1) / LEG_DELAY_METRES, metres / steps / LEG_METRES
    )
    passed = np.concatenate([[0.0], np.cumsum(changes)])
    count = math.ceil(passed[-1] - 1e-9)
    if count < 2:
        return []
    wanted = np.arange(1, count) * passed[-1] / count
    at = np.interp(wanted, passed, share)
    return [round(here.sample + float(s) * (there.sample - here.sample)) for s in at]
