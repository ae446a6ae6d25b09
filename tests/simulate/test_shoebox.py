from __future__ import annotations

import math
from collections.abc import Iterator

import numpy as np
import pytest
from scipy.signal import butter, sosfiltfilt

from talkover.manifests.errors import ConfigurationError
from talkover.simulate.config import RoomConfig
from talkover.simulate.decay import measure_t60
from talkover.simulate.emitters import Emitter
from talkover.simulate.image_sources import shortest_t60
from talkover.simulate.late_tail import isotropic_coherence
from talkover.simulate.plan import SPEED_OF_SOUND, RoomPlan
from talkover.simulate.providers import shoebox_of
from talkover.simulate.rooms import draw_room
from talkover.simulate.shoebox import (
    MIXING_SECONDS,
    MIXING_SECONDS_PER_M3,
    Shoebox,
    absorption_exponent,
    direct_response,
    shoebox_response,
)
from talkover.simulate.trajectories import direct_delay

RATE = 16000
SIZE = (6.1, 4.3, 2.7)
EARS = ((3.3, 2.2, 0.8), (3.5, 2.2, 0.8))
MOUTH = Emitter(position_m=(1.2, 3.1, 1.5))
FLAT = (1.0,) * 7


def box(t60: float = 0.4, **changes: object) -> Shoebox:
    values = {"dimensions_m": SIZE, "t60": t60, "microphones_m": EARS, **changes}
    return Shoebox(**values)  # type: ignore[arg-type]


def random_rooms(
    count: int, *, seed: int = 0, **changes: object
) -> Iterator[tuple[RoomPlan, np.ndarray]]:
    """Default rooms over the whole range of reverberation times, and the response of one seat."""
    config = RoomConfig.model_validate({"t60": (0.2, 1.2), **changes})
    for number in range(count):
        rng = np.random.default_rng([seed, number])
        room = draw_room(config, ["S01"], rng, sampling_rate=RATE)
        seat = room.seats[0]
        mouth = Emitter(
            position_m=seat.position_m, facing_deg=seat.facing_deg, directivity=room.directivity
        )
        yield room, shoebox_response(shoebox_of(room), mouth, RATE)[0]


def t60_errors(count: int) -> np.ndarray:
    errors = []
    for room, h in random_rooms(count, microphones="circular8"):
        errors += [abs(measure_t60(channel, RATE) / room.t60 - 1) for channel in h]
    return np.array(errors)


def test_the_measured_t60_is_the_asked_one() -> None:
    errors = t60_errors(24)
    assert len(errors) == 24 * 8
    assert np.median(errors) <= 0.02
    assert np.quantile(errors, 0.95) <= 0.05


@pytest.mark.slow
def test_the_measured_t60_is_the_asked_one_in_200_rooms() -> None:
    errors = t60_errors(200)
    assert len(errors) == 200 * 8
    assert np.median(errors) <= 0.05
    assert np.quantile(errors, 0.95) <= 0.10


@pytest.mark.parametrize("kind", ["full", "direct"])
def test_every_direct_path_is_where_geometry_puts_it(kind: str) -> None:
    for room, h in random_rooms(12, seed=1, microphones="circular8+linear4"):
        seat = room.seats[0]
        if kind == "direct":
            mouth = Emitter(
                position_m=seat.position_m, facing_deg=seat.facing_deg, directivity="head"
            )
            h = direct_response(shoebox_of(room), mouth, RATE)
        assert seat.position_m is not None and room.microphone_positions_m is not None
        assert len(h) == 12
        for channel, ear in zip(h, room.microphone_positions_m, strict=True):
            expected = math.dist(seat.position_m, ear) / SPEED_OF_SOUND * RATE
            first = max(0, round(expected) - 6)
            peak = first + int(np.argmax(np.abs(channel[first : first + 13])))
            assert abs(peak - expected) <= 1


