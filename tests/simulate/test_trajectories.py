from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkover.simulate.config import RoomConfig
from talkover.simulate.convolve import convolve
from talkover.simulate.legs import Leg, crossfades
from talkover.simulate.plan import SPEED_OF_SOUND, PlannedSeat, RoomPlan, Waypoint
from talkover.simulate.responses import ResponseKind, responses
from talkover.simulate.rooms import draw_room
from talkover.simulate.trajectories import (
    LEG_DELAY_METRES,
    LEG_METRES,
    direct_delay,
    direct_delay_at,
    largest_delay,
    leg_samples,
    place_at,
)
from talkover.simulate.walks import WALK_CLEARANCE, WALK_METRES

RATE = 16000
EAR = (2.0, 2.0, 1.0)


def walker(*stops: tuple[float, tuple[float, float, float], float]) -> PlannedSeat:
    """A seat with (seconds, position, facing) on its way."""
    return PlannedSeat(
        speaker_local="S01",
        position_m=stops[0][1],
        facing_deg=stops[0][2],
        direct_delay_samples=direct_delay(stops[0][1], EAR, RATE),
        trajectory=tuple(
            Waypoint(sample=round(t * RATE), position_m=p, facing_deg=f) for t, p, f in stops
        ),
    )


PATH = walker((1.0, (1.0, 1.0, 1.5), 170.0), (3.0, (3.0, 1.0, 1.5), 190.0))


def test_a_walker_is_on_the_straight_way_between_two_places() -> None:
    assert place_at(PATH, 0)[0] == (1.0, 1.0, 1.5)
    assert place_at(PATH, 2 * RATE)[0] == pytest.approx((2.0, 1.0, 1.5))
    assert place_at(PATH, 9 * RATE)[0] == (3.0, 1.0, 1.5)


def test_who_turns_over_the_back_turns_the_short_way() -> None:
    turning = walker((0.0, (1.0, 1.0, 1.5), 170.0), (1.0, (2.0, 1.0, 1.5), -170.0))
    facing = place_at(turning, RATE / 2)[1]
    assert facing is not None and math.cos(math.radians(facing - 180.0)) == pytest.approx(1.0)


def test_the_delay_is_that_of_the_place_at_the_time() -> None:
    for seconds in (0.0, 1.5, 2.0, 2.9, 5.0):
        place, _ = place_at(PATH, seconds * RATE)
        assert direct_delay_at(PATH, EAR, RATE, round(seconds * RATE)) == round(
            math.dist(place, EAR) / SPEED_OF_SOUND * RATE
        )
    assert largest_delay(PATH, EAR, RATE) == direct_delay((1.0, 1.0, 1.5), EAR, RATE)


def test_who_sits_has_the_delay_of_the_plan() -> None:
    seat = PlannedSeat(speaker_local="S01", position_m=EAR, direct_delay_samples=77)
    assert direct_delay_at(seat, EAR, RATE, 5) == largest_delay(seat, EAR, RATE) == 77
    assert leg_samples(seat, [EAR]) == [0]


def test_legs_are_close_enough_for_every_microphone() -> None:
    ears = [EAR, (2.2, 2.0, 1.0), (0.5, 3.0, 1.0)]
    samples = leg_samples(PATH, ears)
    places = np.array([place_at(PATH, sample)[0] for sample in samples])
    away = np.linalg.norm(places[:, None] - np.array(ears), axis=2)
    assert np.abs(np.diff(away, axis=0)).max() <= LEG_DELAY_METRES * 1.05
    assert np.linalg.norm(np.diff(places, axis=0), axis=1).max() <= LEG_METRES * 1.05
    assert samples[0] == RATE and samples[-1] == 3 * RATE
    assert len(samples) < 2.0 / LEG_DELAY_METRES + 3


@given(st.lists(st.integers(0, 5000), min_size=1, max_size=8, unique=True).map(sorted))
def test_the_gains_of_a_seat_add_up_to_one(knots: list[int]) -> None:
    legs = crossfades(0, knots)
    total = sum(leg.gains(-100, 5300) for leg in legs)
    assert len(legs) == len(knots)
    assert np.allclose(total, 1.0, atol=1e-6)


def test_a_leg_is_silent_where_others_hold() -> None:
    leg = Leg(0, ((100, 0.0), (200, 1.0), (300, 0.0)))
    assert leg.is_silent(0, 100) and leg.is_silent(300, 50)
    assert not leg.is_silent(0, 102)
    assert not Leg(0).is_silent(0, 1)


def walking_room(seed: int, **changes: object) -> RoomPlan:
    config = RoomConfig.model_validate({"moving": 1.0, "t60": (0.25, 0.3), **changes})
    return draw_room(
        config, ["S01", "S02"], np.random.default_rng(seed), sampling_rate=RATE, seconds=60.0
    )


