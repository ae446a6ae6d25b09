"""One update of the weights: batches in, gradients added up, clipped, applied or left out.

Losses are sums over what they count, divided by the counts of all batches of an update together, so
the same update comes of one process with two batches and of two processes with one. Randomness is
seeded anew for each batch by its number, so a run that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any

import torch
from accelerate import Accelerator

from talkover.manifests.errors import ConfigurationError, RunError
from talkover.manifests.seeds import generator
from talkover.model.batch import Batch
from talkover.model.data.examples import Skips
from talkover.model.data.feeds import Handed
from talkover.model.memory import is_out_of_memory
from talkover.model.modeling import SatsModel
from talkover.model.parallel import clip, share_of, summed, waiting
from talkover.model.stages import Stage, TrainConfig

MOST_BAD = 10
"""Updates in a row without a finite loss, or without memory, after which a run is given up."""

LOOKED_AHEAD = 100
"""Batches among which one must be usable when a run begins or goes on."""


@dataclass(kw_only=True)
class Progress:
    """How far a run is."""

    stage: int = 0
    step: int = 0
    """Updates done in the stage."""
    bad: int = 0
    """Updates in a row that could not be made."""
    skips: Skips = field(default_factory=Skips)


@dataclass(frozen=True)
class Taken:
    """A batch of an update; one that is not real stands in for one that was empty."""

    batch: Batch
    is_real: bool


class Updater:
    """Makes the updates of a run, of one stage after the other."""

    def __init__(
        self, model: SatsModel, config: TrainConfig, accelerator: Accelerator, progress: Progress
    ) -> None:
        """Take the bare model, and the progress whose skips and faults are counted."""
        self.model, self.config = model, config
        self.accelerator, self.progress = accelerator, progress
        self._last_good: Batch | None = None
        self._ahead: deque[Handed] = deque()

    def begin_stage(self, batches: Iterator[Handed]) -> None:
        """Take the batches of a stage from here on."""
        self._batches = batches
        self._ahead.clear()

    @property
    def is_ahead(self) -> bool:
        """Whether batches were looked at that belong to later updates."""
        return bool(self._ahead)

    def step(self, model: Any, optimizer: Any, stage: Stage) -> dict[str, float]:
        """One update from ``accumulation`` batches of each process.

        Args:
            model: As prepared for the stage.
            optimizer: The same.
            stage: What is learned, and how fast.

        Returns:
            Mean of each loss over all processes; infinite or NaN where the update was not made.

        Raises:
            ConfigurationError: If nothing in the data can be used.
            RunError: If too many updates in a row could not be made.
        """
        rate = stage.rate(self.progress.step)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        taken = [self._take() for _ in range(self.config.accumulation)]
        counts = self._counts([part.batch for part in taken if part.is_real], stage)
        sums = dict.fromkeys(stage.losses, 0.0)
        try:
            for place, part in enumerate(taken):
                self._seed(place, stage)
                self._backward(model, part, stage, counts, sums, place == len(taken) - 1)
        except (MemoryError, RuntimeError) as error:
            if not is_out_of_memory(error):
                raise
            self._on_memory(taken, error)
            optimizer.zero_grad(set_to_none=True)
            return dict.fromkeys(stage.losses, math.nan)
        totals = summed(self.accelerator, sums)
        means = {name: total / max(1.0, counts[name]) for name, total in totals.items()}
        if any(counts.values()) and self._may_be_made(model, means):
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)
        return means

    def _take(self) -> Taken:
        """The next batch on the device; an empty one is replaced by one that will not count."""
        handed = self._ahead.popleft() if self._ahead else next(self._batches)
        for name, reason in handed.skipped:
            self.progress.skips.add(name, reason)
        stand_in = handed.batch or self._last_good or self._look_ahead()
        self._last_good = stand_in
        return Taken(stand_in.to(self.accelerator.device), handed.batch is not None)

    def _look_ahead(self) -> Batch:
        """The first usable batch of those that come; all are kept for later."""
        for _ in range(LOOKED_AHEAD):
            self._ahead.append(next(self._batches))
            batch = self._ahead[-1].batch
            if batch is not None:
                return batch
        for handed in self._ahead:
            for name, reason in handed.skipped:
                self.progress.skips.add(name, reason)
        raise ConfigurationError(
            f"nothing in {LOOKED_AHEAD} batches can be used: "
            + "; ".join(self.progress.skips.lines())
        )

    def _counts(self, batches: list[Batch], stage: Stage) -> dict[str, float]:
        """What each loss counts in this update, over all processes."""
        mine = [self.model.counts(batch, stage.answer) for batch in batches]
        counted = {name: float(sum(counts[name] for counts in mine)) for name in stage.losses}
        return summed(self.accelerator, counted)

    def _backward(
        self,
        model: Any,
        part: Taken,
        stage: Stage,
        counts: Mapping[str, float],
        sums: dict[str, float],
        is_last: bool,
    ) -> None:
        """Add the gradients of a batch; processes talk to each other with the last one."""
        world = self.accelerator.num_processes
        with waiting(self.accelerator, model, is_last):
            with self.accelerator.autocast():
                output = model(part.batch, tuple(stage.losses), stage.answer)
            total = torch.zeros((), device=self.accelerator.device)
            for name, loss in output.losses.items():
                share = stage.losses[name] * world / max(1.0, counts[name])
                total = total + loss.total * (share if part.is_real else 0.0)
                sums[name] += float(loss.total.detach()) if part.is_real else 0.0
            self.accelerator.backward(total)

    def _seed(self, place: int, stage: Stage) -> None:
        """Seed dropout and masks by the number of the batch, the same in any arrangement."""
        share = share_of(self.accelerator)
        step = self.progress.step * self.config.accumulation + place
        number = step * share.world_size + share.rank
        name = f"model/batch/{self.progress.stage}"
        seed = int(generator(self.config.seed, number, name).integers(2**62))
        torch.manual_seed(seed)
        self.model.mask_generator = torch.Generator().manual_seed(seed) if stage.mask else None

    def _may_be_made(self, model: Any, means: Mapping[str, float]) -> bool:
        """Whether losses and gradients are numbers; clips the gradients."""
        norm = math.nan
        if all(math.isfinite(value) for value in means.values()):
            norm = clip(self.accelerator, model, self.config.clip)
        if math.isfinite(norm):
            self.progress.bad = 0
            return True
        shown = ", ".join(f"{name} {value:.4g}" for name, value in means.items())
        self._count_bad(
            f"losses or gradients are not finite for {MOST_BAD} updates in a row ({shown}): lower "
            "the learning rate, or look at the audio"
        )
        return False

    def _on_memory(self, taken: list[Taken], error: Exception) -> None:
        """Out of memory: a counted skip of the batch in one process, the end in many."""
        advice = "lower the seconds of a batch (data.seconds)"
        if self.accelerator.num_processes > 1:
            raise RunError(
                f"out of memory in one of several processes: {advice} and start again; the run "
                "goes on from its last checkpoint"
            ) from error
        for part in taken:
            for name in part.batch.ids if part.is_real else ():
                self.progress.skips.add(name, "out of memory")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()
        self._count_bad(f"out of memory for {MOST_BAD} updates in a row: {advice}")

    def _count_bad(self, message: str) -> None:
        self.progress.bad += 1
        if self.progress.bad >= MOST_BAD:
            raise RunError(message)
