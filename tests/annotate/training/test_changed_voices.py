"""Voices moved by a band are voices of their own to the embedding; microphones are not."""

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from talkover.annotate.models.voice_net import VoiceNet, VoiceNetConfig
from talkover.annotate.training.augment import AugmentConfig, moved_bands
from talkover.annotate.training.embedding import EmbeddingTrainer, EmbeddingTraining
from talkover.annotate.training.sessions import HeardSession

SMALL = VoiceNetConfig(channels=8, dilations=(1,), pooled=8, dimension=4)


def session(mels: np.ndarray) -> HeardSession:
    """Two voices, each alone for half of the time."""
    speaking = np.zeros((len(mels), 2), dtype=bool)
    speaking[: len(mels) // 2, 0] = speaking[len(mels) // 2 :, 1] = True
    return HeardSession(
        id="s",
        mels=mels.astype(np.float16),
        voices=("ana", "bo"),
        speaking=speaking,
        sounding=np.zeros((len(mels) // 10, 4), dtype=bool),
    )


@given(st.integers(-3, 3), st.integers(0, 100))
def test_bands_move_and_the_outermost_is_repeated(by: int, seed: int) -> None:
    mels = np.random.default_rng(seed).standard_normal((5, 64)).astype(np.float32)
    moved = moved_bands(mels, by)
    wanted = np.clip(np.arange(64) - by, 0, 63)
    if by > 0:
        wanted[:by] = 0
    assert np.array_equal(moved, mels[:, wanted])


def test_each_shift_of_a_voice_has_a_direction_of_its_own() -> None:
    ramp = np.tile(np.arange(64.0), (1000, 1))  # a band's value is its number
    config = EmbeddingTraining(
        network=SMALL,
        shifts=(-1, 0, 2),
        batch=24,
        augment=AugmentConfig(shift=0.0, noise=0.0, masked=0.0),
    )
    trainer = EmbeddingTrainer(VoiceNet(SMALL), [session(ramp)], config)
    assert trainer.voices == ("ana", "bo")
    assert trainer.parameters()[-1].shape == (6, 4)

    middles = set()
    drawn = trainer._stretch
    trainer._stretch = lambda voice, shift, rng: _noted(drawn(voice, shift, rng), shift, middles)  # type: ignore[method-assign]
    loss = trainer.loss(np.random.default_rng(0))
    assert float(loss.detach()) > 0
    assert middles == {(-1, 33.0), (0, 32.0), (2, 30.0)}


def test_every_stretch_is_heard_through_a_microphone_of_its_own() -> None:
    augment = AugmentConfig(shift=0.0, noise=0.0, masked=0.0, coloured=1.0, colour_db=10.0)
    config = EmbeddingTraining(network=SMALL, augment=augment)
    flat = np.zeros((1000, 64))
    trainer = EmbeddingTrainer(VoiceNet(SMALL), [session(flat)], config)
    rng = np.random.default_rng(0)
    one, other = (trainer._stretch("ana", 0, rng)[0] for _ in range(2))
    for heard in (one, other):
        assert np.ptp(heard, axis=0).max() < 1e-6  # the same all the time
        assert 0.5 < np.ptp(heard[0]) <= 2 * 10 * np.log(10) / 10
        assert np.abs(np.diff(heard[0])).max() < 0.5  # and smooth
    assert not np.allclose(one, other)


def _noted(
    drawn: tuple[np.ndarray, np.ndarray], shift: int, seen: set[tuple[int, float]]
) -> tuple[np.ndarray, np.ndarray]:
    seen.add((shift, float(drawn[0][0, 32])))
    return drawn
