"""The small form of a preset: narrow and shallow, for tests and trials without a GPU.

Rates, merge factors, taps, fusion, markers, prompt, text format, losses and stages stay as they
are; widths, numbers of layers and steps of training shrink. What the published system takes from
pretrained parts is made in a stage of its own, ``pretrain``, ahead of the others.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from talkover.model.config import LmConfig, Parts
from talkover.model.data.feeds import Choice
from talkover.model.encoders import EncoderConfig
from talkover.model.features import FeatureConfig
from talkover.model.presets.base import Preset
from talkover.model.projectors import ProjectorConfig
from talkover.model.stages import Stage, TrainConfig

ENCODERS: dict[str, Mapping[str, Any]] = {
    # Clips of a few seconds: filling each window to 30 s would cost four times as much.
    "whisper": {
        "width": 128,
        "layers": 3,
        "heads": 4,
        "inner": 256,
        "filling": "mask",
        "multiple": 1,
    },
    # 25 layers is the least that has a layer 24 to tap.
    "conv_stem": {"width": 64, "channels": 16, "layers": 25, "heads": 4, "inner": 128},
    "sanm": {"width": 128, "layers": 3, "later_layers": 1, "heads": 4, "inner": 256},
    "chunks": {"width": 64, "channels": 96},
    "tdnn": {"width": 64, "layers": 1},
    "conv_transformer": {
        "width": 128,
        "channels": [16, 32],
        "layers": 3,
        "kernel": 15,
        "heads": 4,
        "expansion": 2,
    },
}
"""Sizes by kind of encoder; other options stay."""

LM: Mapping[str, Any] = {
    "hidden_size": 128,
    "intermediate_size": 384,
    "num_hidden_layers": 4,
    "num_attention_heads": 4,
    "num_key_value_heads": 2,
    "tie_word_embeddings": True,
}

HEAD_WIDTH = 32
HIDDEN = 256
"""Inner width of projectors."""

RANK = 4

PRETRAIN_STEPS, STAGE_STEPS = 1200, 1200
"""Updates of the stage ahead, and of all the preset's own stages together."""

RATE = 1e-3
"""Peak rate of every stage: the published ones go on from pretrained weights."""

SECONDS = 60.0
"""Audio in a batch."""

LONGEST = 30.0
"""Seconds of a window, where the preset has longer ones."""


def small(full: Preset) -> Preset:
    """The same system, small enough to train a little on two cores."""
    return Preset(parts=small_parts(full.parts), training=small_training(full))


def small_parts(parts: Parts) -> Parts:
    """Narrow and shallow, at the same rates."""
    config = {**parts.lm.config, **LM}
    if "head_dim" in config:
        config["head_dim"] = HEAD_WIDTH
    deepstack = parts.deepstack
    if deepstack is not None:
        deepstack = replace(deepstack, projector=_projector(deepstack.projector))
    return replace(
        parts,
        features=_features(parts.features),
        semantic=_encoder(parts.semantic),
        speaker=None if parts.speaker is None else _encoder(parts.speaker),
        projector=_projector(parts.projector),
        speaker_projector=_projector(parts.speaker_projector),
        deepstack=deepstack,
        lora=None if parts.lora is None else replace(parts.lora, rank=RANK, alpha=2.0 * RANK),
        codec=replace(parts.codec, vocab_size=1024),
        voice_width=64,
        lm=LmConfig(config=config, attention=parts.lm.attention),
    )


def small_training(full: Preset) -> TrainConfig:
    """A stage that makes the parts which are pretrained elsewhere, then the preset's own, short."""
    stages = full.training.stages
    steps = max(1, STAGE_STEPS // len(stages))
    own = (
        replace(
            stage,
            steps=steps,
            lr=RATE,
            eden_steps=stage.eden_steps * steps / stage.steps,
            data=replace(stage.data, seconds=SECONDS),
        )
        for stage in stages
    )
    return replace(
        full.training,
        stages=(_pretrain(full.parts), *own),
        longest=min(full.training.longest, LONGEST),
        precision="no",
    )


def _pretrain(parts: Parts) -> Stage:
    losses = {"answer": 1.0, "ctc": 0.5}
    if parts.speaker is not None:
        losses |= {"activity": 1.0, "speaker": 0.1}
    return Stage(
        name="pretrain",
        steps=PRETRAIN_STEPS,
        losses=losses,
        data=Choice(seconds=SECONDS),
        lr=RATE,
    )


def _encoder(config: EncoderConfig) -> EncoderConfig:
    if config.kind == "zipformer":  # without the aids of its training it learns too slowly
        return EncoderConfig(kind="conv_transformer", options=ENCODERS["conv_transformer"])
    return replace(config, options={**config.options, **ENCODERS[config.kind]})


def _features(config: FeatureConfig) -> FeatureConfig:
    """Of a recording as a whole: windows filled to 30 s would cost the most, and quick ones."""
    if config.normalization == "kaldi":
        config = replace(config, normalization="mean")
    return replace(config, pieces=None)


def _projector(config: ProjectorConfig) -> ProjectorConfig:
    return replace(config, hidden=None if config.hidden is None else HIDDEN, heads=4)
