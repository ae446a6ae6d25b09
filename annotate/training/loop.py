"""The loop that all three trainers share: batches by step, one schedule, averaged weights.

Everything is decided by configuration and seed: a batch depends on its step alone, and one numeric
thread adds up in one order. Weights are averaged over the last steps (an exponential mean), which
gives steadier models than the last step does.
"""

from __future__ import annotations

import copy
import json
import math
import time
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, Protocol, TypeVar

import numpy as np
import torch
from torch import Tensor, nn

from talkover.manifests.seeds import generator

Precision = Literal["float32", "bfloat16"]
Network = TypeVar("Network", bound=nn.Module)
LEAST_RATE = 0.01
"""Share of the learning rate that is left at the end."""
LARGEST_GRADIENT = 5.0
"""Norm to which longer gradients are cut."""


@dataclass(frozen=True, kw_only=True)
class LoopConfig:
    """How long and how fast.

    Raises:
        ValueError: If a number makes no sense.
    """

    steps: int = 2000
    """Batches."""
    learning_rate: float = 1e-3
    """Largest, reached after `warm_up`."""
    warm_up: int = 100
    """Steps over which the learning rate rises; it then falls along a cosine."""
    weight_decay: float = 1e-2
    averaging: float = 0.998
    """Share of the averaged weights that each step keeps."""
    precision: Precision = "bfloat16"
    """Of the products in forward and backward passes; halves the time where the processor has it.
    Sums, losses and weights are float32."""
    report_every: int = 25
    """Steps between lines of the log."""
    save_every: int = 200
    """Steps between copies of the averaged weights."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.steps < 1 or self.learning_rate <= 0 or not 0 <= self.averaging < 1:
            raise ValueError("needs steps >= 1, learning_rate > 0 and 0 <= averaging < 1")


def mixed(config: LoopConfig) -> torch.autocast:
    """Products in the precision of a configuration."""
    return torch.autocast("cpu", torch.bfloat16, enabled=config.precision == "bfloat16")


class Trainer(Protocol):
    """What one model adds to the loop."""

    def loss(self, rng: np.random.Generator) -> Tensor:
        """Loss of one batch, which the generator decides."""
        ...

    def parameters(self) -> list[nn.Parameter]:
        """What is learnt."""
        ...


def rate_at(step: int, config: LoopConfig) -> float:
    """Share of the learning rate at a step.

    >>> rate_at(0, LoopConfig(warm_up=4)), round(rate_at(3, LoopConfig(warm_up=4)), 2)
    (0.25, 1.0)
    """
    if step < config.warm_up:
        return (step + 1) / config.warm_up
    done = (step - config.warm_up) / max(1, config.steps - config.warm_up)
    return LEAST_RATE + (1 - LEAST_RATE) * 0.5 * (1 + math.cos(math.pi * min(1.0, done)))


def fit(
    network: Network,
    trainer: Trainer,
    config: LoopConfig,
    *,
    seed: int,
    name: str,
    log: Path,
    save: Callable[[Network, int], object],
) -> Network:
    """Train; returns the averaged network.

    Args:
        network: What is trained, in place.
        trainer: Gives the losses.
        config: How long and how fast.
        seed: Root seed.
        name: Of the model; part of the random decisions.
        log: File for one JSON line every `report_every` steps; it holds times.
        save: Called with the averaged network every `save_every` steps.
    """
    optimizer = torch.optim.AdamW(
        trainer.parameters(), lr=config.learning_rate, weight_decay=config.weight_decay
    )
    schedule = torch.optim.lr_scheduler.LambdaLR(optimizer, lambda step: rate_at(step, config))
    averaged = copy.deepcopy(network)
    torch.manual_seed(int(generator(seed, 0, f"train/{name}/torch").integers(2**31)))
    losses: list[float] = []
    began, used = time.monotonic(), time.process_time()
    log.parent.mkdir(parents=True, exist_ok=True)
    with log.open("a", encoding="utf8") as file:
        for step in range(config.steps):
            network.train()
            loss = trainer.loss(generator(seed, step, f"train/{name}"))
            optimizer.zero_grad(set_to_none=True)
            loss.backward()  # type: ignore[no-untyped-call]  # torch has no type for it
            torch.nn.utils.clip_grad_norm_(trainer.parameters(), LARGEST_GRADIENT)
            optimizer.step()
            schedule.step()
            # early weights are no good: the mean forgets them faster at the beginning
            _average(averaged, network, min(config.averaging, (step + 1) / (step + 10)))
            losses.append(float(loss.detach()))
            if (step + 1) % config.report_every == 0 or step + 1 == config.steps:
                line = {
                    "model": name,
                    "step": step + 1,
                    "loss": round(float(np.mean(losses)), 5),
                    "cpu_s": round(time.process_time() - used, 1),
                    "wall_s": round(time.monotonic() - began, 1),
                }
                file.write(json.dumps(line) + "\n")
                file.flush()
                losses = []
            if (step + 1) % config.save_every == 0 and step + 1 < config.steps:
                save(averaged.eval(), step + 1)
    return averaged.eval()


@torch.no_grad()
def _average(averaged: nn.Module, network: nn.Module, keep: float) -> None:
    for mean, value in zip(averaged.parameters(), network.parameters(), strict=True):
        mean.lerp_(value, 1 - keep)
    for held, now in zip(averaged.buffers(), network.buffers(), strict=True):
        held.copy_(now)
