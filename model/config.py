"""The configuration of a model: its parts, each a frozen dataclass, stored as JSON.

`SatsConfig` is what Hugging Face saves beside the weights; `Parts` is the same, typed.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from typing import Any, Self

from transformers import AutoConfig, PreTrainedConfig

from talkover.manifests.errors import ConfigurationError
from talkover.model.codec import CodecConfig
from talkover.model.deepstack import DeepStackConfig
from talkover.model.encoders import EncoderConfig
from talkover.model.features import FeatureConfig, MaskConfig
from talkover.model.layout import LayoutConfig
from talkover.model.lora import LoraSettings
from talkover.model.losses import LossConfig
from talkover.model.projectors import ProjectorConfig
from talkover.model.settings import plain_settings, read_settings
from talkover.model.voices.model import VoiceConfig

CONFIG_VERSION = 1
"""Of the meaning of a stored layout and its parts; another one is refused."""


@dataclass(frozen=True, kw_only=True)
class CueConfig:
    """What the encoders already know at a vector, said in the language model's own embeddings."""

    words: bool = False
    """Add the embedding of each unit, weighted by its CTC probability."""
    speakers: bool = False
    """Add the embedding of each speaker's atom, weighted by its activity."""
    times: bool = False
    """Add the embedding of the atom of the vector's own time."""
    ends: bool = False
    """Add, where a word begins, the atoms of its start, its end and of the last word's start."""

    @property
    def are_any(self) -> bool:
        """Whether there is a cue at all."""
        return self.words or self.speakers or self.times or self.ends


@dataclass(frozen=True, kw_only=True)
class Tables:
    """Token ids that the heads and cues stand for; filled in by `build_model`."""

    units: tuple[int, ...] = ()
    """Token of each class of CTC, from class 1; class 0 is the blank."""
    speakers: tuple[int, ...] = ()
    """Atom of each output of the activity head."""
    times: tuple[int, ...] = ()
    """Atoms of 0 s, 0.1 s, … (in steps of the codec's resolution)."""
    digits: tuple[int, ...] = ()
    """Tokens of the digits 0 to 9, if each is one token."""
    voices: tuple[str, ...] = ()
    """Corpus-wide ids of the speakers that the classifier knows."""


@dataclass(frozen=True, kw_only=True)
class LmConfig:
    """The causal language model."""

    path: str | None = None
    """Local folder of a model of Hugging Face; nothing is ever downloaded."""
    config: Mapping[str, Any] = field(default_factory=dict)
    """Its configuration, with ``model_type``; filled in from the path."""
    attention: str = "sdpa"
    """Implementation of attention, as transformers names them."""


@dataclass(frozen=True, kw_only=True)
class Parts:
    """Everything that decides what a model is."""

    semantic: EncoderConfig
    lm: LmConfig
    features: FeatureConfig = field(default_factory=FeatureConfig)
    mask: MaskConfig | None = field(default_factory=MaskConfig)
    """SpecAugment in training; None for none."""
    speaker: EncoderConfig | None = None
    projector: ProjectorConfig = field(default_factory=ProjectorConfig)
    speaker_projector: ProjectorConfig = field(default_factory=ProjectorConfig)
    deepstack: DeepStackConfig | None = None
    """Inner states of the semantic encoder, added inside the language model; None for none."""
    layout: LayoutConfig = field(default_factory=LayoutConfig)
    codec: CodecConfig = field(default_factory=CodecConfig)
    cues: CueConfig = field(default_factory=CueConfig)
    voices: VoiceConfig | None = None
    """Linear model of speakers, which says who said each word; None for none."""
    losses: LossConfig = field(default_factory=LossConfig)
    lora: LoraSettings | None = None
    """Adapters beside linear maps; stages say when they are trained."""
    longest: float | None = None
    """Seconds of a recording that are transcribed at a time at most; None for what the context of
    the language model holds."""
    max_speakers: int = 4
    """Outputs of the activity head."""
    voice_width: int = 128
    """Width of a speaker embedding."""
    registration_width: int | None = None
    """Width of given registration vectors; None for our own speaker embeddings."""
    tables: Tables = field(default_factory=Tables)

    def __post_init__(self) -> None:
        """Check what concerns several parts."""
        if self.layout.fusion != "single" and self.speaker is None:
            raise ValueError(f"layout.fusion {self.layout.fusion} needs a speaker encoder")
        is_used = self.cues.speakers or self.layout.registration
        if self.layout.fusion == "single" and self.speaker is not None and not is_used:
            raise ValueError(
                "a speaker encoder with layout.fusion single needs cues.speakers or "
                "layout.registration"
            )
        if self.longest is not None and not self.longest > 0:
            raise ValueError(f"longest must be above 0 s, got {self.longest}")
        if self.cues.speakers and self.speaker is None and self.voices is None:
            raise ValueError("cues.speakers needs a speaker encoder or voices")
        if self.deepstack and self.deepstack.projector.merge != self.projector.merge:
            raise ValueError(
                f"deepstack.projector.merge must be {self.projector.merge}, that of the projector, "
                f"got {self.deepstack.projector.merge}"
            )

    @property
    def has_speaker_stream(self) -> bool:
        """Whether the speaker encoder's frames become vectors of the language model."""
        return self.speaker is not None and self.layout.fusion != "single"

    @classmethod
    def read(cls, values: Mapping[str, Any]) -> Self:
        """From JSON values.

        Raises:
            ConfigurationError: If a key is unknown or a value is wrong.
        """
        return read_settings(cls, values, "model")

    def plain(self) -> dict[str, Any]:
        """As JSON values."""
        return plain_settings(self)


class SatsConfig(PreTrainedConfig):  # type: ignore[misc, no-untyped-call, unused-ignore]
    """What `config.json` of a checkpoint holds."""

    model_type = "talkover_sats"

    parts: dict[str, Any] | None = None
    config_version: int = CONFIG_VERSION

    @classmethod
    def of(cls, parts: Parts) -> SatsConfig:
        """The configuration of a model of these parts."""
        return cls(parts=parts.plain())

    def typed(self) -> Parts:
        """The parts, checked.

        Raises:
            ConfigurationError: If the checkpoint is of another version, or a setting is unknown.
        """
        if self.config_version != CONFIG_VERSION:
            raise ConfigurationError(
                f"the checkpoint has layout version {self.config_version}, this talkover reads "
                f"{CONFIG_VERSION}: use the talkover that wrote it, or train again"
            )
        if self.parts is None:
            raise ConfigurationError("the configuration has no parts: it is not of a SATS model")
        return Parts.read(self.parts)


AutoConfig.register(SatsConfig.model_type, SatsConfig)

PART_NAMES = tuple(part.name for part in fields(Parts))
