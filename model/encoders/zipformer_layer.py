"""A layer of Zipformer: one set of attention weights, used three times.

Names and order of the parts are those of the published code (Icefall, Auden).

Shapes: ``B`` batch, ``T`` frames, ``D`` width, ``A`` heads.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn

from talkover.model.encoders.zipformer_stem import BiasNorm, swoosh_left, swoosh_right

MASKED = -1000.0
"""Score of a frame that is not real."""


def relative_code(frames: int, width: int, like: Tensor) -> Tensor:
    """Code of distances from ``T - 1`` back to ``T - 1`` ahead, ``[2 T - 1, width]``.

    Distances are compressed by a logarithm and an arc tangent, so that large ones differ little.
    """
    steps = torch.arange(1 - frames, frames, device=like.device, dtype=torch.float32)[:, None]
    unit = math.sqrt(width)
    pressed = unit * steps.sign() * ((steps.abs() + unit).log() - math.log(unit))
    angles = (pressed * 2.0 * math.pi / width).atan()
    angles = angles * torch.arange(1, width // 2 + 1, device=like.device)
    code = torch.stack([angles.cos(), angles.sin()], dim=2).flatten(1)
    code[:, -1] = 1.0
    return code.to(like.dtype)


class AttentionWeights(nn.Module):
    """Where each frame looks."""

    def __init__(
        self, width: int, *, heads: int, query_width: int, position_width: int, code_width: int
    ) -> None:
        """Widths are those of a head."""
        super().__init__()
        self.heads, self.query_width, self.position_width = heads, query_width, position_width
        self.in_proj = nn.Linear(width, heads * (2 * query_width + position_width))
        self.linear_pos = nn.Linear(code_width, heads * position_width, bias=False)

    def forward(self, hidden: Tensor, code: Tensor, mask: Tensor) -> Tensor:
        """``[B, T, D]``, ``[2 T - 1, code]`` and ``[B, T]`` to ``[A, B, T, T]``."""
        rows, frames, _ = hidden.shape
        size = self.heads * self.query_width
        query, key, place = (
            part.view(rows, frames, self.heads, -1).permute(2, 0, 1, 3)  # [A, B, T, …]
            for part in self.in_proj(hidden).split(
                [size, size, self.heads * self.position_width], dim=2
            )
        )
        scores = query @ key.transpose(2, 3)
        codes = self.linear_pos(code).view(-1, self.heads, self.position_width)
        by_distance = place @ codes.permute(1, 2, 0)[:, None]  # [A, B, T, 2 T - 1]
        here = torch.arange(frames, device=hidden.device)
        distance = here[None] - here[:, None] + frames - 1  # [T, T]
        scores = scores + by_distance.gather(3, distance.expand(*scores.shape))
        weights: Tensor = scores.masked_fill(~mask[None, :, None], MASKED).softmax(dim=-1)
        return weights


class WeightedValues(nn.Module):
    """Attention's second half."""

    def __init__(self, width: int, *, heads: int, value_width: int) -> None:
        """Make random weights."""
        super().__init__()
        self.in_proj = nn.Linear(width, heads * value_width)
        self.out_proj = nn.Linear(heads * value_width, width)

    def forward(self, hidden: Tensor, weights: Tensor) -> Tensor:
        """``[B, T, D]`` and ``[A, B, T, T]`` to ``[B, T, D]``."""
        mixed: Tensor = self.out_proj(_weighted(self.in_proj(hidden), weights))
        return mixed


class GatedValues(nn.Module):
    """Values between two gates, mixed by one head's weights."""

    def __init__(self, width: int, hidden: int) -> None:
        """Make random weights."""
        super().__init__()
        self.in_proj = nn.Linear(width, 3 * hidden)
        self.out_proj = nn.Linear(hidden, width)

    def forward(self, hidden: Tensor, weights: Tensor) -> Tensor:
        """``[B, T, D]`` and ``[1, B, T, T]`` to ``[B, T, D]``."""
        gate, values, behind = self.in_proj(hidden).chunk(3, dim=2)
        mixed: Tensor = self.out_proj(_weighted(values * gate.tanh(), weights) * behind)
        return mixed


