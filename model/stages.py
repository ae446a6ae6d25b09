"""Stages of training: what is trained, on what, by which losses, how fast."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from torch import nn

from talkover.manifests.errors import ConfigurationError
from talkover.model.data.feeds import Choice
from talkover.model.data.order import Buckets

LOSSES = ("answer", "ctc", "activity", "speaker")
"""What a model can learn from: see `talkover.model.modeling.SatsModel.forward`."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stretch of training."""

    name: str
    steps: int
    """Updates of the weights."""
    losses: Mapping[str, float]
    """Weight of each loss."""
    trainable: tuple[str, ...] = ("*",)
    """Globs over names of parameters; what none matches stays frozen."""
    data: Choice = field(default_factory=Choice)
    lr: float = 1e-3
    """Peak learning rate of AdamW."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """Factors on the rate, by glob over names of parameters; the first that matches counts. What
    was trained before needs a lower rate than what begins."""
    warmup: float = 0.05
    """Share of the steps in which the rate rises from 0."""
    schedule: Literal["cosine", "constant"] = "cosine"
    last: float = 0.02
    """Rate at the end of a cosine, in peak rates."""
    weight_decay: float = 0.01
    mask: bool = True
    """Use SpecAugment, where the model has it."""

    def __post_init__(self) -> None:
        """Check names and numbers."""
        unknown = set(self.losses) - set(LOSSES)
        if unknown or not self.losses:
            raise ValueError(f"losses must be of {', '.join(LOSSES)}, got {sorted(self.losses)}")
        if self.steps < 1:
            raise ValueError(f"steps must be 1 or more, got {self.steps}")

    def factor(self, name: str) -> float:
        """Factor on the rate of a parameter."""
        return next((f for glob, f in self.rates.items() if fnmatchcase(name, glob)), 1.0)

    def rate(self, step: int) -> float:
        """Learning rate of step ``step``, from 0."""
        warm = max(1, round(self.warmup * self.steps))
        if step < warm:
            return self.lr * (step + 1) / warm
        if self.schedule == "constant":
            return self.lr
        share = (step - warm) / max(1, self.steps - warm)
        return self.lr * (self.last + (1 - self.last) * 0.5 * (1 + math.cos(math.pi * share)))


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is trained."""

    stages: tuple[Stage, ...]
    seed: int = 0
    accumulation: int = 1
    """Batches of each process to an update."""
    precision: Literal["no", "bf16"] = "no"
    longest: float = 30.0
    """Seconds; longer sessions are cut into windows between turns."""
    buckets: Buckets = "auto"
    clip: float = 1.0
    """Largest norm of the gradient."""
    workers: int = 0
    """Processes that read ahead."""
    log_every: int = 20
    """Steps."""
    save_every: int = 500
    """Steps; a checkpoint is also written at the end of each stage."""
    keep: int = 3
    """Checkpoints that stay."""
    average: int = 3
    """The model at the end is the mean of so many last checkpoints of the last stage."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not self.stages:
            raise ValueError("training needs at least one stage")
        for name in ("accumulation", "log_every", "save_every", "keep", "average"):
            if getattr(self, name) < 1:
                raise ValueError(f"{name} must be 1 or more, got {getattr(self, name)}")
        if self.average > self.keep:
            raise ValueError(f"average ({self.average}) must not exceed keep ({self.keep})")


def freeze(model: nn.Module, stage: Stage) -> int:
    """Let only what a stage trains have gradients; says how many parameters that is.

    Raises:
        ConfigurationError: If a glob matches nothing, or all are frozen.
    """
    named = list(model.named_parameters())
    for glob in stage.trainable:
        if not any(fnmatchcase(name, glob) for name, _ in named):
            raise ConfigurationError(
                f"stage {stage.name}: no parameter is called {glob!r}; names begin with "
                f"{', '.join(sorted({name.partition('.')[0] for name, _ in named}))}"
            )
    count = 0
    for name, parameter in named:
        wanted = any(fnmatchcase(name, glob) for glob in stage.trainable)
        parameter.requires_grad_(wanted)
        count += parameter.numel() if wanted else 0
    return count
