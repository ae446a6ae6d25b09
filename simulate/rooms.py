"""Drawing a room: walls, microphones and one seat per speaker, as a pure plan.

Every position is rounded before anything is computed from it, so a plan that is read back from disk
gives the same delays and the same responses. Geometry of measured rooms is not known: there a seat
is the id of a response.
"""

from __future__ import annotations

import math
from collections.abc import Sequence

import numpy as np

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.schema import Metres
from talkover.manifests.seeds import SESSION_OF_CORPUS, generator
from talkover.simulate.config import RoomConfig
from talkover.simulate.devices import (
    MICROPHONES,
    Placed,
    Points,
    device_numbers,
    microphone_offsets,
    parse_devices,
)
from talkover.simulate.plan import PlannedSeat, RoomPlan
from talkover.simulate.providers import make_provider
from talkover.simulate.responses import ResponseSet, shortest_t60
from talkover.simulate.seats import (
    ANGLE_DIGITS,
    MICROPHONE_CLEARANCE,
    POSITION_DIGITS,
    SEAT_SEPARATION,
    find_seat,
    rounded_point,
)
from talkover.simulate.trajectories import direct_delay
from talkover.simulate.walks import with_walks

__all__ = [
    "MICROPHONES",
    "SEAT_SEPARATION",
    "direct_delay",
    "draw_room",
    "microphone_offsets",
    "room_generator",
]

TABLE_HEIGHT = (0.7, 1.0)
"""Metres above the floor of the middle of the microphones."""
MIDDLE = (0.35, 0.65)
"""Where the middle of the microphones may be, as a share of either side."""
ROOM_ATTEMPTS = 100
"""Draws of a whole room before the ranges are called impossible."""
DEVICE_ATTEMPTS = 50
"""Draws of a further device's place before the farthest one is taken."""
DEVICE_SEPARATION = 1.0
"""Metres between the middles of two devices where the room has the space."""

FACING_SPREAD_DEG = 20.0
"""Standard deviation of where people look around the first device."""
HEADSET_METRES = (0.02, 0.05)
"""From the mouth to the microphone of a headset…"""
HEADSET_AZIMUTH_DEG, HEADSET_DOWN_DEG = 50.0, 20.0
"""…which is at the corner of the mouth, to the left or the right."""

NOWHERE: Points = np.zeros((0, 3))


def room_generator(config: RoomConfig, seed: int, index: int, count: int) -> np.random.Generator:
    """The generator of a session's room: its own, or with `RoomConfig.bank` that of a shared room.

    Args:
        config: What is asked.
        seed: Root seed.
        index: Of the session.
        count: Speakers; rooms are shared among sessions of one count.
    """
    own = generator(seed, index, "room")
    if config.bank is None:
        return own
    return generator(seed, SESSION_OF_CORPUS, f"room/{count}/{int(own.integers(config.bank))}")


def draw_room(
    config: RoomConfig,
    speakers: Sequence[str],
    rng: np.random.Generator,
    *,
    sampling_rate: int,
    rirs: ResponseSet | None = None,
    seconds: float = 0.0,
    walks: np.random.Generator | None = None,
) -> RoomPlan:
    """A room with a seat for each speaker.

    Args:
        config: Ranges to draw from.
        speakers: Local ids, one seat each, in this order.
        rng: Generator of this decision.
        sampling_rate: Clock of the seats' delays.
        rirs: The measured responses, for kind ``measured``.
        seconds: Length of the session, in which speakers may walk.
        walks: Generator of who walks when and where; default ``rng``.

    Raises:
        ConfigurationError: If no room of these ranges can hold the seats or have the reverberation
            time, or the responses are missing.
    """
    if not speakers:
        raise ValueError("a room needs at least one speaker")
    geometry = make_provider(config.kind).geometry
    if geometry != "shoebox" and config.moving:
        raise ConfigurationError(
            f"room.moving needs a room with walls, such as shoebox: room.kind is {config.kind}"
        )
    if geometry == "dry":
        seats = tuple(PlannedSeat(speaker_local=local) for local in speakers)
        return RoomPlan(kind=config.kind, seats=seats)
    if geometry == "measured":
        return _measured_room(config, speakers, rng, sampling_rate, rirs)
    parts = parse_devices(config.microphones)
    if config.moving and any(part.is_worn for part in parts):
        raise ConfigurationError(
            "room.moving: microphones that are worn would have to move too: ask for room.moving=0 "
            "or for room.microphones without headsets"
        )
    reason = ""
    for _ in range(ROOM_ATTEMPTS):
        drawn = _shoebox(config, parts, speakers, rng, sampling_rate)
        if isinstance(drawn, RoomPlan):
            return with_walks(drawn, config, walks or rng, sampling_rate, seconds)
        reason = drawn
    raise ConfigurationError(f"no room fits the ranges after {ROOM_ATTEMPTS} draws: {reason}")


