"""Zipformer (Yao et al. 2023, arXiv 2310.11230), as Icefall and Auden have it.

Stacks of layers at different rates: each works on frames averaged by its factor and is mixed back
at the full rate, 50 Hz; the result is averaged by two (25 Hz). Inside a layer one set of attention
weights serves three modules. Names and order of the parts are those of the published code, so that
its weights fit; balancers, whitening and the random skips of its training are left out.

Shapes: ``B`` batch, ``T`` frames, ``F`` mel bands, ``C`` channels, ``D`` width, ``A`` heads.
"""

from __future__ import annotations

from dataclasses import dataclass, fields

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkover.model.encoders.base import Encoded, mask_of
from talkover.model.encoders.blocks import zero_outside
from talkover.model.encoders.zipformer_layer import BypassModule, ZipformerLayer, relative_code
from talkover.model.encoders.zipformer_stem import LOST, Stem

STRIDE = 2
"""Of the stem."""

OUTPUT = 2
"""Frames that are averaged at the output."""


@dataclass(frozen=True, kw_only=True)
class ZipformerConfig:
    """Sizes of a `Zipformer`, one for each stack; by default those of Auden's large one."""

    factors: tuple[int, ...] = (1, 2, 4, 8, 4, 2)
    """Frames that are averaged ahead of a stack."""
    widths: tuple[int, ...] = (192, 256, 512, 768, 512, 256)
    inner: tuple[int, ...] = (576, 768, 1536, 2304, 1536, 768)
    """Widths of the middle feed-forward part; the first has 3/4 of it, the last 5/4."""
    layers: tuple[int, ...] = (2, 2, 4, 5, 4, 2)
    heads: tuple[int, ...] = (4, 4, 4, 8, 4, 4)
    kernels: tuple[int, ...] = (31, 31, 15, 15, 15, 31)
    """Frames that the convolutions see."""
    query_width: int = 32
    """Of a head."""
    value_width: int = 12
    """Of a head."""
    position_width: int = 4
    """Of a head's part of the position code."""
    code_width: int = 48
    """Of the position code."""

    def __post_init__(self) -> None:
        """Check that every stack has its sizes."""
        count = len(self.factors)
        for part in fields(self):
            value = getattr(self, part.name)
            if isinstance(value, tuple) and len(value) != count:
                raise ValueError(f"{part.name} must have {count} values like factors, got {value}")


class Zipformer(nn.Module):
    """See the module."""

    hears = "features"

    def __init__(self, num_features: int, rate_hz: float, config: ZipformerConfig) -> None:
        """Make random weights."""
        super().__init__()
        self.config = config
        self.width = self.tap_width = max(config.widths)
        self.rate_hz = rate_hz / (STRIDE * OUTPUT)
        self.encoder_embed = Stem(num_features, config.widths[0])
        self.encoder = Stacks(config)

    def num_frames(self, num_feature_frames: int) -> int:
        """The stem loses three and a half frames at the ends."""
        return -(-max(1, (num_feature_frames - LOST) // STRIDE) // OUTPUT)

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        """Encode ``[B, T, F]``."""
        short = LOST + STRIDE - features.shape[1]
        if short > 0:
            features = functional.pad(features, (0, 0, 0, short))
        inside = ((lengths - LOST) // STRIDE).clamp(min=1)
        mask = mask_of(inside, (features.shape[1] - LOST) // STRIDE)
        hidden = self.encoder(self.encoder_embed(features, mask), mask)  # [B, T', D]
        kept = -(-inside // OUTPUT)
        return Encoded(hidden=zero_outside(hidden, mask_of(kept, hidden.shape[1])), lengths=kept)


class Stacks(nn.Module):
    """All stacks, and what becomes of their results."""

    def __init__(self, config: ZipformerConfig) -> None:
        """Make random weights."""
        super().__init__()
        self.widths = config.widths
        self.encoders = nn.ModuleList(
            Slowed(Stack(config, place), config.widths[place], factor)
            if factor > 1
            else Stack(config, place)
            for place, factor in enumerate(config.factors)
        )
        self.downsample_output = Average(OUTPUT)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """``[B, T, D]`` and ``[B, T]`` to ``[B, T / 2, max D]``."""
        found = []
        for width, stack in zip(self.widths, self.encoders, strict=True):
            hidden = stack(_as_wide(hidden, width), mask)
            found.append(hidden)
        joined = found[-1]
        for part in reversed(found[:-1]):  # of every channel what the last stack made that has it
            if part.shape[2] > joined.shape[2]:
                joined = torch.cat([joined, part[..., joined.shape[2] :]], dim=2)
        averaged: Tensor = self.downsample_output(joined, mask)
        return averaged


class Stack(nn.Module):
    """Layers at one rate."""

    def __init__(self, config: ZipformerConfig, place: int) -> None:
        """Make random weights."""
        super().__init__()
        self.code_width = config.code_width
        self.layers = nn.ModuleList(
            ZipformerLayer(
                config.widths[place],
                heads=config.heads[place],
                inner=config.inner[place],
                kernel=config.kernels[place],
                query_width=config.query_width,
                value_width=config.value_width,
                position_width=config.position_width,
                code_width=config.code_width,
            )
            for _ in range(config.layers[place])
        )

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """``[B, T, D]`` and ``[B, T]`` to ``[B, T, D]``."""
        code = relative_code(hidden.shape[1], self.code_width, hidden)
        for layer in self.layers:
            hidden = layer(hidden, code, mask)
        return hidden


class Slowed(nn.Module):
    """A stack that works on averages of some frames."""

    def __init__(self, stack: Stack, width: int, factor: int) -> None:
        """``factor`` frames are averaged."""
        super().__init__()
        self.factor = factor
        self.downsample = Average(factor)
        self.encoder = stack
        self.out_combiner = BypassModule(width)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """``[B, T, D]`` and ``[B, T]`` to ``[B, T, D]``."""
        slow = self.encoder(self.downsample(hidden, mask), mask[:, :: self.factor])
        again = slow.repeat_interleave(self.factor, dim=1)[:, : hidden.shape[1]]
        mixed: Tensor = self.out_combiner(hidden, again)
        return mixed


class Average(nn.Module):
    """Weighted means of consecutive frames; the last group repeats the last frame."""

    def __init__(self, factor: int) -> None:
        """``factor`` frames to one."""
        super().__init__()
        self.bias = nn.Parameter(torch.zeros(factor))

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """``[B, T, D]`` to ``[B, ceil(T / factor), D]``."""
        rows, frames, width = hidden.shape
        factor = len(self.bias)
        # Each row's own last frame stands behind it, so that a batch does not change its rows.
        last = mask.sum(1).clamp(min=1) - 1
        place = torch.arange(-(-frames // factor) * factor, device=hidden.device)
        place = torch.minimum(place[None], last[:, None])
        repeated = hidden.gather(1, place[..., None].expand(-1, -1, width))
        groups = repeated.view(rows, -1, factor, width)
        return (groups * self.bias.softmax(0)[:, None]).sum(2)


def _as_wide(hidden: Tensor, width: int) -> Tensor:
    """The first channels, or zeros behind them."""
    return functional.pad(hidden, (0, width - hidden.shape[-1]))
