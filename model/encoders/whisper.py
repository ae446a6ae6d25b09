"""Whisper's encoder, for any length, from sizes or from a local folder of Hugging Face.

Audio is cut into windows of 30 s that do not overlap, as Whisper was trained. What to do with the
last one is an option: filled with silence, as published models hear it, or masked, which costs no
attention over nothing. Frames of the filling are dropped before windows are joined, and merging
frames comes behind that, over the whole recording: merging window by window would drop up to
``merge - 1`` frames of each.

Shapes: ``B`` batch, ``T`` frames, ``F`` mel bands, ``D`` width, ``W`` frames of a window.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkover.manifests.errors import ConfigurationError
from talkover.model.encoders.base import Encoded, mask_of
from talkover.model.encoders.blocks import zero_outside
from talkover.model.encoders.layers import WhisperLayer, sinusoids

STRIDE = 2
"""Feature frames to a frame."""

AT_A_TIME = 16
"""Windows that are encoded together where no gradient is asked for."""


@dataclass(frozen=True, kw_only=True)
class WhisperConfig:
    """Sizes of a `Whisper`; by default those of Whisper-medium."""

    path: str | None = None
    """Local folder with a Whisper-type checkpoint, whose sizes and weights are taken."""
    width: int = 1024
    layers: int = 24
    heads: int = 16
    inner: int = 4096
    """Width of the feed-forward parts."""
    positions: int = 1500
    """Frames of a window: 30 s."""
    filling: Literal["silence", "mask", "given"] = "silence"
    """What stands behind the audio in the last window: the least value of the recording's features,
    nothing at all, or what the features hold there (those of ``features.pieces``)."""
    multiple: int = 1
    """Frames are kept up to a multiple of this: those behind the audio are what the encoder makes
    of the filling, as in MOSS-Transcribe-Diarize before it merges four; else they are zero."""
    dropout: float = 0.0
    taps: tuple[int, ...] = ()
    """Layers, from 0, after which the hidden states are handed out too."""

    def __post_init__(self) -> None:
        """Check that kept frames lie inside the windows."""
        if self.multiple < 1 or self.positions % self.multiple:
            raise ValueError(
                f"multiple must divide positions {self.positions}, got {self.multiple}"
            )
        if self.multiple > 1 and self.filling == "mask":
            raise ValueError("multiple needs a filling: frames that are masked hold nothing")


class Whisper(nn.Module):
    """See the module."""

    hears = "features"

    def __init__(self, num_features: int, rate_hz: float, config: WhisperConfig) -> None:
        """Make random weights; `load` takes those of a folder."""
        super().__init__()
        self.config = config
        self.width = self.tap_width = config.width
        self.rate_hz = rate_hz / STRIDE
        self.window = STRIDE * config.positions
        self.conv1 = nn.Conv1d(num_features, config.width, 3, padding=1)
        self.conv2 = nn.Conv1d(config.width, config.width, 3, stride=STRIDE, padding=1)
        self.embed_positions = nn.Embedding(config.positions, config.width)
        self.embed_positions.weight.data.copy_(sinusoids(config.positions, config.width))
        self.embed_positions.requires_grad_(False)
        self.layers = nn.ModuleList(
            WhisperLayer(
                config.width, heads=config.heads, inner=config.inner, dropout=config.dropout
            )
            for _ in range(config.layers)
        )
        self.layer_norm = nn.LayerNorm(config.width)

    @staticmethod
    def resolved(config: WhisperConfig) -> WhisperConfig:
        """With the sizes of the folder, if it names one."""
        if config.path is None:
            return config
        found = folder_config(config.path)
        return replace(
            config,
            width=int(found.d_model),
            layers=int(found.encoder_layers),
            heads=int(found.encoder_attention_heads),
            inner=int(found.encoder_ffn_dim),
            positions=int(found.max_source_positions),
        )

    def load(self) -> None:
        """Take the weights of the folder.

        Raises:
            ConfigurationError: If they do not fit the features.
        """
        assert self.config.path is not None
        weights = encoder_weights(Path(self.config.path))
        bands, wanted = weights["conv1.weight"].shape[1], self.conv1.weight.shape[1]
        if bands != wanted:
            raise ConfigurationError(
                f"{self.config.path}: features.num_mels must be {bands}, got {wanted}"
            )
        self.load_state_dict(weights)

    def num_frames(self, num_feature_frames: int) -> int:
        """Windows are an even number of frames, so rounding up happens at the end alone."""
        multiple = self.config.multiple
        return -(-num_feature_frames // (STRIDE * multiple)) * multiple

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        """Encode ``[B, T, F]`` window by window."""
        rows, frames, bands = features.shape
        is_masked = self.config.filling == "mask"
        if self.config.filling == "given" and frames % self.window == 0:
            windows = features.reshape(-1, self.window, bands)
        else:
            windows = in_windows(features, lengths, self.window, is_masked)
        multiple = self.config.multiple
        kept = -(-lengths // (STRIDE * multiple)) * multiple
        joined = self.num_frames(frames)
        hidden, taps = self._in_batches(windows, self._real(windows, lengths, is_masked))

        def join(states: Tensor) -> Tensor:
            flat = states.reshape(rows, -1, self.width)[:, :joined]
            return zero_outside(flat, mask_of(kept, joined))

        return Encoded(hidden=join(hidden), lengths=kept, taps=tuple(map(join, taps)))

    def _real(self, windows: Tensor, lengths: Tensor, is_masked: bool) -> Tensor:
        """Feature frames of each window that are heard, ``[B · windows]``."""
        size = windows.shape[1]
        if not is_masked:
            return torch.full((len(windows),), size, device=windows.device)
        count = len(windows) // len(lengths)
        begins = size * torch.arange(count, device=windows.device)
        return (lengths[:, None] - begins).clamp(0, size).flatten()

    def _in_batches(self, windows: Tensor, lengths: Tensor) -> tuple[Tensor, list[Tensor]]:
        """As `_encode`, a few windows at a time if no gradient is asked for."""
        if torch.is_grad_enabled() or len(windows) <= AT_A_TIME:
            return self._encode(windows, lengths)
        parts = [
            self._encode(some, own)
            for some, own in zip(
                torch.split(windows, AT_A_TIME), torch.split(lengths, AT_A_TIME), strict=True
            )
        ]
        hidden = torch.cat([part for part, _ in parts])
        return hidden, [torch.cat(taps) for taps in zip(*(taps for _, taps in parts), strict=True)]

    def _encode(self, windows: Tensor, lengths: Tensor) -> tuple[Tensor, list[Tensor]]:
        """``[windows, 2 W, F]`` to ``[windows, W, D]`` and taps."""
        hidden = functional.gelu(self.conv1(windows.transpose(1, 2)))
        real = mask_of(lengths, hidden.shape[2])
        hidden = torch.where(real[:, None], hidden, 0.0)
        hidden = functional.gelu(self.conv2(hidden)).transpose(1, 2)
        mask = mask_of(-(-lengths // STRIDE), hidden.shape[1])
        mask = mask | ~mask.any(1, keepdim=True)  # an empty window is dropped later
        hidden = hidden + self.embed_positions.weight[: hidden.shape[1]]
        taps = []
        for index, layer in enumerate(self.layers):
            hidden = layer(hidden, mask)
            if index in self.config.taps:
                taps.append(hidden)
        return self.layer_norm(hidden), taps


def in_windows(features: Tensor, lengths: Tensor, size: int, is_masked: bool) -> Tensor:
    """``[B, T, F]`` cut into ``[B · windows, size, F]``; a lone masked window may be shorter."""
    rows, frames, bands = features.shape
    if is_masked and frames <= size:
        return features
    filled = -(-frames // size) * size
    real = mask_of(lengths, frames)
    least = features.masked_fill(~real[..., None], torch.inf).amin((1, 2), keepdim=True)
    least = torch.zeros_like(least) if is_masked else least
    quiet = torch.where(real[..., None], features, least)
    extra = least.expand(rows, filled - frames, bands)
    return torch.cat([quiet, extra], dim=1).view(-1, size, bands)


WHISPER_TYPES = ("whisper",)
"""Values of ``model_type`` whose encoders are of this kind."""


def folder_config(path: str, types: Iterable[str] = WHISPER_TYPES) -> Any:
    """The configuration of a folder.

    Raises:
        ConfigurationError: If it has none, or one of another type.
    """
    from transformers import AutoConfig

    try:
        found = AutoConfig.from_pretrained(path, local_files_only=True)
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{path}: no model of Hugging Face: {error}") from error
    if found.model_type not in types:
        raise ConfigurationError(
            f"{path}: holds a {found.model_type} model; this encoder is one of {', '.join(types)}"
        )
    return found


def encoder_weights(folder: Path) -> dict[str, Tensor]:
    """Weights of the encoder inside a Whisper checkpoint, from its safetensors files.

    Raises:
        ConfigurationError: If there are none.
    """
    from safetensors import safe_open

    found: dict[str, Tensor] = {}
    for file in sorted(folder.glob("*.safetensors")):
        with safe_open(file, framework="pt") as weights:
            for name in weights.keys():
                _, mark, rest = ("." + name).rpartition(".encoder.")
                if mark and not name.startswith(("decoder.", "model.decoder.")):
                    found[rest] = weights.get_tensor(name).float()
    if not found:
        raise ConfigurationError(f"{folder}: no encoder weights in *.safetensors")
    return found
