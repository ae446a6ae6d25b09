import itertools

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.annotate.models.files import save_model
from talkover.annotate.models.segmentation import LocalSpeakers, powerset_members
from talkover.annotate.models.window_net import FRAME, WindowNet, WindowNetConfig
from talkover.manifests.extras import import_name

TINY = WindowNetConfig(channels=16, lstm_size=8, linear_size=8, window_s=2.0)


def _tiny(hop_s: float | None = None) -> LocalSpeakers:
    torch.manual_seed(0)
    card = LocalSpeakers.untrained().card
    torch.manual_seed(0)
    return LocalSpeakers(WindowNet(TINY), card, hop_s=hop_s)


def _noise(seed: int, count: int) -> np.ndarray:
    return (0.05 * np.random.default_rng(seed).standard_normal(count)).astype(np.float32)


def test_each_set_of_at_most_two_of_three_is_a_class() -> None:
    rows = {tuple(row) for row in powerset_members(3).astype(int).tolist()}
    assert len(rows) == 7
    assert rows == {r for r in itertools.product((0, 1), repeat=3) if sum(r) <= 2}


@given(st.integers(1, 100_000), st.sampled_from([1.0, 2.0]))
@settings(max_examples=20, deadline=None)
def test_windows_cover_the_whole_stretch(count: int, hop_s: float) -> None:
    model = _tiny(hop_s)
    found = model.run(_noise(0, count))
    assert found.shape[1:] == (model.frames_per_window, 3)
    covered = (len(found) - 1) * hop_s + model.window_s
    assert covered * 16000 >= count
    assert len(found) == 1 or covered - hop_s < count / 16000


def test_probabilities_are_of_at_most_two_at_once() -> None:
    found = _tiny().run(_noise(1, 60_000))
    assert found.min() >= 0
    assert found.max() <= 1
    assert found.sum(axis=2).max() <= 2 + 1e-5


def test_a_window_is_heard_alike_alone_and_in_a_batch_and_at_any_level() -> None:
    model = _tiny()
    windows = _noise(2, 5 * model.window_samples).reshape(5, -1)
    together = model.window(windows)
    alone = np.concatenate([model.window(one[None]) for one in windows])
    np.testing.assert_allclose(together, alone, atol=1e-5)
    np.testing.assert_allclose(model.window(20 * windows), together, atol=1e-3)


def test_the_same_samples_give_the_same_bytes() -> None:
    samples = _noise(3, 50_000)
    assert _tiny().run(samples).tobytes() == _tiny().run(samples).tobytes()


def test_a_window_of_another_length_is_refused() -> None:
    with pytest.raises(ValueError, match=r"needs shape \[B, 32000\]"):
        _tiny().window(np.zeros((1, 31999), dtype=np.float32))


def test_silence_and_no_window_at_all_are_no_trouble() -> None:
    model = _tiny()
    assert np.isfinite(model.run(np.zeros(40_000, dtype=np.float32))).all()
    assert model.window(np.zeros((0, model.window_samples), dtype=np.float32)).shape[0] == 0
    assert model.frame_samples == FRAME


@pytest.mark.slow
@pytest.mark.skipif(import_name("pyannote.audio") is None, reason="needs pyannote.audio")
def test_pyannotes_class_gives_the_same_with_the_same_weights(tmp_path) -> None:
    from talkover.annotate.models.pyannet import load_for_pyannote

    torch.manual_seed(1)
    network = WindowNet(TINY).eval()
    save_model(
        tmp_path,
        network,
        kind="segmentation",
        version="1",
        licence="CC0-1.0",
        hyper_parameters=TINY.as_dict(),
        settings={},
        training={},
    )
    theirs = load_for_pyannote(tmp_path)
    samples = torch.from_numpy(_noise(4, 2 * 32000)).reshape(2, 1, -1)
    ours = LocalSpeakers.load(tmp_path)
    with torch.inference_mode():
        scores = theirs(samples)
    soft = scores.exp() @ torch.from_numpy(powerset_members(3))
    np.testing.assert_allclose(soft.numpy(), ours.window(samples[:, 0].numpy()), atol=1e-6)
    assert theirs.specifications.powerset
    assert theirs.num_frames(32000) == scores.shape[1]
