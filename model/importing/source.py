"""What an importer finds in a folder, and how it reads a configuration there."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Protocol

from talkover.manifests.errors import ConfigurationError
from talkover.model.config import LmConfig, Parts
from talkover.model.importing.weights import Rename

CONFIG = "config.json"


@dataclass(frozen=True, kw_only=True)
class Source:
    """A published checkpoint in our terms."""

    parts: Parts
    """Of our model."""
    stored: Mapping[str, Path]
    """See `talkover.model.importing.weights.stored_weights`."""
    rename: Rename
    tokenizer: Path
    """Folder of the tokenizer."""
    ahead: tuple[str, ...] = ()
    """Control tokens that the published code adds behind the vocabulary, in their order."""
    ids: Mapping[str, int] = field(default_factory=dict)
    """Ids that these tokens must get."""
    notes: tuple[str, ...] = ()
    """What differs from the published system, for the reader."""


class Importer(Protocol):
    """A published system."""

    def __call__(self, folder: Path, base: Parts) -> Source:
        """Read a folder.

        Args:
            folder: As it was published.
            base: The preset of the system, whose sizes and texts the folder overrules.

        Raises:
            ConfigurationError: If the folder is of another system, or uses what we do not have.
        """
        ...


def read_config(folder: Path, *types: str) -> dict[str, Any]:
    """The configuration of a folder.

    Raises:
        ConfigurationError: If there is none, or it is of none of the types.
    """
    values = read_json(folder / CONFIG)
    if values is None:
        raise ConfigurationError(f"{folder}: no {CONFIG}: not a published checkpoint")
    kind = values.get("model_type")
    if kind not in types:
        raise ConfigurationError(
            f"{folder / CONFIG}: model_type is {kind!r}, this preset reads {' or '.join(types)}"
        )
    return values


def read_json(file: Path) -> dict[str, Any] | None:
    """The values of a file; None if it is not there.

    Raises:
        ConfigurationError: If it holds no JSON object.
    """
    if not file.is_file():
        return None
    try:
        values = json.loads(file.read_text(encoding="utf8"))
    except ValueError as error:
        raise ConfigurationError(f"{file}: no JSON: {error}") from error
    if not isinstance(values, dict):
        raise ConfigurationError(f"{file}: must hold a JSON object")
    return values


def require(folder: Path, found: object, wanted: object, name: str) -> None:
    """Refuse a setting that our parts cannot follow.

    Raises:
        ConfigurationError: If the two differ.
    """
    if found != wanted:
        raise ConfigurationError(
            f"{folder / CONFIG}: {name} is {found!r}; only {wanted!r} can be imported"
        )


def language_model(values: Mapping[str, Any], base: LmConfig, *, is_tied: bool) -> LmConfig:
    """The language model of a configuration, complete, with the ways of the preset."""
    from transformers import AutoConfig

    given = {"model_type": base.config["model_type"], **values}
    config = AutoConfig.for_model(**given).to_dict()
    config["tie_word_embeddings"] = is_tied
    plain = (str, int, float, bool, list, dict)
    kept = {k: v for k, v in config.items() if v is None or isinstance(v, plain)}
    for name in ("dtype", "torch_dtype", "_name_or_path", "architectures", "transformers_version"):
        kept.pop(name, None)
    return LmConfig(config=kept, attention=base.attention)
