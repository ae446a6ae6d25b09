"""What a model does with a batch, on tensors without data: hearing, reading, learning.

Each follows what `talkover.model.modeling` and `talkover.model.hearing` do, as far as it takes
memory; `talkover.model.budget.memory` follows the bytes.

Shapes: ``B`` batch, ``L`` positions, ``H`` width.
"""

from __future__ import annotations

from collections.abc import Collection
from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional
from transformers import DynamicCache

from talkover.model.config import Parts
from talkover.model.cues import Beginnings
from talkover.model.features import BLOCK_FRAMES
from talkover.model.hearing import HearOptions
from talkover.model.modeling import SatsModel
from talkover.model.objectives import ANSWERED, Heard
from talkover.model.prefill import PREFILL_CHUNK


@dataclass(frozen=True, kw_only=True)
class Load:
    """What is done at a time."""

    batch: int
    duration: float
    """Seconds of each recording."""
    positions: int
    """Of each row, with the answer."""
    answer: int
    """Positions with labels."""


def _frames(model: SatsModel, seconds: float) -> int:
    return int(model.parts.features.num_frames(int(seconds * model.parts.features.sampling_rate)))


def _features(model: SatsModel, load: Load, seconds: float) -> tuple[Tensor, Tensor]:
    frames = _frames(model, seconds)
    features = torch.empty(
        load.batch, frames, model.parts.features.num_mels, dtype=next(model.parameters()).dtype
    )
    return features, torch.full((load.batch,), frames)


def _encoded(model: SatsModel, features: Tensor, lengths: Tensor) -> tuple[Any, Any]:
    encoded = _heard_by(model, model.semantic, features, lengths)
    voices = None
    if model.speaker is not None:
        voices = _heard_by(model, model.speaker, features, lengths)
    return encoded, voices


def _heard_by(model: SatsModel, encoder: Any, features: Tensor, lengths: Tensor) -> Any:
    """The frames of an encoder, of whatever it takes."""
    rows, frames = features.shape[:2]
    if encoder.hears == "vectors":
        shape = (rows, encoder.num_frames(frames), encoder.width)
        return encoder(features.new_empty(shape), lengths)
    if encoder.hears == "audio":
        return encoder(features.new_empty(rows, frames * model.parts.features.hop), lengths)
    return encoder(features, lengths)


def hear(model: SatsModel, parts: Parts, load: Load) -> None:
    """One window with all that is kept of the others, then the vectors of everything."""
    options = HearOptions()
    is_cut = load.duration > options.longest and getattr(model.semantic, "window", None) is None
    seconds = options.window + 2 * options.overlap if is_cut else load.duration
    whole, _ = _features(model, load, load.duration)
    kept = torch.empty(
        load.batch,
        model.semantic.num_frames(whole.shape[1]),
        model.semantic.width,
        dtype=whole.dtype,
    )
    features, lengths = _features(model, load, seconds)
    _spectra(model, load, whole.shape[1])
    encoded, voices = _encoded(model, features, lengths)
    del features, encoded, voices, whole
    if parts.tables.units:
        model.unit_head(kept)
    model.projector(kept, torch.full((load.batch,), kept.shape[1]))


