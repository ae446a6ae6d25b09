from __future__ import annotations

import math

import numpy as np
import pytest

from talkover.simulate.image_sources import (
    calibrated_absorption,
    image_pulses,
    images_of,
    shortest_t60,
)
from talkover.simulate.plan import SPEED_OF_SOUND

RATE = 16000
SIZE = (6.1, 4.3, 2.7)
SOURCE = (1.2, 3.1, 1.5)
MICROPHONES = np.array([(3.3, 2.2, 0.8), (3.5, 2.2, 0.8)])


def test_images_are_those_of_pyroomacoustics() -> None:
    import pyroomacoustics as pra

    radius = 12.0
    room = pra.ShoeBox(SIZE, fs=RATE, materials=pra.Material(0.5), max_order=14)
    room.add_source(SOURCE)
    room.add_microphone(MICROPHONES[0])
    room.image_source_model()
    theirs = np.linalg.norm(room.sources[0].images.T - MICROPHONES[0], axis=1)
    keep = theirs < radius
    wanted = sorted(
        zip(theirs[keep].round(4).tolist(), room.sources[0].orders[keep].tolist(), strict=True)
    )
    images = images_of(SIZE, SOURCE, MICROPHONES[:1], radius)
    got = sorted(
        zip(images.distances[0].round(4).tolist(), images.reflections.tolist(), strict=True)
    )
    assert len(got) > 50
    assert [n for _, n in got] == [n for _, n in wanted]
    assert np.allclose([d for d, _ in got], [d for d, _ in wanted], atol=1e-3)


def test_all_microphones_hear_the_same_images() -> None:
    both = images_of(SIZE, SOURCE, MICROPHONES, 15.0)
    for c, microphone in enumerate(MICROPHONES):
        alone = images_of(SIZE, SOURCE, microphone[None], 15.0)
        within = both.distances[c] <= 15.0
        assert np.allclose(np.sort(both.distances[c][within]), np.sort(alone.distances[0]))
    assert (both.distances.min(axis=0) <= 15.0).all()


def test_the_front_turns_over_in_every_mirror() -> None:
    """The direct path and the first reflections at the wall in front and at the one behind."""
    source, ear = (2.0, 2.0, 1.5), np.array([[4.0, 2.0, 1.5]])
    images = images_of(SIZE, source, ear, 9.0, facing=(1.0, 0.0, 0.0))
    assert images.front is not None
    by_distance = dict(
        zip(images.distances[0].round(6).tolist(), images.front[0].tolist(), strict=True)
    )
    assert by_distance[2.0] == pytest.approx(1.0)  # straight ahead
    assert by_distance[6.0] == pytest.approx(-1.0)  # over the wall behind, at x = 0
    assert by_distance[round(2 * 6.1 - 6.0, 6)] == pytest.approx(1.0)  # over the wall in front


def test_pulses_have_their_delay_and_their_strength() -> None:
    images = images_of(SIZE, SOURCE, MICROPHONES, 4.0)
    pulses = image_pulses(images, 0.4, 400, RATE)[0]
    for c, microphone in enumerate(MICROPHONES):
        metres = math.dist(SOURCE, microphone)
        at = metres / SPEED_OF_SOUND * RATE
        peak = round(at) - 2 + int(np.argmax(pulses[c, round(at) - 2 : round(at) + 3]))
        assert abs(peak - at) <= 0.51
        nearest = np.abs(images.distances[c] - metres) < 1e-9
        assert images.reflections[nearest].tolist() == [0]
        others = np.sort(images.distances[c])[1] / SPEED_OF_SOUND * RATE
        alone = pulses[c, : int(others) - 20]
        assert np.sqrt(np.sum(alone**2)) == pytest.approx(1 / metres, rel=0.05)


def test_what_comes_after_the_end_is_left_out() -> None:
    images = images_of(SIZE, SOURCE, MICROPHONES, 20.0)
    short, long = (image_pulses(images, 0.4, n, RATE) for n in (300, 900))
    assert np.allclose(short[..., :250], long[..., :250], atol=2e-4)


def test_no_microphone_gets_a_pulse_of_its_neighbour() -> None:
    images = images_of(SIZE, SOURCE, MICROPHONES, 20.0)
    both = image_pulses(images, 0.4, 600, RATE)
    for c, ear in enumerate(MICROPHONES):
        alone = image_pulses(images_of(SIZE, SOURCE, ear[None], 20.0), 0.4, 600, RATE)
        assert np.allclose(both[0, c], alone[0, 0], atol=2e-4)


@pytest.mark.parametrize("t60", [0.25, 0.5])
def test_absorption_falls_with_the_reverberation_time(t60: float) -> None:
    ear = (3.3, 2.2, 0.8)
    assert 0 < calibrated_absorption(SIZE, 1.3 * t60, SOURCE, ear)
    assert calibrated_absorption(SIZE, 1.3 * t60, SOURCE, ear) < calibrated_absorption(
        SIZE, t60, SOURCE, ear
    )


def test_sabines_limit_is_that_of_walls_that_take_all() -> None:
    volume = math.prod(SIZE)
    surface = 2 * (SIZE[0] * SIZE[1] + SIZE[1] * SIZE[2] + SIZE[0] * SIZE[2])
    assert shortest_t60(SIZE) == pytest.approx(0.1611 * volume / surface, rel=1e-3)
