"""The responses of a planned room, from every seat to every channel, and what they measure.

A seat has one response, or several where its speaker moves (`talkover.simulate.legs`).

Legend: ``P`` response (leg), ``C`` channel, ``L`` sample of the response; sample 0 is the emission.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from talkover.manifests.canonical import canonical_json
from talkover.manifests.schema import Metres
from talkover.manifests.seeds import generator
from talkover.simulate.decay import (
    DIRECT_SECONDS,
    find_direct,
    fit_drr,
    measure_drr,
    measure_t60,
    scale_reverberation,
)
from talkover.simulate.emitters import Emitter
from talkover.simulate.image_sources import shortest_t60
from talkover.simulate.legs import Leg, crossfades
from talkover.simulate.plan import PlannedSeat, RoomPlan
from talkover.simulate.providers import Response, ResponseProvider, make_provider, shoebox_of
from talkover.simulate.response_sets import ResponseSet
from talkover.simulate.room_bank import RoomBank, samples_sha256
from talkover.simulate.shoebox import direct_response
from talkover.simulate.trajectories import direct_delay, leg_samples, place_at

__all__ = [
    "ResponseKind",
    "ResponseSet",
    "Responses",
    "measure_drr",
    "measure_t60",
    "point_delay",
    "point_response",
    "responses",
    "room_hash",
    "shortest_t60",
]

ResponseKind = Literal["full", "direct"]
"""Everything that arrives, or the direct path alone at the same delay and gain."""

MAX_CACHED_ROOMS = 4
"""Rooms whose responses stay in memory: 8 speakers at 8 channels and 0.5 s take 2 MB."""
BANK_VERSION = "1"
"""Of the samples that a plan gives; part of the key in a bank, so that no old bank is taken."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Responses:
    """Responses of one room and what was measured on them."""

    h: NDArray[np.float32]  # [P, C, L]
    """Amplitude 1 is a direct path of one metre."""
    legs: tuple[Leg, ...]  # P
    """Seat of each response and when it holds."""
    t60_measured: float | None
    """T30 fit on the first channel in seconds, median over seats; None without reverberation."""
    drr_db: tuple[float | None, ...]
    """Of the first channel, one a seat; None without reverberation."""
    sha256: tuple[str | None, ...]
    """Of each seat's responses, float32 little-endian, leg after leg; None when dry."""
    absorption: float | None
    """Energy absorption of the walls, for shoebox rooms."""


_cache: OrderedDict[str, Responses] = OrderedDict()
_cache_lock = threading.Lock()


def responses(
    room: RoomPlan,
    sampling_rate: int,
    *,
    kind: ResponseKind = "full",
    rirs: ResponseSet | None = None,
    bank: RoomBank | None = None,
) -> Responses:
    """Responses from each seat of the plan to each channel, in order of the seats.

    The last few rooms stay in memory.

    Args:
        room: The plan.
        sampling_rate: Hz.
        kind: Everything, or the direct paths alone.
        rirs: The measured responses, for rooms of them.
        bank: Where responses are kept on disk; the samples are the same without one.

    Raises:
        ConfigurationError: If a measured response is missing or the room cannot have its T60.
    """
    if kind not in ("full", "direct"):
        raise ValueError(f"kind must be full or direct, got {kind!r}")
    key = f"{room_hash(room)} {sampling_rate} {kind} {'' if rirs is None else rirs.sha256()}"
    with _cache_lock:
        if key in _cache:
            _cache.move_to_end(key)
            return _cache[key]
    result = _computed(room, sampling_rate, kind, rirs, bank)
    result.h.flags.writeable = False
    with _cache_lock:
        _cache[key] = result
        while len(_cache) > MAX_CACHED_ROOMS:
            _cache.popitem(last=False)
    return result


def room_hash(room: RoomPlan) -> str:
    """SHA-256 of the plan of a room."""
    return hashlib.sha256(room.model_dump_json().encode()).hexdigest()