def test_drawn_walks_keep_their_distances_and_speeds() -> None:
    walks = 0
    for seed in range(10):
        room = walking_room(seed)
        assert room.microphone_positions_m is not None and room.dimensions_m is not None
        for seat in room.seats:
            for here, there in zip(seat.trajectory[::2], seat.trajectory[1::2], strict=True):
                walks += 1
                metres = math.dist(here.position_m, there.position_m)
                assert WALK_METRES[0] <= metres <= WALK_METRES[1]
                seconds = (there.sample - here.sample) / RATE
                assert 0.2 - 1e-3 <= metres / seconds <= 0.8 + 1e-3
                way = np.linspace(here.position_m, there.position_m, 40)
                ears = np.array(room.microphone_positions_m)
                nearest = np.linalg.norm(way[:, None] - ears, axis=2).min()
                assert nearest >= WALK_CLEARANCE - 0.02
    assert walks > 20


class Dry:
    """A dry signal as the convolver reads it."""

    def __init__(self, samples: np.ndarray) -> None:
        self.samples = samples.astype(np.float32)

    def block(self, start: int, num_samples: int) -> np.ndarray:
        return self.samples[start : start + num_samples]


def moved(room: RoomPlan, dry: np.ndarray, kind: ResponseKind = "full") -> np.ndarray:
    """The only seat's sound at all channels."""
    made = responses(room, RATE, kind=kind)
    blocks = convolve([Dry(dry)], made.h, len(dry), legs=made.legs)
    return np.concatenate([block.speech for block in blocks], axis=1)


def walk_past(microphones: str) -> RoomPlan:
    """One speaker who walks past a table, two metres in four seconds."""
    config = RoomConfig(
        t60=(0.25, 0.3), length=(6, 6), width=(5, 5), microphones=microphones, directivity="omni"
    )
    room = draw_room(config, ["S01"], np.random.default_rng(4), sampling_rate=RATE)
    assert room.microphone_positions_m is not None
    x, y, _ = np.mean(room.microphone_positions_m, axis=0)
    stops = ((0.5, (x - 1.0, y + 1.0, 1.3)), (4.5, (x + 1.0, y + 1.0, 1.3)))
    path = tuple(
        Waypoint(sample=round(t * RATE), position_m=place, facing_deg=-90.0) for t, place in stops
    )
    first = room.microphone_positions_m[0]
    seat = room.seats[0].model_copy(
        update={
            "position_m": stops[0][1],
            "direct_delay_samples": direct_delay(stops[0][1], first, RATE),
            "trajectory": path,
        }
    )
    return room.model_copy(update={"seats": (seat,)})


def bearing(frames: np.ndarray, ears: np.ndarray) -> float:
    """Azimuth (degrees) whose delays fit the phases best: steered response power with PHAT."""
    size = frames.shape[1]
    spectra = np.fft.rfft(frames * np.hanning(size), axis=1)
    frequencies = np.fft.rfftfreq(size, 1 / RATE)
    inside = (frequencies > 300) & (frequencies < 4000)
    phases = (spectra / np.maximum(np.abs(spectra), 1e-12))[:, inside]
    azimuths = np.radians(np.arange(0.0, 360.0, 1.0))
    middle = ears.mean(axis=0)
    places = middle + 1.3 * np.stack(
        [np.cos(azimuths), np.sin(azimuths), np.full_like(azimuths, 0.35)], axis=1
    )
    delays = np.linalg.norm(places[:, None] - ears, axis=2) / SPEED_OF_SOUND  # [A, C]
    steering = np.exp(2j * np.pi * delays[:, :, None] * frequencies[inside])
    power = np.abs((steering * phases).sum(axis=1)) ** 2
    return float(np.degrees(azimuths[int(power.sum(axis=1).argmax())]))


def test_a_walkers_measured_direction_follows_the_path() -> None:
    room = walk_past("circular8")
    dry = np.random.default_rng(0).standard_normal(5 * RATE)
    heard = moved(room, dry)
    ears = np.array(room.microphone_positions_m)
    errors, bearings = [], []
    for start in range(RATE // 4, 5 * RATE - RATE // 4, RATE // 4):
        frames = heard[:, start : start + 2048]
        place, _ = place_at(room.seats[0], start + 1024 - 60)
        x, y, _ = np.array(place) - ears.mean(axis=0)
        wanted = math.degrees(math.atan2(y, x))
        bearings.append(wanted)
        errors.append((bearing(frames, ears) - wanted + 180) % 360 - 180)
    assert max(bearings) - min(bearings) > 80
    assert np.abs(errors).max() <= 5


def test_a_walk_has_no_dips_in_level() -> None:
    """Direct sound of white noise, which would lose level where two delays cancel."""
    room = walk_past("single")
    dry = np.random.default_rng(1).standard_normal(5 * RATE)
    ears = room.microphone_positions_m or ()
    heard = moved(room, dry, "direct")[0]
    level = []
    for start in range(RATE // 2, 9 * RATE // 2, RATE // 10):
        place, _ = place_at(room.seats[0], start + RATE // 20)
        power = np.mean(heard[start : start + RATE // 10] ** 2)
        level.append(10 * np.log10(power * math.dist(place, ears[0]) ** 2))
    assert len(responses(room, RATE, kind="direct").legs) > 40
    assert np.abs(np.mean(level)) < 0.6
    assert np.std(level) < 0.5
