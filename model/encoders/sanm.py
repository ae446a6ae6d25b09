"""An encoder of SenseVoice's layout: stacked frames, attention with a memory, a tap in the middle.

Seven feature frames are stacked every six (60 ms at 100 Hz). Each layer sums attention and a
memory, a depthwise convolution over the values (FSMN, Gao et al. 2020, arXiv 2006.01713). The
hidden state in the middle, where CTC can be learned, may be joined to the last one, as the paper
"Balancing ASR and diarization" (arXiv 2606.13095) does. Shapes and rates are those of
SenseVoice-small (FunAudioLLM); it is not a port of its code, and its weights do not fit.

Shapes: ``B`` batch, ``T`` frames, ``F`` mel bands, ``D`` width.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkover.model.encoders.base import Encoded, mask_of
from talkover.model.encoders.blocks import zero_outside
from talkover.model.encoders.layers import sinusoids


@dataclass(frozen=True, kw_only=True)
class SanmConfig:
    """Sizes of a `Sanm`; by default those of SenseVoice-small."""

    width: int = 512
    stacked: int = 7
    """Feature frames to a frame."""
    stride: int = 6
    """Feature frames from one frame to the next."""
    layers: int = 50
    """Layers before the middle."""
    later_layers: int = 20
    """Layers behind it."""
    heads: int = 4
    inner: int = 2048
    """Width of the feed-forward parts."""
    kernel: int = 11
    """Frames of the memory."""
    join_middle: bool = False
    """Hand out the state in the middle beside the last one, so twice as wide."""
    dropout: float = 0.1

    def __post_init__(self) -> None:
        """Check the sizes."""
        if self.stacked < self.stride or self.kernel % 2 == 0:
            raise ValueError("sanm needs stacked >= stride and an odd kernel")


class SanmLayer(nn.Module):
    """Attention and memory side by side, then a feed-forward part."""

    def __init__(self, inputs: int, config: SanmConfig) -> None:
        """The first layer maps the stacked features to the width, so it has no way around."""
        super().__init__()
        width = config.width
        self.heads, self.has_way_around = config.heads, inputs == width
        self.attention_norm = nn.LayerNorm(inputs)
        self.query_key_value = nn.Linear(inputs, 3 * width)
        self.memory = nn.Conv1d(
            width, width, config.kernel, padding=config.kernel // 2, groups=width, bias=False
        )
        self.mix = nn.Linear(width, width)
        self.inner_norm = nn.LayerNorm(width)
        self.inner = nn.Linear(width, config.inner)
        self.outer = nn.Linear(config.inner, width)
        self.dropout = nn.Dropout(config.dropout)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """``[B, T, inputs]`` and ``[B, T]`` to ``[B, T, D]``."""
        rows, frames, _ = hidden.shape
        query, key, value = self.query_key_value(self.attention_norm(hidden)).chunk(3, dim=-1)
        value = zero_outside(value, mask)
        remembered = value + self.memory(value.transpose(1, 2)).transpose(1, 2)
        query, key, value = (
            part.view(rows, frames, self.heads, -1).transpose(1, 2) for part in (query, key, value)
        )
        seen = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask[:, None, None]
        )
        attended = self.mix(seen.transpose(1, 2).reshape(rows, frames, -1)) + remembered
        hidden = (hidden if self.has_way_around else 0) + self.dropout(attended)
        inner = functional.relu(self.inner(self.inner_norm(hidden)))
        changed: Tensor = hidden + self.dropout(self.outer(inner))
        return changed


class Sanm(nn.Module):
    """See the module."""

    hears = "features"

    def __init__(self, num_features: int, rate_hz: float, config: SanmConfig) -> None:
        """Make random weights."""
        super().__init__()
        self.config = config
        self.width = config.width * (2 if config.join_middle else 1)
        self.tap_width = config.width
        self.rate_hz = rate_hz / config.stride
        inputs = num_features * config.stacked
        self.layers = nn.ModuleList(
            SanmLayer(inputs if index == 0 else config.width, config)
            for index in range(config.layers)
        )
        self.middle_norm = nn.LayerNorm(config.width)
        self.later_layers = nn.ModuleList(
            SanmLayer(config.width, config) for _ in range(config.later_layers)
        )
        self.norm = nn.LayerNorm(config.width)

    def num_frames(self, num_feature_frames: int) -> int:
        """Rounded up."""
        return -(-num_feature_frames // self.config.stride)

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        """Encode ``[B, T, F]``; the tap is the state in the middle."""
        hidden, lengths = self._stack(features, lengths)
        mask = mask_of(lengths, hidden.shape[1])
        code = sinusoids(hidden.shape[1], hidden.shape[2], device=hidden.device)
        hidden = hidden * self.config.width**0.5 + code.to(hidden.dtype)
        for layer in self.layers:
            hidden = layer(hidden, mask)
        hidden = self.middle_norm(hidden)
        middle = zero_outside(hidden, mask)
        for layer in self.later_layers:
            hidden = layer(hidden, mask)
        last = zero_outside(self.norm(hidden), mask)
        joined = torch.cat([last, middle], dim=-1) if self.config.join_middle else last
        return Encoded(hidden=joined, lengths=lengths, taps=(middle,))

    def _stack(self, features: Tensor, lengths: Tensor) -> tuple[Tensor, Tensor]:
        """Frames around every sixth; the edges are repeated, as FunASR's front end does."""
        stacked, stride = self.config.stacked, self.config.stride
        count = self.num_frames(features.shape[1])
        before = (stacked - 1) // 2
        at = torch.arange(count, device=features.device)[:, None] * stride
        wanted = at + torch.arange(stacked, device=features.device) - before  # [count, stacked]
        last = (lengths - 1).clamp(min=0)[:, None, None]
        places = torch.minimum(wanted.clamp(min=0)[None], last).flatten(1)  # [B, count · stacked]
        taken = torch.gather(features, 1, places[..., None].expand(-1, -1, features.shape[2]))
        return taken.view(len(features), count, -1), -(-lengths // stride)
