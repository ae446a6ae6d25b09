from __future__ import annotations

import numpy as np
import pytest
import scipy.signal
from hypothesis import given
from hypothesis import strategies as st

from talkover.manifests.loudness import (
    HIGH_PASS,
    HIGH_SHELF,
    SILENT_DBFS,
    integrated_lufs,
    k_weighted,
)


def speech_like(rate: int, seconds: float, seed: int) -> np.ndarray:
    """Bursts of low-passed noise with pauses: gated and ungated blocks."""
    rng = np.random.default_rng(seed)
    count = round(seconds * rate)
    noise = np.convolve(rng.standard_normal(count), np.ones(4) / 4, mode="same")
    t = np.arange(count) / rate
    return 0.1 * noise * (np.sin(2 * np.pi * 0.4 * t + seed) > -0.2) + 1e-5 * noise


def test_at_48_khz_it_is_the_published_filters() -> None:
    noise = np.random.default_rng(0).standard_normal(20_000)
    sections = [[*HIGH_SHELF[0], *HIGH_SHELF[1]], [*HIGH_PASS[0], *HIGH_PASS[1]]]
    reference = scipy.signal.sosfilt(sections, noise)
    assert np.abs(k_weighted(noise, 48000) - reference).max() < 1e-4


@pytest.mark.parametrize("rate", [8000, 16000, 44100, 48000])
def test_a_full_scale_sine_is_at_minus_three(rate: int) -> None:
    sine = np.sin(2 * np.pi * 997 * np.arange(5 * rate) / rate)
    assert integrated_lufs(sine, rate) == pytest.approx(-3.01, abs=0.03)


@pytest.mark.parametrize("rate", [16000, 44100, 48000])
@pytest.mark.parametrize("seed", range(4))
def test_pyloudnorm_hears_the_same(rate: int, seed: int) -> None:
    pyloudnorm = pytest.importorskip("pyloudnorm")
    signal = speech_like(rate, 8.0, seed)
    reference = pyloudnorm.Meter(rate).integrated_loudness(signal)
    assert integrated_lufs(signal, rate) == pytest.approx(reference, abs=0.1)


def test_silence_between_words_does_not_count() -> None:
    rate = 16000
    loud = speech_like(rate, 4.0, 1)
    padded = np.concatenate([loud, np.zeros(20 * rate)])
    assert integrated_lufs(padded, rate) == pytest.approx(integrated_lufs(loud, rate), abs=0.3)


def test_nothing_is_reported_as_silent_and_short_sounds_have_a_loudness() -> None:
    assert integrated_lufs(np.zeros(16000), 16000) == SILENT_DBFS
    assert integrated_lufs(np.zeros(0), 16000) == SILENT_DBFS
    assert -40 < integrated_lufs(speech_like(16000, 0.2, 1), 16000) < -10


@given(st.floats(-30, 20), st.integers(0, 5))
def test_a_gain_moves_the_loudness_by_itself(gain_db: float, seed: int) -> None:
    signal = speech_like(16000, 2.0, seed)
    moved = integrated_lufs(signal * 10 ** (gain_db / 20), 16000)
    assert moved - integrated_lufs(signal, 16000) == pytest.approx(gain_db, abs=0.05)
