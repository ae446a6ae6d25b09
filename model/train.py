"""The training loop: stages, accumulation, any number of processes, exact resume.

Losses are sums over what they count, divided by the counts of all batches of an update together, so
the same update comes of one process with two batches and of two processes with one. Randomness is
seeded anew for each batch by its number, so a run that was stopped goes on as if it had not been.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Iterator, Mapping
from contextlib import nullcontext
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import torch
from accelerate import Accelerator
from accelerate.utils import DistributedDataParallelKwargs
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from talkover.manifests.errors import ConfigurationError, RunError
from talkover.manifests.seeds import generator
from talkover.model.batch import Batch
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
from talkover.model.config import SatsConfig
from talkover.model.data.examples import Skips
from talkover.model.data.feeds import Feed, Handed, Share
from talkover.model.modeling import SatsModel
from talkover.model.settings import plain_settings
from talkover.model.stages import Stage, TrainConfig, freeze

BETAS = (0.9, 0.98)
"""Of AdamW; the second is that of the first Transformer, calmer than 0.999 in short runs."""

MOST_BAD = 10
"""Updates in a row without a finite loss after which a run is given up."""

CHECKPOINTS = Path("run") / "checkpoints"
LOG = Path("run") / "log.jsonl"
TENSORBOARD = Path("run") / "tensorboard"

Report = Callable[[int, int, Mapping[str, float]], None]
"""Told of (update over all stages, of how many, means of the losses)."""


@dataclass(kw_only=True)
class Progress:
    """How far a run is."""

    stage: int = 0
    step: int = 0
    """Updates done in the stage."""
    bad: int = 0
    """Updates in a row without a finite loss."""
    skips: Skips = field(default_factory=Skips)


@dataclass(frozen=True, kw_only=True)
class Trained:
    """What came of a run."""

    folder: Path
    steps: int
    losses: Mapping[str, float]
    """Means of the last update."""
    skips: Skips


def make_accelerator(config: TrainConfig) -> Accelerator:
    """Accelerate as the environment says (torchrun, FSDP by ``accelerate launch``)."""
    return Accelerator(
        mixed_precision=config.precision,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


def share_of(accelerator: Accelerator) -> Share:
    """This process's share of the batches."""
    return Share(rank=accelerator.process_index, world_size=accelerator.num_processes)


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
        self._last_good: Batch | None = None
        self._writer: Any = None

    @property
    def total_steps(self) -> int:
        """Updates of all stages."""
        return sum(stage.steps for stage in self.config.stages)

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
        for key in sorted({*mine, *other}):
            if mine.get(key) != other.get(key):
                raise ConfigurationError(
                    f"{found[-1]}: was made with another training.{key}: go on with the settings "
                    "of that run, or choose another folder"
                )
        loaded, _ = load_model(found[-1])
        self.model.load_state_dict(loaded.state_dict())
        self.progress.stage, self.progress.step = state["stage"], state["step"]
        for reason, ids in state["skipped"].items():
            for name in ids:
                self.progress.skips.add(name, reason)
        self._optimizer_state = read_optimizer(found[-1])
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
        left = stop_after
        for number in range(self.progress.stage, len(self.config.stages)):
            if number > self.progress.stage:
                self.progress.stage, self.progress.step = number, 0
            done = self._run_stage(number, left)
            left = None if left is None else left - done
            if left is not None and left <= 0:
                return None
        return self._finish()

    def _run_stage(self, number: int, left: int | None) -> int:
        stage = self.config.stages[number]
        freeze(self.model, stage)
        optimizer = torch.optim.AdamW(
            parameter_groups(self.model, stage),
            lr=stage.lr,
            betas=BETAS,
            weight_decay=stage.weight_decay,
        )
        model, optimizer = self.accelerator.prepare(self.model, optimizer)
        if self._optimizer_state is not None and self.progress.step:
            self._restore(model, optimizer, self._optimizer_state)
        self._optimizer_state = None
        start = self.progress.step * self.config.accumulation
        batches = self.feed.batches(replace(stage.data, salt=number), start)
        model.train()
        done = 0
        while self.progress.step < stage.steps and (left is None or done < left):
            self._step(model, optimizer, stage, batches)
            self.progress.step += 1
            done += 1
            self._log(stage)
            at_end = self.progress.step == stage.steps
            if at_end or self.progress.step % self.config.save_every == 0:
                self._save(model, optimizer)
        return done

    def _restore(self, model: Any, optimizer: Any, state: dict[str, Any]) -> None:
        """Give the optimizer its state; what had none (it never had a gradient) has none again."""
        raw = getattr(optimizer, "optimizer", optimizer)
        options = StateDictOptions(full_state_dict=True, strict=False)
        set_optimizer_state_dict(model, raw, optim_state_dict=state, options=options)
        for name, parameter in self.accelerator.unwrap_model(model).named_parameters():
            if name not in state["state"]:
                raw.state.pop(parameter, None)

    def _step(self, model: Any, optimizer: Any, stage: Stage, batches: Iterator[Handed]) -> None:
        """One update from ``accumulation`` batches of each process."""
        rate = stage.rate(self.progress.step)
        for group in optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        taken = [self._take(next(batches)) for _ in range(self.config.accumulation)]
        counts = self._counts([batch for batch, is_real in taken if is_real], stage)
        sums = dict.fromkeys(stage.losses, 0.0)
        try:
            for place, (batch, is_real) in enumerate(taken):
                is_last = place == len(taken) - 1
                self._seed(place, stage)
                self._backward(model, batch, stage, counts, sums, is_real, is_last)
        except torch.OutOfMemoryError as error:
            self._on_memory(taken, error)
            optimizer.zero_grad(set_to_none=True)
            return
        self._note(counts, sums)
        if self._is_finite(sums):
            self.accelerator.clip_grad_norm_(model.parameters(), self.config.clip)
            optimizer.step()
        optimizer.zero_grad(set_to_none=True)

    def _take(self, handed: Handed) -> tuple[Batch, bool]:
        """The batch on the device; an empty one is replaced by one that will not count."""
        for name, reason in handed.skipped:
            self.progress.skips.add(name, reason)
        if handed.batch is not None:
            self._last_good = handed.batch
        if self._last_good is None:
            raise ConfigurationError(
                "nothing in the first batch can be used: " + "; ".join(self.progress.skips.lines())
            )
        return self._last_good.to(self.accelerator.device), handed.batch is not None

    def _counts(self, batches: list[Batch], stage: Stage) -> dict[str, float]:
        """What each loss counts in this update, over all processes."""
        mine = [self.model.counts(batch) for batch in batches]
        totals = torch.tensor(
            [float(sum(counts[name] for counts in mine)) for name in stage.losses],
            device=self.accelerator.device,
            dtype=torch.float32,
        )
        everywhere: Tensor = self.accelerator.reduce(totals, "sum")
        return dict(zip(stage.losses, everywhere.tolist(), strict=True))

    def _backward(
        self,
        model: Any,
        batch: Batch,
        stage: Stage,
        counts: Mapping[str, float],
        sums: dict[str, float],
        is_real: bool,
        is_last: bool,
    ) -> None:
        """Add the gradients of a batch; processes talk to each other with the last one."""
        world = self.accelerator.num_processes
        wait = nullcontext() if is_last else self.accelerator.no_sync(model)
        with wait:
            with self.accelerator.autocast():
                output = model(batch, tuple(stage.losses))
            total = torch.zeros((), device=self.accelerator.device)
            for name, loss in output.losses.items():
                share = stage.losses[name] * world / max(1.0, counts[name])
                total = total + loss.total * (share if is_real else 0.0)
                sums[name] += float(loss.total.detach()) if is_real else 0.0
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

    def _note(self, counts: Mapping[str, float], sums: Mapping[str, float]) -> None:
        local = torch.tensor(
            [sums[name] for name in sums], device=self.accelerator.device, dtype=torch.float32
        )
        totals = self.accelerator.reduce(local, "sum").tolist()
        self.losses = {
            name: total / max(1.0, counts[name]) for name, total in zip(sums, totals, strict=True)
        }

    def _is_finite(self, sums: Mapping[str, float]) -> bool:
        """Whether the update may be made; too many in a row that may not end the run."""
        if all(value == value and abs(value) != float("inf") for value in self.losses.values()):
            self.progress.bad = 0
            return True
        self.progress.bad += 1
        if self.progress.bad >= MOST_BAD:
            raise RunError(
                f"losses are not finite for {MOST_BAD} updates in a row ({self.losses}): lower the "
                "learning rate, or look at the audio"
            )
        return False

    def _on_memory(self, taken: list[tuple[Batch, bool]], error: Exception) -> None:
        """Out of memory: a counted skip of the batch in one process, the end in many."""
        if self.accelerator.num_processes > 1:
            raise RunError(
                "out of memory in one of several processes: lower the seconds of a batch "
                "(data.seconds) and start again; the run goes on from its last checkpoint"
            ) from error
        for batch, _ in taken:
            for name in batch.ids:
                self.progress.skips.add(name, "out of memory")
        if torch.cuda.is_available():
            torch.cuda.empty_cache()

    def _save(self, model: nn.Module, optimizer: Any) -> None:
        options = StateDictOptions(full_state_dict=True, cpu_offload=True)
        raw = getattr(optimizer, "optimizer", optimizer)
        state = get_optimizer_state_dict(model, raw, options=options)
        weights = get_model_state_dict(model, options=options)
        if self.accelerator.is_main_process:
            skipped = {reason: list(ids) for reason, ids in self.progress.skips.ids.items()}
            folder = self.out / CHECKPOINTS / f"{self.progress.stage:02d}-{self.progress.step:07d}"
            plain = self._whole(weights)
            save_run(
                folder,
                plain,
                self.codec,
                state,
                {
                    "stage": self.progress.stage,
                    "step": self.progress.step,
                    "skipped": skipped,
                    "training": self._plain(),
                },
            )
            prune(self.out / CHECKPOINTS, self.config.keep)
        self.accelerator.wait_for_everyone()

    def _whole(self, weights: Mapping[str, Any]) -> SatsModel:
        """The model with the gathered weights; itself where they are not spread over processes."""
        if all(p.shape == weights[name].shape for name, p in self.model.named_parameters()):
            return self.model
        whole = SatsModel(SatsConfig.of(self.model.parts))
        whole.load_state_dict(dict(weights))
        return whole

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
        if not self.accelerator.is_main_process:
            return
        from torch.utils.tensorboard import SummaryWriter

        (self.out / LOG).parent.mkdir(parents=True, exist_ok=True)
        self._writer = SummaryWriter(str(self.out / TENSORBOARD))

    def _log(self, stage: Stage) -> None:
        before = sum(s.steps for s in self.config.stages[: self.progress.stage])
        update = before + self.progress.step
        if self.report is not None:
            self.report(update, self.total_steps, self.losses)
        is_due = self.progress.step % self.config.log_every == 0
        if not (is_due and self.accelerator.is_main_process):
            return
        row = {"update": update, "stage": stage.name, "losses": self.losses}
        with (self.out / LOG).open("a", encoding="utf8") as file:
            file.write(json.dumps(row) + "\n")
        for name, value in self.losses.items():
            self._writer.add_scalar(f"loss/{name}", value, update)
        self._writer.add_scalar("rate", stage.rate(self.progress.step - 1), update)
        self._writer.add_scalar("skipped", self.progress.skips.total, update)

    def _plain(self) -> dict[str, Any]:
        values: dict[str, Any] = json.loads(json.dumps(plain_settings(self.config)))
        return values
