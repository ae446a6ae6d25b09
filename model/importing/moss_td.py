"""MOSS-Transcribe-Diarize, as released and as transformers (5.23 and later) writes it.

The released code (OpenMOSS/MOSS-Transcribe-Diarize) and transformers differ in the names of the
encoder and the projector alone.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from talkover.model.config import Parts
from talkover.model.encoders import EncoderConfig
from talkover.model.importing.source import (
    Source,
    language_model,
    read_config,
    read_json,
    require,
)
from talkover.model.importing.weights import stored_weights

RATE = 50.0
"""Hz, frames of the encoder."""

NAMES = (
    (r"model\.(?:audio_tower|whisper_encoder)\.", "semantic."),
    (r"model\.multi_modal_projector\.linear_1\.", "projector.map.first."),
    (r"model\.multi_modal_projector\.linear_2\.", "projector.map.second."),
    (r"model\.multi_modal_projector\.norm\.", "projector.norm."),
    (r"model\.vq_adaptor\.layers\.0\.", "projector.map.first."),
    (r"model\.vq_adaptor\.layers\.2\.", "projector.map.second."),
    (r"model\.vq_adaptor\.layers\.3\.", "projector.norm."),
    (r"model\.language_model\.", "lm.model."),
    (r"lm_head\.", "lm.lm_head."),
)
"""Beginnings of published names (transformers' first, then the release's) and ours."""


def rename(name: str) -> str | None:
    """Our name of a published weight.

    >>> rename("model.vq_adaptor.layers.3.bias"), rename("model.audio_tower.conv1.bias")
    ('projector.norm.bias', 'semantic.conv1.bias')
    """
    for pattern, ours in NAMES:
        if found := re.match(pattern, name):
            return ours + name[found.end() :]
    return name


def moss_td(folder: Path, base: Parts) -> Source:
    """See `talkover.model.importing.source.Importer`."""
    from transformers import AutoConfig

    config = read_config(folder, "moss_transcribe_diarize")
    audio: Any = AutoConfig.for_model(**{"model_type": "whisper", **config["audio_config"]})
    require(folder, audio.activation_function, "gelu", "audio_config.activation_function")
    require(folder, config.get("projector_bias", True), True, "projector_bias")
    lm = language_model(
        config["text_config"], base.lm, is_tied=bool(config.get("tie_word_embeddings", True))
    )
    merge = int(config.get("audio_merge_size", 4))
    projector = replace(
        base.projector,
        merge=merge,
        activation=config.get("projector_hidden_act", "silu"),
        norm_eps=float(lm.config["rms_norm_eps"]),
    )
    sizes = {
        "width": int(audio.d_model),
        "layers": int(audio.encoder_layers),
        "heads": int(audio.encoder_attention_heads),
        "inner": int(audio.encoder_ffn_dim),
        "positions": int(audio.max_source_positions),
        "multiple": merge,
    }
    parts = replace(
        base,
        features=replace(
            base.features,
            num_mels=int(audio.num_mel_bins),
            pieces=int(audio.max_source_positions) / RATE,
        ),
        semantic=EncoderConfig(kind="whisper", options={**base.semantic.options, **sizes}),
        projector=projector,
        layout=replace(base.layout, **_markers(folder, RATE / merge)),
        lm=lm,
    )
    return Source(parts=parts, stored=stored_weights(folder), rename=rename, tokenizer=folder)


def _markers(folder: Path, rate: float) -> dict[str, Any]:
    """Settings of the markers, where the folder says them."""
    values = read_json(folder / "processor_config.json") or {}
    if not values.get("enable_time_marker", True):
        return {"marker": "none"}
    interval = float(values.get("time_marker_every_seconds", 2))
    # Published positions are multiples of the whole part; ours are rounded one by one.
    require(folder, (interval * rate).is_integer(), True, f"vectors in {interval:g} s whole")
    return {"marker_interval": interval}
