"""Encoders behind one protocol, and the table from name to class."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from importlib.metadata import entry_points
from typing import Any

from talkover.manifests.errors import ConfigurationError
from talkover.model.encoders.base import Encoded, Encoder, mask_of
from talkover.model.encoders.conv_transformer import ConvTransformer, ConvTransformerConfig
from talkover.model.encoders.hf import HfEncoder, HfEncoderConfig
from talkover.model.encoders.tdnn import Tdnn, TdnnConfig, pooled
from talkover.model.settings import read_settings

__all__ = [
    "ENCODERS",
    "Encoded",
    "Encoder",
    "EncoderConfig",
    "build_encoder",
    "mask_of",
    "pooled",
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
    "tdnn": (Tdnn, TdnnConfig),
    "hf": (HfEncoder, HfEncoderConfig),
}


def build_encoder(config: EncoderConfig, num_features: int, rate_hz: float) -> Any:
    """An encoder (a module that is an `Encoder`) with random weights, or its own.

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
