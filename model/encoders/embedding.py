"""A pretrained speaker embedding over sliding windows, from a local folder, frozen.

The network is WeSpeaker's ResNet34 as pyannote.audio has it (``pyannote/wespeaker-voxceleb-
resnet34-LM`` is one). The folder holds its weights as ``*.safetensors``; nothing is unpickled.

Shapes: ``B`` batch, ``N`` samples, ``T`` frames, ``D`` width.
"""

from __future__ import annotations

import warnings
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkover.manifests.errors import ConfigurationError, MissingExtraError
from talkover.manifests.torchaudio_guard import guard_torchaudio
from talkover.model.encoders.base import Encoded, mask_of
from talkover.model.encoders.blocks import zero_outside

SAMPLING_RATE = 16000
"""Hz."""

WIDTH = 256
"""Of an embedding of this network."""

AT_ONCE = 64
"""Windows that are embedded together."""


@dataclass(frozen=True, kw_only=True)
class EmbeddingConfig:
    """Which weights, and over what."""

    path: str | None = None
    """Local folder with ``*.safetensors``; nothing is ever downloaded."""
    window: float = 1.5
    """Seconds that one embedding is of, around its frame."""
    rate: float = 4.0
    """Embeddings a second."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not (self.window > 0 and self.rate > 0):
            raise ValueError(f"need window > 0 s and rate > 0 Hz, got {self.window}, {self.rate}")


class Embedding(nn.Module):
    """See the module."""

    hears = "audio"

    def __init__(self, num_features: int, rate_hz: float, config: EmbeddingConfig) -> None:
        """Make random weights; `load` takes those of the folder."""
        super().__init__()
        guard_torchaudio()
        try:
            with warnings.catch_warnings():
                warnings.simplefilter("ignore")  # of torchcodec, which nothing here needs
                from pyannote.audio.models.embedding import WeSpeakerResNet34
        except ImportError as error:
            raise MissingExtraError(
                "pyannote.audio", "annotate", "an encoder of the kind embedding"
            ) from error
        self.config = config
        self.width = self.tap_width = WIDTH
        self.rate_hz, self.feature_rate = config.rate, rate_hz
        self.network: Any = WeSpeakerResNet34()
        self.requires_grad_(False)

    def load(self) -> None:
        """Take the weights of the folder.

        Raises:
            ConfigurationError: If there are none, or of another network.
        """
        from safetensors.torch import load_file

        folder = Path(str(self.config.path))
        files = sorted(folder.glob("*.safetensors"))
        if not files:
            raise ConfigurationError(
                f"{folder}: no *.safetensors with a speaker embedding; a .bin or .ckpt is not read "
                "(it can run code): save its state_dict with safetensors.torch.save_file"
            )
        weights = {key: value for file in files for key, value in load_file(file).items()}
        try:
            self.network.load_state_dict(weights)
        except RuntimeError as error:
            reason = str(error).splitlines()[0]
            raise ConfigurationError(f"{folder}: not WeSpeaker's ResNet34: {reason}") from error

    def num_frames(self, num_feature_frames: int) -> int:
        """Rounded up."""
        return int(-(-num_feature_frames * self.rate_hz // self.feature_rate))

    def train(self, mode: bool = True) -> Embedding:
        """Frozen: the statistics of its norms stay, also in training."""
        super().train(mode)
        self.network.train(False)
        return self

    @torch.no_grad()
    def forward(self, audio: Tensor, lengths: Tensor) -> Encoded:
        """Embed ``[B, N]``; lengths are in feature frames."""
        hop = round(SAMPLING_RATE / self.feature_rate)
        counts = [self.num_frames(n) for n in lengths.tolist()]
        rows = [
            self._row(audio[row, : length * hop], counts[row])
            for row, length in enumerate(lengths.tolist())
        ]
        hidden = torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)
        number = torch.tensor(counts, device=lengths.device)
        hidden = zero_outside(hidden, mask_of(number, hidden.shape[1]))
        return Encoded(hidden=hidden, lengths=number, taps=(hidden,))

    def _row(self, samples: Tensor, count: int) -> Tensor:
        """Embeddings of windows around each frame of one recording, ``[T, D]``."""
        size = round(self.config.window * SAMPLING_RATE)
        middles = ((torch.arange(count) + 0.5) * SAMPLING_RATE / self.rate_hz).long().tolist()
        padded = functional.pad(samples, (size // 2, size + SAMPLING_RATE))
        windows = torch.stack([padded[middle : middle + size] for middle in middles])
        begins = range(0, len(windows), AT_ONCE)
        return torch.cat([self.network(windows[b : b + AT_ONCE, None]) for b in begins])
