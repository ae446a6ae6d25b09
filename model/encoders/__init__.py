"""Encoders behind one protocol, and the table from name to class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

from talkover.manifests.errors import ConfigurationError
from talkover.model.encoders.base import Encoded, Encoder, mask_of
from talkover.model.encoders.chunks import Chunks, ChunksConfig
from talkover.model.encoders.conv_stem import ConvStem, ConvStemConfig
from talkover.model.encoders.conv_transformer import ConvTransformer, ConvTransformerConfig
from talkover.model.encoders.embedding import Embedding, EmbeddingConfig
from talkover.model.encoders.hf import HfEncoderConfig, hf_encoder, hf_resolved
from talkover.model.encoders.sanm import Sanm, SanmConfig
from talkover.model.encoders.tdnn import Tdnn, TdnnConfig, pooled
from talkover.model.encoders.vectors import Vectors, VectorsConfig
from talkover.model.encoders.whisper import Whisper, WhisperConfig
from talkover.model.encoders.zipformer import Zipformer, ZipformerConfig
from talkover.model.settings import plain_settings, read_settings

__all__ = [
    "ENCODERS",
    "Encoded",
    "Encoder",
    "EncoderConfig",
    "build_encoder",
    "load_encoder",
    "mask_of",
    "pooled",
    "resolved_encoder",
]

ENTRY_POINT_GROUP = "talkover.encoders"


@dataclass(frozen=True, kw_only=True)
class EncoderConfig:
    """Which encoder, and its options."""

    kind: str
    """A name of `ENCODERS`, or of an entry point in the group ``talkover.encoders``."""
    options: Mapping[str, Any] = field(default_factory=dict)


ENCODERS: dict[str, tuple[Callable[..., Any], type[Any]]] = {
    "conv_transformer": (ConvTransformer, ConvTransformerConfig),
    "whisper": (Whisper, WhisperConfig),
    "conv_stem": (ConvStem, ConvStemConfig),
    "sanm": (Sanm, SanmConfig),
    "zipformer": (Zipformer, ZipformerConfig),
    "tdnn": (Tdnn, TdnnConfig),
    "chunks": (Chunks, ChunksConfig),
    "hf": (hf_encoder, HfEncoderConfig),
    "vectors": (Vectors, VectorsConfig),
    "embedding": (Embedding, EmbeddingConfig),
}

RESOLVED: dict[str, Callable[[Any], Any]] = {"whisper": Whisper.resolved, "hf": hf_resolved}
"""Kinds whose option ``path`` names a folder with sizes and weights."""


def resolved_encoder(config: EncoderConfig) -> EncoderConfig:
    """With the sizes of the folder that the option ``path`` names, so that it is needed no more.

    Raises:
        ConfigurationError: If the folder holds no such encoder, or an option is wrong.
    """
    if config.options.get("path") is None or config.kind not in RESOLVED:
        return config
    _, options = ENCODERS[config.kind]
    found = RESOLVED[config.kind](read_settings(options, config.options, f"encoder {config.kind}"))
    return EncoderConfig(kind=config.kind, options=plain_settings(found))


def load_encoder(encoder: Any, config: EncoderConfig) -> None:
    """Take the weights of the folder that the option ``path`` names, if it names one."""
    if config.options.get("path") is not None and hasattr(encoder, "load"):
        encoder.load()


def build_encoder(config: EncoderConfig, num_features: int, rate_hz: float) -> Any:
    """An encoder (a module that is an `Encoder`) with random weights; see `load_encoder`.

    Args:
        config: Which one.
        num_features: Bands of the features.
        rate_hz: Feature frames a second.

    Raises:
        ConfigurationError: If there is no such encoder, or an option is wrong.
    """
    if config.kind in ENCODERS:
        made, options = ENCODERS[config.kind]
        settings = read_settings(options, config.options, f"encoder {config.kind}")
        return made(num_features, rate_hz, settings)
    for entry in entry_points(group=ENTRY_POINT_GROUP, name=config.kind):
        return entry.load()(num_features, rate_hz, **config.options)
    raise ConfigurationError(
        f"no encoder {config.kind!r}: choose from {', '.join(ENCODERS)}, or install a package with "
        f"an entry point of this name in the group {ENTRY_POINT_GROUP}"
    )
