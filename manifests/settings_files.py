"""Settings as a person gives them: a YAML file with any part, and ``a.b=c`` texts over it."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Any

import yaml

from talkover.manifests.errors import ConfigurationError


def assign_all(values: dict[str, Any], assignments: Sequence[str]) -> None:
    """Put single values over nested ones.

    Args:
        values: Is changed.
        assignments: Texts such as ``segmentation.longest=30``; the value is read as YAML.

    Raises:
        ConfigurationError: If a text is no assignment.
    """
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals or not key:
            raise ConfigurationError(f"--set takes KEY=VALUE, such as a.b=[0.3,0.6]: {text!r}")
        try:
            assign(values, key.strip().split("."), yaml.safe_load(value))
        except yaml.YAMLError as error:
            raise ConfigurationError(f"--set {key}: not a value: {value!r}") from error


def yaml_mapping(path: Path) -> dict[str, Any]:
    """A YAML file that holds a mapping; an empty one gives none.

    Raises:
        ConfigurationError: If it cannot be read or holds something else.
    """
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"{path}: not a readable YAML file: {reason}") from error
    if loaded is not None and not isinstance(loaded, dict):
        raise ConfigurationError(f"{path}: must hold a mapping, got {type(loaded).__name__}")
    return loaded or {}


def assign(values: dict[str, Any], keys: Sequence[str], value: Any) -> None:
    """Set a value by its dotted place, and make the sections on the way.

    Raises:
        ConfigurationError: If something on the way is a value already.
    """
    for key in keys[:-1]:
        inner = values.setdefault(key, {})
        if not isinstance(inner, dict):
            raise ConfigurationError(f"{'.'.join(keys)}: {key} is a value, not a section")
        values = inner
    values[keys[-1]] = value
