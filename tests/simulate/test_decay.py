from __future__ import annotations

import numpy as np
import pytest

from talkover.simulate.decay import (
    drr_gain,
    find_direct,
    fit_t60,
    measure_drr,
    measure_t60,
    scale_reverberation,
    t60_correction,
)

RATE = 16000


def decaying(t60: float, seconds: float) -> np.ndarray:
    t = np.arange(round(seconds * RATE)) / RATE
    return np.random.default_rng(3).standard_normal(len(t)) * 10 ** (-3 * t / t60)


@pytest.mark.parametrize("t60", [0.2, 0.5, 1.2])
def test_t60_of_exponential_noise_is_its_decay(t60: float) -> None:
    assert measure_t60(decaying(t60, 1.2 * t60), RATE) == pytest.approx(t60, rel=0.03)


@pytest.mark.parametrize("response", [np.zeros(0), np.zeros(100), np.eye(1, 50)[0]])
def test_t60_is_none_without_a_decay(response: np.ndarray) -> None:
    assert measure_t60(response, RATE) is None


def test_fit_counts_bins_in_seconds() -> None:
    energy = 10 ** (-6 * np.arange(600) / 500)  # 60 dB in 500 bins
    assert fit_t60(energy, 1000) == pytest.approx(0.5, rel=1e-3)


def test_drr_is_the_ratio_of_energies() -> None:
    response = np.zeros(2000)
    response[100], response[900] = 1.0, 0.1
    assert measure_drr(response, RATE, 100) == pytest.approx(20.0)
    assert measure_drr(response[:500], RATE, 100) is None


def test_the_direct_path_comes_before_a_louder_reflection() -> None:
    response = np.zeros(2000)
    response[98:103] = [0.2, 0.5, 0.7, 0.4, 0.1]
    response[400] = -1.0
    assert find_direct(response, RATE) == 100


def test_very_close_direct_sound_is_left_out_of_the_fit() -> None:
    response = 0.01 * decaying(0.5, 0.8)
    response[:8] = [0, 0, 3, 30, 3, 0, 0, 0]
    assert measure_t60(response, RATE, 3) == pytest.approx(0.5, rel=0.05)


@pytest.mark.parametrize("asked", [0.3, 0.5, 0.8])
def test_the_correction_gives_the_asked_t60(asked: float) -> None:
    rng = np.random.default_rng(0)
    time = np.arange(round(1.2 * RATE)) / RATE
    curved = 10 ** (-3 * time / 0.3) + 0.1 * 10 ** (-3 * time / 0.9)  # two rates of decay
    response = (rng.standard_normal((2, len(time))) * curved).astype(np.float32)
    faster = t60_correction(response, asked, np.zeros(2), RATE)
    for channel in response * np.exp(-faster * time):
        assert measure_t60(channel, RATE) == pytest.approx(asked, rel=0.03)


def test_the_gain_gives_the_asked_drr() -> None:
    rng = np.random.default_rng(1)
    response = np.zeros((2, 4000), dtype=np.float32)
    response[:, 200:] = 0.02 * rng.standard_normal((2, 3800))
    response[0, 100], response[1, 110] = 1.0, 0.8
    for asked in (-10.0, 0.0, 20.0):
        gain = drr_gain(response[0], RATE, 100, asked)
        scaled = scale_reverberation(response, RATE, [100, 110], gain)
        assert measure_drr(scaled[0], RATE, 100) == pytest.approx(asked, abs=0.1)
        assert scaled[:, [100, 110]].tolist() == response[:, [100, 110]].tolist()
