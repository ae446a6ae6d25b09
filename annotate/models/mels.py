"""Log-mel features: what all our models hear.

One frame every 10 ms, whose 25 ms window is centred on those 10 ms. Frames depend on samples
within `HALO` alone, so a long recording can be heard in blocks.

Legend: ``B`` batch, ``N`` sample, ``T`` frame, ``M`` mel band.
"""

from __future__ import annotations

import math

import torch
from torch import Tensor, nn
from torch.nn import functional

RATE = 16000
"""Hz."""
HOP = 160
"""Samples of a frame."""
WINDOW = 400
"""Samples that a frame hears."""
FFT = 512
NUM_MELS = 64
LOWEST_HZ = 40.0
HIGHEST_HZ = 7600.0
FLOOR = 1e-8
"""Power of a band below which nothing is told apart: near that of the rounding to 16 bits."""
HALO = (WINDOW - HOP) // 2
"""Samples that the first and the last frame hear beyond the signal."""


class LogMel(nn.Module):
    """Samples → natural logarithm of mel power."""

    def __init__(self) -> None:
        """Make window and filters; they are constants, not weights."""
        super().__init__()
        self.register_buffer("window", torch.hann_window(WINDOW), persistent=False)
        self.register_buffer("filters", mel_filters(), persistent=False)
        self.window: Tensor
        self.filters: Tensor

    def forward(self, samples: Tensor) -> Tensor:
        """Features of signals.

        Args:
            samples: Shape ``[B, N]``.

        Returns:
            Shape ``[B, M, T]`` with ``T = ceil(N / HOP)``.
        """
        frames = num_frames(samples.shape[1])
        missing = frames * HOP - samples.shape[1]
        return self.of_padded(functional.pad(samples, (HALO, HALO + missing)))

    def of_padded(self, padded: Tensor) -> Tensor:
        """Features of signals that come with `HALO` samples more at both ends.

        Args:
            padded: Shape ``[B, T * HOP + 2 * HALO]``.

        Returns:
            Shape ``[B, M, T]``.
        """
        cut = padded.unfold(1, WINDOW, HOP) * self.window  # [B, T, WINDOW]
        power = torch.fft.rfft(cut, FFT).abs().square()  # [B, T, FFT // 2 + 1]
        mels = power @ self.filters  # [B, T, M]
        return torch.log(mels + FLOOR).transpose(1, 2)


def num_frames(num_samples: int) -> int:
    """Frames of a signal; a last part counts as one.

    >>> num_frames(16001)
    101
    """
    return -(-num_samples // HOP)


def mel_filters() -> Tensor:
    """Triangles evenly spaced in mel (2595 log10(1 + f / 700)), shape ``[FFT // 2 + 1, M]``."""
    low, high = (2595 * math.log10(1 + hz / 700) for hz in (LOWEST_HZ, HIGHEST_HZ))
    mels = torch.linspace(low, high, NUM_MELS + 2, dtype=torch.float64)
    edges = 700 * (10 ** (mels / 2595) - 1)
    bins = torch.arange(FFT // 2 + 1, dtype=torch.float64)[:, None] * RATE / FFT
    rising = (bins - edges[:-2]) / (edges[1:-1] - edges[:-2])
    falling = (edges[2:] - bins) / (edges[2:] - edges[1:-1])
    return torch.minimum(rising, falling).clamp(min=0).float()


def without_level(mels: Tensor, frames: int) -> Tensor:
    """Take out how loud it is: the mean over all bands and the frames around, each frame's own.

    Args:
        mels: Shape ``[B, M, T]``.
        frames: Frames to each side that count.

    Returns:
        Shape ``[B, M, T]``; a gain of the signal changes nothing above the floor.
    """
    level = mels.mean(dim=1, keepdim=True)  # [B, 1, T]
    around = functional.avg_pool1d(
        level, 2 * frames + 1, stride=1, padding=frames, count_include_pad=False
    )
    return mels - around
