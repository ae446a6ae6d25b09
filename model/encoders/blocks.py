"""A layer of local convolution, optional attention over all frames, and a feed-forward part.

The order and the gating are those of the Conformer's convolution module (Gulati et al. 2020), with
one feed-forward part. The depthwise convolution tells positions, so there is no other position
code, and frames beyond a row's length never reach the others.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ConvolutionModule(nn.Module):
    """Gate, depthwise convolution over time, mix."""

    def __init__(self, width: int, kernel: int) -> None:
        """``kernel`` is in frames and odd."""
        super().__init__()
        self.norm = nn.LayerNorm(width)
        self.gate = nn.Linear(width, 2 * width)
        self.depthwise = nn.Conv1d(width, width, kernel, padding=kernel // 2, groups=width)
        self.inner_norm = nn.LayerNorm(width)
        self.mix = nn.Linear(width, width)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """``[B, T, D]`` and ``[B, T]`` to ``[B, T, D]``."""
        gated = functional.glu(self.gate(self.norm(hidden)), dim=-1) * mask[..., None]
        local = self.depthwise(gated.transpose(1, 2)).transpose(1, 2)
        mixed: Tensor = self.mix(functional.silu(self.inner_norm(local)))
        return mixed


class SelfAttention(nn.Module):
    """Every real frame looks at every real frame."""

    def __init__(self, width: int, heads: int) -> None:
        """``heads`` must divide ``width``."""
        super().__init__()
        if width % heads:
            raise ValueError(f"heads must divide the width {width}, got {heads}")
        self.heads = heads
        self.norm = nn.LayerNorm(width)
        self.project = nn.Linear(width, 3 * width)
        self.mix = nn.Linear(width, width)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """``[B, T, D]`` and ``[B, T]`` to ``[B, T, D]``."""
        rows, frames, width = hidden.shape
        parts = self.project(self.norm(hidden)).view(rows, frames, 3, self.heads, -1)
        query, key, value = parts.permute(2, 0, 3, 1, 4)  # each [B, heads, T, D / heads]
        seen = functional.scaled_dot_product_attention(
            query, key, value, attn_mask=mask[:, None, None]
        )
        mixed: Tensor = self.mix(seen.transpose(1, 2).reshape(rows, frames, width))
        return mixed


class Layer(nn.Module):
    """One layer of an encoder."""

    def __init__(
        self, width: int, *, kernel: int, heads: int, expansion: int, dropout: float
    ) -> None:
        """``heads`` 0 leaves the attention out."""
        super().__init__()
        self.local = ConvolutionModule(width, kernel)
        self.attention = SelfAttention(width, heads) if heads else None
        self.feed_forward = nn.Sequential(
            nn.LayerNorm(width),
            nn.Linear(width, expansion * width),
            nn.SiLU(),
            nn.Linear(expansion * width, width),
        )
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor, mask: Tensor) -> Tensor:
        """``[B, T, D]`` and ``[B, T]`` to ``[B, T, D]``."""
        hidden = hidden + self.dropout(self.local(hidden, mask))
        if self.attention is not None:
            hidden = hidden + self.dropout(self.attention(hidden, mask))
        changed: Tensor = hidden + self.dropout(self.feed_forward(hidden))
        return changed


def zero_outside(hidden: Tensor, mask: Tensor) -> Tensor:
    """Frames that are not real set to zero."""
    return torch.where(mask[..., None], hidden, 0.0)
