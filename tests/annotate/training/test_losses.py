import itertools
import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from talkover.annotate.models.segmentation import powerset_members
from talkover.annotate.models.sound_net import ACTIVITIES
from talkover.annotate.training.augment import (
    AugmentConfig,
    add_bursts,
    add_noise,
    colour,
    shift_bands,
    sum_of,
)
from talkover.annotate.training.embedding import margin_loss
from talkover.annotate.training.loop import LoopConfig, rate_at
from talkover.annotate.training.segmentation import (
    most_active,
    permutation_free_loss,
    with_a_pause,
)
from talkover.annotate.training.tagger import edge_weights


def _scores(seed: int) -> torch.Tensor:
    torch.manual_seed(seed)
    return torch.log_softmax(torch.randn(2, 5, 7), dim=2)


def _active(seed: int) -> torch.Tensor:
    rows = powerset_members(3)[np.random.default_rng(seed).integers(7, size=(2, 5))]
    return torch.from_numpy(rows.astype(bool))


@given(st.integers(0, 50))
def test_the_loss_does_not_know_the_numbers_of_speakers(seed: int) -> None:
    scores, active = _scores(seed), _active(seed)
    loss = permutation_free_loss(scores, active)
    for order in itertools.permutations(range(3)):
        assert permutation_free_loss(scores, active[:, :, list(order)]) == pytest.approx(
            float(loss)
        )


@given(st.integers(0, 50))
def test_the_loss_is_the_best_of_all_numberings(seed: int) -> None:
    scores, active = _scores(seed)[:1], _active(seed)[:1]
    members = powerset_members(3).astype(int).tolist()
    best = math.inf
    for order in itertools.permutations(range(3)):
        rows = active[0][:, list(order)].int().tolist()
        picked = [-float(scores[0, t, members.index(row)]) for t, row in enumerate(rows)]
        best = min(best, sum(picked) / len(picked))
    assert float(permutation_free_loss(scores, active)) == pytest.approx(best, rel=1e-5)


def test_a_window_keeps_the_three_who_speak_most_and_two_at_once() -> None:
    speaking = np.zeros((40, 4), dtype=bool)
    speaking[:4, 0] = True  # least of all
    speaking[:, 1] = speaking[4:, 2] = speaking[8:, 3] = True
    kept = most_active(speaking)
    assert kept.shape == (10, 3)
    assert kept.sum(axis=0).tolist() == [10, 9, 0]  # the third would be a third voice at once
    assert kept.sum(axis=1).max() == 2
    assert most_active(np.ones((8, 1), dtype=bool)).tolist() == [[True, False, False]] * 2


@given(st.integers(0, 30))
def test_a_pause_is_made_of_frames_in_which_nobody_speaks(seed: int) -> None:
    speaking = np.zeros((400, 2), dtype=bool)
    speaking[100:300, 0] = speaking[250:320, 1] = True
    mels = np.where(speaking.any(axis=1), 9.0, 1.0)[:, None] * np.ones((1, 64), dtype=np.float32)
    heard, who = with_a_pause(mels.astype(np.float32), speaking, np.random.default_rng(seed))
    assert (who.any(axis=1) == (heard[:, 0] > 5)).all()
    assert (~who.any(axis=1)).sum() >= 100
    busy = np.ones((400, 1), dtype=bool)
    assert with_a_pause(mels, busy, np.random.default_rng(seed))[1] is busy


def test_a_margin_makes_the_right_voice_harder_and_no_margin_is_a_softmax() -> None:
    cosines = torch.tensor([[0.6, 0.1, -0.2], [0.2, 0.9, 0.1]])
    targets = torch.tensor([0, 1])
    plain = torch.nn.functional.cross_entropy(30 * cosines, targets)
    assert float(margin_loss(cosines, targets, margin=0.0, scale=30)) == pytest.approx(float(plain))
    harder = margin_loss(cosines, targets, margin=0.3, scale=30)
    assert harder > plain
    angle = math.acos(0.6) + 0.3
    shifted = cosines.clone()
    shifted[0, 0], shifted[1, 1] = math.cos(angle), math.cos(math.acos(0.9) + 0.3)
    wanted = torch.nn.functional.cross_entropy(30 * shifted, targets)
    assert float(harder) == pytest.approx(float(wanted), rel=1e-4)


