"""`talkover annotate-train`: simulated sessions in, models with thresholds and scores out.

Three sets of sessions with nothing in common, neither voices nor clips: one to learn from, one that
thresholds are set on, one that scores are of. A model whose folder says that it was made of
the same sessions, settings and seed is not trained again.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from pydantic import JsonValue
from torch import nn

from talkover.annotate.models.files import (
    DESCRIPTION_FILE,
    MODEL_KINDS,
    WEIGHTS_FILE,
    ModelDescription,
    ModelKind,
    build_config,
    load_weights,
    read_description,
    save_model,
)
from talkover.annotate.models.mels import RATE
from talkover.annotate.models.sound_net import SoundNet, SoundNetConfig
from talkover.annotate.models.voice_net import VoiceNet
from talkover.annotate.models.window_net import WindowNet
from talkover.annotate.training.config import TrainingConfig
from talkover.annotate.training.embedding import EmbeddingTrainer
from talkover.annotate.training.loop import LoopConfig, Trainer, fit
from talkover.annotate.training.scores import calibrated, scored
from talkover.annotate.training.segmentation import SegmentationTrainer
from talkover.annotate.training.sessions import HeardSession, event_labels, hear_sessions
from talkover.annotate.training.tagger import TaggerTrainer
from talkover.manifests.canonical import json_sha256
from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.io import read_sessions
from talkover.manifests.markers import file_sha256

LOG = "run/train.jsonl"
FIRST_WEIGHTS = 0
"""Seed of the weights before the first step; the run's seed decides the batches."""
EARLY = "run/early"
"""Models of the steps so far, below the output folder."""


@dataclass(frozen=True, kw_only=True)
class TrainingData:
    """Folders of sessions, by what they are for."""

    train: tuple[Path, ...]
    calibrate: tuple[Path, ...] = ()
    """Other voices and clips; without them thresholds stay at their defaults."""
    test: tuple[Path, ...] = ()
    """Other voices and clips again; without them there are no scores."""


@dataclass(frozen=True, kw_only=True)
class _Work:
    """What is needed for all models of a run."""

    data: TrainingData
    out: Path
    config: TrainingConfig
    seed: int
    inputs: str
    start: Path | None
    train: list[HeardSession]
    calibrate: list[HeardSession]
    test: list[HeardSession]
    events: tuple[str, ...]
    facts: dict[str, JsonValue]


def train_models(
    data: TrainingData,
    out: Path,
    *,
    models: Sequence[ModelKind] = MODEL_KINDS,
    config: TrainingConfig | None = None,
    seed: int = 0,
    cache: Path | None = None,
    start: Path | None = None,
) -> dict[ModelKind, ModelDescription]:
    """Train models, one after the other, on one numeric thread.

    Args:
        data: Folders with ``cuts.jsonl`` and audio at 16 kHz.
        out: Gets a folder for each model, and ``run/`` with the log.
        models: Which.
        config: How; None for the defaults.
        seed: Same seed, same bytes.
        cache: Folder of features; None for ``run/cache`` of `out`.
        start: Folder of models of the same sizes to go on from; None for weights drawn by chance.

    Returns:
        What each model's `model.json` says.

    Raises:
        ConfigurationError: If a voice is in two of the sets, or a setting makes no sense.
        ManifestError: If a manifest cannot be used.
    """
    config = config or TrainingConfig()
    torch.set_num_threads(1)
    inputs = {name: [_fingerprint(f) for f in getattr(data, name)] for name in _SETS}
    events = event_labels(data.train)
    kept = cache or out / "run" / "cache"
    heard = {
        name: hear_sessions(getattr(data, name), kept, events) if getattr(data, name) else []
        for name in _SETS
    }
    _require_apart(heard)
    facts = _facts(data, heard)
    found: dict[ModelKind, ModelDescription] = {}
    for kind in models:
        settings: dict[str, JsonValue] = {
            "kind": kind,
            "settings": config.of(kind),
            "version": config.version,
            "licence": config.licence,
            "seed": seed,
            **{name: list(value) for name, value in inputs.items()},
        }
        if start is not None:
            settings["start"] = read_description(start / kind, kind).weights_sha256
        work = _Work(
            data=data,
            out=out,
            config=config,
            seed=seed,
            inputs=json_sha256(settings),
            start=start,
            train=heard["train"],
            calibrate=heard["calibrate"],
            test=heard["test"],
            events=events,
            facts=facts,
        )
        found[kind] = _done(work, kind) or _trained(work, kind)
    return found


_SETS = ("train", "calibrate", "test")