def point_response(
    room: RoomPlan,
    position_m: Metres | None,
    sampling_rate: int,
    *,
    rirs: ResponseSet | None = None,
    bank: RoomBank | None = None,
) -> NDArray[np.float32]:
    """The response from one more place in the room, which radiates evenly, shape ``[C, L]``.

    Rooms of measured responses have no geometry: there it is one of the room's responses, which the
    position decides, and not a seat's if there are others.
    """
    provider = make_provider(room.kind)
    name = None
    if provider.geometry == "measured" and rirs is not None:
        name = _unused_response(room, position_m, rirs)
    emitter = Emitter(position_m=position_m, response=name)
    return _raw(room, provider, emitter, sampling_rate, "full", rirs, bank)[0]


def point_delay(
    room: RoomPlan,
    position_m: Metres | None,
    sampling_rate: int,
    *,
    rirs: ResponseSet | None = None,
) -> int:
    """Samples from emission at that place to the direct path at the first channel."""
    if position_m is not None and room.microphone_positions_m is not None:
        return direct_delay(position_m, room.microphone_positions_m[0], sampling_rate)
    if rirs is not None and make_provider(room.kind).geometry == "measured":
        return rirs.response(_unused_response(room, position_m, rirs)).direct_delay_samples
    return 0


def _unused_response(room: RoomPlan, position_m: Metres | None, rirs: ResponseSet) -> str:
    taken = {seat.response for seat in room.seats}
    inside = rirs.rooms[rirs.response(room.seats[0].response or "").room]
    free = [name for name in inside if name not in taken] or list(inside)
    return free[int(generator(0, 0, f"point {position_m}").integers(len(free)))]


def direct_samples(room: RoomPlan, found: Responses, sampling_rate: int) -> NDArray[np.int64]:
    """Sample of the direct path in every response of a room, shape ``[P, C]``.

    Args:
        room: The plan.
        found: Its responses.
        sampling_rate: Hz.
    """
    rows = []
    for k, seat in enumerate(room.seats):
        own = [h for h, leg in zip(found.h, found.legs, strict=True) if leg.seat == k]
        knots = leg_samples(seat, room.microphone_positions_m or ())
        for h, knot in zip(own, knots, strict=True):
            rows.append(_direct_samples(room, _emitter(room, seat, knot), h, sampling_rate))
    return np.array(rows, dtype=np.int64)


def _computed(
    room: RoomPlan,
    sampling_rate: int,
    kind: ResponseKind,
    rirs: ResponseSet | None,
    bank: RoomBank | None,
) -> Responses:
    provider = make_provider(room.kind)
    legs: list[Leg] = []
    parts: list[NDArray[np.float32]] = []
    absorption: float | None = None
    for k, seat in enumerate(room.seats):
        knots = leg_samples(seat, room.microphone_positions_m or ())
        gain, faster = 1.0, 0.0
        for n, leg in enumerate(crossfades(k, knots)):
            emitter = _emitter(room, seat, knots[n])
            # Nobody walks the same way twice: not worth a place in the bank.
            kept = None if seat.trajectory else bank
            h, found = _raw(room, provider, emitter, sampling_rate, kind, rirs, kept)
            absorption = found if absorption is None else absorption
            if seat.drr_db is not None and kind == "full":
                direct = _direct_samples(room, emitter, h, sampling_rate)
                if n == 0:  # the same on the whole way: who comes nearer gets more direct
                    gain, faster = fit_drr(h, sampling_rate, direct, seat.drr_db, room.t60)
                h = scale_reverberation(h, sampling_rate, direct, gain, faster)
            parts.append(h)
            legs.append(leg)
    return _measured(room, provider, legs, parts, sampling_rate, kind, absorption)


def _emitter(room: RoomPlan, seat: PlannedSeat, sample: int) -> Emitter:
    """The speaker of a seat at a session sample."""
    if seat.position_m is None:
        return Emitter(response=seat.response)
    place, facing = place_at(seat, sample)
    return Emitter(
        position_m=place, facing_deg=facing, directivity=room.directivity, response=seat.response
    )


