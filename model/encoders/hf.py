"""Any Whisper-type encoder of Hugging Face, from a local folder or from a configuration.

Whisper's encoder takes windows of exactly 30 s and ignores masks, so audio is cut into windows, the
last one is filled with the least value of the recording (silence), and the frames of the filling
are dropped *before* windows are joined. Merging frames comes later, over the joined frames: merging
window by window would drop up to ``merge - 1`` frames in each.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from talkover.manifests.errors import ConfigurationError
from talkover.model.encoders.base import Encoded, mask_of
from talkover.model.encoders.blocks import zero_outside

STRIDE = 2
"""Feature frames to a frame of Whisper's encoder."""

TYPES = ("whisper",)
"""Values of ``model_type`` whose encoders are of this kind."""


@dataclass(frozen=True, kw_only=True)
class HfEncoderConfig:
    """Which encoder; one of the two must be given when a model is made."""

    path: str | None = None
    """Local folder with weights; nothing is ever downloaded."""
    config: Mapping[str, Any] | None = None
    """Configuration of the encoder (stored with the checkpoint, filled in from the path)."""
    taps: tuple[int, ...] = ()
    """Layers, from 0, after which the hidden states are handed out too."""

    def __post_init__(self) -> None:
        """Need one of the two."""
        if self.path is None and self.config is None:
            raise ValueError("an hf encoder needs path (a local folder) or config")


class HfEncoder(nn.Module):
    """See the module."""

    def __init__(self, num_features: int, rate_hz: float, config: HfEncoderConfig) -> None:
        """Build from the stored configuration, or load from the folder."""
        super().__init__()
        from transformers.models.whisper.modeling_whisper import WhisperEncoder

        self.config = config
        whisper = hf_config(config)
        if whisper.num_mel_bins != num_features:
            raise ConfigurationError(
                f"features.num_mels must be {whisper.num_mel_bins} for this encoder, "
                f"got {num_features}"
            )
        self.encoder = WhisperEncoder(whisper)
        if config.path is not None and config.config is None:
            self.encoder.load_state_dict(encoder_weights(Path(config.path)))
        self.width = int(whisper.d_model)
        self.rate_hz = rate_hz / STRIDE
        self.window = STRIDE * int(whisper.max_source_positions)

    def num_frames(self, num_feature_frames: int) -> int:
        """Windows are an even number of frames, so rounding up happens at the end alone."""
        return -(-num_feature_frames // STRIDE)

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        """Encode ``[B, T, F]`` window by window."""
        rows, frames, bands = features.shape
        filled = -(-frames // self.window) * self.window
        real = mask_of(lengths, frames)
        least = features.masked_fill(~real[..., None], torch.inf).amin((1, 2), keepdim=True)
        quiet = torch.where(real[..., None], features, least)
        extra = least.expand(rows, filled - frames, bands)
        windows = torch.cat([quiet, extra], dim=1).view(-1, self.window, bands)
        output = self.encoder(windows.transpose(1, 2), output_hidden_states=bool(self.config.taps))
        kept = -(-lengths // STRIDE)
        joined = -(-frames // STRIDE)

        def join(states: Tensor) -> Tensor:
            flat = states.reshape(rows, -1, self.width)[:, :joined]
            return zero_outside(flat, mask_of(kept, joined))

        inner = output.hidden_states or ()
        return Encoded(
            hidden=join(output.last_hidden_state),
            lengths=kept,
            taps=tuple(join(inner[index + 1]) for index in self.config.taps),
        )


def hf_config(config: HfEncoderConfig) -> Any:
    """The encoder's own configuration.

    Raises:
        ConfigurationError: If the folder holds no encoder of a supported type.
    """
    from transformers import AutoConfig, WhisperConfig

    if config.config is not None:
        return WhisperConfig(**dict(config.config))
    found = AutoConfig.from_pretrained(str(config.path), local_files_only=True)
    if found.model_type not in TYPES:
        raise ConfigurationError(
            f"{config.path}: holds a {found.model_type} model; an hf encoder is one of "
            f"{', '.join(TYPES)}"
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
