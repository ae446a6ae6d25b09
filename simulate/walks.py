"""Drawing who walks: straight ways between places where one could also sit, and rests."""

from __future__ import annotations

import math

import numpy as np

from talkover.manifests.schema import Metres
from talkover.simulate.config import RoomConfig
from talkover.simulate.devices import Points
from talkover.simulate.plan import PlannedSeat, RoomPlan, Waypoint
from talkover.simulate.seats import ANGLE_DIGITS, find_seat

REST_SECONDS = (2.0, 15.0)
"""Before each walk."""
MOST_WALKS = 3
"""In a session: every few centimetres of way need a response of their own."""
WALK_METRES = (0.5, 2.5)
WALK_CLEARANCE = 0.3
"""Metres from a way to the nearest microphone."""
WALK_ATTEMPTS = 50
WALK_POINTS = 50


def with_walks(
    room: RoomPlan,
    config: RoomConfig,
    rng: np.random.Generator,
    sampling_rate: int,
    seconds: float,
) -> RoomPlan:
    """The room with the paths of those who walk."""
    if not config.moving:
        return room
    assert room.microphone_positions_m is not None and room.dimensions_m is not None
    first = [n for n, device in enumerate(room.devices or ()) if device == 0]
    standing = np.array(room.microphone_positions_m)
    middle = standing[first].mean(axis=0)
    seats = []
    for seat in room.seats:
        walks = rng.random() < config.moving
        path = (
            _walk(seat, config, room.dimensions_m, middle, standing, rng, sampling_rate, seconds)
            if walks
            else ()
        )
        seats.append(seat.model_copy(update={"trajectory": path}))
    return room.model_copy(update={"seats": tuple(seats)})


def _walk(
    seat: PlannedSeat,
    config: RoomConfig,
    size: Metres,
    middle: Points,
    standing: Points,
    rng: np.random.Generator,
    sampling_rate: int,
    seconds: float,
) -> tuple[Waypoint, ...]:
    """Rest, walk, rest, …: at most `MOST_WALKS` ways; empty if the session is too short for one."""
    assert seat.position_m is not None and seat.facing_deg is not None
    place, time = seat.position_m, 0.0
    askew = seat.facing_deg - _bearing(place, middle)
    path: list[Waypoint] = []
    for _ in range(MOST_WALKS):
        time += rng.uniform(*REST_SECONDS)
        target = _destination(place, config, size, middle, standing, rng)
        speed = rng.uniform(*config.speed)
        if target is None or time >= seconds:
            break
        for at, where in ((time, place), (time + math.dist(place, target) / speed, target)):
            path.append(
                Waypoint(
                    sample=round(at * sampling_rate),
                    position_m=where,
                    facing_deg=round(_bearing(where, middle) + askew, ANGLE_DIGITS),
                )
            )
        time, place = time + math.dist(place, target) / speed, target
    return tuple(path)


def _destination(
    place: Metres,
    config: RoomConfig,
    size: Metres,
    middle: Points,
    standing: Points,
    rng: np.random.Generator,
) -> Metres | None:
    """A place within `WALK_METRES` on a straight way that passes no microphone too closely."""
    for _ in range(WALK_ATTEMPTS):
        target = find_seat(config.distance, size, middle, standing, (), rng)
        if target is None:
            return None
        target = (target[0], target[1], place[2])  # as tall as before
        if not WALK_METRES[0] <= math.dist(place, target) <= WALK_METRES[1]:
            continue
        way = np.linspace(np.array(place), np.array(target), WALK_POINTS)
        if np.linalg.norm(way[:, None] - standing, axis=2).min() >= WALK_CLEARANCE:
            return target
    return None


def _bearing(place: Metres, middle: Points) -> float:
    return math.degrees(math.atan2(middle[1] - place[1], middle[0] - place[0]))
