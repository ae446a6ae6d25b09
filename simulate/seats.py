"""Where a speaker may sit: away from walls, neighbours and microphones."""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from talkover.manifests.schema import Metres
from talkover.simulate.devices import Points

POSITION_DIGITS = 4
"""Digits after the point of a position in metres: a tenth of a millimetre."""

ANGLE_DIGITS = 2
"""Digits after the point of an angle in degrees."""
WALL_MARGIN = 0.5
"""Metres from a seat to the nearest wall, in rooms that are wide enough."""
WALL_MARGIN_SHARE = 0.15
"""Largest margin as a share of the shorter side, so that small rooms keep a middle."""
SEAT_SEPARATION = 0.4
"""Metres between two mouths where the room has the space: people who sit shoulder to shoulder."""
MICROPHONE_CLEARANCE = 0.05
"""Metres between a mouth or a wall and the nearest microphone."""
SPEAKING_HEIGHT = (1.1, 1.7)
"""Metres above the floor: seated to standing mouths."""
STEEPEST = 0.7
"""Largest height of a mouth over the microphones as a share of its distance (about 45°)."""

SEAT_ATTEMPTS = 200
"""Draws of one seat before the best one so far is taken."""


def find_seat(
    distances: tuple[float, float],
    size: Metres,
    middle: Points,
    microphones: Points,
    placed: Sequence[Metres],
    rng: np.random.Generator,
) -> Metres | None:
    """The first draw that keeps all distances, else the one farthest from its neighbours."""
    margin = min(WALL_MARGIN, WALL_MARGIN_SHARE * min(size[0], size[1]))
    best, best_gap = None, -1.0
    for _ in range(SEAT_ATTEMPTS):
        distance = rng.uniform(*distances)
        highest = min(SPEAKING_HEIGHT[1], middle[2] + STEEPEST * distance)
        height = rng.uniform(min(SPEAKING_HEIGHT[0], highest), highest)
        radius = math.sqrt(max(0.0, distance**2 - (height - middle[2]) ** 2))
        azimuth = rng.uniform(0, 2 * math.pi)
        x, y = middle[0] + radius * math.cos(azimuth), middle[1] + radius * math.sin(azimuth)
        seat = rounded_point(x, y, height)
        if not (margin <= seat[0] <= size[0] - margin and margin <= seat[1] <= size[1] - margin):
            continue
        if height > size[2] - MICROPHONE_CLEARANCE:
            continue
        if (np.linalg.norm(microphones - np.array(seat), axis=1) < MICROPHONE_CLEARANCE).any():
            continue
        gap = min((math.dist(seat, other) for other in placed), default=math.inf)
        if gap >= SEAT_SEPARATION:
            return seat
        if gap > best_gap:
            best, best_gap = seat, gap
    return best


def rounded_point(x: float, y: float, z: float) -> Metres:
    """A position as plans hold it: what is read back from disk gives the same delays."""
    return (
        round(float(x), POSITION_DIGITS),
        round(float(y), POSITION_DIGITS),
        round(float(z), POSITION_DIGITS),
    )
