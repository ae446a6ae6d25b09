"""From parts to a model that is ready to be trained."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import torch
from transformers import AutoConfig, AutoModelForCausalLM

from talkover.manifests.errors import ConfigurationError
from talkover.model.codec import SatsCodec
from talkover.model.config import LmConfig, Parts, SatsConfig, Tables
from talkover.model.cues import clock_embeddings
from talkover.model.encoders import load_encoder, resolved_encoder
from talkover.model.lora import insert_lora
from talkover.model.modeling import SatsModel, vocabulary_of

__all__ = ["asked_parts", "build_model", "resolved_parts", "vocabulary_of"]

CUED_SHARE = 0.3
"""Loudness at which projected audio begins beside cues, in that of text: four equal voices would
drown the cues that can be copied at once."""


def build_model(
    parts: Parts, codec: SatsCodec, *, units: tuple[int, ...] = (), voices: tuple[str, ...] = ()
) -> SatsModel:
    """A model ready to be trained: random weights, or those of the folders that the parts name.

    Args:
        parts: What it is made of.
        codec: Its text format and tokenizer.
        units: Token ids that CTC knows, such as those of the words of the training texts.
        voices: Corpus-wide ids of speakers that the classifier knows.

    Raises:
        ConfigurationError: If parts do not fit each other.
    """
    parts = resolved_parts(parts)
    parts = replace(
        parts,
        lm=with_vocabulary(parts.lm, codec),
        tables=Tables(
            units=units,
            speakers=tuple(codec.speaker_ids(parts.max_speakers)) if parts.cues.speakers else (),
            times=tuple(codec.time_ids()),
            digits=codec.digit_ids(),
            voices=voices,
        ),
    )
    if parts.cues.times and not parts.tables.times:
        raise ConfigurationError("cues.times needs atoms of times: set codec.atoms.max_time")
    # Adapters come last: the weights of folders know nothing of them.
    model = SatsModel(SatsConfig.of(replace(parts, lora=None)))
    _load_folders(model)
    _set_loudness(model)
    if parts.lora is not None:
        insert_lora(model, parts.lora)
        model.parts = parts
        model.config.parts = parts.plain()
    return model


def resolved_parts(parts: Parts) -> Parts:
    """With the sizes of the folders that the parts name.

    Raises:
        ConfigurationError: If a folder does not hold what it should.
    """
    lm = parts.lm
    if lm.path is not None:
        with _named(lm.path):
            found = AutoConfig.from_pretrained(lm.path, local_files_only=True).to_dict()
        lm = replace(lm, config={k: v for k, v in found.items() if _is_plain(v)})
    speaker = None if parts.speaker is None else resolved_encoder(parts.speaker)
    return replace(parts, lm=lm, semantic=resolved_encoder(parts.semantic), speaker=speaker)


def asked_parts(parts: Parts) -> Parts:
    """What a checkpoint of these parts must hold: with sizes of folders, and nothing else."""
    found = resolved_parts(parts)
    config = {} if parts.lm.path is not None else parts.lm.config
    return replace(found, lm=replace(found.lm, config=config))


def _load_folders(model: SatsModel) -> None:
    """Take the weights of the folders that the parts name."""
    parts = model.parts
    load_encoder(model.semantic, parts.semantic)
    if parts.speaker is not None:
        load_encoder(model.speaker, parts.speaker)
    if parts.lm.path is None:
        return
    with _named(parts.lm.path):
        model.lm = AutoModelForCausalLM.from_pretrained(
            parts.lm.path,
            local_files_only=True,
            use_safetensors=True,
            attn_implementation=parts.lm.attention,
            dtype=torch.float32,
        )
    model.lm.resize_token_embeddings(int(parts.lm.config["vocab_size"]), mean_resizing=False)


@contextmanager
def _named(path: str) -> Iterator[None]:
    """Errors of transformers about a folder, in one line that names it."""
    if not Path(path).is_dir():
        raise ConfigurationError(f"lm.path: no such folder: {path} (nothing is ever downloaded)")
    try:
        yield
    except (OSError, ValueError) as error:
        reason = " ".join(str(error).split())
        raise ConfigurationError(f"lm.path: {path}: not a language model: {reason}") from error


def _set_loudness(model: SatsModel) -> None:
    """Let projected audio begin as loud as text, and times near in time be alike."""
    parts = model.parts
    table = model.lm.get_input_embeddings().weight
    loudness = float(table.detach().float().square().mean().sqrt())
    share = CUED_SHARE if parts.cues.are_any else 1.0
    for projector in (model.projector, model.speaker_projector, model.deepstack):
        if projector is not None:
            projector.start_at_loudness(share * loudness)
    if parts.cues.times and parts.lm.path is None:
        with torch.no_grad():
            rows = torch.tensor(parts.tables.times)
            table[rows] = loudness * clock_embeddings(
                len(rows), 10**parts.codec.digits, table.shape[1]
            ).to(table.dtype)


def with_vocabulary(lm: LmConfig, codec: SatsCodec) -> LmConfig:
    """The language model's configuration, complete and with room for every token."""
    values = dict(lm.config)
    if "model_type" not in values:
        raise ConfigurationError("lm.config must name its model_type, or lm.path a local folder")
    size = max(len(codec), int(values.get("vocab_size", 0)) if lm.path is not None else 0)
    values.update(vocab_size=size, pad_token_id=codec.pad_id, eos_token_id=codec.end_id)
    values.update(bos_token_id=None)
    return replace(lm, config={k: v for k, v in values.items() if _is_plain(v)})


def _is_plain(value: Any) -> bool:
    return value is None or isinstance(value, (str, int, float, bool, list, dict))