class FeedForward(nn.Module):
    """Two maps with a swoosh between them."""

    def __init__(self, width: int, inner: int) -> None:
        """Make random weights."""
        super().__init__()
        self.in_proj = nn.Linear(width, inner)
        self.out_proj = nn.Linear(inner, width)

    def forward(self, hidden: Tensor) -> Tensor:
        """``[B, T, D]`` to ``[B, T, D]``."""
        changed: Tensor = self.out_proj(swoosh_left(self.in_proj(hidden)))
        return changed


class Convolution(nn.Module):
    """Gate, depthwise convolution over time, mix."""

    def __init__(self, width: int, kernel: int) -> None:
        """``kernel`` is in frames and odd."""
        super().__init__()
        self.in_proj = nn.Linear(width, 2 * width)
        self.depthwise_conv = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """``[B, T, D]`` and ``[B, T]`` to ``[B, T, D]``."""
        values, gate = self.in_proj(hidden).chunk(2, dim=2)
        values = torch.where(mask[..., None], values * gate.sigmoid(), 0.0)
        local = self.depthwise_conv(values.transpose(1, 2)).transpose(1, 2)
        mixed: Tensor = self.out_proj(swoosh_right(local))
        return mixed


class BypassModule(nn.Module):
    """What came in and what came of it, mixed channel by channel."""

    def __init__(self, width: int) -> None:
        """Half of each at the beginning."""
        super().__init__()
        self.bypass_scale = nn.Parameter(torch.full((width,), 0.5))

    def forward(self, before: Tensor, behind: Tensor) -> Tensor:
        """``[B, T, D]`` of both to the same."""
        return before + (behind - before) * self.bypass_scale


class ZipformerLayer(nn.Module):
    """See the module."""

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        inner: int,
        kernel: int,
        query_width: int,
        value_width: int,
        position_width: int,
        code_width: int,
    ) -> None:
        """Make random weights; see `talkover.model.encoders.zipformer.ZipformerConfig`."""
        super().__init__()
        self.bypass, self.bypass_mid = BypassModule(width), BypassModule(width)
        self.self_attn_weights = AttentionWeights(
            width,
            heads=heads,
            query_width=query_width,
            position_width=position_width,
            code_width=code_width,
        )
        self.self_attn1 = WeightedValues(width, heads=heads, value_width=value_width)
        self.self_attn2 = WeightedValues(width, heads=heads, value_width=value_width)
        self.feed_forward1 = FeedForward(width, inner * 3 // 4)
        self.feed_forward2 = FeedForward(width, inner)
        self.feed_forward3 = FeedForward(width, inner * 5 // 4)
        self.nonlin_attention = GatedValues(width, 3 * width // 4)
        self.conv_module1, self.conv_module2 = (
            Convolution(width, kernel),
            Convolution(width, kernel),
        )
        self.norm = BiasNorm(width)

    def forward(self, hidden: Tensor, code: Tensor, mask: Tensor) -> Tensor:
        """``[B, T, D]``, ``[2 T - 1, code]`` and ``[B, T]`` to ``[B, T, D]``."""
        before = hidden
        weights = self.self_attn_weights(hidden, code, mask)
        hidden = hidden + self.feed_forward1(hidden)
        hidden = hidden + self.nonlin_attention(hidden, weights[:1])
        hidden = hidden + self.self_attn1(hidden, weights)
        hidden = hidden + self.conv_module1(hidden, mask)
        hidden = hidden + self.feed_forward2(hidden)
        hidden = self.bypass_mid(before, hidden)
        hidden = hidden + self.self_attn2(hidden, weights)
        hidden = hidden + self.conv_module2(hidden, mask)
        hidden = hidden + self.feed_forward3(hidden)
        mixed: Tensor = self.bypass(before, self.norm(hidden))
        return mixed


def _weighted(values: Tensor, weights: Tensor) -> Tensor:
    """``[B, T, A · V]`` mixed over time by ``[A, B, T, T]``."""
    rows, frames, _ = values.shape
    parts = values.view(rows, frames, len(weights), -1).permute(2, 0, 1, 3)
    return (weights @ parts).permute(1, 2, 0, 3).reshape(rows, frames, -1)
