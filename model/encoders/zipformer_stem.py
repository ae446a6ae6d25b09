"""What stands ahead of Zipformer's stacks: three convolutions, a ConvNeXt layer, a norm.

Shapes: ``B`` batch, ``T`` frames, ``F`` mel bands, ``C`` channels, ``D`` width.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional

LOST = 7
"""Feature frames that the convolutions, which are not padded in time, lose at the ends."""

CHANNELS = (8, 32, 128)
"""Of the convolutions."""

HIDDEN_RATIO, KERNEL = 3, 7
"""Of the ConvNeXt layer (Liu et al. 2022, arXiv 2201.03545)."""


def swoosh_left(values: Tensor) -> Tensor:
    """``log(1 + exp(x - 4)) - 0.08 x - 0.035``."""
    return functional.softplus(values - 4.0, threshold=80.0) - 0.08 * values - 0.035


def swoosh_right(values: Tensor) -> Tensor:
    """``log(1 + exp(x - 1)) - 0.08 x - 0.313261687``."""
    return functional.softplus(values - 1.0, threshold=80.0) - 0.08 * values - 0.313261687


class SwooshRight(nn.Module):
    """As a module."""

    def forward(self, values: Tensor) -> Tensor:
        """See `swoosh_right`."""
        return swoosh_right(values)


class BiasNorm(nn.Module):
    """Division by the root mean square of what a learnt bias leaves."""

    def __init__(self, width: int) -> None:
        """Of ``D`` channels."""
        super().__init__()
        self.log_scale = nn.Parameter(torch.tensor(1.0))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, hidden: Tensor) -> Tensor:
        """``[…, D]`` to ``[…, D]``."""
        power = (hidden - self.bias).square().mean(-1, keepdim=True)
        return hidden * (power.clamp(min=1e-20) ** -0.5 * self.log_scale.exp())


class ConvNeXt(nn.Module):
    """Depthwise convolution, then two maps of each point."""

    def __init__(self, channels: int) -> None:
        """Make random weights."""
        super().__init__()
        self.depthwise_conv = nn.Conv2d(
            channels, channels, KERNEL, padding=KERNEL // 2, groups=channels
        )
        self.pointwise_conv1 = nn.Conv2d(channels, HIDDEN_RATIO * channels, 1)
        self.pointwise_conv2 = nn.Conv2d(HIDDEN_RATIO * channels, channels, 1)

    def forward(self, hidden: Tensor) -> Tensor:
        """``[B, C, T, F]`` to the same."""
        inner = swoosh_left(self.pointwise_conv1(self.depthwise_conv(hidden)))
        changed: Tensor = hidden + self.pointwise_conv2(inner)
        return changed


class Stem(nn.Module):
    """Features at 100 Hz to frames at 50 Hz."""

    def __init__(self, num_features: int, width: int) -> None:
        """Make random weights."""
        super().__init__()
        first, second, third = CHANNELS
        # Places 1, 2, 5 and 8 hold aids of training in the published code.
        self.conv = nn.Sequential(
            nn.Conv2d(1, first, 3, padding=(0, 1)),
            nn.Identity(),
            nn.Identity(),
            SwooshRight(),
            nn.Conv2d(first, second, 3, stride=2),
            nn.Identity(),
            SwooshRight(),
            nn.Conv2d(second, third, 3, stride=(1, 2)),
            nn.Identity(),
            SwooshRight(),
        )
        self.convnext = ConvNeXt(third)
        bands = ((num_features - 1) // 2 - 1) // 2
        self.out = nn.Linear(bands * third, width)
        self.out_norm = BiasNorm(width)

    def forward(self, features: Tensor, mask: Tensor) -> Tensor:
        """``[B, T, F]`` and ``[B, T']`` to ``[B, T', D]``, where T' is ``(T - 7) // 2``."""
        hidden = self.conv(features[:, None])  # [B, C, T', F']
        hidden = self.convnext(torch.where(mask[:, None, :, None], hidden, 0.0))
        normed: Tensor = self.out_norm(self.out(hidden.transpose(1, 2).flatten(2)))
        return normed
