"""What a person may ask of a training: sizes, steps, augmentation and rates of the three models.

A file (``--config``) gives any part of it as YAML, ``--set a.b=c`` one value; an unknown key is an
error that names it. The defaults are what the models that come with talkover were trained with.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, field, is_dataclass
from pathlib import Path
from typing import Any

from pydantic import TypeAdapter, ValidationError

from talkover.annotate.models.files import ModelKind
from talkover.annotate.training.embedding import EmbeddingTraining
from talkover.annotate.training.segmentation import SegmentationTraining
from talkover.annotate.training.tagger import TaggerTraining
from talkover.manifests.errors import ConfigurationError
from talkover.manifests.settings_files import assign_all, yaml_mapping


@dataclass(frozen=True, kw_only=True)
class TrainingConfig:
    """How the three models are trained, and what their files say of them."""

    segmentation: SegmentationTraining = field(default_factory=SegmentationTraining)
    embedding: EmbeddingTraining = field(default_factory=EmbeddingTraining)
    tagger: TaggerTraining = field(default_factory=TaggerTraining)
    version: str = "1"
    """Of the weights; goes to every label that they give."""
    licence: str = "Apache-2.0"
    """SPDX id, of the weights; you must be free to give it, by the licences of the data."""

    def of(self, kind: ModelKind) -> dict[str, Any]:
        """Settings of one model as plain values."""
        values: dict[str, Any] = _plain(asdict(getattr(self, kind)))
        return values


_ADAPTER: TypeAdapter[TrainingConfig] = TypeAdapter(TrainingConfig)


def load_training_config(
    path: Path | None = None, assignments: Sequence[str] = ()
) -> TrainingConfig:
    """The defaults, changed by a YAML file and ``a.b=c`` texts.

    Args:
        path: YAML file with any part of the configuration.
        assignments: Texts such as ``segmentation.loop.steps=3000``.

    Raises:
        ConfigurationError: If the file is not YAML, or a key or value is wrong; names the key.
    """
    given = {} if path is None else yaml_mapping(path)
    assign_all(given, assignments)
    values = _over(TrainingConfig(), given, "")
    try:
        return _ADAPTER.validate_python(values)
    except ValidationError as error:
        first = error.errors()[0]
        key = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{path or '--set'}: {key}: {first['msg']}") from error


def _over(default: Any, given: Any, place: str) -> Any:
    """A dataclass as values, with those given over them."""
    if not is_dataclass(default):
        return given
    if not isinstance(given, Mapping):
        raise ConfigurationError(f"{place}: must hold settings, got {given!r}")
    values = {name: getattr(default, name) for name in default.__dataclass_fields__}
    for name, value in given.items():
        inner = f"{place}.{name}" if place else str(name)
        if name not in values:
            known = ", ".join(sorted(values))
            raise ConfigurationError(f"{inner}: no such key; known: {known}")
        values[name] = _over(values[name], value, inner)
    return values


def _plain(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _plain(inner) for key, inner in value.items()}
    return [_plain(inner) for inner in value] if isinstance(value, tuple) else value
