"""Presets: a model and its training under one name."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import yaml

from talkover.manifests.errors import ConfigurationError
from talkover.model.codec import CodecConfig
from talkover.model.config import CueConfig, LmConfig, Parts
from talkover.model.data.feeds import Choice
from talkover.model.encoders import EncoderConfig
from talkover.model.layout import LayoutConfig
from talkover.model.projectors import ProjectorConfig
from talkover.model.settings import plain_settings, read_settings
from talkover.model.stages import Stage, TrainConfig
from talkover.model.tokens import AtomConfig


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What a name stands for."""

    parts: Parts
    training: TrainConfig


TINY_LONGEST = 12.0
"""Seconds of a window, and the last time that has a token."""

SPEEDS = (0.9, 1.0, 1.1)
"""Three speakers out of one (Ko et al. 2015)."""


HEARD_RATE = 0.3
"""Factor on the rate of what the first stage trained: after 50 updates of writing over the same
batches CTC was at 0.54, at the full rate at 0.69."""


def tiny() -> Preset:
    """A small model for a small vocabulary, trained in half an hour on two cores.

    Everything that a turn says has a token of its own (times, speakers, words), and the audio is
    described to the language model by the same tokens (`talkover.model.cues`).
    """
    parts = Parts(
        semantic=EncoderConfig(
            kind="conv_transformer",
            options={
                "width": 144,
                "channels": [16, 32],
                "layers": 4,
                "kernel": 15,
                "attention": [3],
                "expansion": 2,
            },
        ),
        speaker=EncoderConfig(kind="tdnn", options={"width": 96, "layers": 2}),
        projector=ProjectorConfig(merge=2),
        speaker_projector=ProjectorConfig(kind="linear"),
        layout=LayoutConfig(
            fusion="add", marker="seconds", marker_interval=1.0, marker_style="atomic"
        ),
        codec=CodecConfig(
            format="inline",
            digits=1,
            atoms=AtomConfig(max_time=TINY_LONGEST + 1, max_speakers=4),
            vocab_size=1024,
        ),
        cues=CueConfig(words=True, speakers=True, times=True),
        max_speakers=4,
        lm=LmConfig(
            config={
                "model_type": "qwen3",
                "hidden_size": 128,
                "intermediate_size": 384,
                "num_hidden_layers": 3,
                "num_attention_heads": 4,
                "num_key_value_heads": 4,
                "head_dim": 32,
                "tie_word_embeddings": True,
                "max_position_embeddings": 2048,
                # Slow rotations: over a window most of a head looks at content, not at distance.
                "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
            }
        ),
    )
    return Preset(parts=parts, training=_tiny_training())


def _tiny_training() -> TrainConfig:
    every = {"ctc": 1.0, "activity": 1.0, "speaker": 0.1}
    return TrainConfig(
        longest=TINY_LONGEST,
        stages=(
            Stage(
                name="listen",
                steps=1200,
                losses=every,
                data=Choice(talkers={"1": 1.0, "2": 0.5, "3": 0.5}, speeds=SPEEDS, seconds=100.0),
                lr=2e-3,
            ),
            Stage(
                name="write",
                steps=2400,
                losses={"answer": 1.0, **every},
                data=Choice(speeds=SPEEDS, seconds=100.0),
                lr=1.5e-3,
                rates=dict.fromkeys(
                    ("semantic.*", "speaker.*", "*_head.*", "classifier.*"), HEARD_RATE
                ),
            ),
        ),
    )


PRESETS: dict[str, Callable[[], Preset]] = {"tiny": tiny}


def preset(name: str) -> Preset:
    """A preset by name.

    Raises:
        ConfigurationError: If there is none of this name.
    """
    if name not in PRESETS:
        raise ConfigurationError(f"no preset {name!r}: choose from {', '.join(PRESETS)}")
    return PRESETS[name]()


def changed_preset(
    name: str, file: Path | None = None, assignments: Sequence[str] = (), *, seed: int = 0
) -> Preset:
    """A preset, changed by a YAML file and then by ``a.b=c`` texts.

    Both name settings below ``model`` (`talkover.model.config.Parts`) and ``training``
    (`talkover.model.stages.TrainConfig`); items of lists are named by number.

    Args:
        name: Of the preset.
        file: With any part of the settings.
        assignments: Such as ``training.stages.0.steps=100``; the value is read as YAML.
        seed: Of the run.

    Raises:
        ConfigurationError: If the file is not YAML, or a key or value is wrong; names the key.
    """
    chosen = preset(name)
    values: Any = {
        "model": chosen.parts.plain(),
        "training": {**plain_settings(chosen.training), "seed": seed},
    }
    if file is not None:
        try:
            loaded = yaml.safe_load(file.read_text(encoding="utf8"))
        except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
            reason = " ".join(str(error).split())
            raise ConfigurationError(f"{file}: not a readable YAML file: {reason}") from error
        values = _merged(values, loaded or {}, str(file))
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigurationError(f"--set takes KEY=VALUE, such as training.seed=1: {text!r}")
        try:
            _assign(values, key.strip().split("."), yaml.safe_load(value), key)
        except yaml.YAMLError as error:
            raise ConfigurationError(f"--set {key}: not a value: {value!r}") from error
    return Preset(
        parts=read_settings(Parts, values["model"], "model"),
        training=read_settings(TrainConfig, values["training"], "training"),
    )


def _merged(values: Any, changes: Any, where: str) -> Any:
    """Values with the changes in them; mappings are merged, all else is replaced."""
    if not isinstance(values, dict):
        return changes
    if not isinstance(changes, dict):
        raise ConfigurationError(f"{where}: must hold a mapping, got {type(changes).__name__}")
    unknown = set(changes) - set(values) if where.count(":") == 0 else set()
    if unknown:
        raise ConfigurationError(f"{where}: no such key: {sorted(unknown)[0]}")
    merged = dict(values)
    for key, change in changes.items():
        is_inner = isinstance(values.get(key), dict) and isinstance(change, dict)
        merged[key] = _merged(values[key], change, f"{where}:{key}") if is_inner else change
    return merged


def _assign(values: Any, keys: Sequence[str], value: Any, name: str) -> None:
    """Set what a dotted name means."""
    for place, key in enumerate(keys):
        is_last = place == len(keys) - 1
        if isinstance(values, list):
            if not (key.isdecimal() and int(key) < len(values)):
                raise ConfigurationError(f"--set {name}: {key} is not one of {len(values)} items")
            at: Any = int(key)
        elif isinstance(values, dict):
            at = key
        else:
            raise ConfigurationError(f"--set {name}: {keys[place - 1]} is a value, not a section")
        if is_last:
            values[at] = value
        elif isinstance(values, dict):
            values = values.setdefault(at, {})
        else:
            values = values[at]
