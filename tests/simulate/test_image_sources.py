from __future__ import annotations

import math

import numpy as np
import pytest

from talkover.manifests.errors import ConfigurationError
from talkover.simulate import image_sources
from talkover.simulate.decay import measure_t60
from talkover.simulate.image_sources import images_within, shoebox_responses, shortest_t60
from talkover.simulate.plan import SPEED_OF_SOUND

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

RATE = 16000
SIZE = (6.1, 4.3, 2.7)
SOURCE = (1.2, 3.1, 1.5)
MICROPHONES = ((3.3, 2.2, 0.8), (3.5, 2.2, 0.8))


def delay_between(a: np.ndarray, b: np.ndarray) -> float:
    """Lag of b behind a in samples, to a fraction, by the peak of their cross-correlation."""
    size = 8 * len(a)
    cross = np.fft.irfft(np.fft.rfft(b, size) * np.conj(np.fft.rfft(a, size)), 16 * size)
    lag = int(np.argmax(cross))
    return (lag - 16 * size if lag > 8 * size else lag) / 16


def test_images_are_those_of_pyroomacoustics() -> None:
    import pyroomacoustics as pra

    radius = 12.0
    room = pra.ShoeBox(SIZE, fs=RATE, materials=pra.Material(0.5), max_order=14)
    room.add_source(SOURCE)
    room.add_microphone(MICROPHONES[0])
    room.image_source_model()
    theirs = np.linalg.norm(room.sources[0].images.T - np.array(MICROPHONES[0]), axis=1)
    keep = theirs < radius
    wanted = sorted(
        zip(theirs[keep].round(4).tolist(), room.sources[0].orders[keep].tolist(), strict=True)
    )
    distances, reflections = images_within(SIZE, SOURCE, MICROPHONES[0], radius)
    got = sorted(zip(distances.round(4).tolist(), reflections.tolist(), strict=True))
    assert len(got) > 50
    assert [n for _, n in got] == [n for _, n in wanted]
    assert np.allclose([d for d, _ in got], [d for d, _ in wanted], atol=1e-3)


@pytest.mark.parametrize("kind", ["full", "direct"])
def test_the_direct_path_is_where_geometry_puts_it(kind: str) -> None:
    rng = np.random.default_rng(1)
    for _ in range(5):
        source = (*rng.uniform(0.6, 2.1, 2), rng.uniform(1.1, 1.7))
        h, _ = shoebox_responses(
            SIZE, 0.25, [source], MICROPHONES, RATE, direct_only=kind == "direct"
        )
        for c, microphone in enumerate(MICROPHONES):
            metres = math.dist(source, microphone)
            expected = metres / SPEED_OF_SOUND * RATE
            start = round(expected) - 3
            peak = start + int(np.argmax(np.abs(h[0, c, start : start + 7])))
            assert abs(peak - expected) <= 1
        if kind == "direct":
            assert np.sqrt(np.sum(h[0, 1] ** 2)) == pytest.approx(1 / metres, rel=0.05)


def test_microphones_differ_by_the_geometry_to_a_fraction_of_a_sample() -> None:
    microphones = [(3.0 + 0.1 * c, 2.0, 0.8) for c in range(4)]
    h, _ = shoebox_responses(SIZE, 0.3, [SOURCE], microphones, RATE, direct_only=True)
    for c in range(1, 4):
        metres = math.dist(SOURCE, microphones[c]) - math.dist(SOURCE, microphones[0])
        assert delay_between(h[0, 0], h[0, c]) == pytest.approx(
            metres / SPEED_OF_SOUND * RATE, abs=0.15
        )


@pytest.mark.parametrize("t60", [0.2, 0.35, 0.5, 0.6])
def test_the_measured_t60_is_the_asked_one(t60: float) -> None:
    h, absorption = shoebox_responses(SIZE, t60, [SOURCE], MICROPHONES[:1], RATE)
    assert measure_t60(h[0, 0], RATE) == pytest.approx(t60, rel=0.1)
    assert 0 < absorption < 1


def test_a_random_tail_continues_the_decay(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(image_sources, "MAX_IMAGES", 20_000)
    h, _ = shoebox_responses(SIZE, 0.5, [SOURCE], MICROPHONES[:1], RATE)
    again, _ = shoebox_responses(SIZE, 0.5, [SOURCE], MICROPHONES[:1], RATE)
    assert h.tobytes() == again.tobytes()
    assert measure_t60(h[0, 0], RATE) == pytest.approx(0.5, rel=0.1)
    frame = round(0.03 * RATE)
    level = 10 * np.log10(
        [np.mean(h[0, 0, at : at + frame] ** 2) for at in range(1000, 7000, frame)]
    )
    assert np.abs(np.diff(level)).max() < 10  # no step where the tail takes over
    assert level[-1] < level[0] - 30


def test_the_same_room_gives_the_same_bytes() -> None:
    first, _ = shoebox_responses(SIZE, 0.3, [SOURCE], MICROPHONES, RATE)
    second, _ = shoebox_responses(SIZE, 0.3, [SOURCE], MICROPHONES, RATE)
    assert first.tobytes() == second.tobytes()


def test_a_time_below_sabines_limit_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cannot have a T60"):
        shoebox_responses(SIZE, 0.9 * shortest_t60(SIZE), [SOURCE], MICROPHONES, RATE)
