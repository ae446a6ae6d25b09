"""A small speaker encoder: dilated convolutions, then attention over the whole recording.

The convolutions over time with growing dilation are those of a time-delay network (Snyder et al.
2018); the attention behind them compares a voice with the voices before it, as Sortformer does
(arXiv 2409.06656).
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkover.model.encoders.base import Encoded, mask_of
from talkover.model.encoders.blocks import Layer, zero_outside


@dataclass(frozen=True, kw_only=True)
class TdnnConfig:
    """Sizes of a `Tdnn`."""

    width: int = 96
    strides: tuple[int, ...] = (2, 2, 2)
    """Of the first convolutions; their product divides the rate."""
    dilations: tuple[int, ...] = (1, 2, 3)
    """Frames, of the residual convolutions behind them."""
    layers: int = 2
    """Layers with attention."""
    heads: int = 4
    kernel: int = 7
    """Frames of the depthwise convolution in these layers."""
    expansion: int = 2
    dropout: float = 0.1


class Dilated(nn.Module):
    """A residual convolution with a gap between its taps."""

    def __init__(self, width: int, dilation: int) -> None:
        """``dilation`` is in frames."""
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.convolution = nn.Conv1d(width, width, 3, padding=dilation, dilation=dilation)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """``[B, T, D]`` to ``[B, T, D]``."""
        normed = zero_outside(self.norm(hidden), mask).transpose(1, 2)
        return hidden + functional.relu(self.convolution(normed)).transpose(1, 2)


class Tdnn(nn.Module):
    """See the module."""

    hears = "features"

    def __init__(self, num_features: int, rate_hz: float, config: TdnnConfig) -> None:
        """Make random weights."""
        super().__init__()
        self.config, self.width = config, config.width
        self.tap_width = config.width
        self.rate_hz = rate_hz
        self.front = nn.ModuleList()
        inputs = num_features
        for stride in config.strides:
            self.rate_hz /= stride
            self.front.append(nn.Conv1d(inputs, config.width, 5, stride=stride, padding=2))
            inputs = config.width
        self.dilated = nn.ModuleList(Dilated(config.width, d) for d in config.dilations)
        self.layers = nn.ModuleList(
            Layer(
                config.width,
                kernel=config.kernel,
                heads=config.heads,
                expansion=config.expansion,
                dropout=config.dropout,
            )
            for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(config.width)

    def num_frames(self, num_feature_frames: int) -> int:
        """Rounded up at every stride."""
        for stride in self.config.strides:
            num_feature_frames = -(-num_feature_frames // stride)
        return num_feature_frames

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        """Encode ``[B, T, F]``; the tap is what the convolutions say, before any comparison."""
        hidden = features
        for convolution, stride in zip(self.front, self.config.strides, strict=True):
            lengths = -(-lengths // stride)
            hidden = functional.relu(convolution(hidden.transpose(1, 2))).transpose(1, 2)
            hidden = zero_outside(hidden, mask_of(lengths, hidden.shape[1]))
        mask = mask_of(lengths, hidden.shape[1])
        for layer in self.dilated:
            hidden = layer(hidden, mask)
        voice = zero_outside(hidden, mask)
        for layer in self.layers:
            hidden = layer(hidden, mask)
        return Encoded(hidden=zero_outside(self.norm(hidden), mask), lengths=lengths, taps=(voice,))


def pooled(hidden: Tensor, weights: Tensor) -> Tensor:
    """Mean and standard deviation over time of the frames with weight.

    Args:
        hidden: ``[B, T, D]``.
        weights: ``[B, K, T]``, 0 or more.

    Returns:
        ``[B, K, 2 D]``; zero where no frame has weight.
    """
    total = weights.sum(-1, keepdim=True).clamp(min=1e-6)
    mean = weights @ hidden / total
    square = weights @ hidden.square() / total
    deviation = (square - mean.square()).clamp(min=1e-6).sqrt()
    some = (weights.sum(-1, keepdim=True) > 0).float()
    return torch.cat([mean, deviation], dim=-1) * some
