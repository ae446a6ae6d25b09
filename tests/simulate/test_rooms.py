from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.errors import ConfigurationError
from talkover.simulate.config import RoomConfig
from talkover.simulate.plan import SPEED_OF_SOUND, RoomPlan
from talkover.simulate.rooms import (
    MICROPHONES,
    SEAT_SEPARATION,
    direct_delay,
    draw_room,
    microphone_offsets,
)

RATE = 16000
SPEAKERS = ["S01", "S02", "S03", "S04"]


def room(config: RoomConfig, seed: int = 0, speakers: list[str] = SPEAKERS) -> RoomPlan:
    return draw_room(config, speakers, np.random.default_rng(seed), sampling_rate=RATE)


@settings(max_examples=30, deadline=None)
@given(st.integers(0, 10_000), st.sampled_from(sorted(MICROPHONES)), st.integers(1, 8))
def test_rooms_keep_their_ranges_and_distances(seed: int, microphones: str, count: int) -> None:
    config = RoomConfig(microphones=microphones)
    plan = room(config, seed, [f"S{k:02d}" for k in range(count)])
    assert plan.dimensions_m is not None and plan.t60 is not None
    assert plan.microphone_positions_m is not None
    length, width, height = plan.dimensions_m
    assert config.length[0] <= length <= config.length[1]
    assert config.width[0] <= width <= config.width[1]
    assert config.height[0] <= height <= config.height[1]
    assert config.t60[0] <= plan.t60 <= config.t60[1]
    middle = np.mean(plan.microphone_positions_m, axis=0)
    for seat in plan.seats:
        assert seat.position_m is not None
        assert all(
            0.4 < p < side - 0.4 for p, side in zip(seat.position_m, (length, width), strict=False)
        )
        assert 1.0 <= seat.position_m[2] <= 1.7
        assert config.distance[0] - 1e-3 <= math.dist(seat.position_m, middle)
        assert math.dist(seat.position_m, middle) <= config.distance[1] + 1e-3


def test_seats_are_apart_where_there_is_space() -> None:
    for seed in range(30):
        places = [seat.position_m for seat in room(RoomConfig(), seed).seats]
        gaps = [math.dist(a, b) for n, a in enumerate(places) for b in places[:n]]  # type: ignore[arg-type]
        assert min(gaps) >= SEAT_SEPARATION


def test_delays_follow_the_written_positions() -> None:
    plan = RoomPlan.model_validate_json(room(RoomConfig(microphones="circular8")).model_dump_json())
    assert plan.microphone_positions_m is not None
    for seat in plan.seats:
        metres = math.dist(seat.position_m, plan.microphone_positions_m[0])  # type: ignore[arg-type]
        assert seat.direct_delay_samples == round(metres / SPEED_OF_SOUND * RATE)


def test_the_same_generator_gives_the_same_room() -> None:
    assert room(RoomConfig(), 5) == room(RoomConfig(), 5) != room(RoomConfig(), 6)


def test_a_dry_room_has_one_channel_and_no_delay() -> None:
    plan = room(RoomConfig(kind="dry", microphones="circular8"))
    assert plan.num_channels == 1
    assert {seat.direct_delay_samples for seat in plan.seats} == {0}


def test_a_time_too_short_for_every_room_is_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"room\.t60 of at most 0\.05 s"):
        room(RoomConfig(t60=(0.02, 0.05)))


def test_a_time_too_short_for_some_rooms_draws_others() -> None:
    for seed in range(20):
        plan = room(RoomConfig(t60=(0.1, 0.12)), seed)
        assert plan.t60 is not None and 0.1 <= plan.t60 <= 0.12


def test_seats_farther_than_the_walls_are_refused() -> None:
    with pytest.raises(ConfigurationError, match=r"room\.distance 20 to 30 m"):
        room(RoomConfig(distance=(20.0, 30.0)))


def test_an_array_larger_than_the_room_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="reach a wall"):
        room(RoomConfig(microphones="circular8@5"))


def test_measured_rooms_need_their_responses() -> None:
    with pytest.raises(ConfigurationError, match=r"room\.rirs"):
        room(RoomConfig(kind="measured"))


@pytest.mark.parametrize("name", sorted(MICROPHONES))
def test_arrays_have_their_count_and_spacing(name: str) -> None:
    offsets = microphone_offsets(f"{name}@0.3")
    assert offsets.shape == (MICROPHONES[name].count, 3)
    assert np.allclose(offsets.mean(axis=0), 0)
    if "circular" in name:
        assert np.allclose(np.linalg.norm(offsets, axis=1), 0.3)
    elif len(offsets) > 1:
        assert np.allclose(np.linalg.norm(np.diff(offsets, axis=0), axis=1), 0.3)


def test_arrays_can_be_given_as_positions() -> None:
    assert microphone_offsets("0,0,0;0.1,-0.2,0.05").tolist() == [[0, 0, 0], [0.1, -0.2, 0.05]]


@pytest.mark.parametrize("text", ["cube9", "pair@", "pair@-1", "1,2;3,4", "0,0,nan", ""])
def test_wrong_arrays_are_refused_with_what_is_right(text: str) -> None:
    with pytest.raises(ConfigurationError, match=r"room\.microphones"):
        microphone_offsets(text)


def test_direct_delay_is_rounded() -> None:
    assert direct_delay((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), RATE) == 47  # 46.65
