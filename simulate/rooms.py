"""Drawing a room: walls, microphones and one seat per speaker, as a pure plan.

Every position is rounded before anything is computed from it, so a plan that is read back from disk
gives the same delays and the same responses. Geometry of measured rooms is not known: there a seat
is the id of a response.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.schema import Metres
from talkover.simulate.config import RoomConfig
from talkover.simulate.plan import SPEED_OF_SOUND, PlannedSeat, RoomPlan
from talkover.simulate.responses import ResponseSet, shortest_t60

POSITION_DIGITS = 4
"""Digits after the point of a position in metres: a tenth of a millimetre."""

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
TABLE_HEIGHT = (0.7, 1.0)
"""Metres above the floor of the middle of the microphones."""
MIDDLE = (0.35, 0.65)
"""Where the middle of the microphones may be, as a share of either side."""
STEEPEST = 0.7
"""Largest height of a mouth over the microphones as a share of its distance (about 45°)."""

ROOM_ATTEMPTS = 100
"""Draws of a whole room before the ranges are called impossible."""
SEAT_ATTEMPTS = 200
"""Draws of one seat before the best one so far is taken."""

Points = NDArray[np.float64]  # [N, 3], metres


@dataclass(frozen=True, slots=True)
class Geometry:
    """A layout of microphones around their middle."""

    count: int
    spacing: float
    """Metres between neighbours of a line; radius of a circle."""
    layout: Callable[[int, float], Points]

    def offsets(self, spacing: float | None = None) -> Points:
        """Positions around the middle in metres, shape ``[C, 3]``."""
        return self.layout(self.count, self.spacing if spacing is None else spacing)


def _line(count: int, spacing: float) -> Points:
    offsets = np.zeros((count, 3))
    offsets[:, 0] = (np.arange(count) - (count - 1) / 2) * spacing
    return offsets


def _circle(count: int, radius: float) -> Points:
    angles = 2 * np.pi * np.arange(count) / count
    return np.stack([radius * np.cos(angles), radius * np.sin(angles), np.zeros(count)], axis=1)


MICROPHONES: Mapping[str, Geometry] = {
    "single": Geometry(1, 0.0, _line),
    "pair": Geometry(2, 0.17, _line),  # about the width of a head
    "linear4": Geometry(4, 0.05, _line),  # half a wavelength at 3.4 kHz
    "linear8": Geometry(8, 0.05, _line),
    "circular4": Geometry(4, 0.05, _circle),
    "circular8": Geometry(8, 0.1, _circle),  # the table array of AMI: eight on a radius of 10 cm
}
"""Arrays by name; ``name@spacing`` sets the spacing or radius in metres."""


def microphone_offsets(text: str) -> Points:
    """Positions around the middle of an array in metres, shape ``[C, 3]``.

    Args:
        text: A name of `MICROPHONES`, such as ``circular8``; a name with its spacing or radius in
            metres, such as ``linear4@0.08``; or positions, such as ``0,0,0;0.1,0,0``.

    Raises:
        ConfigurationError: If the text is none of these.

    >>> microphone_offsets("pair@0.2").tolist()
    [[-0.1, 0.0, 0.0], [0.1, 0.0, 0.0]]
    """
    name, at, spacing = text.partition("@")
    if name in MICROPHONES:
        try:
            metres = float(spacing) if at else None
        except ValueError:
            metres = math.nan
        if metres is None or 0 < metres < math.inf:
            return MICROPHONES[name].offsets(metres)
        raise ConfigurationError(
            f"room.microphones: {text!r}: the spacing must be metres above 0, such as {name}@0.05"
        )
    try:
        offsets = np.array(
            [[float(part) for part in point.split(",")] for point in text.split(";")]
        )
    except ValueError:
        offsets = np.zeros((0, 0))
    if offsets.ndim != 2 or offsets.shape[1] != 3 or not np.isfinite(offsets).all():
        raise ConfigurationError(
            f"room.microphones: {text!r} is neither a known array ({', '.join(MICROPHONES)}, each "
            "with @metres for its spacing) nor positions such as 0,0,0;0.1,0,0"
        )
    return offsets


def draw_room(
    config: RoomConfig,
    speakers: Sequence[str],
    rng: np.random.Generator,
    *,
    sampling_rate: int,
    rirs: ResponseSet | None = None,
) -> RoomPlan:
    """A room with a seat for each speaker.

    Args:
        config: Ranges to draw from.
        speakers: Local ids, one seat each, in this order.
        rng: Generator of this decision.
        sampling_rate: Clock of the seats' delays.
        rirs: The measured responses, for kind ``measured``.

    Raises:
        ConfigurationError: If no room of these ranges can hold the seats or have the reverberation
            time, or the responses are missing.
    """
    if not speakers:
        raise ValueError("a room needs at least one speaker")
    if config.kind == "dry":
        seats = tuple(PlannedSeat(speaker_local=local) for local in speakers)
        return RoomPlan(kind="dry", seats=seats)
    if config.kind == "measured":
        return _measured_room(speakers, rng, sampling_rate, rirs)
    offsets = microphone_offsets(config.microphones)
    reason = ""
    for _ in range(ROOM_ATTEMPTS):
        drawn = _shoebox(config, offsets, speakers, rng, sampling_rate)
        if isinstance(drawn, RoomPlan):
            return drawn
        reason = drawn
    raise ConfigurationError(f"no room fits the ranges after {ROOM_ATTEMPTS} draws: {reason}")


def _shoebox(
    config: RoomConfig,
    offsets: Points,
    speakers: Sequence[str],
    rng: np.random.Generator,
    sampling_rate: int,
) -> RoomPlan | str:
    """A room, or the reason why this draw cannot be one."""
    size = _rounded(
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
    microphones = np.round(middle + _turned(offsets, rng.uniform(0, 2 * np.pi)), POSITION_DIGITS)
    if (microphones < MICROPHONE_CLEARANCE).any() or (
        microphones > np.array(size) - MICROPHONE_CLEARANCE
    ).any():
        return f"room.microphones {config.microphones!r} reach a wall of a room of {_text(size)} m"
    placed: list[Metres] = []
    for _ in speakers:
        seat = _seat(config.distance, size, middle, microphones, placed, rng)
        if seat is None:
            return (
                f"room.distance {config.distance[0]:g} to {config.distance[1]:g} m leaves no seat "
                f"in a room of {_text(size)} m"
            )
        placed.append(seat)
    seats = tuple(
        PlannedSeat(
            speaker_local=local,
            position_m=position,
            direct_delay_samples=direct_delay(position, _point(microphones[0]), sampling_rate),
        )
        for local, position in zip(speakers, placed, strict=True)
    )
    return RoomPlan(
        kind="shoebox",
        dimensions_m=size,
        t60=t60,
        microphones=config.microphones,
        microphone_positions_m=tuple(_point(row) for row in microphones),
        num_channels=len(microphones),
        seats=seats,
    )


def direct_delay(source: Metres, microphone: Metres, sampling_rate: int) -> int:
    """Samples that sound takes from one place to the other, rounded.

    >>> direct_delay((0.0, 0.0, 0.0), (3.43, 0.0, 0.0), 16000)
    160
    """
    return round(math.dist(source, microphone) / SPEED_OF_SOUND * sampling_rate)


def _seat(
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
        seat = _rounded(x, y, height)
        if not (margin <= seat[0] <= size[0] - margin and margin <= seat[1] <= size[1] - margin):
            continue
        if height > size[2] - MICROPHONE_CLEARANCE:
            continue
        if min(math.dist(seat, _point(row)) for row in microphones) < MICROPHONE_CLEARANCE:
            continue
        gap = min((math.dist(seat, other) for other in placed), default=math.inf)
        if gap >= SEAT_SEPARATION:
            return seat
        if gap > best_gap:
            best, best_gap = seat, gap
    return best


def _measured_room(
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
        )
        for local, rir_id in zip(speakers, chosen, strict=True)
    )
    num_channels = len(rirs.response(chosen[0]).samples)
    return RoomPlan(kind="measured", microphones="measured", num_channels=num_channels, seats=seats)


def _turned(offsets: Points, angle: float) -> Points:
    """Turned around the vertical."""
    cosine, sine = math.cos(angle), math.sin(angle)
    turn = np.array([[cosine, sine, 0.0], [-sine, cosine, 0.0], [0.0, 0.0, 1.0]])
    return np.asarray(offsets @ turn)


def _rounded(x: float, y: float, z: float) -> Metres:
    return (
        round(float(x), POSITION_DIGITS),
        round(float(y), POSITION_DIGITS),
        round(float(z), POSITION_DIGITS),
    )


def _point(row: Points) -> Metres:
    return (float(row[0]), float(row[1]), float(row[2]))


def _text(size: Metres) -> str:
    return " × ".join(f"{side:.1f}" for side in size)
