"""Memory of a model at work, from shapes alone.

Weights and the key-value cache follow from the configuration; activations are traced: the modules
run on tensors without data (`talkover.model.budget.peak`); of a deep language model only the first
layers do, and the rest follows, since every layer costs the same.

Shapes: ``B`` batch, ``L`` positions, ``H`` width.
"""

from __future__ import annotations

import copy
from collections.abc import Callable
from contextlib import nullcontext
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import nn
from torch._subclasses.fake_tensor import FakeTensorMode

from talkover.model.budget.peak import PeakBytes
from talkover.model.budget.work import Load, hear, learn, read
from talkover.model.config import Parts, SatsConfig
from talkover.model.modeling import SatsModel
from talkover.model.stages import Stage, freeze, rest_frozen

Precision = Literal["fp32", "bf16"]
BYTES: dict[str, int] = {"fp32": 4, "bf16": 2}
ADAM = 2
"""Values that AdamW keeps of each weight, in fp32."""


__all__ = ["ADAM", "BYTES", "Load", "Memory", "Precision", "Shapes", "cache_bytes"]

MOST_TRACED = 4
"""Layers of the language model up to which all are traced."""

ALL_LOSSES = ("answer", "ctc", "activity")


@dataclass(frozen=True, kw_only=True)
class Memory:
    """Bytes of one batch."""

    weights: int
    optimizer: int
    """Gradients and AdamW's two means of what is trained, in fp32; 0 without training."""
    cache: int
    """Keys and values of all positions; 0 in training."""
    activations: int
    """Everything else that lives at the peak."""

    @property
    def total(self) -> int:
        """All of it."""
        return self.weights + self.optimizer + self.cache + self.activations


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
            self.model = SatsModel(SatsConfig.of(parts))
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
        return self._peak(lambda model: hear(model, self.parts, load), layers=None)

    def reading(self, load: Load) -> int:
        """Bytes at the peak of the prefill, with all embeddings and without the cache."""
        width = int(self.model.lm.get_input_embeddings().weight.shape[1])
        embedded = load.batch * load.positions * width * BYTES[self.precision]
        return embedded + self._by_layers(lambda model: read(model, load), keeps_cache=True)

    def training(self, load: Load, stage: Stage | None = None) -> Memory:
        """One update, with weights in fp32; in bf16 the arithmetic is autocast.

        Args:
            load: The batch.
            stage: What it trains, by which losses; None trains all weights by answer, CTC and
                activity.

        Raises:
            ConfigurationError: If the stage trains nothing.
        """
        losses = ALL_LOSSES if stage is None else tuple(stage.losses)
        if stage is None:
            self.model.requires_grad_(True)
        else:
            freeze(self.model, stage)
        activations = self._by_layers(lambda model: learn(model, load, losses), is_training=True)
        trained = trained_weights(self.model)
        self.model.requires_grad_(True)
        return Memory(
            weights=self.num_weights * BYTES["fp32"],
            optimizer=trained * (1 + ADAM) * BYTES["fp32"],
            cache=0,
            activations=activations,
        )

    def _by_layers(
        self, work: Callable[[Any], None], *, is_training: bool = False, keeps_cache: bool = False
    ) -> int:
        """Peak of the whole depth; of a deep language model from its first layers."""
        depth = int(self.parts.lm.config["num_hidden_layers"])
        if keeps_cache:  # without gradients a layer leaves nothing but its cache
            return self._peak(work, layers=1, is_training=is_training)
        last = self._peak(work, layers=min(depth, MOST_TRACED), is_training=is_training)
        if depth <= MOST_TRACED:
            return last
        # Of fewer layers the peak may lie elsewhere, in the spectra, and say nothing of a layer.
        before = self._peak(work, layers=MOST_TRACED - 1, is_training=is_training)
        return last + (last - before) * (depth - MOST_TRACED)

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
            if is_training:
                rest_frozen(model)
            autocast = (
                torch.autocast("cpu", dtype=torch.bfloat16)
                if is_training and self.precision == "bf16"
                else nullcontext()
            )
            with torch.set_grad_enabled(is_training), autocast, PeakBytes() as peak:
                work(model)
        grads = trained_weights(model) * BYTES["fp32"] if is_training else 0
        return int(max(0, peak.peak - grads))


def trained_weights(model: nn.Module) -> int:
    """How many weights have gradients."""
    return sum(p.numel() for p in model.parameters() if p.requires_grad)


def _shorten(model: SatsModel, layers: int) -> None:
    """Leave the first layers of the language model only."""
    decoder = model.lm.get_decoder()
    decoder.layers = decoder.layers[:layers]
    decoder.config.num_hidden_layers = layers
