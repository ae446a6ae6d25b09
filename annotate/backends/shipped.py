"""Talkover's own models as backends use them: by folder, as objects, or the shipped ones."""

from __future__ import annotations

import hashlib
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from pydantic import JsonValue

from talkover.annotate.backends.base import BackendInfo
from talkover.annotate.models.files import ModelCard, ModelKind, is_shipped, read_description
from talkover.annotate.offline import go_offline
from talkover.manifests.canonical import canonical_json
from talkover.manifests.seeds import content_id

Source = Any
"""A folder, a loaded model, or None for the model that comes with talkover."""

NEEDS: Mapping[ModelKind, tuple[str, ...]] = {
    "segmentation": ("torch", "safetensors"),
    "embedding": ("torch", "safetensors"),
    "tagger": ("torch", "safetensors"),
}
"""Modules that a model of a kind imports."""


def load_model(kind: ModelKind, source: Source) -> Any:
    """A model ready for use.

    Args:
        kind: What it is for.
        source: Where it is.

    Raises:
        ConfigurationError: If the folder holds no such model.
        MissingExtraError: If a package is missing.
    """
    if source is not None and not isinstance(source, str | Path):
        return source
    go_offline()
    folder = None if source is None else Path(source)
    if kind == "segmentation":
        from talkover.annotate.models.segmentation import LocalSpeakers

        return LocalSpeakers.load(folder)
    if kind == "embedding":
        from talkover.annotate.models.embedding import SpeakerEmbedding

        return SpeakerEmbedding.load(folder)
    from talkover.annotate.models.tagger import Tagger

    return Tagger.load(folder)


def models_available(sources: Mapping[ModelKind, Source]) -> tuple[bool, str]:
    """Whether models can be loaded, and if not, what is missing and how to get it."""
    for kind, source in sources.items():
        if source is not None and not isinstance(source, str | Path):
            continue
        for module in NEEDS[kind]:
            if not _is_installed(module):
                return False, f"{module} is not installed: pip install talkover[annotate]"
        if source is None and not is_shipped(kind):
            return False, f"the {kind} weights are not installed: give the folder of a model"
        if source is not None and not Path(source).is_dir():
            return False, f"{source}: there is no such folder of a {kind} model"
    return True, ""


def model_info(name: str, version: str, sources: Mapping[ModelKind, Source]) -> BackendInfo:
    """Who speaks for labels that come from some models.

    Args:
        name: Of the backend.
        version: Of what the backend does with the models.
        sources: Where the models are.

    Returns:
        One model's hash as it is; of several, the hash of their hashes in order.
    """
    cards = [_card(kind, source) for kind, source in sources.items()]
    calibrated: dict[str, JsonValue] = {
        kind: settings_of(kind, source) for kind, source in sources.items()
    }
    if any(calibrated.values()):  # thresholds decide labels as much as weights do
        version += "." + content_id(canonical_json(calibrated), length=8)
    hashes = [card.weights_sha256 for card in cards if card.weights_sha256]
    together = hashlib.sha256("".join(hashes).encode()).hexdigest()
    return BackendInfo(
        name=name,
        version="+".join([version, *(card.version for card in cards)]),
        licence=" AND ".join(dict.fromkeys(card.licence for card in cards)),
        weights_sha256=(hashes[0] if len(hashes) == 1 else together) if hashes else None,
        non_commercial=any(card.non_commercial for card in cards),
    )


def _card(kind: ModelKind, source: Source) -> ModelCard:
    if source is not None and not isinstance(source, str | Path):
        unknown = ModelCard(
            name=type(source).__name__, version="object", licence="unknown", weights_sha256=None
        )
        return getattr(source, "card", unknown)
    return read_description(None if source is None else Path(source), kind).card


def settings_of(kind: ModelKind, source: Source) -> dict[str, JsonValue]:
    """What was calibrated for a model after its training."""
    if source is not None and not isinstance(source, str | Path):
        return dict(getattr(source, "settings", {}))
    return dict(read_description(None if source is None else Path(source), kind).settings)


def _is_installed(module: str) -> bool:
    try:
        return importlib.util.find_spec(module) is not None
    except ModuleNotFoundError:  # of the package that a dotted name is in
        return False
