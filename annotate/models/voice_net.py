"""The network behind voice embeddings: convolutions over log-mel, then statistics over a mask.

Frames hear less than a second around them, so those of a long recording are computed once, and a
voice is the mean and spread of any frames that somebody picks.

Legend: ``B`` batch, ``T`` frame, ``M`` mel band, ``C`` channel, ``K`` voice, ``D`` dimension.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkover.annotate.models.mels import HOP, NUM_MELS, without_level

STRIDE = 4
"""Log-mel frames of a frame."""
FRAME = STRIDE * HOP
"""Samples of a frame: 40 ms."""
SCALE = 0.3
LEVEL_FRAMES = 150
"""Log-mel frames to each side over which the level is taken out: 1.5 s."""
LEAST_VARIANCE = 1e-4


@dataclass(frozen=True, kw_only=True)
class VoiceNetConfig:
    """Sizes."""

    channels: int = 192
    """Of the convolutions."""
    dilations: tuple[int, ...] = (1, 2, 3)
    """Of the residual blocks."""
    pooled: int = 384
    """Channels whose mean and spread are taken."""
    dimension: int = 128
    """Of an embedding."""

    def __post_init__(self) -> None:
        """Lists of JSON become tuples."""
        object.__setattr__(self, "dilations", tuple(self.dilations))

    def as_dict(self) -> dict[str, Any]:
        """For `model.json`."""
        return {**asdict(self), "dilations": list(self.dilations)}

    @property
    def halo_frames(self) -> int:
        """Log-mel frames to each side that a frame hears."""
        convolutions = 2 + 2 + STRIDE * sum(2 * d for d in self.dilations)
        return LEVEL_FRAMES + convolutions


class _Block(nn.Module):
    """Two convolutions beside a short cut."""

    def __init__(self, channels: int, dilation: int) -> None:
        super().__init__()
        self.first = nn.Conv1d(channels, channels, 3, dilation=dilation, padding=dilation)
        self.first_norm = nn.BatchNorm1d(channels)
        self.second = nn.Conv1d(channels, channels, 3, dilation=dilation, padding=dilation)
        self.second_norm = nn.BatchNorm1d(channels)

    def forward(self, hidden: Tensor) -> Tensor:
        inner = functional.relu(self.first_norm(self.first(hidden)))
        return functional.relu(hidden + self.second_norm(self.second(inner)))


class VoiceNet(nn.Module):
    """Frame features, masked statistics, embedding."""

    def __init__(self, config: VoiceNetConfig) -> None:
        """Draw weights."""
        super().__init__()
        self.config = config
        wide = config.channels
        self.first = nn.Conv1d(NUM_MELS, wide, 5, stride=2, padding=2)
        self.first_norm = nn.BatchNorm1d(wide)
        self.second = nn.Conv1d(wide, wide, 3, stride=2, padding=1)
        self.second_norm = nn.BatchNorm1d(wide)
        self.blocks = nn.ModuleList(_Block(wide, dilation) for dilation in config.dilations)
        self.widen = nn.Conv1d(wide, config.pooled, 1)
        self.pooled_norm = nn.BatchNorm1d(2 * config.pooled)
        self.project = nn.Linear(2 * config.pooled, config.dimension)

    def features(self, mels: Tensor) -> Tensor:
        """What there is to hear in each frame.

        Args:
            mels: Log-mel frames, shape ``[B, M, T * 4]``.

        Returns:
            Shape ``[B, C, T]``.
        """
        hidden = SCALE * without_level(mels, LEVEL_FRAMES)
        hidden = functional.relu(self.first_norm(self.first(hidden)))
        hidden = functional.relu(self.second_norm(self.second(hidden)))
        for block in self.blocks:
            hidden = block(hidden)
        return functional.relu(self.widen(hidden))

    def pool(self, features: Tensor, masks: Tensor) -> Tensor:
        """Embeddings of voices, not yet of length 1.

        Args:
            features: Shape ``[B, C, T]``.
            masks: How much each frame counts for each voice, shape ``[B, K, T]``.

        Returns:
            Shape ``[B, K, D]``.
        """
        weights = masks / masks.sum(dim=2, keepdim=True).clamp(min=1e-6)
        mean = weights @ features.transpose(1, 2)  # [B, K, C]
        square = weights @ features.square().transpose(1, 2)
        spread = (square - mean.square()).clamp(min=LEAST_VARIANCE).sqrt()
        statistics = torch.cat([mean, spread], dim=2)  # [B, K, 2 C]
        batch, voices, width = statistics.shape
        normed = self.pooled_norm(statistics.reshape(batch * voices, width))
        projected: Tensor = self.project(normed)
        return projected.reshape(batch, voices, -1)
