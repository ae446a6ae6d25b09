"""The scene of a session as the contract stores it: what was planned, and what was measured."""

from __future__ import annotations

import math

from talkover.manifests.schema import (
    TIME_DIGITS,
    Metres,
    Microphones,
    Room,
    Scene,
    Seat,
    SeatWaypoint,
)
from talkover.manifests.seeds import content_id
from talkover.simulate.levels import LEVEL_DIGITS
from talkover.simulate.plan import PlannedSeat, RoomPlan, SessionPlan
from talkover.simulate.providers import make_provider
from talkover.simulate.response_sets import ResponseSet
from talkover.simulate.responses import Responses

T60_DIGITS = 4
"""Digits after the point of a reverberation time in seconds, and of an absorption."""
POSITION_DIGITS = 4
"""Digits after the point of a distance in metres."""
ANGLE_DIGITS = 2
"""Digits after the point of an angle in degrees."""


def scene_of(plan: SessionPlan, responses: Responses, rirs: ResponseSet | None = None) -> Scene:
    """Room, microphones and seats of a plan, with what was measured on its responses.

    Azimuths are degrees counter-clockwise from the room's first axis, distances metres, both from
    the middle of the first device.
    """
    room = plan.room
    provider = make_provider(room.kind)
    walls = provider.geometry == "shoebox"
    return Scene(
        room=Room(
            kind=provider.geometry,
            provider=room.kind,
            id=_room_id(room, rirs),
            dimensions_m=room.dimensions_m,
            t60_asked=room.t60,
            t60_octaves=room.t60_octaves if walls else None,
            t60_measured=_rounded(responses.t60_measured, T60_DIGITS),
            absorption=_rounded(responses.absorption, T60_DIGITS),
        ),
        microphones=Microphones(
            name=room.microphones,
            positions_m=room.microphone_positions_m,
            devices=room.devices or (0,) * room.num_channels,
            worn_by=_wearers(room),
        ),
        seats=tuple(
            _seat(room, k, seat, responses, plan.sampling_rate) for k, seat in enumerate(room.seats)
        ),
    )


def _wearers(room: RoomPlan) -> tuple[str | None, ...] | None:
    """Who wears the microphone of each channel; None without headsets."""
    worn = {seat.headset_channel: seat.speaker_local for seat in room.seats}
    if set(worn) == {None}:
        return None
    return tuple(worn.get(channel) for channel in range(room.num_channels))


def _seat(
    room: RoomPlan, k: int, seat: PlannedSeat, responses: Responses, sampling_rate: int
) -> Seat:
    azimuth = distance = None
    if seat.position_m is not None and room.microphone_positions_m:
        middle = _middle(_first_device(room))
        east, north = seat.position_m[0] - middle[0], seat.position_m[1] - middle[1]
        azimuth = round(math.degrees(math.atan2(north, east)), ANGLE_DIGITS)
        distance = round(math.dist(seat.position_m, middle), POSITION_DIGITS)
    digest = responses.sha256[k]
    return Seat(
        speaker_local=seat.speaker_local,
        position_m=seat.position_m,
        azimuth_deg=azimuth,
        distance_m=distance,
        facing_deg=seat.facing_deg,
        directivity=room.directivity if seat.position_m is not None else None,
        trajectory=tuple(
            SeatWaypoint(
                start=round(point.sample / sampling_rate, TIME_DIGITS),
                start_sample=point.sample,
                position_m=point.position_m,
                facing_deg=point.facing_deg,
            )
            for point in seat.trajectory
        ),
        drr_db_asked=seat.drr_db,
        drr_db=_rounded(responses.drr_db[k], LEVEL_DIGITS),
        rir_id=seat.response or (None if digest is None else f"rir-{digest[:12]}"),
        rir_sha256=digest,
        direct_delay_samples=seat.direct_delay_samples,
    )


def _room_id(room: RoomPlan, rirs: ResponseSet | None) -> str:
    """A name that sessions in the same room share."""
    geometry = make_provider(room.kind).geometry
    if geometry == "dry":
        return "dry"
    if geometry == "shoebox":
        return f"room-{content_id(str(room.dimensions_m), str(room.t60))}"
    first = room.seats[0].response or ""
    return rirs.response(first).room if rirs is not None else first


def _first_device(room: RoomPlan) -> tuple[Metres, ...]:
    """Positions of the first device, or of all headsets where nothing stands."""
    assert room.microphone_positions_m is not None
    worn = {seat.headset_channel for seat in room.seats}
    devices = room.devices or (0,) * room.num_channels
    standing = [c for c in range(room.num_channels) if c not in worn]
    chosen = [c for c in standing if devices[c] == devices[standing[0]]]
    points = room.microphone_positions_m
    return tuple(points[c] for c in chosen) or points


def _middle(points: tuple[Metres, ...]) -> Metres:
    x, y, z = (sum(axis) / len(points) for axis in zip(*points, strict=True))
    return (x, y, z)


def _rounded(value: float | None, digits: int) -> float | None:
    return None if value is None else round(value, digits)