def test_microphones_differ_by_the_geometry_to_a_fraction_of_a_sample() -> None:
    ears = tuple((3.0 + 0.1 * c, 2.0, 0.8) for c in range(4))
    h = direct_response(box(microphones_m=ears), MOUTH, RATE)
    size, fine = 8192, 16
    spectra = np.fft.rfft(h, size)
    for c in range(1, 4):
        cross = np.fft.irfft(spectra[c] * np.conj(spectra[0]), fine * size)
        lag = int(np.argmax(cross))
        lag -= fine * size if lag > fine * size // 2 else 0
        metres = math.dist(MOUTH.position, ears[c]) - math.dist(MOUTH.position, ears[0])
        assert lag / fine == pytest.approx(metres / SPEED_OF_SOUND * RATE, abs=0.15)


def test_a_direct_path_of_one_metre_has_amplitude_one() -> None:
    for metres in (0.5, 1.0, 2.0):
        ears = ((1.2 + metres, 3.1, 1.5),)
        h = direct_response(box(microphones_m=ears), MOUTH, RATE)
        assert np.sqrt(np.sum(h**2)) == pytest.approx(1 / metres, rel=0.05)


def test_the_tail_takes_over_without_a_step() -> None:
    """Level of 20 ms before the mixing time over that after it, against the asked decay."""
    steps = []
    for room, h in random_rooms(40, seed=2, t60=(0.3, 1.2), t60_octaves=FLAT, directivity="omni"):
        seat = room.seats[0]
        mixing = math.dist(seat.position_m, room.microphone_positions_m[0]) / SPEED_OF_SOUND  # type: ignore[index,arg-type]
        mixing += MIXING_SECONDS + MIXING_SECONDS_PER_M3 * math.prod(room.dimensions_m)  # type: ignore[arg-type]
        at, width, fade = round(mixing * RATE), round(0.02 * RATE), round(0.01 * RATE)
        before = np.mean(h[0, at - fade - width : at - fade] ** 2)
        after = np.mean(h[0, at : at + width] ** 2)
        steps.append(10 * np.log10(before / after) - 60 * 0.03 / room.t60)  # type: ignore[operator]
    assert abs(np.mean(steps)) < 0.5
    assert np.std(steps) < 1.5


@pytest.mark.parametrize("t60", [0.3, 0.6])
def test_all_images_have_the_asked_t60_too(t60: float) -> None:
    h, absorption = shoebox_response(box(t60), MOUTH, RATE, all_images=True)
    for channel in h:
        assert measure_t60(channel, RATE) == pytest.approx(t60, rel=0.05)
    assert 0 < absorption < 1


def undecayed_tail(room: RoomPlan, h: np.ndarray) -> np.ndarray:
    """What comes after the mixing time, at an even level."""
    start = round((0.03 + MIXING_SECONDS) * RATE) + round(
        MIXING_SECONDS_PER_M3 * math.prod(room.dimensions_m or ()) * RATE
    )
    time = np.arange(h.shape[1] - start) / RATE
    return np.asarray(h[:, start:] * 10 ** (3 * time / (room.t60 or 1.0)))