@given(st.integers(0, 100), st.floats(-20, 20))
def test_powers_add_when_signals_do(seed: int, gain_db: float) -> None:
    rng = np.random.default_rng(seed)
    one, other = rng.standard_normal((2, 6, 64)).astype(np.float32)
    added = np.exp(sum_of(one, other, gain_db))
    np.testing.assert_allclose(added, np.exp(one) + 10 ** (gain_db / 10) * np.exp(other), rtol=1e-4)


def test_noise_only_adds_and_shifting_moves_every_frame_alike() -> None:
    mels = np.random.default_rng(0).standard_normal((30, 64)).astype(np.float32)
    always = AugmentConfig(shift=1.0, noise=1.0)
    assert (add_noise(mels, np.random.default_rng(1), always) >= mels).all()
    moved = shift_bands(mels, np.random.default_rng(1), always)
    assert any(
        np.array_equal(moved[:, 2:-2], np.roll(mels, by, axis=1)[:, 2:-2]) for by in (-2, -1, 1, 2)
    )
    never = AugmentConfig(shift=0.0, noise=0.0)
    assert (
        add_noise(
            shift_bands(mels, np.random.default_rng(1), never), np.random.default_rng(1), never
        )
        is mels
    )


@given(st.integers(0, 50), st.floats(0.5, 12))
def test_another_microphone_is_one_smooth_gain_for_all_frames(seed: int, most_db: float) -> None:
    mels = np.random.default_rng(0).standard_normal((30, 64)).astype(np.float32)
    config = AugmentConfig(coloured=1.0, colour_db=most_db)
    gain = colour(mels, np.random.default_rng(seed), config) - mels
    np.testing.assert_allclose(gain, np.broadcast_to(gain[:1], gain.shape), atol=1e-5)
    assert np.abs(gain).max() <= most_db * np.log(10) / 10 + 1e-5
    assert np.abs(np.diff(gain[0])).max() <= 2 * most_db * np.log(10) / 10 * 5 / 63 + 1e-5
    assert colour(mels, np.random.default_rng(seed), AugmentConfig()) is mels


@given(st.integers(0, 200), st.integers(20, 400))
def test_bursts_only_add_come_and_go_and_stay_under_their_level(seed: int, frames: int) -> None:
    mels = np.full((frames, 64), -3.0, dtype=np.float32)
    one = AugmentConfig(bursts=1.0, most_bursts=1, burst_db=(0.0, 10.0), burst_s=(0.05, 0.1))
    heard = add_bursts(mels, np.random.default_rng(seed), one)
    assert heard.dtype == np.float32
    assert heard.shape == mels.shape
    assert np.isfinite(heard).all()
    assert (heard >= mels).all()
    louder = np.flatnonzero((heard > mels).any(axis=1))
    assert len(louder) <= 11  # one burst of a tenth of a second at most
    assert len(louder) == 0 or np.ptp(louder) <= 10
    # 10 dB over the loudest, 12 dB and half of a slope of 30 dB of spectrum, and the ripple
    assert (heard - mels).max() < (10 + 12 + 15) * np.log(10) / 10 + 0.5 * 5
    assert add_bursts(mels, np.random.default_rng(seed), AugmentConfig()) is mels


@given(st.lists(st.booleans(), min_size=6, max_size=40), st.floats(1, 5))
def test_frames_at_the_edges_of_a_sound_count_more(track: list[bool], weight: float) -> None:
    active = torch.zeros(1, len(ACTIVITIES) + 1, len(track), dtype=torch.bool)
    active[0, 0] = active[0, -1] = torch.tensor(track)
    weights = edge_weights(active, weight)
    assert (weights[0, : len(ACTIVITIES)] == 1).all()  # only sounds have edges that count
    edges = [n for n in range(1, len(track)) if track[n] != track[n - 1]]
    for frame in range(len(track)):
        near = any(edge - 2 <= frame <= edge + 1 for edge in edges)
        assert float(weights[0, -1, frame]) == pytest.approx(weight if near else 1.0)


def test_the_learning_rate_rises_and_falls() -> None:
    config = LoopConfig(steps=100, warm_up=10)
    rates = [rate_at(step, config) for step in range(100)]
    assert rates[:10] == sorted(rates[:10])
    assert rates[10:] == sorted(rates[10:], reverse=True)
    assert max(rates) == pytest.approx(1)
    assert 0 < rates[-1] < 0.02
    with pytest.raises(ValueError, match="steps >= 1"):
        LoopConfig(steps=0)
