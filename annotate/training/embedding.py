"""Training of the voice embedding: tell every voice of the training sessions from all others.

Additive angular margin (Deng et al. 2019, ArcFace), on stretches of sessions as the model will meet
them: with the room, noise and neighbours, of which only the frames count in which the voice is
alone.

Legend: ``B`` batch, ``T`` log-mel frame, ``M`` mel band, ``D`` dimension, ``V`` voice.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn
from torch.nn import functional

from talkover.annotate.models.voice_net import STRIDE, VoiceNet, VoiceNetConfig
from talkover.annotate.training.augment import (
    AugmentConfig,
    add_noise,
    colour,
    mask_bands,
    moved_bands,
)
from talkover.annotate.training.loop import LoopConfig, mixed
from talkover.annotate.training.sessions import HeardSession

FRAMES_PER_SECOND = 100
LEAST_SPEECH = 80
"""Log-mel frames that a voice must be alone in a stretch: 0.8 s."""


@dataclass(frozen=True, kw_only=True)
class EmbeddingTraining:
    """How the embedding is trained."""

    network: VoiceNetConfig = field(default_factory=VoiceNetConfig)
    loop: LoopConfig = field(default_factory=lambda: LoopConfig(steps=1100, learning_rate=2e-3))
    augment: AugmentConfig = field(
        default_factory=lambda: AugmentConfig(shift=0.0, noise=0.4, masked=0.5)
    )
    shifts: tuple[int, ...] = (0,)
    """Mel bands by which voices are moved; each shift of a voice counts as another voice, which
    makes many of few."""
    batch: int = 96
    """Stretches."""
    stretch_s: float = 2.4
    """Seconds of a stretch."""
    margin: float = 0.2
    """Angle in radians by which the right voice must win; grows from 0 over the first third."""
    scale: float = 30.0
    """Of the cosines before the softmax."""


class EmbeddingTrainer:
    """Draws stretches of voices and computes their loss.

    Args:
        network: What is trained.
        sessions: To learn from.
        config: How.
    """

    def __init__(
        self, network: VoiceNet, sessions: Sequence[HeardSession], config: EmbeddingTraining
    ) -> None:
        """List the places where each voice is alone for long enough."""
        self._network = network
        self._config = config
        self._frames = round(config.stretch_s * FRAMES_PER_SECOND) // STRIDE * STRIDE
        self._sessions = list(sessions)
        self._places = places_of(self._sessions, self._frames)
        self.voices = tuple(sorted(self._places))
        if len(self.voices) < 2:
            raise ValueError("needs stretches of at least two voices to tell them apart")
        centres = torch.empty(len(self.voices) * len(config.shifts), config.network.dimension)
        nn.init.normal_(centres, std=0.05)
        self._centres = nn.Parameter(centres)
        self._step = 0

    def parameters(self) -> list[nn.Parameter]:
        """What is learnt: the network, and a direction for each voice."""
        return [*self._network.parameters(), self._centres]

    def loss(self, rng: np.random.Generator) -> Tensor:
        """Mean loss of one batch."""
        shifts = self._config.shifts
        chosen = rng.integers(len(self.voices) * len(shifts), size=self._config.batch)
        drawn = [
            self._stretch(self.voices[number // len(shifts)], shifts[number % len(shifts)], rng)
            for number in chosen.tolist()
        ]
        mels = torch.from_numpy(np.stack([mels for mels, _ in drawn])).transpose(1, 2)
        masks = torch.from_numpy(np.stack([mask for _, mask in drawn]))[:, None]
        with mixed(self._config.loop):
            features = self._network.features(mels)
        vectors = self._network.pool(features.float(), masks)[:, 0]  # [B, D]
        self._step += 1
        grown = min(1.0, 3 * self._step / self._config.loop.steps)
        return margin_loss(
            functional.normalize(vectors, dim=1) @ functional.normalize(self._centres, dim=1).T,
            torch.from_numpy(chosen),
            margin=grown * self._config.margin,
            scale=self._config.scale,
        )

    def _stretch(
        self, voice: str, shift: int, rng: np.random.Generator
    ) -> tuple[NDArray[np.float32], NDArray[np.float32]]:
        """Log-mel frames moved by some bands, and where the voice is alone, in model frames."""
        places = self._places[voice]
        number, first, column = places[int(rng.integers(len(places)))]
        session = self._sessions[number]
        first = int(np.clip(first + rng.integers(-40, 41), 0, session.num_frames - self._frames))
        mels = session.mels[first : first + self._frames].astype(np.float32)
        mels = colour(moved_bands(mels, shift), rng, self._config.augment)
        speaking = session.speaking[first : first + self._frames]
        alone = speaking[:, column] & (speaking.sum(axis=1) == 1)
        mask = alone.reshape(-1, STRIDE).mean(axis=1).astype(np.float32)
        mask = _part_of(mask, rng)
        return add_noise(
            mask_bands(mels, rng, self._config.augment), rng, self._config.augment
        ), mask


def places_of(
    sessions: Sequence[HeardSession], frames: int
) -> dict[str, list[tuple[int, int, int]]]:
    """Where each voice is alone for `LEAST_SPEECH` in a stretch.

    Args:
        sessions: To look through.
        frames: Log-mel frames of a stretch.

    Returns:
        By voice: number of the session, first frame, and the voice's column.
    """
    found: dict[str, list[tuple[int, int, int]]] = {}
    for number, session in enumerate(sessions):
        alone = session.speaking & (session.speaking.sum(axis=1, keepdims=True) == 1)
        sums = np.concatenate([np.zeros((1, alone.shape[1])), np.cumsum(alone, axis=0)])
        firsts = np.arange(0, max(0, session.num_frames - frames), frames // 3)
        inside = sums[firsts + frames] - sums[firsts]  # [stretch, K]
        for row, column in zip(*np.nonzero(inside >= LEAST_SPEECH), strict=True):
            place = (number, int(firsts[row]), int(column))
            found.setdefault(session.voices[int(column)], []).append(place)
    return found


def margin_loss(cosines: Tensor, targets: Tensor, *, margin: float, scale: float) -> Tensor:
    """Cross entropy in which the right voice must win by an angle.

    Args:
        cosines: To the direction of each voice, shape ``[B, V]``.
        targets: The right voice, shape ``[B]``.
        margin: Radians.
        scale: Of the cosines.
    """
    own = cosines.gather(1, targets[:, None])
    sine = (1 - own.square()).clamp(min=1e-6).sqrt()
    harder = own * math.cos(margin) - sine * math.sin(margin)
    # beyond pi - margin the angle would wrap round: go on along a line
    harder = torch.where(own > math.cos(math.pi - margin), harder, own - margin * math.sin(margin))
    logits = scale * cosines.scatter(1, targets[:, None], harder)
    return functional.cross_entropy(logits, targets)


def _part_of(mask: NDArray[np.float32], rng: np.random.Generator) -> NDArray[np.float32]:
    """Only a part of the frames, half of the time: the model will meet short stretches."""
    if rng.random() < 0.5:
        return mask
    least = LEAST_SPEECH // STRIDE
    length = int(rng.integers(least, len(mask) + 1))
    first = int(rng.integers(len(mask) - length + 1))
    part = np.zeros_like(mask)
    part[first : first + length] = mask[first : first + length]
    return part if part.sum() >= least / 2 else mask