def _spectra(model: SatsModel, load: Load, frames: int) -> None:
    """What log-mel features take on their way, block by block."""
    config = model.parts.features
    size = round(config.window * config.sampling_rate)
    filters = torch.empty(size // 2 + 1, config.num_mels)
    inside = torch.empty(load.batch, frames * config.hop, dtype=torch.bool)
    quiet = torch.where(inside, torch.empty(load.batch, frames * config.hop), 0.0)
    whole = functional.pad(quiet, (size // 2, size - size // 2))
    block = whole[:, : (min(frames, BLOCK_FRAMES) - 1) * config.hop + size]
    spectrum = torch.stft(
        block,
        size,
        config.hop,
        window=torch.empty(size),
        center=False,
        return_complex=True,
    )
    spectrum.abs().square().transpose(1, 2) @ filters


def read(model: SatsModel, load: Load) -> None:
    """The last chunk of the prefill, over a cache that is counted elsewhere."""
    chunk = min(PREFILL_CHUNK, load.positions)
    before = load.positions - chunk
    weight = model.lm.get_input_embeddings().weight
    config = model.lm.config
    cache: Any = None
    if before:
        heads = config.num_key_value_heads
        width = (
            getattr(config, "head_dim", None) or config.hidden_size // config.num_attention_heads
        )
        cache = DynamicCache(config=config)  # type: ignore[no-untyped-call, unused-ignore]
        empty = torch.empty(load.batch, heads, before, width, dtype=weight.dtype)
        for layer in range(config.num_hidden_layers):
            cache.update(empty, empty, layer)
    positions = torch.arange(before, load.positions)[None].expand(load.batch, -1)
    # The first chunk of rows without padding is read without a mask; traced, one would be built.
    mask = None if before else dict.fromkeys(set(config.layer_types), None)
    model.lm(
        attention_mask=mask,
        inputs_embeds=torch.empty(load.batch, chunk, weight.shape[1], dtype=weight.dtype),
        position_ids=positions,
        past_key_values=cache,
        use_cache=before > 0,
        logits_to_keep=1,
    )


def learn(model: SatsModel, load: Load, losses: Collection[str]) -> None:
    """Forward and backward of an update, as far as its losses need it."""
    features, lengths = _features(model, load, load.duration)
    _spectra(model, load, features.shape[1])
    encoded, voices = _encoded(model, features, lengths)
    heard = model.heard_of(encoded, voices, is_read=False)
    total = features.new_zeros(())
    if heard.unit_logits is not None and {"ctc", "onsets"}.intersection(losses):
        total = total + heard.unit_logits.float().log_softmax(-1).sum()
    if heard.duration_logits is not None and "durations" in losses:
        total = total + heard.duration_logits.float().sum()
    if heard.activity_logits is not None and "activity" in losses:
        total = total + heard.activity_logits.float().sum()
    if any(name in ANSWERED for name in losses):
        total = total + _answered(model, load, heard)
    if total.requires_grad:
        total.backward()  # type: ignore[no-untyped-call, unused-ignore]


def _answered(model: SatsModel, load: Load, heard: Heard) -> Tensor:
    """What the language model learns from."""
    sound, deep = _read_vectors(model, load, heard)
    ids = torch.zeros(load.batch, load.positions, dtype=torch.long)
    written = model.lm.get_input_embeddings()(ids)
    is_audio = torch.zeros(load.batch, load.positions, 1, dtype=torch.bool)
    spread = functional.pad(sound, (0, 0, 0, load.positions - sound.shape[1]))
    embedded = torch.where(is_audio, spread.to(written.dtype), written)
    # Rows of a batch differ in length, so what is behind them is masked; of one alone nothing is.
    square = (load.batch, 1, load.positions, load.positions)
    mask = torch.ones(square, dtype=torch.bool) if load.batch > 1 else None
    logits = model.lm(
        inputs_embeds=embedded,
        attention_mask=mask,
        logits_to_keep=load.answer,
        use_cache=False,
    ).logits
    labels = torch.zeros(load.batch, logits.shape[1], dtype=torch.long)
    loss = functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="sum")
    for added in deep:
        loss = loss + added.float().sum()
    return loss


def _read_vectors(model: SatsModel, load: Load, heard: Heard) -> tuple[Tensor, tuple[Tensor, ...]]:
    """The vectors of the audio, all streams one behind the other, and what DeepStack adds."""
    encoded, voices = heard.encoded, heard.voices
    semantic = model.projector(encoded.hidden, encoded.lengths)
    speaker = None
    if voices is not None and model.speaker_projector is not None:
        speaker = model.speaker_projector(voices.hidden, voices.lengths)
    semantic, speaker = model.fusion(semantic, speaker)
    if model.cues is not None:
        frames, begun = semantic.shape[1], None
        if model.voices is not None:
            flat = semantic.new_empty(load.batch, frames)
            begun = Beginnings(
                speakers=semantic.new_empty(load.batch, frames, model.parts.max_speakers),
                starts=flat,
                ends=flat,
                before=flat,
                is_last=flat > 0,
            )
        table = model.lm.get_input_embeddings().weight
        units, active = heard.unit_logits, heard.activity_logits
        semantic = semantic + model.cues(table, model.semantic_rate, frames, units, active, begun)
    deep = ()
    if model.deepstack is not None:
        deep = model.deepstack(encoded.taps, encoded.lengths)
    sound = semantic if speaker is None else torch.cat([semantic, speaker], dim=1)
    return sound, deep
