"""Training of the model that tells apart who speaks in a window.

The loss is that of pyannote's speaker diarization with powerset classes (Plaquet and Bredin 2023):
cross entropy under the numbering of the window's speakers that fits best.

Legend: ``B`` batch, ``T`` frame of 40 ms, ``M`` mel band, ``K`` speaker of the window, ``P`` class,
``Q`` permutation.
"""

from __future__ import annotations

import itertools
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from talkover.annotate.models.mels import RATE
from talkover.annotate.models.segmentation import powerset_members
from talkover.annotate.models.window_net import (
    AT_ONCE,
    FRAME,
    NUM_SPEAKERS,
    STRIDE,
    WindowNet,
    WindowNetConfig,
)
from talkover.annotate.training.augment import (
    AugmentConfig,
    add_bursts,
    add_noise,
    shift_bands,
    sum_of,
)
from talkover.annotate.training.loop import LoopConfig, mixed
from talkover.annotate.training.sessions import HeardSession

Labels = NDArray[np.bool_]
LEAST_QUIET = 50
"""Log-mel frames without speech that a pause can be made of: 0.5 s."""


@dataclass(frozen=True, kw_only=True)
class SegmentationTraining:
    """How the segmentation model is trained."""

    network: WindowNetConfig = field(default_factory=WindowNetConfig)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=1400, learning_rate=2e-3))
    augment: AugmentConfig = field(default_factory=AugmentConfig)
    batch: int = 20
    """Windows."""
    overlap_weight: float = 1.0
    """Of a frame with two speakers in the loss; overlap is rare, and easily left out."""
    mixed: float = 0.15
    """Probability that a window is the sum of two, of sessions that have nothing in common."""
    silent: float = 0.0
    """Probability that a window, or one end of it, holds what sounds between a session's turns:
    conversations have few long pauses, recordings have many."""


class SegmentationTrainer:
    """Draws windows and computes their loss.

    Args:
        network: What is trained.
        sessions: To learn from.
        config: How.
    """

    def __init__(
        self, network: WindowNet, sessions: Sequence[HeardSession], config: SegmentationTraining
    ) -> None:
        """Keep the sessions that are as long as a window."""
        self._network = network
        self._config = config
        self._mels = round(config.network.window_s * RATE) // FRAME * STRIDE
        self._sessions = [s for s in sessions if s.num_frames > self._mels]
        if not self._sessions:
            raise ValueError(f"no session is longer than a window of {config.network.window_s} s")
        lengths = np.array([s.num_frames - self._mels for s in self._sessions], dtype=np.float64)
        self._chances = lengths / lengths.sum()

    def parameters(self) -> list[nn.Parameter]:
        """What is learnt."""
        return list(self._network.parameters())

    def loss(self, rng: np.random.Generator) -> Tensor:
        """Mean loss of one batch."""
        drawn = [self._window(rng) for _ in range(self._config.batch)]
        mels = torch.from_numpy(np.stack([mels for mels, _ in drawn]))
        active = torch.from_numpy(np.stack([labels for _, labels in drawn]))
        with mixed(self._config.loop):
            scores = self._network(mels.transpose(1, 2))
        return permutation_free_loss(scores, active, self._config.overlap_weight)

    def _window(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], Labels]:
        mels, speaking = self._cut(rng)
        if rng.random() < self._config.silent:
            mels, speaking = with_a_pause(mels, speaking, rng)
        elif rng.random() < self._config.mixed:
            more, others = self._cut(rng)
            if others.any(axis=0).sum() + speaking.any(axis=0).sum() <= NUM_SPEAKERS:
                mels = sum_of(mels, more, rng.uniform(-6, 6))
                speaking = np.concatenate([speaking, others], axis=1)
        augment = self._config.augment
        mels = add_noise(shift_bands(mels, rng, augment), rng, augment)
        return add_bursts(mels, rng, augment), most_active(speaking)

    def _cut(self, rng: np.random.Generator) -> tuple[NDArray[np.float32], Labels]:
        session = self._sessions[int(rng.choice(len(self._sessions), p=self._chances))]
        first = int(rng.integers(session.num_frames - self._mels))
        mels = session.mels[first : first + self._mels].astype(np.float32)
        return mels, session.speaking[first : first + self._mels]


def with_a_pause(
    mels: NDArray[np.float32], speaking: Labels, rng: np.random.Generator
) -> tuple[NDArray[np.float32], Labels]:
    """A window in which nobody speaks up to some time, or from some time on, or at all.

    The pause is made of the frames of the window in which nobody speaks, again and again.

    Args:
        mels: Shape ``[T, M]``.
        speaking: Shape ``[T, K]``.
        rng: Decides how long the pause is and where.

    Returns:
        Both of the same shape; unchanged if somebody speaks nearly all the time.
    """
    quiet = np.flatnonzero(~speaking.any(axis=1))
    if len(quiet) < LEAST_QUIET:
        return mels, speaking
    length = int(rng.integers(len(mels) // 4, len(mels) + 1))
    first = 0 if rng.random() < 0.5 else len(mels) - length
    pause = np.resize(np.roll(quiet, -int(rng.integers(len(quiet)))), length)
    mels, speaking = mels.copy(), speaking.copy()
    mels[first : first + length] = mels[pause]
    speaking[first : first + length] = False
    return mels, speaking


def most_active(speaking: Labels) -> Labels:
    """Who speaks in each frame of the model, of the three who speak most, two at once.

    Args:
        speaking: By log-mel frame, for any number of people, shape ``[T * 4, K']``.

    Returns:
        Shape ``[T, K]``; people by how much they speak, missing ones never speak.
    """
    frames = len(speaking) // STRIDE
    halves = speaking[: frames * STRIDE].reshape(frames, STRIDE, -1).mean(axis=1) >= 0.5
    order = np.argsort(-halves.sum(axis=0), kind="stable")[:NUM_SPEAKERS]
    kept = halves[:, order]
    kept &= np.cumsum(kept, axis=1) <= AT_ONCE
    return np.pad(kept, ((0, 0), (0, NUM_SPEAKERS - kept.shape[1])))


def permutation_free_loss(scores: Tensor, active: Tensor, overlap_weight: float = 1.0) -> Tensor:
    """Cross entropy under each window's best numbering of its speakers, mean over frames.

    Args:
        scores: Logarithms of the probabilities of the classes, shape ``[B, T, P]``.
        active: Who speaks, shape ``[B, T, K]``.
        overlap_weight: Of frames in which two speak.
    """
    table = _class_of_bits()
    bits = 2 ** torch.arange(NUM_SPEAKERS)
    orders = torch.tensor(list(itertools.permutations(range(NUM_SPEAKERS))))
    renumbered = active[:, :, orders].long()  # [B, T, Q, K]
    classes = table[(renumbered * bits).sum(dim=3)]  # [B, T, Q]
    weights = torch.where(active.sum(dim=2) > 1, overlap_weight, 1.0)  # [B, T]
    weights = weights / weights.sum(dim=1, keepdim=True)
    loss = -(scores.gather(2, classes) * weights[:, :, None]).sum(dim=1)  # [B, Q]
    return loss.min(dim=1).values.mean()


def _class_of_bits() -> Tensor:
    """Powerset class of each set of speakers, the set written in binary."""
    members = powerset_members(NUM_SPEAKERS).astype(np.int64)
    table = torch.zeros(2**NUM_SPEAKERS, dtype=torch.long)
    for number, row in enumerate(members):
        table[int((row * 2 ** np.arange(NUM_SPEAKERS)).sum())] = number
    return table
