"""Transformer layers of Whisper's kind that know which frames are real.

Names and order of the parts are those of transformers' Whisper encoder, so that its weights fit;
what is added is a mask of real frames and, where asked for, attention within a window whose memory
grows with the length instead of its square.

Shapes: ``B`` batch, ``T`` frames, ``D`` width, ``A`` heads, ``W`` window in frames, ``N`` blocks.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

LONGEST_WAVE = 10000.0
"""Longest period of the position code, in frames over 2 π (Vaswani et al. 2017)."""


class WhisperAttention(nn.Module):
    """Attention over all real frames, or over those at most half a window away."""

    def __init__(self, width: int, heads: int, window: int | None = None) -> None:
        """``heads`` must divide ``width``; ``window`` is in frames, None for no limit."""
        super().__init__()
        if width % heads:
            raise ValueError(f"heads must divide the width {width}, got {heads}")
        self.heads, self.window = heads, window
        self.q_proj = nn.Linear(width, width)
        self.k_proj = nn.Linear(width, width, bias=False)
        self.v_proj = nn.Linear(width, width)
        self.out_proj = nn.Linear(width, width)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """``[B, T, D]`` and ``[B, T]`` to ``[B, T, D]``."""
        rows, frames, width = hidden.shape
        query, key, value = (
            part(hidden).view(rows, frames, self.heads, -1).transpose(1, 2)  # [B, A, T, D / A]
            for part in (self.q_proj, self.k_proj, self.v_proj)
        )
        if self.window is None or frames <= self.window // 2:
            seen = functional.scaled_dot_product_attention(
                query, key, value, attn_mask=mask[:, None, None]
            )
        else:
            seen = _windowed(query, key, value, mask, self.window)
        mixed: Tensor = self.out_proj(seen.transpose(1, 2).reshape(rows, frames, width))
        return mixed


class WhisperLayer(nn.Module):
    """Attention and a feed-forward part, each behind a norm."""

    def __init__(
        self,
        width: int,
        *,
        heads: int,
        inner: int,
        dropout: float = 0.0,
        window: int | None = None,
    ) -> None:
        """``inner`` is the width of the feed-forward part."""
        super().__init__()
        self.self_attn = WhisperAttention(width, heads, window)
        self.self_attn_layer_norm = nn.LayerNorm(width)
        self.fc1 = nn.Linear(width, inner)
        self.fc2 = nn.Linear(inner, width)
        self.final_layer_norm = nn.LayerNorm(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """``[B, T, D]`` and ``[B, T]`` to ``[B, T, D]``."""
        attended = self.self_attn(self.self_attn_layer_norm(hidden), mask)
        hidden = hidden + self.dropout(attended)
        inner = functional.gelu(self.fc1(self.final_layer_norm(hidden)))
        changed: Tensor = hidden + self.dropout(self.fc2(inner))
        return changed


def _windowed(query: Tensor, key: Tensor, value: Tensor, mask: Tensor, window: int) -> Tensor:
    """Attention of each frame to those at most ``window // 2`` frames away.

    Frames are cut into blocks of half a window; a block's frames look at their own block and its
    two neighbours, and a mask takes out what is farther away.
    """
    rows, heads, frames, width = query.shape
    half = window // 2
    blocks = -(-frames // half)
    filling = blocks * half - frames

    def neighbours(values: Tensor) -> Tensor:
        """``[B, A, T, …]`` to ``[B, A, N, 3 · half, …]``."""
        padded = functional.pad(values, (0, 0, half, half + filling))
        return padded.unfold(2, 3 * half, half).transpose(-1, -2)

    cut = functional.pad(query, (0, 0, 0, filling)).view(rows, heads, blocks, half, width)
    is_real = neighbours(mask[:, None, :, None].float())[:, 0, :, :, 0] > 0  # [B, N, 3 · half]
    here = torch.arange(half, device=query.device)[:, None] + half
    there = torch.arange(3 * half, device=query.device)[None]
    is_near = (here - there).abs() <= half  # [half, 3 · half]
    allowed = is_near & is_real[:, :, None]
    # A row of nothing would be NaN; what stands in such rows is dropped by the mask behind it.
    allowed = allowed | ~allowed.any(-1, keepdim=True)
    seen = functional.scaled_dot_product_attention(
        cut, neighbours(key), neighbours(value), attn_mask=allowed[:, None]
    )
    return seen.reshape(rows, heads, blocks * half, width)[:, :, :frames]


def sinusoids(frames: int, width: int, *, device: torch.device | None = None) -> Tensor:
    """Whisper's position code: sines, then cosines, of periods in a geometric row, ``[T, D]``."""
    half = width // 2
    step = math.log(LONGEST_WAVE) / max(1, half - 1)
    rates = torch.exp(-step * torch.arange(half, device=device, dtype=torch.float32))
    angles = torch.arange(frames, device=device, dtype=torch.float32)[:, None] * rates
    return torch.cat([angles.sin(), angles.cos()], dim=1)
