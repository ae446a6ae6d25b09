"""Voices of chunks of several lengths, repeated to the frames of another encoder.

The layout of "Balancing ASR and diarization" (arXiv 2606.13095): a speaker network over chunks of
400, 200 and 100 ms, each chunk's vector repeated over the frames that lie in it. Long chunks know a
voice better, short ones when it changes. The network here is `Tdnn`'s convolutions with statistics
pooling over each chunk (as a CAM++ or x-vector network ends); the paper runs CAM++, whose weights
do not fit.

Shapes: ``B`` batch, ``T`` frames, ``F`` mel bands, ``D`` width, ``N`` chunks.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkover.model.encoders.base import Encoded, mask_of
from talkover.model.encoders.blocks import zero_outside
from talkover.model.encoders.tdnn import Dilated


@dataclass(frozen=True, kw_only=True)
class ChunksConfig:
    """Sizes of a `Chunks`."""

    chunks: tuple[float, ...] = (0.4, 0.2, 0.1)
    """Seconds of the chunks of each scale."""
    stride: int = 6
    """Feature frames from one frame to the next: those of the semantic encoder."""
    width: int = 192
    """Of the frames that are handed out; 192 is that of CAM++'s embeddings."""
    channels: int = 512
    """Of the convolutions."""
    front_stride: int = 2
    """Of the first convolution: CAM++ has frames of 20 ms."""
    dilations: tuple[int, ...] = (1, 2, 3)
    """Frames, of the residual convolutions."""


class Chunks(nn.Module):
    """See the module."""

    hears = "features"

    def __init__(self, num_features: int, rate_hz: float, config: ChunksConfig) -> None:
        """Make random weights."""
        super().__init__()
        self.config = config
        self.width = self.tap_width = config.width
        self.rate_hz = rate_hz / config.stride
        self.inner_rate = rate_hz / config.front_stride
        self.front = nn.Conv1d(
            num_features, config.channels, 5, stride=config.front_stride, padding=2
        )
        self.dilated = nn.ModuleList(Dilated(config.channels, d) for d in config.dilations)
        self.embed = nn.ModuleList(
            nn.Linear(2 * config.channels, config.width) for _ in config.chunks
        )
        self.join = nn.Linear(len(config.chunks) * config.width, config.width)
        self.norm = nn.LayerNorm(config.width)

    def num_frames(self, num_feature_frames: int) -> int:
        """Rounded up."""
        return -(-num_feature_frames // self.config.stride)

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        """Encode ``[B, T, F]``; the tap is each frame's vector before the scales are joined."""
        inner = -(-lengths // self.config.front_stride)
        hidden = functional.relu(self.front(features.transpose(1, 2))).transpose(1, 2)
        mask = mask_of(inner, hidden.shape[1])
        hidden = zero_outside(hidden, mask)
        for layer in self.dilated:
            hidden = layer(hidden, mask)
        hidden = zero_outside(hidden, mask)
        frames = self.num_frames(features.shape[1])
        lengths = -(-lengths // self.config.stride)
        scales = [
            self._scale(place, seconds, hidden, inner, frames)
            for place, seconds in enumerate(self.config.chunks)
        ]
        outer = mask_of(lengths, frames)
        mean = zero_outside(torch.stack(scales).mean(0), outer)
        joined = self.norm(self.join(functional.relu(torch.cat(scales, dim=-1))))
        return Encoded(hidden=zero_outside(joined, outer), lengths=lengths, taps=(mean,))

    def _scale(
        self, place: int, seconds: float, hidden: Tensor, lengths: Tensor, frames: int
    ) -> Tensor:
        """Vectors of one scale at each frame, ``[B, T, D]``."""
        size = max(1, round(seconds * self.inner_rate))
        pooled = chunk_statistics(hidden, mask_of(lengths, hidden.shape[1]), size)
        vectors: Tensor = self.embed[place](pooled)  # [B, N, D]
        middle = (torch.arange(frames, device=hidden.device) + 0.5) / self.rate_hz
        last = -(-lengths // size) - 1  # of each row; the last frame may end behind the audio
        chunk = torch.minimum((middle / seconds).long()[None], last[:, None])
        return torch.gather(vectors, 1, chunk[..., None].expand(-1, -1, vectors.shape[2]))


def chunk_statistics(hidden: Tensor, mask: Tensor, size: int) -> Tensor:
    """Mean and standard deviation over the real frames of each chunk.

    Args:
        hidden: ``[B, T, D]``, zero where the mask is false.
        mask: ``[B, T]``.
        size: Frames of a chunk.

    Returns:
        ``[B, ceil(T / size), 2 D]``.
    """
    rows, frames, width = hidden.shape
    filling = -frames % size
    cut = functional.pad(hidden, (0, 0, 0, filling)).view(rows, -1, size, width)
    count = functional.pad(mask, (0, filling)).view(rows, -1, size).sum(-1).clamp(min=1)[..., None]
    mean = cut.sum(2) / count
    square = cut.square().sum(2) / count
    deviation = (square - mean.square()).clamp(min=1e-6).sqrt()
    return torch.cat([mean, deviation], dim=-1)
