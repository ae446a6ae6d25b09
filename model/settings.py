"""Reading the parts of a model's configuration from JSON, with unknown keys refused."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import MISSING, fields, is_dataclass
from typing import Any, TypeVar, get_args, get_type_hints

from talkover.manifests.errors import ConfigurationError

T = TypeVar("T")


def read_settings(kind: type[T], values: Mapping[str, Any] | None, where: str) -> T:
    """A frozen dataclass from JSON values; lists become tuples, mappings nested dataclasses.

    Args:
        kind: The dataclass.
        values: Its fields by name; None for all defaults.
        where: Dotted place in the configuration, for the error.

    Raises:
        ConfigurationError: If a key is unknown, one that is needed is missing, or a value is wrong.
    """
    values = values or {}
    known = {field.name: field for field in fields(kind)}  # type: ignore[arg-type]
    for key in values:
        if key not in known:
            raise ConfigurationError(f"{where}.{key}: no such setting; known: {', '.join(known)}")
    for name, field in known.items():
        if name not in values and field.default is MISSING and field.default_factory is MISSING:
            raise ConfigurationError(f"{where}.{name}: must be given")
    hints = get_type_hints(kind)
    made = {name: _value(hints[name], value, f"{where}.{name}") for name, value in values.items()}
    try:
        return kind(**made)
    except (TypeError, ValueError) as error:
        raise ConfigurationError(f"{where}: {error}") from error


def plain_settings(settings: Any) -> dict[str, Any]:
    """The inverse of `read_settings`: JSON values, tuples as lists."""
    return {field.name: _plain(getattr(settings, field.name)) for field in fields(settings)}


def _plain(value: Any) -> Any:
    if is_dataclass(value) and not isinstance(value, type):
        return plain_settings(value)
    if isinstance(value, Mapping):
        return {key: _plain(item) for key, item in value.items()}
    return [_plain(item) for item in value] if isinstance(value, (list, tuple)) else value


def _value(hint: Any, value: Any, where: str) -> Any:
    options = [hint, *get_args(hint)]
    if isinstance(value, Mapping):
        for option in options:
            if isinstance(option, type) and is_dataclass(option):
                return read_settings(option, value, where)
    if isinstance(value, list):
        items = [option for option in options if isinstance(option, type) and is_dataclass(option)]
        return tuple(_value(items[0], item, where) if items else _tuple(item) for item in value)
    return value


def _tuple(value: Any) -> Any:
    return tuple(_tuple(item) for item in value) if isinstance(value, list) else value
