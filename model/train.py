"""The training loop: stages, checkpoints, logs, exact resume.

What happens within an update is `talkover.model.update`, over several processes
`talkover.model.parallel`.
"""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import gather_object
from torch import nn

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.markers import atomic_path
from talkover.model.checkpoints import (
    average_weights,
    finished,
    load_model,
    prune,
    read_optimizer,
    read_state,
    save_model,
    save_run,
)
from talkover.model.codec import SatsCodec
from talkover.model.data.examples import Skips
from talkover.model.data.feeds import Feed
from talkover.model.modeling import SatsModel
from talkover.model.parallel import (
    make_accelerator,
    prepare,
    restore_optimizer,
    shard_model,
    whole_model,
    whole_states,
)
from talkover.model.settings import plain_settings
from talkover.model.stages import Stage, TrainConfig, freeze
from talkover.model.update import Progress, Updater

BETAS = (0.9, 0.98)
"""Of AdamW; the second is that of the first Transformer, calmer than 0.999 in short runs."""

FREE = {"sharding", "workers", "log_every"}
"""Settings that a run may go on without: they change no update."""

CHECKPOINTS = Path("run") / "checkpoints"
LOG = Path("run") / "log.jsonl"
TENSORBOARD = Path("run") / "tensorboard"

Report = Callable[[int, int, Mapping[str, float]], None]
"""Told of (update over all stages, of how many, means of the losses)."""


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of a run."""

    folder: Path
    steps: int
    losses: Mapping[str, float]
    """Means of the last update."""
    skips: Skips
    notes: tuple[str, ...] = ()
    """What is to be told of how it began."""


def parameter_groups(model: SatsModel, stage: Stage) -> list[dict[str, Any]]:
    """What a stage trains, in groups of one factor on the rate."""
    groups: dict[float, list[nn.Parameter]] = {}
    for name, parameter in model.named_parameters():
        if parameter.requires_grad:
            groups.setdefault(stage.factor(name), []).append(parameter)
    return [{"params": parameters, "factor": factor} for factor, parameters in groups.items()]


class Trainer:
    """One run of training into a folder; call `run`."""

    def __init__(
        self,
        model: SatsModel,
        codec: SatsCodec,
        feed: Feed,
        config: TrainConfig,
        out: Path,
        *,
        accelerator: Accelerator | None = None,
        report: Report | None = None,
    ) -> None:
        """Take what is trained, on what, how and where to."""
        self.model, self.codec, self.feed = model, codec, feed
        self.config, self.out = config, out
        self.accelerator = accelerator or make_accelerator(config)
        self.report = report
        self.progress = Progress()
        self.losses: dict[str, float] = {}
        self._optimizer_state: dict[str, Any] | None = None
        self._marks: list[dict[str, int] | None] = []
        self._writer: Any = None

    @property
    def total_steps(self) -> int:
        """Updates of all stages."""
        return sum(stage.steps for stage in self.config.stages)

    @property
    def update(self) -> int:
        """Updates done, over all stages."""
        before = sum(stage.steps for stage in self.config.stages[: self.progress.stage])
        return before + self.progress.step

    def resume(self) -> bool:
        """Take up the last checkpoint in the folder, if there is one.

        Raises:
            ConfigurationError: If it is of another model or another configuration.
        """
        found = finished(self.out / CHECKPOINTS)
        if not found:
            return False
        state = read_state(found[-1])
        mine, other = self._plain(), state["training"]
        for key in sorted({*mine, *other} - FREE):
            if mine.get(key) != other.get(key):
                raise ConfigurationError(
                    f"{found[-1]}: was made with another training.{key}: go on with the settings "
                    "of that run, or choose another folder"
                )
        loaded, _ = load_model(found[-1])
        self.model.load_state_dict(loaded.state_dict())
        self.progress.stage, self.progress.step = state["stage"], state["step"]
        self.losses = state.get("losses", {})
        for reason, ids in state["skipped"].items():
            for name in ids:
                self.progress.skips.add(name, reason)
        self._optimizer_state = read_optimizer(found[-1])
        self._marks = state.get("marks", [])
        return True

    def run(self, *, stop_after: int | None = None) -> Trained | None:
        """Train to the end; None if it was told to stop before.

        Args:
            stop_after: Updates (of this call) after which it stops as a kill would, for tests.

        Raises:
            ConfigurationError: If nothing in the data can be used.
            RunError: If losses stop being numbers, or memory runs out in one of many processes.
        """
        self._begin_logs()
        shard_model(self.accelerator, self.model, self.config.sharding)
        updater = Updater(self.model, self.config, self.accelerator, self.progress)
        left = stop_after
        for number in range(self.progress.stage, len(self.config.stages)):
            if number > self.progress.stage:
                self.progress.stage, self.progress.step = number, 0
            done = self._run_stage(number, updater, left)
            left = None if left is None else left - done
            if left is not None and left <= 0:
                return None
        return self._finish()

    def _run_stage(self, number: int, updater: Updater, left: int | None) -> int:
        stage = self.config.stages[number]
        self.model.train()
        freeze(self.model, stage)
        optimizer: Any = torch.optim.AdamW(
            parameter_groups(self.model, stage),
            lr=stage.lr,
            betas=BETAS,
            weight_decay=stage.weight_decay,
        )
        model, optimizer = prepare(self.accelerator, self.model, optimizer)
        if self._optimizer_state is not None and self.progress.step:
            restore_optimizer(self.accelerator, model, optimizer, self._optimizer_state)
        self._optimizer_state = None
        start = self.progress.step * self.config.accumulation
        choice = replace(stage.data, salt=number)
        updater.begin_stage(self.feed.batches(choice, start, self._take_mark()))
        done = 0
        while self.progress.step < stage.steps and (left is None or done < left):
            self.losses = updater.step(model, optimizer, stage)
            self.progress.step += 1
            done += 1
            self._log(stage)
            at_end = self.progress.step == stage.steps
            if at_end or self.progress.step % self.config.save_every == 0:
                self._save(model, optimizer, None if updater.is_ahead else self.feed.mark())
        return done

    def _take_mark(self) -> dict[str, int] | None:
        """Where this process was in its data, if so many processes were there before."""
        marks, self._marks = self._marks, []
        if self.progress.step == 0 or len(marks) != self.accelerator.num_processes:
            return None
        mine: dict[str, int] | None = marks[self.accelerator.process_index]
        return mine

    def _save(self, model: nn.Module, optimizer: Any, mark: dict[str, int] | None) -> None:
        marks = gather_object([mark])
        weights, state = whole_states(model, optimizer)
        if self.accelerator.is_main_process:
            folder = self.out / CHECKPOINTS / f"{self.progress.stage:02d}-{self.progress.step:07d}"
            values = {
                "stage": self.progress.stage,
                "step": self.progress.step,
                "losses": _finite(self.losses),
                "marks": marks,
                "skipped": {reason: list(ids) for reason, ids in self.progress.skips.ids.items()},
                "training": self._plain(),
            }
            save_run(folder, whole_model(self.model, weights), self.codec, state, values)
            prune(self.out / CHECKPOINTS, self.config.keep)
        self.accelerator.wait_for_everyone()

    def _finish(self) -> Trained:
        """Average the last checkpoints of the last stage into the folder."""
        if self.accelerator.is_main_process:
            last = f"{len(self.config.stages) - 1:02d}-"
            found = [f for f in finished(self.out / CHECKPOINTS) if f.name.startswith(last)]
            chosen = found[-self.config.average :]
            whole, _ = load_model(chosen[-1])
            whole.load_state_dict(average_weights(chosen), strict=False)
            save_model(whole, self.codec, self.out)
        if self._writer is not None:
            self._writer.close()
        self.accelerator.wait_for_everyone()
        return Trained(
            folder=self.out,
            steps=self.total_steps,
            losses=self.losses,
            skips=self.progress.skips,
        )

    def _begin_logs(self) -> None:
        """Open the logs at the update that comes; rows of updates that are made again go."""
        if not self.accelerator.is_main_process:
            return
        log = self.out / LOG
        log.parent.mkdir(parents=True, exist_ok=True)
        if log.is_file():
            lines = log.read_text(encoding="utf8").splitlines(keepends=True)
            with atomic_path(log) as temporary:
                kept = (line for line in lines if _is_before(line, self.update))
                temporary.write_text("".join(kept), encoding="utf8")
        from torch.utils.tensorboard import SummaryWriter

        self._writer = SummaryWriter(str(self.out / TENSORBOARD), purge_step=self.update + 1)

    def _log(self, stage: Stage) -> None:
        update = self.update
        if self.report is not None:
            self.report(update, self.total_steps, self.losses)
        is_due = self.progress.step % self.config.log_every == 0
        if not (is_due and self.accelerator.is_main_process):
            return
        row = {"update": update, "stage": stage.name, "losses": _finite(self.losses)}
        with (self.out / LOG).open("a", encoding="utf8") as file:
            file.write(json.dumps(row) + "\n")
        for name, value in self.losses.items():
            self._writer.add_scalar(f"loss/{name}", value, update)
        self._writer.add_scalar("rate", stage.rate(self.progress.step - 1), update)
        self._writer.add_scalar("skipped", self.progress.skips.total, update)

    def _plain(self) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(json.dumps(plain_settings(self.config)))
        return values


def _finite(losses: Mapping[str, float]) -> dict[str, float | None]:
    """Values that JSON can hold."""
    return {name: value if math.isfinite(value) else None for name, value in losses.items()}


def _is_before(line: str, update: int) -> bool:
    """Whether a row of the log is whole, and of an update that is not made again."""
    try:
        return bool(json.loads(line)["update"] <= update)
    except (ValueError, KeyError, TypeError):
        return False
