"""A small encoder of our own: strided convolutions, then layers of convolution and attention."""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkover.model.encoders.base import Encoded, mask_of
from talkover.model.encoders.blocks import Layer, zero_outside

STRIDE = 2
"""Of each convolution at the front, in time and in frequency."""


@dataclass(frozen=True, kw_only=True)
class ConvTransformerConfig:
    """Sizes of a `ConvTransformer`."""

    width: int = 144
    channels: tuple[int, ...] = (24, 48)
    """One entry per strided convolution at the front; each halves the rate."""
    layers: int = 4
    kernel: int = 11
    """Frames of the depthwise convolution."""
    attention: tuple[int, ...] | None = None
    """Layers with attention, from 0; None for all."""
    heads: int = 4
    expansion: int = 2
    """Inner width of the feed-forward parts, in widths."""
    dropout: float = 0.1
    taps: tuple[int, ...] = ()
    """Layers, from 0, after which the hidden states are handed out too."""


class ConvTransformer(nn.Module):
    """See the module; the rate is that of the features over 2 per convolution at the front."""

    hears = "features"

    def __init__(self, num_features: int, rate_hz: float, config: ConvTransformerConfig) -> None:
        """Make random weights."""
        super().__init__()
        self.config, self.width = config, config.width
        self.tap_width = config.width
        self.rate_hz = rate_hz / STRIDE ** len(config.channels)
        inputs = (1, *config.channels[:-1])
        self.front = nn.ModuleList(
            nn.Conv2d(n, m, 3, stride=STRIDE, padding=1)
            for n, m in zip(inputs, config.channels, strict=True)
        )
        bands = num_features
        for _ in config.channels:
            bands = -(-bands // STRIDE)
        self.project = nn.Linear(bands * (config.channels or (1,))[-1], config.width)
        wanted = range(config.layers) if config.attention is None else config.attention
        self.layers = nn.ModuleList(
            Layer(
                config.width,
                kernel=config.kernel,
                heads=config.heads if index in wanted else 0,
                expansion=config.expansion,
                dropout=config.dropout,
            )
            for index in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)

    def num_frames(self, num_feature_frames: int) -> int:
        """Rounded up at every convolution."""
        for _ in self.front:
            num_feature_frames = -(-num_feature_frames // STRIDE)
        return num_feature_frames

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        """Encode ``[B, T, F]``."""
        hidden = features[:, None]  # [B, 1, T, F]
        for convolution in self.front:
            lengths = -(-lengths // STRIDE)
            hidden = functional.relu(convolution(hidden))
            mask = mask_of(lengths, hidden.shape[2])
            hidden = torch.where(mask[:, None, :, None], hidden, 0.0)
        mask = mask_of(lengths, hidden.shape[2])
        hidden = self.project(hidden.transpose(1, 2).flatten(2))  # [B, T, D]
        taps = []
        for index, layer in enumerate(self.layers):
            hidden = layer(hidden, mask)
            if index in self.config.taps:
                taps.append(zero_outside(hidden, mask))
        return Encoded(
            hidden=zero_outside(self.norm(hidden), mask), lengths=lengths, taps=tuple(taps)
        )
