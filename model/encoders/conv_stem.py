"""MOSS-Audio's encoder: three strided 2-D convolutions, then layers of Whisper's kind at 12.5 Hz.

Names of the parts are those of the published code, so that its weights fit. The paper
(arXiv 2606.01802) attends within 100 frames (8 s); the released code stores that number and attends
over everything: ``window`` says which.

Shapes: ``B`` batch, ``C`` channel, ``T`` frames, ``F`` mel bands, ``D`` width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkover.model.encoders.base import Encoded, mask_of
from talkover.model.encoders.blocks import zero_outside
from talkover.model.encoders.layers import WhisperLayer, sinusoids

STRIDE = 2
"""Of each convolution, in time and in frequency."""

NUM_CONVOLUTIONS = 3


@dataclass(frozen=True, kw_only=True)
class ConvStemConfig:
    """Sizes of a `ConvStem`; by default the published ones."""

    width: int = 1280
    channels: int = 480
    """Of the convolutions."""
    layers: int = 32
    heads: int = 20
    inner: int = 5120
    """Width of the feed-forward parts."""
    window: int | None = 100
    """Frames over which attention reaches; None for no limit."""
    dropout: float = 0.0
    taps: tuple[int, ...] = ()
    """Layers, from 0, after which the hidden states are handed out too."""


class ConvStem(nn.Module):
    """See the module."""

    hears = "features"

    def __init__(self, num_features: int, rate_hz: float, config: ConvStemConfig) -> None:
        """Make random weights."""
        super().__init__()
        self.config = config
        self.width = self.tap_width = config.width
        self.rate_hz = rate_hz / STRIDE**NUM_CONVOLUTIONS
        self.conv1 = nn.Conv2d(1, config.channels, 3, stride=STRIDE, padding=1)
        self.conv2 = nn.Conv2d(config.channels, config.channels, 3, stride=STRIDE, padding=1)
        self.conv3 = nn.Conv2d(config.channels, config.channels, 3, stride=STRIDE, padding=1)
        bands = num_features
        for _ in range(NUM_CONVOLUTIONS):
            bands = -(-bands // STRIDE)
        self.stem_proj = nn.Linear(bands * config.channels, config.width)
        self.layers = nn.ModuleList(
            WhisperLayer(
                config.width,
                heads=config.heads,
                inner=config.inner,
                dropout=config.dropout,
                window=config.window,
            )
            for _ in range(config.layers)
        )
        self.layer_norm = nn.LayerNorm(config.width)

    def num_frames(self, num_feature_frames: int) -> int:
        """Rounded up at every convolution."""
        for _ in range(NUM_CONVOLUTIONS):
            num_feature_frames = -(-num_feature_frames // STRIDE)
        return num_feature_frames

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        """Encode ``[B, T, F]``."""
        hidden = features.transpose(1, 2)[:, None]  # [B, 1, F, T]
        for convolution in (self.conv1, self.conv2, self.conv3):
            lengths = -(-lengths // STRIDE)
            hidden = functional.gelu(convolution(hidden))
            mask = mask_of(lengths, hidden.shape[3])
            hidden = torch.where(mask[:, None, None], hidden, 0.0)
        hidden = self.stem_proj(hidden.permute(0, 3, 1, 2).flatten(2))  # [B, T, D]
        code = sinusoids(hidden.shape[1], self.width, device=hidden.device)
        hidden = hidden + code.to(hidden.dtype)
        taps = []
        for index, layer in enumerate(self.layers):
            hidden = layer(hidden, mask)
            if index in self.config.taps:
                taps.append(zero_outside(hidden, mask))
        return Encoded(
            hidden=zero_outside(self.layer_norm(hidden), mask), lengths=lengths, taps=tuple(taps)
        )
