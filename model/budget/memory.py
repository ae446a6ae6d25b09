"""Memory of a model at work, from shapes alone.

Weights and the key-value cache follow from the configuration; activations are traced: the modules
run on tensors without data (`talkover.model.budget.peak`), layer counts are shortened to one and
two, and the rest follows, since every layer costs the same.

Shapes: ``B`` batch, ``L`` positions, ``H`` width.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass, replace
from typing import Any, Literal

import torch
from torch import Tensor
from torch._subclasses.fake_tensor import FakeTensorMode
from torch.nn import functional
from transformers import DynamicCache

from talkover.model.budget.peak import PeakBytes
from talkover.model.config import Parts, SatsConfig
from talkover.model.features import BLOCK_FRAMES
from talkover.model.hearing import HearOptions
from talkover.model.modeling import SatsModel
from talkover.model.prefill import PREFILL_CHUNK

Precision = Literal["fp32", "bf16"]
BYTES: dict[str, int] = {"fp32": 4, "bf16": 2}
ADAM = 2
"""Values that AdamW keeps of each weight, in fp32."""


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of one batch."""

    weights: int
    optimizer: int
    """Gradients and AdamW's two means, in fp32; 0 without training."""
    cache: int
    """Keys and values of all positions; 0 in training."""
    activations: int
    """Everything else that lives at the peak."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.optimizer + self.cache + self.activations


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


def cache_bytes(parts: Parts, positions: int, precision: Precision, batch: int = 1) -> int:
    """Bytes of the keys and values of all layers."""
    lm = parts.lm.config
    heads = int(lm["num_attention_heads"])
    kept = int(lm.get("num_key_value_heads") or heads)
    width = int(lm.get("head_dim") or int(lm["hidden_size"]) // heads)
    per_position = 2 * int(lm["num_hidden_layers"]) * kept * width * BYTES[precision]
    return batch * positions * per_position


class Shapes:
    """A model without data."""

    def __init__(self, parts: Parts, precision: Precision) -> None:
        """Take parts that are complete (vocabulary, tables); folders are not read."""
        self.parts, self.precision = parts, precision
        with torch.device("meta"):
            self.model = SatsModel(SatsConfig.of(replace(parts, lora=None)))
        self.num_weights = sum(p.numel() for p in self.model.parameters())
        self.dtype = torch.bfloat16 if precision == "bf16" else torch.float32

    def inference(self, load: Load) -> Memory:
        """Hearing and writing a batch."""
        cache = cache_bytes(self.parts, load.positions, self.precision, load.batch)
        return Memory(
            weights=self.num_weights * BYTES[self.precision],
            optimizer=0,
            cache=cache,
            # There is no cache yet while it is heard.
            activations=max(self.hearing(load) - cache, self.reading(load)),
        )

    def hearing(self, load: Load) -> int:
        """Bytes at the peak of features, encoders and projectors."""
        return self._peak(lambda model: _hear(model, self.parts, load), layers=None)

    def reading(self, load: Load) -> int:
        """Bytes at the peak of the prefill, with all embeddings and without the cache."""
        width = int(self.model.lm.get_input_embeddings().weight.shape[1])
        embedded = load.batch * load.positions * width * BYTES[self.precision]
        return embedded + self._by_layers(lambda model: _read(model, load), keeps_cache=True)

    def training(self, load: Load) -> Memory:
        """One update of all weights, kept in fp32; in bf16 the arithmetic is autocast."""
        activations = self._by_layers(
            lambda model: _learn(model, self.parts, load), is_training=True
        )
        return Memory(
            weights=self.num_weights * BYTES["fp32"],
            optimizer=self.num_weights * (1 + ADAM) * BYTES["fp32"],
            cache=0,
            activations=activations,
        )

    def _by_layers(
        self, work: Callable[[Any], None], *, is_training: bool = False, keeps_cache: bool = False
    ) -> int:
        """Peak of the whole depth, from one and two layers of the language model."""
        depth = int(self.parts.lm.config["num_hidden_layers"])
        one = self._peak(work, layers=1, is_training=is_training)
        if depth == 1 or keeps_cache:  # without gradients a layer leaves nothing but its cache
            return one
        two = self._peak(work, layers=2, is_training=is_training)
        return one + (two - one) * (depth - 1)

    def _peak(
        self, work: Callable[[Any], None], *, layers: int | None, is_training: bool = False
    ) -> int:
        model = copy.deepcopy(self.model)
        if layers is not None:
            _shorten(model, layers)
        if not is_training:
            model.to(dtype=self.dtype)  # type: ignore[call-arg, unused-ignore]
        with FakeTensorMode(allow_non_fake_inputs=True):
            model = model.to_empty(device="cpu")
            model.train(is_training)
            autocast = (
                torch.autocast("cpu", dtype=torch.bfloat16)
                if is_training and self.precision == "bf16"
                else nullcontext()
            )
            with torch.set_grad_enabled(is_training), autocast, PeakBytes() as peak:
                work(model)
        weights = sum(p.numel() for p in model.parameters())
        grads = weights * BYTES["fp32"] if is_training else 0
        return int(max(0, peak.peak - grads))


def _shorten(model: SatsModel, layers: int) -> None:
    """Leave the first layers of the language model only."""
    decoder = model.lm.get_decoder()
    decoder.layers = decoder.layers[:layers]
    decoder.config.num_hidden_layers = layers


def _frames(model: SatsModel, seconds: float) -> int:
    return int(model.parts.features.num_frames(int(seconds * model.parts.features.sampling_rate)))


def _features(model: SatsModel, load: Load, seconds: float) -> tuple[Tensor, Tensor]:
    frames = _frames(model, seconds)
    features = torch.empty(
        load.batch, frames, model.parts.features.num_mels, dtype=next(model.parameters()).dtype
    )
    return features, torch.full((load.batch,), frames)


def _encoded(model: SatsModel, features: Tensor, lengths: Tensor) -> tuple[Any, Any]:
    encoded = model.semantic(features, lengths)
    voices = None if model.speaker is None else model.speaker(features, lengths)
    return encoded, voices


def _hear(model: SatsModel, parts: Parts, load: Load) -> None:
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


def _read(model: SatsModel, load: Load) -> None:
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


def _learn(model: SatsModel, parts: Parts, load: Load) -> None:
    """Forward and backward of an update."""
    features, lengths = _features(model, load, load.duration)
    _spectra(model, load, features.shape[1])
    encoded, voices = _encoded(model, features, lengths)
    semantic = model.projector(encoded.hidden, encoded.lengths)
    speaker = None
    if voices is not None and model.speaker_projector is not None:
        speaker = model.speaker_projector(voices.hidden, voices.lengths)
    semantic, speaker = model.fusion(semantic, speaker)
    total = semantic.float().sum()
    if speaker is not None:
        total = total + speaker.float().sum()
    if parts.tables.units:
        total = total + model.unit_head(encoded.hidden).float().log_softmax(-1).sum()
    if voices is not None and model.activity_head is not None:
        total = total + model.activity_head(voices.hidden).float().sum()
    ids = torch.zeros(load.batch, load.positions, dtype=torch.long)
    written = model.lm.get_input_embeddings()(ids)
    is_audio = torch.zeros(load.batch, load.positions, 1, dtype=torch.bool)
    embedded = torch.where(is_audio, written.new_zeros(written.shape), written)
    logits = model.lm(inputs_embeds=embedded, logits_to_keep=load.answer, use_cache=False).logits
    labels = torch.zeros(load.batch, logits.shape[1], dtype=torch.long)
    loss = functional.cross_entropy(logits.float().flatten(0, 1), labels.flatten(), reduction="sum")
    (loss + total).backward()
