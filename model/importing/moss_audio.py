"""MOSS-Audio, as released (OpenMOSS/MOSS-Audio).

The released code attends over all frames where the paper says 100, so the imported encoder does
too. Its processor takes three ids of its own: placeholders are ours, and the two that enclose the
audio are the first behind Qwen3's vocabulary.
"""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path
from typing import Any

from talkover.model.config import Parts
from talkover.model.encoders import EncoderConfig
from talkover.model.importing.source import Source, language_model, read_config, require
from talkover.model.importing.weights import stored_weights

OPENING, CLOSING = "<|audio_bos|>", "<|audio_eos|>"
IDS: dict[str, int] = {OPENING: 151669, CLOSING: 151670}
"""Of the released processor: the first two behind the 151,669 tokens of Qwen3."""

GATES = {"gate_proj": "gate", "up_proj": "up", "down_proj": "down"}

DEFAULTS = {
    "d_model": 1280,
    "output_dim": 1280,
    "num_mel_bins": 128,
    "encoder_layers": 32,
    "encoder_attention_heads": 20,
    "encoder_ffn_dim": 5120,
    "downsample_hidden_size": 480,
    "activation_function": "gelu",
    "layer_norm_eps": 1e-5,
    "deepstack_encoder_layer_indexes": [8, 16, 24],
}
"""Of the released configuration, for what a folder leaves out."""


def rename(name: str) -> str | None:
    """Our name of a published weight.

    >>> rename("audio_encoder.conv1.bias"), rename("deepstack_audio_merger_list.1.up_proj.weight")
    ('semantic.conv1.bias', 'deepstack.projectors.1.map.up.weight')
    """
    if found := re.fullmatch(r"audio_adapter\.(\w+)\.weight", name):
        return f"projector.map.{GATES.get(found[1], found[1])}.weight"
    if found := re.fullmatch(r"deepstack_audio_merger_list\.(\d+)\.(\w+)\.weight", name):
        return f"deepstack.projectors.{found[1]}.map.{GATES.get(found[2], found[2])}.weight"
    for theirs, ours in (
        ("audio_encoder.", "semantic."),
        ("language_model.", "lm.model."),
        ("lm_head.", "lm.lm_head."),
    ):
        if name.startswith(theirs):
            return ours + name.removeprefix(theirs)
    return name


def moss_audio(folder: Path, base: Parts) -> Source:
    """See `talkover.model.importing.source.Importer`."""
    config = read_config(folder, "moss_audio")
    audio: dict[str, Any] = {**DEFAULTS, **(config.get("audio_config") or {})}
    require(folder, audio["activation_function"], "gelu", "audio_config.activation_function")
    require(folder, audio["output_dim"], audio["d_model"], "audio_config.output_dim")
    require(
        folder, audio["layer_norm_eps"], DEFAULTS["layer_norm_eps"], "audio_config.layer_norm_eps"
    )
    taps = list(audio["deepstack_encoder_layer_indexes"] or [])
    most = config.get("deepstack_num_inject_layers")
    taps = taps if most is None else taps[: int(most)]
    sizes = {
        "width": int(audio["d_model"]),
        "channels": int(audio["downsample_hidden_size"]),
        "layers": int(audio["encoder_layers"]),
        "heads": int(audio["encoder_attention_heads"]),
        "inner": int(audio["encoder_ffn_dim"]),
        "window": None,
        "taps": taps,
    }
    adapter = replace(base.projector, hidden=int(config.get("adapter_hidden_size", 8192)))
    deepstack = base.deepstack
    if deepstack is not None:
        layers = tuple(range(len(taps)))
        deepstack = replace(deepstack, layers=layers, projector=adapter) if taps else None
    stored = stored_weights(folder)
    is_tied = "lm_head.weight" not in stored
    parts = replace(
        base,
        features=replace(base.features, num_mels=int(audio["num_mel_bins"])),
        semantic=EncoderConfig(kind="conv_stem", options={**base.semantic.options, **sizes}),
        projector=adapter,
        deepstack=deepstack,
        lm=language_model(config["language_config"], base.lm, is_tied=is_tied),
    )
    return Source(
        parts=parts,
        stored=stored,
        rename=rename,
        tokenizer=folder,
        ahead=(OPENING, CLOSING),
        ids=IDS,
    )
