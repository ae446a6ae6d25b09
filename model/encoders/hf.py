"""Any encoder of Hugging Face, from a local folder or from a configuration.

Two families: Whisper's own encoder of transformers, which hears log-mel windows of exactly 30 s
(see `talkover.model.encoders.whisper` for how windows are joined, and for one that also takes
masks), and the models that hear samples: wav2vec 2.0, HuBERT, WavLM and their kin. The latter run
row by row, since several of them change a row with the silence behind it.

Shapes: ``B`` batch, ``N`` samples, ``T`` frames, ``F`` mel bands, ``D`` width.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkover.manifests.errors import ConfigurationError
from talkover.model.encoders.base import Encoded, mask_of
from talkover.model.encoders.blocks import zero_outside
from talkover.model.encoders.whisper import (
    STRIDE,
    WHISPER_TYPES,
    encoder_weights,
    folder_config,
    in_windows,
)

WAVE_TYPES = (
    "wav2vec2",
    "wav2vec2-conformer",
    "hubert",
    "wavlm",
    "data2vec-audio",
    "unispeech",
    "unispeech-sat",
)
"""Values of ``model_type`` that hear samples."""

SAMPLING_RATE = 16000
"""Hz, of all models of `WAVE_TYPES`."""


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
    """Whisper's encoder as transformers has it."""

    hears = "features"

    def __init__(self, num_features: int, rate_hz: float, config: HfEncoderConfig) -> None:
        """Make random weights; `load` takes those of the folder."""
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
        self.width = self.tap_width = int(whisper.d_model)
        self.rate_hz = rate_hz / STRIDE
        self.window = STRIDE * int(whisper.max_source_positions)

    def load(self) -> None:
        """Take the weights of the folder."""
        self.encoder.load_state_dict(encoder_weights(Path(str(self.config.path))))

    def num_frames(self, num_feature_frames: int) -> int:
        """Windows are an even number of frames, so rounding up happens at the end alone."""
        return -(-num_feature_frames // STRIDE)

    def forward(self, features: Tensor, lengths: Tensor) -> Encoded:
        """Encode ``[B, T, F]`` window by window."""
        rows, frames, _ = features.shape
        windows = in_windows(features, lengths, self.window, False)
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


class HfWave(nn.Module):
    """A model of transformers that hears samples."""

    hears = "audio"

    def __init__(self, num_features: int, rate_hz: float, config: HfEncoderConfig) -> None:
        """Make random weights; `load` takes those of the folder."""
        super().__init__()
        from transformers import AutoModel

        self.config = config
        found = hf_config(config)
        self.encoder: Any = AutoModel.from_config(found)  # type: ignore[no-untyped-call]
        self.width = self.tap_width = int(found.hidden_size)
        self.stride = int(torch.tensor(found.conv_stride).prod())
        self.hop = round(SAMPLING_RATE / rate_hz)
        self.rate_hz = SAMPLING_RATE / self.stride
        self.shortest = self._field(found)

    @staticmethod
    def _field(found: Any) -> int:
        """Samples that the first frame is made of."""
        field = 1
        for kernel, stride in reversed(
            list(zip(found.conv_kernel, found.conv_stride, strict=True))
        ):
            field = (field - 1) * stride + kernel
        return int(field)

    def load(self) -> None:
        """Take the weights of the folder."""
        from transformers import AutoModel

        loaded = AutoModel.from_pretrained(
            str(self.config.path), local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
        self.encoder.load_state_dict(loaded.state_dict())

    def num_frames(self, num_feature_frames: int) -> int:
        """As its convolutions without padding give; at least one."""
        samples = max(self.shortest, num_feature_frames * self.hop)
        return int(self.encoder._get_feat_extract_output_lengths(samples))

    def forward(self, audio: Tensor, lengths: Tensor) -> Encoded:
        """Encode ``[B, N]``; lengths are in feature frames."""
        counts = [self.num_frames(n) for n in lengths.tolist()]
        outputs = [
            self._row(audio[row, : frames * self.hop])
            for row, frames in enumerate(lengths.tolist())
        ]

        def join(place: int) -> Tensor:
            rows = [states[place] for states in outputs]
            return torch.nn.utils.rnn.pad_sequence(rows, batch_first=True)

        return Encoded(
            hidden=join(0),
            lengths=torch.tensor(counts, device=lengths.device),
            taps=tuple(join(1 + place) for place in range(len(self.config.taps))),
        )

    def _row(self, samples: Tensor) -> list[Tensor]:
        """Last state and taps of one recording, each ``[T, D]``."""
        missing = max(0, self.shortest - len(samples))
        normal = functional.layer_norm(samples, samples.shape)  # as its feature extractor does
        output = self.encoder(
            functional.pad(normal, (0, missing))[None],
            output_hidden_states=bool(self.config.taps),
        )
        inner = output.hidden_states or ()
        taps = [inner[index + 1][0] for index in self.config.taps]
        return [output.last_hidden_state[0], *taps]


def hf_encoder(num_features: int, rate_hz: float, config: HfEncoderConfig) -> HfEncoder | HfWave:
    """The encoder of the family that the configuration is of."""
    kind = HfWave if hf_config(config).model_type in WAVE_TYPES else HfEncoder
    return kind(num_features, rate_hz, config)


def hf_resolved(config: HfEncoderConfig) -> HfEncoderConfig:
    """With the configuration of the folder, if it names one."""
    if config.path is None:
        return config
    found = folder_config(config.path, (*WHISPER_TYPES, *WAVE_TYPES)).to_dict()
    kept = {key: value for key, value in found.items() if _is_plain(value)}
    return replace(config, config=kept)


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, bool, list, dict))


def hf_config(config: HfEncoderConfig) -> Any:
    """The encoder's own configuration.

    Raises:
        ConfigurationError: If the folder holds no encoder of a supported type.
    """
    from transformers import AutoConfig, WhisperConfig

    known = config if config.config is not None else hf_resolved(config)
    values = dict(known.config or {})
    kind = values.pop("model_type", "whisper")
    if kind in WHISPER_TYPES:
        return WhisperConfig(**values)
    if kind not in WAVE_TYPES:
        raise ConfigurationError(
            f"an hf encoder is one of {', '.join((*WHISPER_TYPES, *WAVE_TYPES))}, got {kind}"
        )
    return AutoConfig.for_model(kind, **values)
