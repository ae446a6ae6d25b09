"""A preset, changed by a file and by assignments: what the command line does."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from talkover.manifests.errors import ConfigurationError
from talkover.model.config import Parts
from talkover.model.presets.base import Preset
from talkover.model.presets.table import preset
from talkover.model.settings import plain_settings, read_settings
from talkover.model.stages import TrainConfig


def changed_preset(
    name: str | None,
    file: Path | None = None,
    assignments: Sequence[str] = (),
    *,
    seed: int = 0,
    parts: Parts | None = None,
) -> Preset:
    """A preset, changed by a YAML file and then by ``a.b=c`` texts.

    Both name settings below ``model`` (`talkover.model.config.Parts`) and ``training``
    (`talkover.model.stages.TrainConfig`); items of lists are named by number.

    With ``lm.path`` and no ``codec.tokenizer`` the tokenizer of that folder is taken.

    Args:
        name: Of the preset; None takes ``parts``, and the stages of the file.
        file: With any part of the settings.
        assignments: Such as ``training.stages.0.steps=100``; the value is read as YAML.
        seed: Of the run.
        parts: Of a checkpoint that training begins from, in the place of a preset.

    Raises:
        ConfigurationError: If the file is not YAML, or a key or value is wrong; names the key.
    """
    values = _base(name, parts, seed)
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
    _take_tokenizer(values["model"])
    if not isinstance(values["training"].get("stages"), list):
        raise ConfigurationError(
            "training.stages: must be given as a list, by --config or by --preset"
        )
    return Preset(
        parts=read_settings(Parts, values["model"], "model"),
        training=read_settings(TrainConfig, values["training"], "training"),
    )


def _base(name: str | None, parts: Parts | None, seed: int) -> Any:
    """The settings before any change."""
    if name is not None:
        chosen = preset(name)
        training = {**plain_settings(chosen.training), "seed": seed}
        return {"model": chosen.parts.plain(), "training": training}
    if parts is None:
        raise ValueError("give the name of a preset, or parts")
    return {"model": parts.plain(), "training": {"seed": seed}}


def _take_tokenizer(model: Any) -> None:
    """A language model of a folder reads and writes with the tokenizer beside it."""
    lm, codec = model.get("lm"), model.get("codec")
    if not (isinstance(lm, dict) and isinstance(codec, dict)):
        return  # the settings are refused behind this
    if isinstance(lm.get("path"), str) and codec.get("tokenizer") is None:
        if (Path(lm["path"]) / "tokenizer.json").is_file():
            codec["tokenizer"] = lm["path"]


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
