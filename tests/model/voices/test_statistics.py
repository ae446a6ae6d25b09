"""Statistics of stretches of speech."""

from __future__ import annotations

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.model.voices.statistics import (
    LEAST_CLEAN,
    num_statistics,
    stretch_statistics,
    voice_statistics,
)

RATE = 100.0
BANDS = 20


def noise(seed: int, frames: int = 200) -> np.ndarray:
    return np.random.default_rng(seed).standard_normal((frames, BANDS)).astype(np.float32)


@settings(max_examples=30, deadline=None)
@given(seed=st.integers(0, 1000), level=st.floats(-5.0, 5.0))
def test_the_level_of_a_voice_does_not_matter(seed: int, level: float) -> None:
    frames = noise(seed, 60)
    np.testing.assert_allclose(
        stretch_statistics(frames + np.float32(level)), stretch_statistics(frames), atol=1e-4
    )


def test_mean_and_spread_of_each_band_are_there() -> None:
    frames = noise(0, 10)  # so few that none is left out
    found = stretch_statistics(frames)
    assert found.shape == (num_statistics(BANDS),)
    mean = frames.mean(0) - frames.mean()
    np.testing.assert_allclose(found[:BANDS], mean, atol=1e-5)
    np.testing.assert_allclose(found[BANDS : 2 * BANDS], frames.std(0), atol=1e-5)


def test_quiet_frames_are_left_out() -> None:
    loud = noise(1, 70)
    mixed = np.concatenate([loud, loud[:30] - 20.0])
    kept = stretch_statistics(mixed)
    np.testing.assert_allclose(kept[BANDS : 2 * BANDS], loud.std(0), atol=1e-5)


def test_frames_with_somebody_else_are_left_out_if_enough_remain() -> None:
    features = noise(2)
    features[50:100] += 3.0 * np.arange(BANDS)
    rows, clean = voice_statistics(features, [(0.0, 1.0), (0.5, 1.0)], RATE)
    np.testing.assert_allclose(rows[0], stretch_statistics(features[:50]), atol=1e-6)
    assert clean.tolist() == [0.5, 0.0]
    np.testing.assert_allclose(rows[1], stretch_statistics(features[50:100]), atol=1e-6)


@pytest.mark.parametrize("span", [(1.99, 2.02), (3.0, 4.0), (0.5, 0.5)])
def test_stretches_too_short_or_beyond_the_end_have_none(span: tuple[float, float]) -> None:
    rows, clean = voice_statistics(noise(3), [span], RATE)
    assert clean.tolist() == [-1.0] and not rows.any()


def test_the_least_clean_time_is_a_syllable() -> None:
    assert 0.1 <= LEAST_CLEAN <= 0.3