def _trained(work: _Work, kind: ModelKind) -> ModelDescription:
    torch.manual_seed(FIRST_WEIGHTS)
    network, trainer, loop, sizes = _BUILDERS[kind](work)
    before: JsonValue = None
    if work.start is not None:
        description = read_description(work.start / kind, kind)
        _start_from(network, work.start / kind, description)
        before = {"steps": description.training.get("steps"), "sha256": description.weights_sha256}

    def save(folder: Path, made: nn.Module, settings: Any, training: Any) -> ModelDescription:
        return save_model(
            folder,
            made,
            kind=kind,
            version=work.config.version,
            licence=work.config.licence,
            hyper_parameters=sizes,
            settings=settings,
            training=training,
        )

    early = work.out / EARLY / kind
    averaged = fit(
        network,
        trainer,
        loop,
        seed=work.seed,
        name=kind,
        log=work.out / LOG,
        save=lambda made, step: save(early, made, {}, {"steps": step}),
    )
    settings, figures = calibrated(kind, averaged, work.calibrate)
    training: dict[str, JsonValue] = {
        "inputs": work.inputs,
        "seed": work.seed,
        "steps": loop.steps,
        "before": before,
        **work.facts,
        "calibration": figures,
        "test": scored(kind, averaged, work.test, settings),
    }
    return save(work.out / kind, averaged, settings, training)


def _start_from(network: nn.Module, folder: Path, description: ModelDescription) -> None:
    """Load weights; a tagger of an earlier kind has fewer labels, and gets the others."""
    if isinstance(network, SoundNet):
        earlier = SoundNet(build_config(SoundNetConfig, description, folder))
        known = earlier.config.labels
        if known == network.config.labels[: len(known)] != network.config.labels:
            load_weights(earlier, folder, description)
            kept = network.state_dict()
            for name, tensor in earlier.state_dict().items():
                if tensor.shape == kept[name].shape:
                    kept[name] = tensor
                else:
                    kept[name][: len(tensor)] = tensor
            network.load_state_dict(kept)
            return
    load_weights(network, folder, description)


def _segmentation(work: _Work) -> tuple[nn.Module, Trainer, LoopConfig, dict[str, Any]]:
    config = work.config.segmentation
    network = WindowNet(config.network)
    trainer = SegmentationTrainer(network, work.train, config)
    return network, trainer, config.loop, config.network.as_dict()


def _embedding(work: _Work) -> tuple[nn.Module, Trainer, LoopConfig, dict[str, Any]]:
    config = work.config.embedding
    network = VoiceNet(config.network)
    trainer = EmbeddingTrainer(network, work.train, config)
    return network, trainer, config.loop, config.network.as_dict()


def _tagger(work: _Work) -> tuple[nn.Module, Trainer, LoopConfig, dict[str, Any]]:
    config = work.config.tagger
    sizes = SoundNetConfig(
        events=work.events,
        channels=config.channels,
        width=config.width,
        dilations=config.dilations,
        any_sound=True,
        edges=config.edges,
    )
    network = SoundNet(sizes)
    return network, TaggerTrainer(network, work.train, config), config.loop, sizes.as_dict()


_Builder = Callable[[_Work], tuple[nn.Module, Trainer, LoopConfig, dict[str, Any]]]
_BUILDERS: dict[ModelKind, _Builder] = {
    "segmentation": _segmentation,
    "embedding": _embedding,
    "tagger": _tagger,
}


def _done(work: _Work, kind: ModelKind) -> ModelDescription | None:
    """The model of an earlier run that was given the same."""
    folder = work.out / kind
    if not ((folder / DESCRIPTION_FILE).is_file() and (folder / WEIGHTS_FILE).is_file()):
        return None
    description = read_description(folder, kind)
    is_same = description.training.get("inputs") == work.inputs
    whole = file_sha256(folder / WEIGHTS_FILE) == description.weights_sha256
    return description if is_same and whole else None


def _fingerprint(folder: Path) -> str:
    """Hash of a manifest's lines."""
    file = folder / "cuts.jsonl" if folder.is_dir() else folder
    if not file.is_file():
        raise ManifestError("no such manifest", path=file)
    return file_sha256(file)


def _require_apart(heard: dict[str, list[HeardSession]]) -> None:
    voices = {name: {v for s in sessions for v in s.voices} for name, sessions in heard.items()}
    for name, other in (("train", "calibrate"), ("train", "test"), ("calibrate", "test")):
        both = sorted(voices[name] & voices[other])
        if both:
            raise ConfigurationError(
                f"{len(both)} voices are in {name} and in {other}, such as {both[0]}: "
                "scores would be those of voices that the models know"
            )


def _facts(data: TrainingData, heard: dict[str, list[HeardSession]]) -> dict[str, JsonValue]:
    """What a card says of the data."""
    licences = {
        spdx
        for folder in data.train
        for session in read_sessions(folder)
        for spdx in session.licences.spdx
    }
    hours = sum(s.num_frames for s in heard["train"]) / (100 * 3600)
    return {
        "hours": round(hours, 2),
        "sessions": len(heard["train"]),
        "voices": len({v for s in heard["train"] for v in s.voices}),
        "licences": [*sorted(licences)],
        "sampling_rate": RATE,
    }
