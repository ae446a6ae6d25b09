"""The responses of a planned room, from every seat to every channel, and what they measure.

Legend: ``K`` seat, ``C`` channel, ``L`` sample of the response; sample 0 is the emission.
"""

from __future__ import annotations

import hashlib
import threading
from collections import OrderedDict
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import ConfigurationError
from talkover.simulate.decay import DIRECT_SECONDS, find_direct, measure_drr, measure_t60
from talkover.simulate.image_sources import shoebox_responses, shortest_t60
from talkover.simulate.plan import RoomPlan
from talkover.simulate.response_sets import ResponseSet

__all__ = [
    "ResponseKind",
    "ResponseSet",
    "Responses",
    "measure_drr",
    "measure_t60",
    "responses",
    "room_hash",
    "shortest_t60",
]

ResponseKind = Literal["full", "direct"]
"""Everything that arrives, or the direct path alone at the same delay and gain."""

MAX_CACHED_ROOMS = 4
"""Rooms whose responses stay in memory: 8 speakers at 8 channels and 0.5 s take 2 MB."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Responses:
    """Responses of one room and what was measured on them."""

    h: NDArray[np.float32]  # [K, C, L]
    """Amplitude 1 is a direct path of one metre."""
    t60_measured: float | None
    """T30 fit on the first channel in seconds, median over seats; None without reverberation."""
    drr_db: tuple[float | None, ...]
    """Of the first channel, one a seat; None without reverberation."""
    sha256: tuple[str | None, ...]
    """Of each seat's response, float32 little-endian, channel after channel; None when dry."""
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
) -> Responses:
    """Responses from each seat of the plan to each channel, in order of the seats.

    The last few rooms stay in memory.

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
    result = _computed(room, sampling_rate, kind, rirs)
    result.h.flags.writeable = False
    with _cache_lock:
        _cache[key] = result
        while len(_cache) > MAX_CACHED_ROOMS:
            _cache.popitem(last=False)
    return result


def room_hash(room: RoomPlan) -> str:
    """SHA-256 of the plan of a room."""
    return hashlib.sha256(room.model_dump_json().encode()).hexdigest()


def _computed(
    room: RoomPlan, sampling_rate: int, kind: ResponseKind, rirs: ResponseSet | None
) -> Responses:
    if room.kind == "dry":
        h = np.ones((len(room.seats), 1, 1), dtype=np.float32)
        none = (None,) * len(room.seats)
        return Responses(h=h, t60_measured=None, drr_db=none, sha256=none, absorption=None)
    if room.kind == "shoebox":
        h, absorption = _shoebox(room, sampling_rate, kind)
        return _measured(h, room, sampling_rate, kind, absorption)
    h = _from_set(room, sampling_rate, kind, rirs)
    return _measured(h, room, sampling_rate, kind, None)


def _shoebox(
    room: RoomPlan, sampling_rate: int, kind: ResponseKind
) -> tuple[NDArray[np.float32], float]:
    sources = [seat.position_m for seat in room.seats]
    if room.dimensions_m is None or room.t60 is None or room.microphone_positions_m is None:
        raise ValueError("a shoebox room needs dimensions_m, t60 and microphone_positions_m")
    if None in sources:
        raise ValueError("every seat of a shoebox room needs position_m")
    return shoebox_responses(
        room.dimensions_m,
        room.t60,
        [source for source in sources if source is not None],
        room.microphone_positions_m,
        sampling_rate,
        direct_only=kind == "direct",
    )


def _from_set(
    room: RoomPlan, sampling_rate: int, kind: ResponseKind, rirs: ResponseSet | None
) -> NDArray[np.float32]:
    if rirs is None:
        raise ConfigurationError("this plan has measured rooms: give room.rirs to render it")
    parts = [rirs.response(seat.response or "").samples for seat in room.seats]
    length = max(part.shape[1] for part in parts)
    h = np.zeros((len(parts), room.num_channels, length), dtype=np.float32)
    for k, part in enumerate(parts):
        if len(part) != room.num_channels:
            raise ConfigurationError(
                f"response {room.seats[k].response!r} has {len(part)} channels, the plan "
                f"{room.num_channels}: the plan was made with another room.rirs"
            )
        h[k, :, : part.shape[1]] = part if kind == "full" else _direct_part(part, sampling_rate)
    return h


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
    h: NDArray[np.float32],
    room: RoomPlan,
    sampling_rate: int,
    kind: ResponseKind,
    absorption: float | None,
) -> Responses:
    times: list[float | None] = [None]
    ratios: list[float | None] = [None] * len(h)
    if kind == "full":
        times = [measure_t60(part[0], sampling_rate) for part in h]
        ratios = [
            measure_drr(part[0], sampling_rate, seat.direct_delay_samples)
            for part, seat in zip(h, room.seats, strict=True)
        ]
    known = [t for t in times if t is not None]
    return Responses(
        h=h,
        t60_measured=float(np.median(known)) if known else None,
        drr_db=tuple(ratios),
        sha256=tuple(_sha256(part) for part in h),
        absorption=absorption,
    )


def _sha256(part: NDArray[np.float32]) -> str:
    """Hash of a response ``[C, L]`` without the zeros that pad it to its neighbours' length."""
    length = int(np.flatnonzero(part.any(axis=0))[-1]) + 1
    return hashlib.sha256(part[:, :length].astype("<f4").tobytes()).hexdigest()
