import numpy as np
import pytest
import torch

from talkover.annotate.models.embedding import SpeakerEmbedding
from talkover.annotate.models.voice_net import VoiceNet, VoiceNetConfig

SMALL = VoiceNetConfig(channels=16, pooled=24, dimension=8, dilations=(1, 2))


@pytest.fixture(scope="module")
def model() -> SpeakerEmbedding:
    torch.manual_seed(0)
    return SpeakerEmbedding(VoiceNet(SMALL), SpeakerEmbedding.untrained().card)


def _noise(seed: int, count: int) -> np.ndarray:
    shaped = np.cumsum(np.random.default_rng(seed).standard_normal(count))
    return (0.01 * (shaped - np.convolve(shaped, np.ones(50) / 50, "same"))).astype(np.float32)


def test_a_long_recording_is_heard_in_blocks_that_leave_no_trace(
    model: SpeakerEmbedding, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = _noise(0, 16000 * 20 + 123)
    whole = model.features(samples)
    monkeypatch.setattr("talkover.annotate.models.embedding.BLOCK_FRAMES", 100)
    blocks = model.features(samples)
    assert whole.shape == (-(-len(samples) // model.frame_samples), 24)
    np.testing.assert_allclose(blocks, whole, atol=2e-4)


def test_voices_are_unit_vectors_and_nobody_is_zero(model: SpeakerEmbedding) -> None:
    features = model.features(_noise(1, 48000))
    masks = np.zeros((3, len(features)), dtype=np.float32)
    masks[0, :40] = 1
    masks[1, 20:] = 0.5
    found = model.pool(features, masks)
    assert found.shape == (3, model.dimension)
    np.testing.assert_allclose(np.linalg.norm(found[:2], axis=1), 1, atol=1e-5)
    assert (found[2] == 0).all()


def test_only_the_frames_of_the_mask_count(model: SpeakerEmbedding) -> None:
    features = model.features(_noise(2, 64000))
    masks = np.zeros((1, len(features)), dtype=np.float32)
    masks[0, :50] = 1
    other = features.copy()
    other[50:] = 9
    np.testing.assert_array_equal(model.pool(features, masks), model.pool(other, masks))
    np.testing.assert_allclose(
        model.pool(features, 0.3 * masks), model.pool(features, masks), atol=1e-5
    )


def test_masks_of_any_frame_rate_are_spread_over_the_stretch(model: SpeakerEmbedding) -> None:
    samples = _noise(3, 64000)
    features = model.features(samples)
    half = np.zeros((1, len(features)), dtype=np.float32)
    half[0, : len(features) // 2] = 1
    coarse = np.array([[1.0, 0.0]], dtype=np.float32)
    np.testing.assert_allclose(model.embed(samples, coarse), model.pool(features, half), atol=1e-6)
    assert model.embed(samples).shape == (1, model.dimension)


def test_a_gain_does_not_change_a_voice(model: SpeakerEmbedding) -> None:
    samples = _noise(4, 48000)
    assert float((model.embed(samples) @ model.embed(10 * samples).T)[0, 0]) > 0.999


def test_masks_of_another_length_are_refused_and_nothing_gives_nothing(
    model: SpeakerEmbedding,
) -> None:
    features = model.features(_noise(5, 16000))
    with pytest.raises(ValueError, match="masks must have shape"):
        model.pool(features, np.ones((1, 3), dtype=np.float32))
    assert model.features(np.zeros(0, dtype=np.float32)).shape == (0, 24)
    assert (model.embed(np.zeros(0, dtype=np.float32)) == 0).all()
    assert model.pool(features, np.ones((0, len(features)), dtype=np.float32)).shape == (0, 8)
