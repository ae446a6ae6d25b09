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


KALDI_LOWEST, KALDI_HIGHEST = 20.0, -400.0
"""Hz, Lhotse's edges of the bands; the upper one is below half the sampling rate."""


BLOCK_FRAMES = 12_000
"""Frames whose spectra are held at a time (2 min): those of 90 min would take 0.9 GB."""


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
    normalization: Literal["mean", "whisper", "none", "kaldi"] = "mean"
    """``mean``: each band's mean over the recording is taken out; ``whisper``: as Whisper does;
    ``kaldi``: nothing is, but the filter bank is Kaldi's as Lhotse computes it (natural logarithm,
    pre-emphasis, Povey's window), which models of Icefall and its kin hear."""
    edges: Literal["silence", "mirror"] = "silence"
    """What the first and last frames hear beyond the recording; Whisper's hear its mirror image."""
    pieces: float | None = None
    """Seconds of pieces that are heard each by itself, with its own edges and its own peak, the
    last one filled with silence, whose frames are handed out too: so Whisper's feature extractor
    hears windows of 30 s. None hears a recording as one."""

    def __post_init__(self) -> None:
        """Check that a frame is a whole number of samples."""
        if self.pieces is not None and self.normalization != "whisper":
            raise ValueError("pieces needs normalization whisper: others are of a whole recording")
        if self.pieces is not None and not (
            self.pieces > 0 and (self.pieces * self.frame_rate).is_integer()
        ):
            raise ValueError(f"pieces must be a whole number of frames, got {self.pieces} s")
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
        """Frames of so many samples: one per full hop, at least one.

        In pieces there is one per begun hop, and Kaldi rounds to the nearest number.
        """
        begun = self.hop - 1 if self.pieces is not None else 0
        begun = self.hop // 2 if self.normalization == "kaldi" else begun
        return max(1, (num_samples + begun) // self.hop)


class LogMel(nn.Module):
    """Samples to log-mel frames; it has no parameters."""

    def __init__(self, config: FeatureConfig) -> None:
        """Take the configuration."""
        super().__init__()
        self.config = config

    def forward(self, audio: Tensor, num_samples: Tensor) -> tuple[Tensor, Tensor]:
        """Features and how many frames of each row are real; the others are zero, but in pieces.

        Args:
            audio: ``[B, N]``, full scale at 1.0; what lies beyond a row's length is ignored.
            num_samples: ``[B]``.

        Returns:
            ``[B, T, F]`` and ``[B]``.
        """
        config = self.config
        inside = torch.arange(audio.shape[1], device=audio.device) < num_samples[:, None]
        quiet = torch.where(inside, audio.float(), 0.0)
        with torch.autocast(audio.device.type, enabled=False):
            if config.pieces is not None:
                return self._in_pieces(quiet, num_samples)
            if config.normalization == "kaldi":
                return self._kaldi(quiet, num_samples)
            lengths = (num_samples // config.hop).clamp(min=1)
            frames = int(lengths.max())
            logs = self._logs(quiet, num_samples, frames)
        real = (torch.arange(frames, device=audio.device) < lengths[:, None])[..., None]
        return torch.where(real, self._normalized(logs, real), 0.0), lengths

    def _in_pieces(self, audio: Tensor, num_samples: Tensor) -> tuple[Tensor, Tensor]:
        """Features of pieces by themselves, with those of the silence that fills the last."""
        config = self.config
        assert config.pieces is not None
        size = round(config.pieces * config.sampling_rate)
        count = max(1, -(-int(num_samples.max()) // size))
        filled = functional.pad(
            audio[:, : count * size], (0, max(0, count * size - audio.shape[1]))
        )
        found = []
        for block in torch.split(
            filled.reshape(-1, size), max(1, BLOCK_FRAMES // (size // config.hop))
        ):
            whole = torch.full((len(block),), size, device=audio.device)
            logs = self._logs(block, whole, size // config.hop)
            found.append(self._normalized(logs, torch.ones_like(logs[..., :1], dtype=torch.bool)))
        features = torch.cat(found).view(len(audio), -1, config.num_mels)
        return features, (-(-num_samples // config.hop)).clamp(min=1)

    def _kaldi(self, audio: Tensor, num_samples: Tensor) -> tuple[Tensor, Tensor]:
        """Lhotse's features, row by row, since each has its own mirror image at its end."""
        bank = kaldi_bank(self.config).to(audio.device)
        rows = [
            bank(row[None, : int(count)])[0] for row, count in zip(audio, num_samples, strict=True)
        ]
        lengths = torch.tensor([len(row) for row in rows], device=audio.device)
        return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True), lengths

    def _logs(self, audio: Tensor, num_samples: Tensor, frames: int) -> Tensor:
        """Logarithms (base 10) of mel power, ``[B, frames, F]``; ``audio`` is zero behind a row."""
        config = self.config
        size = round(config.window * config.sampling_rate)
        if config.edges == "mirror":
            padded = mirrored(audio, num_samples, size // 2, frames * config.hop + size)
        else:
            missing = frames * config.hop - audio.shape[1]
            padded = functional.pad(audio, (size // 2, size // 2 + max(0, missing)))
        window = torch.hann_window(size, device=audio.device)
        filters = mel_filters(config).to(audio.device)
        blocks = []
        for begin in range(0, frames, BLOCK_FRAMES):
            end = min(begin + BLOCK_FRAMES, frames)
            block = padded[:, begin * config.hop : (end - 1) * config.hop + size]
            spectrum = torch.stft(
                block, size, config.hop, window=window, center=False, return_complex=True
            )  # [B, bins, T']
            blocks.append(spectrum.abs().square().transpose(1, 2) @ filters)
        return torch.cat(blocks, dim=1).clamp(min=LOG_FLOOR).log10()  # [B, T, F]

    def _normalized(self, logs: Tensor, real: Tensor) -> Tensor:
        if self.config.normalization == "mean":
            mean = (logs * real).sum(1, keepdim=True) / real.sum(1, keepdim=True)
            return logs - mean
        if self.config.normalization == "whisper":
            peak = logs.masked_fill(~real, -torch.inf).amax((1, 2), keepdim=True)
            return (torch.maximum(logs, peak - WHISPER_RANGE) + WHISPER_SHIFT) / WHISPER_SHIFT
        return logs


@functools.cache
def kaldi_bank(config: FeatureConfig) -> nn.Module:
    """Lhotse's filter bank, from samples ``[B, N]`` to ``[B, T, F]``."""
    from lhotse.features.kaldi.layers import Wav2LogFilterBank

    bank: nn.Module = Wav2LogFilterBank(
        sampling_rate=config.sampling_rate,
        frame_length=config.window,
        frame_shift=1 / config.frame_rate,
        num_filters=config.num_mels,
        low_freq=config.lowest or KALDI_LOWEST,
        high_freq=config.highest or KALDI_HIGHEST,
        dither=0.0,
        snip_edges=False,
    )
    return bank.eval()


def mirrored(audio: Tensor, num_samples: Tensor, before: int, total: int) -> Tensor:
    """Rows with their own mirror images ahead of them and behind them, ``[B, total]``.

    Args:
        audio: ``[B, N]``.
        num_samples: ``[B]``.
        before: Samples ahead of the first.
        total: Samples of the result.

    >>> mirrored(torch.tensor([[1, 2, 3, 4]]), torch.tensor([4]), 2, 8).tolist()
    [[3, 2, 1, 2, 3, 4, 3, 2]]
    """
    last = (num_samples - 1)[:, None]
    place = torch.arange(-before, total - before, device=audio.device).abs()[None]
    place = torch.where(place > last, 2 * last - place, place)
    return audio.gather(1, place.clamp(0, audio.shape[1] - 1))


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
