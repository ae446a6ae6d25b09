from __future__ import annotations

import math

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.errors import ConfigurationError
from talkover.simulate.config import RoomConfig
from talkover.simulate.plan import SPEED_OF_SOUND, RoomPlan
from talkover.simulate.responses import responses
from talkover.simulate.rooms import (
    DEVICE_SEPARATION,
    FACING_SPREAD_DEG,
    HEADSET_METRES,
    MICROPHONES,
    SEAT_SEPARATION,
    direct_delay,
    draw_room,
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


def test_direct_delay_is_rounded() -> None:
    assert direct_delay((0.0, 0.0, 0.0), (1.0, 0.0, 0.0), RATE) == 47  # 46.65


def test_several_devices_are_apart_and_keep_their_shape() -> None:
    apart = []
    for seed in range(20):
        plan = room(RoomConfig(microphones="circular8+linear4@0.03"), seed)
        assert plan.devices == (0,) * 8 + (1,) * 4 and plan.num_channels == 12
        points = np.array(plan.microphone_positions_m)
        circle, line = points[:8], points[8:]
        assert np.allclose(np.linalg.norm(circle - circle.mean(axis=0), axis=1), 0.1, atol=2e-4)
        assert np.allclose(np.linalg.norm(np.diff(line, axis=0), axis=1), 0.03, atol=2e-4)
        assert (points > 0).all() and (points < np.array(plan.dimensions_m)).all()
        apart.append(np.linalg.norm(circle.mean(axis=0) - line.mean(axis=0)))
    assert min(apart) >= DEVICE_SEPARATION - 1e-3


def test_every_speaker_wears_a_headset() -> None:
    for seed in range(10):
        plan = room(RoomConfig(microphones="pair+headsets"), seed)
        assert plan.num_channels == 2 + len(SPEAKERS)
        assert plan.devices == (0, 0, 1, 2, 3, 4)
        assert plan.microphone_positions_m is not None
        for k, seat in enumerate(plan.seats):
            assert seat.headset_channel == 2 + k and seat.position_m is not None
            own = plan.microphone_positions_m[2 + k]
            assert HEADSET_METRES[0] - 1e-3 <= math.dist(seat.position_m, own)
            assert math.dist(seat.position_m, own) <= HEADSET_METRES[1] + 1e-3


def test_a_headset_hears_its_wearer_and_the_others() -> None:
    plan = room(RoomConfig(microphones="headsets", t60=(0.3, 0.4)))
    made = responses(plan, RATE)
    energy = np.sum(made.h.astype(np.float64) ** 2, axis=2)  # [seat, headset]
    level = 10 * np.log10(energy)
    for k in range(len(SPEAKERS)):
        others = np.delete(level[:, k], k)
        assert level[k, k] - others.max() > 10  # the wearer is far louder
        assert level[k, k] - others.min() < 60  # but nobody is unheard
    assert made.t60_measured == pytest.approx(plan.t60, rel=0.15)


def test_speakers_look_at_the_table() -> None:
    askew = []
    for seed in range(40):
        plan = room(RoomConfig(), seed)
        middle = np.mean(plan.microphone_positions_m or (), axis=0)
        for seat in plan.seats:
            assert seat.position_m is not None and seat.facing_deg is not None
            towards = math.degrees(
                math.atan2(middle[1] - seat.position_m[1], middle[0] - seat.position_m[0])
            )
            askew.append((seat.facing_deg - towards + 180) % 360 - 180)
    assert abs(np.mean(askew)) < 5 and np.std(askew) == pytest.approx(FACING_SPREAD_DEG, rel=0.2)


def test_positions_of_several_devices_stay_together() -> None:
    plan = room(RoomConfig(microphones="0,0,0;0.1,0,0|0,0.5,0"))
    points = np.array(plan.microphone_positions_m)
    assert plan.devices == (0, 0, 1)
    assert math.dist(points[0], points[2]) == pytest.approx(0.5, abs=3e-4)


def test_who_wears_a_microphone_cannot_walk() -> None:
    with pytest.raises(ConfigurationError, match=r"room\.moving"):
        room(RoomConfig(microphones="headsets", moving=0.5))


@pytest.mark.parametrize("kind", ["dry", "measured"])
def test_walking_needs_walls(kind: str) -> None:
    with pytest.raises(ConfigurationError, match=r"room\.moving"):
        room(RoomConfig(kind=kind, moving=0.5))


def test_nobody_walks_unless_asked_to() -> None:
    assert all(not seat.trajectory for n in range(5) for seat in room(RoomConfig(), n).seats)


def test_asked_ratios_of_direct_sound_are_drawn_per_seat() -> None:
    plan = room(RoomConfig(drr_db=(-3.0, 6.0)))
    ratios = [seat.drr_db for seat in plan.seats]
    assert all(ratio is not None and -3 <= ratio <= 6 for ratio in ratios)
    assert len(set(ratios)) == len(SPEAKERS)