def test_the_tail_is_as_coherent_as_an_isotropic_field() -> None:
    """Over many rooms, between all pairs of a circle of 20 cm, at 30 Hz resolution."""
    size, cross = 512, 0
    for room, h in random_rooms(120, seed=3, t60=(0.4, 1.0), microphones="circular8"):
        tail = undecayed_tail(room, h)
        frames = tail[:, : tail.shape[1] // size * size].reshape(8, -1, size)
        spectra = np.fft.rfft(frames * np.hanning(size), axis=2)
        cross = cross + np.einsum("inf,jnf->fij", spectra, spectra.conj())
    power = np.sqrt(np.einsum("fii->fi", cross).real)
    coherence = cross / (power[:, :, None] * power[:, None, :])
    angles = 2 * np.pi * np.arange(8) / 8
    points = 0.1 * np.stack([np.cos(angles), np.sin(angles)], axis=1)
    metres = np.linalg.norm(points[:, None] - points, axis=2)
    frequencies = np.fft.rfftfreq(size, 1 / RATE)
    wanted = isotropic_coherence(frequencies[:, None, None], metres)
    inside = (frequencies > 100) & (frequencies < 7500)
    assert np.abs(coherence - wanted)[inside].max() <= 0.1
    assert np.abs(coherence - wanted)[inside].mean() <= 0.03


def test_two_seats_have_tails_of_their_own() -> None:
    room = box(0.6)
    tails = []
    for x in (1.2, 1.7):
        h, _ = shoebox_response(room, Emitter(position_m=(x, 3.1, 1.5)), RATE)
        time = np.arange(h.shape[1] - 1600) / RATE
        tails.append(h[0, 1600:] * 10 ** (3 * time / 0.6))
    count = min(len(tail) for tail in tails)
    first, second = (np.fft.rfft(tail[:count], 4 * count) for tail in tails)
    cross = np.fft.irfft(first * np.conj(second))
    energies = math.prod(float(np.sum(tail[:count] ** 2)) for tail in tails)
    assert np.abs(cross).max() / math.sqrt(energies) < 0.2


def test_octave_bands_decay_as_asked() -> None:
    factors = (1.0, 1.0, 1.3, 1.0, 1.0, 0.7, 0.7)
    got = {}
    for number, centre in ((2, 500.0), (5, 4000.0)):
        times = []
        for seed in range(6):
            mouth = Emitter(position_m=(1.2 + 0.1 * seed, 3.1, 1.5))
            h, _ = shoebox_response(box(0.6, t60_octaves=factors), mouth, RATE)
            band = butter(3, [centre / 1.3, centre * 1.3], "bandpass", fs=RATE, output="sos")
            times += [measure_t60(sosfiltfilt(band, channel), RATE) for channel in h]
        got[number] = float(np.median(times))
    assert got[2] / got[5] == pytest.approx(1.3 / 0.7, rel=0.15)


def test_the_absorption_lets_images_decay_as_asked() -> None:
    exponent = absorption_exponent(SIZE, 0.5, 0.06)
    assert 0 < absorption_exponent(SIZE, 1.0, 0.06) < exponent
    eyring = 0.1611 * math.prod(SIZE) / (0.5 * 2 * (6.1 * 4.3 + 4.3 * 2.7 + 6.1 * 2.7))
    assert exponent == pytest.approx(eyring, rel=0.3)


def test_a_head_is_duller_from_behind_than_from_the_front() -> None:
    ear = ((3.2, 2.1, 1.5),)
    levels = {}
    for facing in (0.0, 180.0):
        mouth = Emitter(position_m=(1.2, 2.1, 1.5), facing_deg=facing, directivity="head")
        h = direct_response(box(microphones_m=ear), mouth, RATE)
        spectrum = np.abs(np.fft.rfft(h[0], 4096))
        frequencies = np.fft.rfftfreq(4096, 1 / RATE)
        levels[facing] = 20 * np.log10(np.interp([500.0, 4000.0], frequencies, spectrum))
    difference = levels[0.0] - levels[180.0]
    assert difference == pytest.approx([6.0, 15.0], abs=1.0)


def test_who_turns_away_has_less_direct_sound() -> None:
    full = {}
    for facing in (0.0, 180.0):
        mouth = Emitter(position_m=(1.2, 2.1, 1.5), facing_deg=facing, directivity="head")
        h, _ = shoebox_response(box(microphones_m=((3.2, 2.1, 1.5),)), mouth, RATE)
        at = direct_delay(mouth.position, (3.2, 2.1, 1.5), RATE)
        near = np.sum(h[0, at - 40 : at + 41] ** 2)
        full[facing] = near / (np.sum(h[0] ** 2) - near)
    assert 10 * np.log10(full[0.0] / full[180.0]) > 6


def test_the_same_room_gives_the_same_bytes() -> None:
    first, second = (shoebox_response(box(), MOUTH, RATE)[0] for _ in range(2))
    assert first.tobytes() == second.tobytes()


def test_a_time_below_sabines_limit_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="cannot have a T60"):
        shoebox_response(box(0.9 * shortest_t60(SIZE)), MOUTH, RATE)


@pytest.mark.parametrize("rate", [8000, 24000, 48000])
def test_other_sampling_rates_have_the_t60_too(rate: int) -> None:
    h, _ = shoebox_response(box(0.5), MOUTH, rate)
    assert measure_t60(h[0], rate) == pytest.approx(0.5, rel=0.05)
    at = direct_delay(MOUTH.position, EARS[0], rate)
    assert abs(int(np.argmax(np.abs(h[0, at - 4 : at + 5]))) - 4) <= 1
