from __future__ import annotations

import numpy as np
import pytest

from talkover.simulate.late_tail import (
    HIGH_PASS_HZ,
    band_weights,
    diffuse_noise,
    draw_offsets,
    isotropic_coherence,
    late_tail,
    num_bands,
)

RATE = 16000
PAIR = ((0.0, 0.17), (0.17, 0.0))


@pytest.mark.parametrize("rate", [8000, 16000, 44100])
def test_octave_bands_add_up_to_everything(rate: int) -> None:
    frequencies = np.linspace(0, rate / 2, 2001)
    weights = band_weights(frequencies, rate)
    assert len(weights) == num_bands(rate)
    assert np.allclose(weights.sum(axis=0), 1.0)
    assert weights.min() >= 0


def test_a_bank_is_white_above_the_high_pass() -> None:
    bank = diffuse_noise(PAIR, RATE)
    power = np.mean(np.abs(np.fft.rfft(bank[:, 0])) ** 2, axis=0) * 0
    for band in bank[:, 0]:  # independent offsets: powers add up
        power = power + np.abs(np.fft.rfft(band)) ** 2 / len(band)
    frequencies = np.fft.rfftfreq(bank.shape[2], 1 / RATE)
    for low, high in ((100, 400), (400, 2000), (2000, 7900)):
        inside = (frequencies > low) & (frequencies < high)
        assert np.mean(power[inside]) == pytest.approx(1.0, rel=0.1)
    assert np.mean(power[frequencies < HIGH_PASS_HZ / 4]) < 0.02


def test_a_bank_has_the_coherence_of_an_isotropic_field_in_every_band() -> None:
    bank = diffuse_noise(PAIR, RATE)
    spectra = np.fft.rfft(bank.sum(axis=0))  # [C, F]
    width = 512
    blocks = spectra[:, : spectra.shape[1] // width * width].reshape(2, -1, width)
    cross = (blocks[0] * blocks[1].conj()).mean(axis=1)
    power = np.sqrt((np.abs(blocks) ** 2).mean(axis=2).prod(axis=0))
    frequencies = (np.arange(len(cross)) + 0.5) * width * RATE / bank.shape[2]
    wanted = isotropic_coherence(frequencies, np.array(0.17))
    assert np.abs(cross / power - wanted).max() < 0.06


def test_a_tail_repeats_the_bank_where_it_is_longer() -> None:
    rng = np.random.default_rng(0)
    bank = rng.standard_normal((2, 1, 100)).astype(np.float32)
    envelopes, gains = np.ones((2, 350), np.float32), np.array([[1.0], [0.5]], np.float32)
    tail = late_tail(bank, np.array([0.25, -0.5]), envelopes, gains)
    first, second = np.roll(bank[0, 0], -25), -0.5 * np.roll(bank[1, 0], -50)
    assert np.allclose(tail[0], np.tile(first + second, 4)[:350], atol=1e-6)


def test_offsets_are_places_with_signs() -> None:
    offsets = draw_offsets(np.random.default_rng(1), 200)
    assert (np.abs(offsets) < 1).all() and 60 < np.sum(offsets > 0) < 140


def test_a_bank_cannot_be_changed_by_who_uses_it() -> None:
    with pytest.raises(ValueError, match="read-only"):
        diffuse_noise(PAIR, RATE)[0] = 0
