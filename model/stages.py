"""Stages of training: what is trained, on what, by which losses, how fast."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from fnmatch import fnmatchcase
from typing import Literal

from torch import nn

from talkover.manifests.errors import ConfigurationError
from talkover.model.answer_losses import WHOLE_ANSWER, AnswerConfig
from talkover.model.data.feeds import Choice
from talkover.model.data.order import Buckets
from talkover.model.lora import ADAPTER_MARK, BASE_MARK
from talkover.model.objectives import OBJECTIVES

LOSSES = OBJECTIVES
"""What a model can learn from: see `talkover.model.objectives`."""


@dataclass(frozen=True, kw_only=True)
class Stage:
    """One stretch of training."""

    name: str
    steps: int
    """Updates of the weights."""
    losses: Mapping[str, float]
    """Weight of each loss."""
    answer: AnswerConfig = WHOLE_ANSWER
    """What counts in the loss ``answer``."""
    trainable: tuple[str, ...] = ("*",)
    """Globs over names of parameters; what none matches stays frozen. Adapters of LoRA do not
    follow them."""
    lora: bool = False
    """Train the adapters of LoRA, and not what is under them; else they are used as they are."""
    data: Choice = field(default_factory=Choice)
    lr: float = 1e-3
    """Peak learning rate of AdamW."""
    rates: Mapping[str, float] = field(default_factory=dict)
    """Factors on the rate, by glob over names of parameters; the first that matches counts. What
    was trained before needs a lower rate than what begins."""
    warmup: float = 0.05
    """Share of the steps in which the rate rises."""
    first: float = 0.0
    """Rate before the first step of the warm-up, in peak rates."""
    schedule: Literal["cosine", "constant", "eden"] = "cosine"
    last: float = 0.02
    """Rate at the end of a cosine, in peak rates."""
    eden_steps: float = 5000.0
    """Steps after which Eden lowers the rate as the root of the steps (Yao et al. 2024; numbers as
    in Auden's trainer)."""
    eden_epochs: float = 6.0
    """The same in epochs; counts only where ``epoch_steps`` says what an epoch is."""
    epoch_steps: int = 0
    """Steps that Eden takes for an epoch."""
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
        if self.schedule not in ("cosine", "constant", "eden"):
            raise ValueError(f"schedule must be cosine, constant or eden, got {self.schedule!r}")
        for name in ("warmup", "first", "last"):
            if not 0 <= getattr(self, name) <= 1:
                raise ValueError(f"{name} must be in [0, 1], got {getattr(self, name)}")
        if not (self.eden_steps > 0 and self.eden_epochs > 0 and self.epoch_steps >= 0):
            raise ValueError("eden_steps and eden_epochs must be above 0, epoch_steps 0 or more")

    def factor(self, name: str) -> float:
        """Factor on the rate of a parameter."""
        return next((f for glob, f in self.rates.items() if fnmatchcase(name, glob)), 1.0)

    def rate(self, step: int) -> float:
        """Learning rate of step ``step``, from 0."""
        warm = max(1, round(self.warmup * self.steps))
        rise = min(1.0, (step + 1) / warm)
        return self.lr * (self.first + (1 - self.first) * rise) * self._decay(step, warm)

    def _decay(self, step: int, warm: int) -> float:
        """What the schedule leaves of the rate."""
        if self.schedule == "eden":
            epochs = step // self.epoch_steps if self.epoch_steps else 0
            return _root(step, self.eden_steps) * _root(epochs, self.eden_epochs)
        if self.schedule == "constant" or step < warm:
            return 1.0
        share = (step - warm) / max(1, self.steps - warm)
        return self.last + (1 - self.last) * 0.5 * (1 + math.cos(math.pi * share))


def _root(count: float, begin: float) -> float:
    """1 far below ``begin``, the root of ``begin / count`` far above it."""
    return float((1 + (count / begin) ** 2) ** -0.25)


Sharding = Literal["no", "full"]
"""Whether each process holds a part of every weight and of its optimizer state (FSDP)."""


@dataclass(frozen=True, kw_only=True)
class TrainConfig:
    """How a model is trained."""

    stages: tuple[Stage, ...]
    seed: int = 0
    accumulation: int = 1
    """Batches of each process to an update."""
    precision: Literal["no", "bf16"] = "no"
    sharding: Sharding = "no"
    """``full`` needs several processes; one has everything anyway."""
    longest: float = 30.0
    """Seconds; longer sessions are cut into windows between turns."""
    shortest: float = 1.0
    """Seconds of a window that is not the last of its session."""
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
        if not 0 < self.shortest <= self.longest:
            raise ValueError(f"windows need 0 < shortest ({self.shortest}) <= longest s")
        if self.average > self.keep:
            raise ValueError(f"average ({self.average}) must not exceed keep ({self.keep})")


def freeze(model: nn.Module, stage: Stage) -> int:
    """Let only what a stage trains have gradients; says how many parameters that is.

    Raises:
        ConfigurationError: If a glob matches nothing, all are frozen, or adapters are to be trained
            and there are none.
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
        wanted = is_trained(name, stage)
        parameter.requires_grad_(wanted)
        count += parameter.numel() if wanted else 0
    if stage.lora and not any(ADAPTER_MARK in name for name, _ in named):
        raise ConfigurationError(f"stage {stage.name}: lora is on, but the model has no adapters")
    rest_frozen(model)
    if not count:
        raise ConfigurationError(f"stage {stage.name}: nothing is trained: trainable and lora")
    return count


def rest_frozen(model: nn.Module) -> None:
    """Hear what is not trained as it will be in use: without dropout."""
    for module in model.modules():
        inner = list(module.parameters())
        if inner and not any(parameter.requires_grad for parameter in inner):
            module.train(False)


def is_trained(name: str, stage: Stage) -> bool:
    """Whether a stage trains a parameter of this name; what is under a trained one is frozen."""
    if ADAPTER_MARK in name:
        return stage.lora
    if BASE_MARK in name and stage.lora:
        return False
    return any(fnmatchcase(name, glob) for glob in stage.trainable)