def _raw(
    room: RoomPlan,
    provider: ResponseProvider,
    emitter: Emitter,
    sampling_rate: int,
    kind: ResponseKind,
    rirs: ResponseSet | None,
    bank: RoomBank | None,
) -> Response:
    """A response as its provider makes it, or as the bank has it."""

    def make() -> Response:
        if kind == "direct" and provider.geometry == "shoebox":
            return direct_response(shoebox_of(room), emitter, sampling_rate), None
        samples, absorption = provider.response(room, emitter, sampling_rate, rirs)
        if kind == "direct" and provider.geometry == "measured":
            samples = _direct_part(samples, sampling_rate)
        return samples, absorption

    if bank is None or provider.geometry != "shoebox":
        return make()
    return bank.response(_bank_key(room, emitter, sampling_rate, kind), make)


def _bank_key(room: RoomPlan, emitter: Emitter, sampling_rate: int, kind: ResponseKind) -> str:
    """Hash of all that decides the samples of one response; who speaks is not part of it."""
    values: dict[str, JsonValue] = {
        "version": BANK_VERSION,
        "room": room.model_dump(mode="json", exclude={"seats"}),
        "place": list(emitter.position),
        "facing": emitter.facing_deg,
        "directivity": emitter.directivity,
        "sampling_rate": sampling_rate,
        "kind": kind,
    }
    return hashlib.sha256(canonical_json(values).encode()).hexdigest()


def _direct_samples(
    room: RoomPlan, emitter: Emitter, h: NDArray[np.float32], sampling_rate: int
) -> list[int]:
    """Sample of the direct path in each channel."""
    if emitter.position_m is not None and room.microphone_positions_m is not None:
        return [
            direct_delay(emitter.position_m, microphone, sampling_rate)
            for microphone in room.microphone_positions_m
        ]
    return [find_direct(channel, sampling_rate) for channel in h]


def _direct_part(samples: NDArray[np.float32], sampling_rate: int) -> NDArray[np.float32]:
    """Each channel within `DIRECT_SECONDS` of its direct path."""
    half = round(DIRECT_SECONDS * sampling_rate)
    kept = np.zeros_like(samples)
    for c, channel in enumerate(samples):
        if np.any(channel):
            direct = find_direct(channel, sampling_rate)
            window = slice(max(0, direct - half), direct + half + 1)
            kept[c, window] = channel[window]
    return kept


def _measured(
    room: RoomPlan,
    provider: ResponseProvider,
    legs: list[Leg],
    parts: list[NDArray[np.float32]],
    sampling_rate: int,
    kind: ResponseKind,
    absorption: float | None,
) -> Responses:
    """Put together, with what is measured on each seat's first response."""
    h = np.zeros(
        (len(parts), room.num_channels, max(part.shape[1] for part in parts)), dtype=np.float32
    )
    for row, part in zip(h, parts, strict=True):
        row[:, : part.shape[1]] = part
    own = [[p for p, leg in enumerate(legs) if leg.seat == k] for k in range(len(room.seats))]
    times: list[float] = []
    ratios: list[float | None] = [None] * len(own)
    if kind == "full" and provider.geometry != "dry":
        for k, (seat, rows) in enumerate(zip(room.seats, own, strict=True)):
            first, direct = parts[rows[0]][0], seat.direct_delay_samples
            time = measure_t60(first, sampling_rate, direct)
            times += [] if time is None else [time]
            ratios[k] = measure_drr(first, sampling_rate, direct)
    hashes: list[str | None] = [None] * len(own)
    if provider.geometry != "dry":
        hashes = [_sha256([parts[p] for p in rows]) for rows in own]
    return Responses(
        h=h,
        legs=tuple(legs),
        t60_measured=float(np.median(times)) if times else None,
        drr_db=tuple(ratios),
        sha256=tuple(hashes),
        absorption=absorption,
    )


def _sha256(parts: list[NDArray[np.float32]]) -> str:
    """Hash of the responses of one seat; that of the samples where there is one."""
    if len(parts) == 1:
        return samples_sha256(parts[0])
    return hashlib.sha256("".join(samples_sha256(part) for part in parts).encode()).hexdigest()
