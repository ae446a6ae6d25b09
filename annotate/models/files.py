"""Weights on disk: safetensors beside a JSON file that says how to build the model and who made it.

A folder holds `model.safetensors` and `model.json`. The weights may be stored in half precision;
in memory they are float32. A folder whose hash, keys or shapes are not what they should be is
refused: a model that is nearly right gives labels that are quietly wrong.
"""

from __future__ import annotations

import hashlib
import json
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Literal, TypeVar

from pydantic import BaseModel, ConfigDict, Field, JsonValue, ValidationError

from talkover.manifests.errors import ConfigurationError, MissingExtraError
from talkover.manifests.markers import atomic_path, file_sha256

if TYPE_CHECKING:
    import torch

WEIGHTS_FILE = "model.safetensors"
DESCRIPTION_FILE = "model.json"
SHIPPED = Path(__file__).parent.parent / "weights"
"""Folder of the models that come with talkover."""

Config = TypeVar("Config")
ModelKind = Literal["segmentation", "embedding", "tagger"]
MODEL_KINDS: tuple[ModelKind, ...] = ("segmentation", "embedding", "tagger")


@dataclass(frozen=True, kw_only=True, slots=True)
class ModelCard:
    """Who made a model, for the labels that it gives."""

    name: str
    version: str
    licence: str
    """SPDX id of the weights."""
    weights_sha256: str | None
    """Of the file; None for weights drawn by chance."""
    non_commercial: bool = False


class ModelDescription(BaseModel):
    """What `model.json` holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    kind: ModelKind
    version: str
    licence: str
    weights_sha256: str = Field(pattern=r"^[0-9a-f]{64}$")
    hyper_parameters: dict[str, JsonValue]
    """Arguments of the network's class."""
    settings: dict[str, JsonValue] = Field(default_factory=dict)
    """What was calibrated after training, such as thresholds."""
    training: dict[str, JsonValue] = Field(default_factory=dict)
    """Data, steps, seed and scores, for people."""

    @property
    def card(self) -> ModelCard:
        """The part that labels carry."""
        return ModelCard(
            name=f"talkover-{self.kind}",
            version=self.version,
            licence=self.licence,
            weights_sha256=self.weights_sha256,
        )


def untrained_card(kind: ModelKind) -> ModelCard:
    """Card of weights drawn by chance, for tests and for the start of training."""
    return ModelCard(
        name=f"talkover-{kind}", version="untrained", licence="Apache-2.0", weights_sha256=None
    )


def is_shipped(kind: ModelKind) -> bool:
    """Whether talkover's own weights of a kind are installed."""
    return (SHIPPED / kind / WEIGHTS_FILE).is_file()


def read_description(folder: Path | None, kind: ModelKind) -> ModelDescription:
    """What a folder says about its model.

    Args:
        folder: Where; None for the weights that come with talkover.
        kind: What it has to be.

    Raises:
        ConfigurationError: If there is no such model, or it is of another kind.
    """
    path = (folder or SHIPPED / kind) / DESCRIPTION_FILE
    try:
        description = ModelDescription.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(
            f"{path}: no {kind} model ({error.strerror}): give the folder of a trained one"
        ) from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"])
        raise ConfigurationError(f"{path}: {place or 'file'}: {first['msg']}") from error
    if description.kind != kind:
        raise ConfigurationError(f"{path}: kind is {description.kind!r}, needed is {kind!r}")
    return description


def build_config(kind: type[Config], description: ModelDescription, folder: Path | None) -> Config:
    """The sizes of a network, as a description says.

    Raises:
        ConfigurationError: If it has other fields than the network.
    """
    try:
        return kind(**description.hyper_parameters)
    except (TypeError, ValueError) as error:
        path = (folder or SHIPPED / description.kind) / DESCRIPTION_FILE
        raise ConfigurationError(f"{path}: hyper_parameters: {error}") from error


def load_weights(
    network: torch.nn.Module, folder: Path | None, description: ModelDescription
) -> None:
    """Put a folder's weights into a network that was built as its description says.

    Raises:
        ConfigurationError: If the file is not the described one, or is of another network.
        MissingExtraError: If safetensors is not installed.
    """
    try:
        from safetensors import SafetensorError
        from safetensors.torch import load_file
    except ImportError as error:
        raise MissingExtraError("safetensors", "annotate", "our annotation models") from error
    path = (folder or SHIPPED / description.kind) / WEIGHTS_FILE
    if not path.is_file():
        raise ConfigurationError(f"{path}: there are no weights beside {DESCRIPTION_FILE}")
    if file_sha256(path) != description.weights_sha256:
        raise ConfigurationError(
            f"{path}: weights_sha256 in {DESCRIPTION_FILE} is of another file: copy both together"
        )
    try:
        found = load_file(path)
    except SafetensorError as error:
        raise ConfigurationError(f"{path}: not a safetensors file ({error})") from error
    _require_same(path, network.state_dict(), found)
    network.load_state_dict({name: tensor.float() for name, tensor in found.items()})


def save_model(
    folder: Path,
    network: torch.nn.Module,
    *,
    kind: ModelKind,
    version: str,
    licence: str,
    hyper_parameters: Mapping[str, JsonValue],
    settings: Mapping[str, JsonValue],
    training: Mapping[str, JsonValue],
) -> ModelDescription:
    """Write a model in half precision, weights first; the same model gives the same bytes.

    Args:
        folder: Made where it is missing.
        network: Whose weights are written.
        kind: What it is for.
        version: Of the weights.
        licence: Of the weights.
        hyper_parameters: Arguments of the network's class.
        settings: What was calibrated.
        training: Data, steps, seed and scores.
    """
    from safetensors.torch import save

    halves = {name: t.detach().half().contiguous() for name, t in network.state_dict().items()}
    data = save(halves)
    description = ModelDescription(
        kind=kind,
        version=version,
        licence=licence,
        weights_sha256=hashlib.sha256(data).hexdigest(),
        hyper_parameters=dict(hyper_parameters),
        settings=dict(settings),
        training=dict(training),
    )
    folder.mkdir(parents=True, exist_ok=True)
    with atomic_path(folder / WEIGHTS_FILE) as temporary:
        temporary.write_bytes(data)
    write_description(folder, description)
    return description


def write_description(folder: Path, description: ModelDescription) -> None:
    """Write `model.json`."""
    text = json.dumps(description.model_dump(mode="json"), indent=1, ensure_ascii=False)
    with atomic_path(folder / DESCRIPTION_FILE) as temporary:
        temporary.write_text(text + "\n", encoding="utf8")


def _require_same(
    path: Path, wanted: Mapping[str, torch.Tensor], found: Mapping[str, torch.Tensor]
) -> None:
    for name in sorted({*wanted, *found}):
        if name not in found:
            raise ConfigurationError(f"{path}: tensor {name} is missing")
        if name not in wanted:
            raise ConfigurationError(f"{path}: tensor {name} is not of this network")
        if wanted[name].shape != found[name].shape:
            raise ConfigurationError(
                f"{path}: tensor {name} has shape {tuple(found[name].shape)}, "
                f"needed is {tuple(wanted[name].shape)}"
            )