def _shoebox(
    config: RoomConfig,
    parts: Sequence[Placed],
    speakers: Sequence[str],
    rng: np.random.Generator,
    sampling_rate: int,
) -> RoomPlan | str:
    """A room, or the reason why this draw cannot be one."""
    size = rounded_point(
        rng.uniform(*config.length), rng.uniform(*config.width), rng.uniform(*config.height)
    )
    least = shortest_t60(size)
    if least > config.t60[1]:
        return (
            f"room.t60 of at most {config.t60[1]:g} s, but a room of {_text(size)} m has at least "
            f"{least:.2f} s with the most absorbing walls: ask for smaller rooms or longer times"
        )
    t60 = round(rng.uniform(max(config.t60[0], least), config.t60[1]), POSITION_DIGITS)
    middle = np.array([*(rng.uniform(*MIDDLE) * np.array(size[:2])), rng.uniform(*TABLE_HEIGHT)])
    placed = place_devices(parts, size, middle, rng)
    if placed is None:
        return f"room.microphones {config.microphones!r} reach a wall of a room of {_text(size)} m"
    standing = np.concatenate([points for points in placed if points is not None] or [NOWHERE])
    mouths: list[Metres] = []
    for _ in speakers:
        seat = find_seat(config.distance, size, middle, standing, mouths, rng)
        if seat is None:
            return (
                f"room.distance {config.distance[0]:g} to {config.distance[1]:g} m leaves no seat "
                f"in a room of {_text(size)} m"
            )
        mouths.append(seat)
    facing = [_facing(mouth, middle, rng) for mouth in mouths]
    worn = [_headset(*pair, size, rng) for pair in zip(mouths, facing, strict=True)]
    channels: list[Metres] = []
    headset: int | None = None
    for points in placed:
        if points is None:
            headset = len(channels)
        channels += worn if points is None else [_point(row) for row in points]
    seats = tuple(
        PlannedSeat(
            speaker_local=local,
            position_m=mouths[k],
            facing_deg=facing[k],
            direct_delay_samples=direct_delay(mouths[k], channels[0], sampling_rate),
            drr_db=None if config.drr_db is None else round(rng.uniform(*config.drr_db), 2),
            headset_channel=None if headset is None else headset + k,
        )
        for k, local in enumerate(speakers)
    )
    return RoomPlan(
        kind=config.kind,
        dimensions_m=size,
        t60=t60,
        t60_octaves=config.t60_octaves,
        directivity=config.directivity,
        microphones=config.microphones,
        microphone_positions_m=tuple(channels),
        devices=device_numbers(parts, len(speakers)),
        num_channels=len(channels),
        seats=seats,
    )


def place_devices(
    parts: Sequence[Placed], size: Metres, middle: Points, rng: np.random.Generator
) -> list[Points | None] | None:
    """Positions of each part's microphones, None for headsets; None if one reaches a wall.

    The first part stands around ``middle``, the others anywhere at the height of a table, apart
    from each other where the room has the space. Each is turned around the vertical.
    """
    placed: list[Points | None] = []
    centres: list[Points] = []
    for part in parts:
        if part.is_worn:
            placed.append(None)
            continue
        offsets = _turned(np.concatenate(part.devices), rng.uniform(0, 2 * np.pi))
        centre = middle if not centres else _another_place(size, offsets, centres, rng)
        points = np.round(centre + offsets, POSITION_DIGITS)
        if (points < MICROPHONE_CLEARANCE).any() or (
            points > np.array(size) - MICROPHONE_CLEARANCE
        ).any():
            return None
        centres.append(centre)
        placed.append(points)
    return placed


