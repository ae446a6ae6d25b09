"""TagSpeech, as released (AudenAI/Auden ``examples/tagspeech``).

The released folder may hold encoders and language model in folders of their own
(``audio_encoder``, ``voice_encoder``, ``llm``). The digits of its anchors are rows of the language
model's own table, which it freezes, so the file with copies of them is not needed.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

from talkover.manifests.errors import ConfigurationError
from talkover.model.config import Parts
from talkover.model.encoders import EncoderConfig
from talkover.model.importing.source import (
    CONFIG,
    Source,
    language_model,
    read_config,
    require,
)
from talkover.model.importing.weights import stored_weights

PARTS = ("audio_encoder", "voice_encoder", "llm")
"""Folders beside the main weights."""

RATE = 25.0
"""Hz, frames of the encoders."""

DEFAULTS: Mapping[str, Any] = {
    "feature_dim": 80,
    "output_downsampling_factor": 2,
    "num_encoder_layers": [2, 2, 3, 4, 3, 2],
    "downsampling_factor": [1, 2, 4, 8, 4, 2],
    "encoder_dim": [192, 256, 384, 512, 384, 256],
    "feedforward_dim": [576, 768, 1152, 1536, 1152, 768],
    "num_heads": [4, 4, 4, 8, 4, 4],
    "query_head_dim": [32],
    "value_head_dim": [12],
    "pos_head_dim": [4],
    "pos_dim": 48,
    "cnn_module_kernel": [31, 31, 15, 15, 15, 31],
    "causal": False,
}
"""Of the released configuration of a Zipformer, for what a folder leaves out."""

UNUSED = re.compile(r".*\.model_batch_count|.*\.layers\.\d+\.bypass_scale")
"""A count of training, and a parameter of every layer that the published code never reads."""

NAMES = (
    ("audio_encoder.", "semantic."),
    ("voice_encoder.", "speaker."),
    ("semantic_projector.linear1.", "projector.map.first."),
    ("semantic_projector.linear2.", "projector.map.second."),
    ("voice_projector.linear1.", "speaker_projector.map.first."),
    ("voice_projector.linear2.", "speaker_projector.map.second."),
    ("llm.", "lm."),
)


def rename(name: str) -> str | None:
    """Our name of a published weight.

    >>> rename("voice_projector.linear2.bias"), rename("audio_encoder.model_batch_count")
    ('speaker_projector.map.second.bias', None)
    """
    if UNUSED.fullmatch(name):
        return None
    for theirs, ours in NAMES:
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def tagspeech(folder: Path, base: Parts) -> Source:
    """See `talkover.model.importing.source.Importer`."""
    config = read_config(folder, "tagspeech")
    require(folder, config.get("tag_audio_boundary", False), False, "tag_audio_boundary")
    semantic = config["audio_encoder_config"]
    voice = config.get("voice_encoder_config") or semantic
    merges = [int(config.get(f"{n}_projector_ds_rate", 4)) for n in ("semantic", "voice")]
    intervals = [int(config.get(f"{n}_anchor_interval", 8)) for n in ("semantic", "voice")]
    require(folder, merges[1] * intervals[1], merges[0] * intervals[0], "voice_anchor_interval")
    assert base.speaker is not None
    llm = config["llm_config"]
    stored = _stored(folder)
    parts = replace(
        base,
        features=replace(base.features, num_mels=int(semantic.get("feature_dim", 80))),
        semantic=_zipformer(folder, semantic),
        speaker=_zipformer(folder, voice),
        projector=replace(base.projector, merge=merges[0]),
        speaker_projector=replace(base.speaker_projector, merge=merges[1]),
        layout=replace(
            base.layout,
            marker_interval=intervals[0] * merges[0] / RATE,
            marker_ends=bool(config.get("insert_anchors_at_ends", True)),
        ),
        lm=language_model(llm, base.lm, is_tied="llm.lm_head.weight" not in stored),
    )
    tokenizer = folder if (folder / "tokenizer_config.json").is_file() else folder / "llm"
    return Source(parts=parts, stored=stored, rename=rename, tokenizer=tokenizer)


def _stored(folder: Path) -> dict[str, Path]:
    found: dict[str, Path] = {}
    for name in PARTS:
        if (folder / name).is_dir():
            found |= stored_weights(folder / name, prefix=name + ".")
    return found | stored_weights(folder)


def _zipformer(folder: Path, given: Mapping[str, Any]) -> EncoderConfig:
    """Our options of a published encoder."""
    kind = given.get("model_type")
    if kind != "zipformer":
        raise ConfigurationError(
            f"{folder / CONFIG}: an encoder is {kind!r}, only zipformer is known"
        )
    values = {**DEFAULTS, **given}
    require(folder, values["causal"], False, "causal")
    require(folder, values["output_downsampling_factor"], 2, "output_downsampling_factor")
    widths = {name: set(_list(values[f"{name}_head_dim"])) for name in ("query", "value", "pos")}
    for name, found in widths.items():
        require(folder, len(found), 1, f"number of different values of {name}_head_dim")
    return EncoderConfig(
        kind="zipformer",
        options={
            "factors": _list(values["downsampling_factor"]),
            "widths": _list(values["encoder_dim"]),
            "inner": _list(values["feedforward_dim"]),
            "layers": _list(values["num_encoder_layers"]),
            "heads": _list(values["num_heads"]),
            "kernels": _list(values["cnn_module_kernel"]),
            "query_width": widths["query"].pop(),
            "value_width": widths["value"].pop(),
            "position_width": widths["pos"].pop(),
            "code_width": int(values["pos_dim"]),
        },
    )


def _list(value: Any) -> list[int]:
    return [int(item) for item in value]
