import numpy as np
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.annotate.models.mels import (
    HALO,
    HOP,
    NUM_MELS,
    RATE,
    LogMel,
    mel_filters,
    num_frames,
    without_level,
)


def _noise(seed: int, count: int) -> torch.Tensor:
    return torch.from_numpy(np.random.default_rng(seed).standard_normal((1, count))).float()


@given(st.integers(1, 5000))
@settings(max_examples=30, deadline=None)
def test_every_sample_is_in_a_frame(count: int) -> None:
    mels = LogMel()(_noise(0, count))
    assert mels.shape == (1, NUM_MELS, num_frames(count))
    assert HOP * (num_frames(count) - 1) < count <= HOP * num_frames(count)


def test_a_part_with_its_halo_gives_the_frames_of_the_whole() -> None:
    samples = 0.1 * _noise(1, 32000)
    whole = LogMel()(samples)
    first, last = 50, 120
    part = LogMel().of_padded(samples[:, first * HOP - HALO : last * HOP + HALO])
    assert torch.equal(part, whole[:, :, first:last])


def test_a_tone_is_loudest_in_the_band_around_it() -> None:
    filters = mel_filters()
    for hertz in (200.0, 1000.0, 4000.0):
        tone = torch.sin(2 * torch.pi * hertz * torch.arange(RATE) / RATE)[None]
        band = int(LogMel()(tone)[0, :, 50].argmax())
        centre = float(filters[:, band].argmax()) * RATE / 512
        assert abs(centre - hertz) < 0.1 * hertz + 32


def test_a_gain_changes_nothing_once_the_level_is_taken_out() -> None:
    samples = 0.05 * _noise(2, 48000)
    one = without_level(LogMel()(samples), 100)
    other = without_level(LogMel()(8 * samples), 100)
    assert (one - other).abs().max() < 1e-3
