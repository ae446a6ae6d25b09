from __future__ import annotations

import numpy as np
import pytest

from talkover.simulate.decay import find_direct, fit_t60, measure_drr, measure_t60

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
