"""Log-mel features in torch: the same frames for a recording alone and in a batch.

Shapes: ``B`` batch, ``N`` samples, ``T`` frames, ``F`` mel bands.
"""

from __future__ import annotations

import functools
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

LOG_FLOOR = 1e-10
"""Power below which the logarithm is cut: the floor of Whisper's features (arXiv 2212.04356)."""

WHISPER_RANGE = 8.0
"""Bels (log10) below the loudest value that Whisper's features keep; then ``(x + 4) / 4``."""

WHISPER_SHIFT = 4.0


@dataclass(frozen=True, kw_only=True)
class FeatureConfig:
    """What a model hears."""

    sampling_rate: int = 16000
    """Hz; audio at another rate is resampled before it comes here."""
    num_mels: int = 80
    frame_rate: float = 100.0
    """Hz."""
    window: float = 0.025
    """Seconds."""
    lowest: float = 0.0
    """Hz, lower edge of the first band."""
    highest: float | None = None
    """Hz, upper edge of the last band; None for half the sampling rate."""
    normalization: Literal["mean", "whisper", "none"] = "mean"
    """``mean``: each band's mean over the recording is taken out; ``whisper``: as Whisper does."""

    def __post_init__(self) -> None:
        """Check that a frame is a whole number of samples."""
        if self.sampling_rate % self.frame_rate:
            raise ValueError(
                f"frame_rate must divide sampling_rate {self.sampling_rate}, got {self.frame_rate}"
            )
        if not self.window * self.sampling_rate >= 2:
            raise ValueError(f"window must hold at least two samples, got {self.window} s")

    @property
    def hop(self) -> int:
        """Samples from one frame to the next."""
        return int(self.sampling_rate / self.frame_rate)

    def num_frames(self, num_samples: int) -> int:
        """Frames of so many samples: one per full hop, at least one."""
        return max(1, num_samples // self.hop)


class LogMel(nn.Module):
    """Samples to log-mel frames; it has no parameters."""

    def __init__(self, config: FeatureConfig) -> None:
        """Take the configuration."""
        super().__init__()
        self.config = config

    def forward(self, audio: Tensor, num_samples: Tensor) -> tuple[Tensor, Tensor]:
        """Features and how many frames of each row are real; the others are zero.

        Args:
            audio: ``[B, N]``, full scale at 1.0; what lies beyond a row's length is ignored.
            num_samples: ``[B]``.

        Returns:
            ``[B, T, F]`` and ``[B]``.
        """
        config = self.config
        size = round(config.window * config.sampling_rate)
        lengths = (num_samples // config.hop).clamp(min=1)
        inside = torch.arange(audio.shape[1], device=audio.device) < num_samples[:, None]
        quiet = torch.where(inside, audio.float(), 0.0)
        frames = int(lengths.max())
        missing = frames * config.hop - quiet.shape[1]
        padded = functional.pad(quiet, (size // 2, size // 2 + max(0, missing)))
        with torch.autocast(audio.device.type, enabled=False):
            window = torch.hann_window(size, device=audio.device)
            spectrum = torch.stft(
                padded, size, config.hop, window=window, center=False, return_complex=True
            )  # [B, bins, T']
            power = spectrum[:, :, :frames].abs().square().transpose(1, 2)
            mels = power @ mel_filters(config).to(audio.device)  # [B, T, F]
            logs = mels.clamp(min=LOG_FLOOR).log10()
        real = (torch.arange(frames, device=audio.device) < lengths[:, None])[..., None]
        return torch.where(real, self._normalized(logs, real), 0.0), lengths

    def _normalized(self, logs: Tensor, real: Tensor) -> Tensor:
        if self.config.normalization == "mean":
            mean = (logs * real).sum(1, keepdim=True) / real.sum(1, keepdim=True)
            return logs - mean
        if self.config.normalization == "whisper":
            peak = logs.masked_fill(~real, -torch.inf).amax((1, 2), keepdim=True)
            return (torch.maximum(logs, peak - WHISPER_RANGE) + WHISPER_SHIFT) / WHISPER_SHIFT
        return logs


@functools.cache
def mel_filters(config: FeatureConfig) -> Tensor:
    """Triangular filters of equal area on Slaney's mel scale, ``[bins, F]``, float32."""
    from transformers.audio_utils import mel_filter_bank

    filters = mel_filter_bank(
        num_frequency_bins=round(config.window * config.sampling_rate) // 2 + 1,
        num_mel_filters=config.num_mels,
        min_frequency=config.lowest,
        max_frequency=config.highest or config.sampling_rate / 2,
        sampling_rate=config.sampling_rate,
        norm="slaney",
        mel_scale="slaney",
    )
    return torch.tensor(filters, dtype=torch.float32)


@dataclass(frozen=True, kw_only=True)
class MaskConfig:
    """SpecAugment (Park et al. 2019, arXiv 1904.08779), without time warping."""

    frequency_masks: int = 2
    frequency_width: int = 10
    """Most bands that one mask covers."""
    time_masks: int = 2
    time_width: float = 0.1
    """Most seconds that one mask covers; 10 frames of 10 ms spoil a syllable, not a word."""


def spec_augment(
    features: Tensor, config: MaskConfig, frame_rate: float, generator: torch.Generator
) -> Tensor:
    """Features with random bands and stretches set to zero, each row with its own.

    Args:
        features: ``[B, T, F]``; zero is the mean of each band.
        config: How many masks, and how wide.
        frame_rate: Hz.
        generator: On the CPU.
    """
    keep = torch.ones(features.shape, dtype=torch.bool)
    rows, frames, bands = features.shape
    widest = max(1, round(config.time_width * frame_rate))
    for row in range(rows):
        for _ in range(config.frequency_masks):
            begin, width = _stretch(bands, min(config.frequency_width, bands), generator)
            keep[row, :, begin : begin + width] = False
        for _ in range(config.time_masks):
            begin, width = _stretch(frames, min(widest, frames), generator)
            keep[row, begin : begin + width] = False
    return features * keep.to(features.device)


def _stretch(length: int, widest: int, generator: torch.Generator) -> tuple[int, int]:
    width = int(torch.randint(0, widest + 1, (1,), generator=generator))
    begin = int(torch.randint(0, length - width + 1, (1,), generator=generator))
    return begin, width
