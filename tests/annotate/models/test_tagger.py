import numpy as np
import pytest
import torch

from talkover.annotate.models.sound_net import ACTIVITIES, SoundNet, SoundNetConfig
from talkover.annotate.models.tagger import Tagger, Threshold

SMALL = SoundNetConfig(events=("dog", "rain"), channels=(4, 6, 8), width=12, dilations=(1, 2))


@pytest.fixture(scope="module")
def model() -> Tagger:
    torch.manual_seed(0)
    settings = {"thresholds": {"dog": {"onset": 0.6, "offset": 0.2}}}
    return Tagger(SoundNet(SMALL), Tagger.untrained().card, settings)


def _noise(seed: int, count: int) -> np.ndarray:
    return (0.05 * np.random.default_rng(seed).standard_normal(count)).astype(np.float32)


def test_there_is_a_curve_a_label_with_a_frame_for_every_sample(model: Tagger) -> None:
    found = model.run(_noise(0, 16001))
    assert tuple(found) == (*ACTIVITIES, "dog", "rain") == model.classes
    assert {len(curve) for curve in found.values()} == {11}
    assert all(0 <= curve.min() <= curve.max() <= 1 for curve in found.values())
    assert model.run(np.zeros(0, dtype=np.float32))["dog"].shape == (0,)


def test_a_long_recording_is_heard_in_blocks_that_leave_no_trace(
    model: Tagger, monkeypatch: pytest.MonkeyPatch
) -> None:
    samples = _noise(1, 16000 * 30 + 77)
    whole = model.run(samples)
    monkeypatch.setattr("talkover.annotate.models.tagger.BLOCK_FRAMES", 70)
    blocks = model.run(samples)
    for label in model.classes:
        np.testing.assert_allclose(blocks[label], whole[label], atol=1e-4)


def test_a_gain_changes_no_curve(model: Tagger) -> None:
    samples = _noise(2, 64000)
    one, other = model.run(samples), model.run(8 * samples)
    for label in model.classes:
        np.testing.assert_allclose(one[label], other[label], atol=1e-3)


def test_thresholds_come_from_the_settings_and_have_defaults(model: Tagger) -> None:
    assert model.thresholds["dog"].onset == 0.6
    assert model.thresholds["rain"] == Threshold()
    with pytest.raises(ValueError, match="offset <= onset"):
        Threshold(onset=0.3, offset=0.4)


def test_any_sound_is_a_label_of_its_own_where_the_model_has_it(model: Tagger) -> None:
    assert model.any_sound is None
    sizes = SoundNetConfig(events=("dog",), channels=(4, 6, 8), width=12, any_sound=True)
    other = Tagger(SoundNet(sizes), Tagger.untrained().card)
    assert other.any_sound == other.classes[-1] == "any_sound" and other.events == ("dog",)
    assert other.run(_noise(3, 3200))["any_sound"].shape == (2,)
