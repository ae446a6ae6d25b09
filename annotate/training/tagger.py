"""Training of the model that says what sounds.

Legend: ``B`` batch, ``T`` log-mel frame, ``S`` frame of 0.1 s, ``M`` mel band, ``L`` label.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from talkover.annotate.models.sound_net import ACTIVITIES, STRIDE, SoundNet
from talkover.annotate.training.augment import (
    AugmentConfig,
    add_noise,
    colour,
    mask_bands,
    shift_bands,
    sum_of,
)
from talkover.annotate.training.loop import LoopConfig, mixed
from talkover.annotate.training.sessions import HeardSession

FRAMES_PER_SECOND = 100
EDGE_FRAMES = 2
"""To each side of where a sound begins or ends: the collar of event F1."""


@dataclass(frozen=True, kw_only=True)
class TaggerTraining:
    """How the tagger is trained."""

    channels: tuple[int, int, int] = (16, 32, 64)
    width: int = 128
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    edges: bool = False
    """Also learn when sound events begin and end."""
    loop: LoopConfig = field(
        default_factory=lambda: LoopConfig(steps=1000, learning_rate=2e-3, weight_decay=5e-2)
    )
    augment: AugmentConfig = field(
        default_factory=lambda: AugmentConfig(
            shift=0.4, noise=0.15, noise_db=(-40, -15), masked=0.5
        )
    )
    batch: int = 16
    """Stretches."""
    stretch_s: float = 10.0
    """Seconds of a stretch."""
    mixed: float = 0.4
    """Probability that a stretch is the sum of two."""
    event_weight: float = 2.0
    """Of an active frame of a sound event in the loss, over an inactive one: events are rare."""
    edge_weight: float = 1.0
    """Of a frame at the beginning or end of a sound event, over the others of its label."""


class TaggerTrainer:
    """Draws stretches, those with rare labels as often as others, and computes their loss.

    Args:
        network: What is trained.
        sessions: To learn from.
        config: How.
    """

    def __init__(
        self, network: SoundNet, sessions: Sequence[HeardSession], config: TaggerTraining
    ) -> None:
        """List the places where each label is active."""
        self._network = network
        self._config = config
        self._frames = round(config.stretch_s * FRAMES_PER_SECOND) // STRIDE * STRIDE
        self._sessions = [s for s in sessions if s.num_frames >= self._frames]
        labels = network.config.labels
        self._places = [_places(self._sessions, column) for column in range(len(labels))]
        for label, places in zip(labels, self._places, strict=True):
            if len(places) == 0:
                raise ValueError(f"nothing in the sessions has the label {label}")
        weights = torch.ones(len(labels))
        weights[len(ACTIVITIES) :] = config.event_weight
        self._weights = weights[:, None]

    def parameters(self) -> list[nn.Parameter]:
        """What is learnt."""
        return list(self._network.parameters())

    def loss(self, rng: np.random.Generator) -> Tensor:
        """Mean loss of one batch."""
        drawn = [self._stretch(rng) for _ in range(self._config.batch)]
        mels = torch.from_numpy(np.stack([mels for mels, _ in drawn])).transpose(1, 2)
        active = torch.from_numpy(np.stack([labels for _, labels in drawn])).transpose(1, 2)
        with mixed(self._config.loop):
            scores = self._network(mels)  # [B, L, S]
        return functional.binary_cross_entropy_with_logits(
            scores.float(),
            active.float(),
            weight=edge_weights(active, self._config.edge_weight),
            pos_weight=self._weights,
        )

    def _stretch(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        augment = self._config.augment
        mels, labels = self._cut(rng)
        mels = colour(shift_bands(mels, rng, augment), rng, augment)
        if rng.random() < self._config.mixed:
            more, others = self._cut(rng)
            more = colour(shift_bands(more, rng, augment), rng, augment)
            mels = sum_of(mels, more, rng.uniform(-8, 8))
            labels = labels | others
            silence = ACTIVITIES.index("silence")
            labels[:, silence] = ~labels[:, :silence].any(axis=1)
        return add_noise(mask_bands(mels, rng, augment), rng, augment), labels

    def _cut(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], NDArray[np.bool_]]:
        places = self._places[int(rng.integers(len(self._places)))]
        number, frame = places[int(rng.integers(len(places)))]
        session = self._sessions[number]
        stretch = self._frames // STRIDE
        most = session.num_frames // STRIDE - stretch
        first = int(np.clip(frame - rng.integers(stretch), 0, most))
        mels = session.mels[first * STRIDE : first * STRIDE + self._frames].astype(np.float32)
        return mels, session.sounding[first : first + stretch, : len(self._places)]


def edge_weights(active: Tensor, weight: float) -> Tensor:
    """How much each label of each frame counts: `weight` at the edges of sound events, else 1.

    Args:
        active: Of all labels, shape ``[B, L, S]``.
        weight: Of the `EDGE_FRAMES` frames before and after a beginning or an end.

    Returns:
        Shape ``[B, L, S]``.
    """
    sounds = active[:, len(ACTIVITIES) :].float()
    steps = functional.pad((sounds[:, :, 1:] != sounds[:, :, :-1]).float(), (1, 0))
    near = functional.max_pool1d(
        functional.pad(steps, (EDGE_FRAMES - 1, EDGE_FRAMES)), 2 * EDGE_FRAMES, stride=1
    )
    weights = torch.ones(active.shape)
    weights[:, len(ACTIVITIES) :] += (weight - 1) * near
    return weights


def _places(sessions: Sequence[HeardSession], column: int) -> NDArray[np.int64]:
    """Number of the session and frame of every frame with a label, shape ``[N, 2]``."""
    found = [np.zeros((0, 2), dtype=np.int64)]
    for number, session in enumerate(sessions):
        frames = np.flatnonzero(session.sounding[:, column])
        found.append(np.stack([np.full(len(frames), number), frames], axis=1))
    return np.concatenate(found)
