from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.loudness import SILENT_DBFS
from talkover.simulate.levels import (
    ActivePower,
    active_frames,
    active_level_dbfs,
    decibels_of,
    decibels_of_power,
    gain_of,
    headroom_gain,
    mean_level_dbfs,
    noise_gain,
)


@given(st.floats(-120, 40))
def test_gain_and_level_are_inverses(level: float) -> None:
    assert decibels_of(gain_of(level)) == pytest.approx(level, abs=1e-9)
    assert decibels_of_power(gain_of(level) ** 2) == pytest.approx(level, abs=1e-9)


def test_a_full_scale_sine_has_minus_three_decibels() -> None:
    sine = np.sin(2 * np.pi * 100 * np.arange(16000) / 16000).astype(np.float32)
    assert active_level_dbfs(sine, np.array([[0, 16000]]), 16000) == pytest.approx(
        -3.0103, abs=1e-3
    )


def test_silence_has_a_finite_level() -> None:
    assert decibels_of_power(0.0) == SILENT_DBFS


@settings(max_examples=30, deadline=None)
@given(
    st.lists(st.tuples(st.integers(-50, 2500), st.integers(0, 400)), max_size=12),
    st.sampled_from([8000, 16000, 44100]),
)
def test_active_frames_are_those_that_an_interval_touches(
    spans: list[tuple[int, int]], rate: int
) -> None:
    num_samples = 2345
    active = np.array([(a, a + n) for a, n in spans], dtype=np.int64).reshape(-1, 2)
    frame = round(rate / 100)
    mask = np.zeros(num_samples, bool)
    for start, end in active:
        mask[max(0, start) : max(0, end)] = True
    wanted = np.repeat([mask[at : at + frame].any() for at in range(0, num_samples, frame)], frame)[
        :num_samples
    ]
    got = np.zeros(num_samples, bool)
    runs = active_frames(active, num_samples, rate)
    for start, end in runs:
        got[start:end] = True
    assert np.array_equal(got, wanted)
    assert (runs[1:, 0] > runs[:-1, 1]).all()


@settings(max_examples=30, deadline=None)
@given(st.integers(1, 700), st.integers(0, 99))
def test_power_does_not_depend_on_the_blocks(block: int, seed: int) -> None:
    rng = np.random.default_rng(seed)
    signal = rng.standard_normal(3000).astype(np.float32)
    frames = np.array([[10, 200], [500, 501], [1999, 3000]])
    meter = ActivePower(frames)
    for start in range(0, len(signal), block):
        meter.add(signal[start : start + block])
    inside = np.concatenate([signal[a:b] for a, b in frames]).astype(np.float64)
    assert meter.power == pytest.approx(np.mean(inside**2), rel=1e-6)


def test_mean_level_is_of_the_joined_signals() -> None:
    rng = np.random.default_rng(0)
    loud, soft = rng.standard_normal(1000), 0.01 * rng.standard_normal(3000)
    levels = [decibels_of_power(float(np.mean(x**2))) for x in (loud, soft)]
    joined = decibels_of_power(float(np.mean(np.concatenate([loud, soft]) ** 2)))
    assert mean_level_dbfs(levels, [1000, 3000]) == pytest.approx(joined, abs=1e-9)


@given(st.floats(1e-6, 10), st.floats(1e-6, 10), st.floats(-20, 40))
def test_noise_gain_gives_the_asked_ratio(speech: float, noise: float, snr_db: float) -> None:
    gain = noise_gain(speech, noise, snr_db)
    assert 10 * np.log10(speech / (gain**2 * noise)) == pytest.approx(snr_db, abs=1e-9)


def test_headroom_only_scales_down() -> None:
    assert headroom_gain(0.3, -1.0) == 1.0
    assert headroom_gain(3.0, -1.0) * 3.0 == pytest.approx(gain_of(-1.0))
    assert headroom_gain(1.0, 0.0) == 32767 / 32768  # what 16 bit can hold