def _another_place(
    size: Metres, offsets: Points, centres: Sequence[Points], rng: np.random.Generator
) -> Points:
    """A place for one more device: the first draw that is far enough from the others, or the best.

    The draws leave space for the device's own size.
    """
    margin = np.abs(offsets[:, :2]).max(axis=0) + MICROPHONE_CLEARANCE
    best, best_gap = np.array([*(np.array(size[:2]) / 2), TABLE_HEIGHT[0]]), -1.0
    for _ in range(DEVICE_ATTEMPTS):
        low, high = np.minimum(margin, np.array(size[:2]) / 2), np.array(size[:2]) - margin
        place = np.array([*rng.uniform(low, np.maximum(low, high)), rng.uniform(*TABLE_HEIGHT)])
        gap = min(float(np.linalg.norm(place - other)) for other in centres)
        if gap >= DEVICE_SEPARATION:
            return place
        if gap > best_gap:
            best, best_gap = place, gap
    return best


def _facing(mouth: Metres, middle: Points, rng: np.random.Generator) -> float:
    """Degrees: towards the first device, give or take."""
    towards = math.degrees(math.atan2(middle[1] - mouth[1], middle[0] - mouth[0]))
    return round(towards + rng.normal(0.0, FACING_SPREAD_DEG), ANGLE_DIGITS)


def _headset(mouth: Metres, facing_deg: float, size: Metres, rng: np.random.Generator) -> Metres:
    """A microphone at the corner of a mouth."""
    metres = rng.uniform(*HEADSET_METRES)
    side = math.radians(facing_deg + rng.choice([-1.0, 1.0]) * HEADSET_AZIMUTH_DEG)
    down = math.radians(HEADSET_DOWN_DEG)
    level = metres * math.cos(down)
    return rounded_point(
        mouth[0] + level * math.cos(side),
        mouth[1] + level * math.sin(side),
        min(mouth[2] - metres * math.sin(down), size[2]),
    )


def _measured_room(
    config: RoomConfig,
    speakers: Sequence[str],
    rng: np.random.Generator,
    sampling_rate: int,
    rirs: ResponseSet | None,
) -> RoomPlan:
    if rirs is None:
        raise ConfigurationError("room.kind measured needs room.rirs: a folder or a manifest.csv")
    if rirs.sampling_rate != sampling_rate:
        raise ValueError(f"responses at {rirs.sampling_rate} Hz for a plan at {sampling_rate} Hz")
    names = sorted(rirs.rooms)
    ids = list(rirs.rooms[names[int(rng.integers(len(names)))]])
    order = [ids[i] for i in rng.permutation(len(ids))]
    chosen = [order[k % len(order)] for k in range(len(speakers))]
    seats = tuple(
        PlannedSeat(
            speaker_local=local,
            direct_delay_samples=rirs.response(rir_id).direct_delay_samples,
            response=rir_id,
            drr_db=None if config.drr_db is None else round(rng.uniform(*config.drr_db), 2),
        )
        for local, rir_id in zip(speakers, chosen, strict=True)
    )
    num_channels = len(rirs.response(chosen[0]).samples)
    return RoomPlan(
        kind=config.kind, microphones="measured", num_channels=num_channels, seats=seats
    )


def _turned(offsets: Points, angle: float) -> Points:
    """Turned around the vertical."""
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(offsets @ turn)


def _point(row: Points) -> Metres:
    return (float(row[0]), float(row[1]), float(row[2]))


def _text(size: Metres) -> str:
    return " × ".join(f"{side:.1f}" for side in size)
