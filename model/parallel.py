"""One model over one process or many: who takes which batches, whose weights lie where.

Accelerate gives the processes, precision and, by default, a whole copy of the model to each (DDP).
With ``sharding = full`` each process keeps a part of every weight and of its optimizer state
(FSDP2, torch's ``fully_shard``), on GPUs as on CPUs; ``accelerate launch --use_fsdp
--fsdp_version 2`` does the same by Accelerate's own means. States are whole wherever they are
written, so a checkpoint does not tell how many processes made it.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AbstractContextManager, contextmanager, nullcontext
from typing import TYPE_CHECKING, Any

import torch
from accelerate import Accelerator
from accelerate.state import AcceleratorState
from accelerate.utils import DistributedDataParallelKwargs, DistributedType
from torch import Tensor, nn
from torch.distributed.checkpoint.state_dict import (
    StateDictOptions,
    get_model_state_dict,
    get_optimizer_state_dict,
    set_optimizer_state_dict,
)

from talkover.model.config import SatsConfig
from talkover.model.data.feeds import Share
from talkover.model.modeling import Output, SatsModel
from talkover.model.stages import Sharding, TrainConfig

if TYPE_CHECKING:
    from collections.abc import Iterator


def make_accelerator(config: TrainConfig) -> Accelerator:
    """Accelerate as the environment says (torchrun, ``accelerate launch``)."""
    if AcceleratorState._shared_state and AcceleratorState().mixed_precision != config.precision:
        # Accelerate keeps the precision of the first run of a process.
        AcceleratorState._reset_state()
    return Accelerator(
        # Left to itself, Accelerate makes one process of each where torchrun starts several on
        # CPUs: all would train alone and write to the same folder.
        cpu=not torch.accelerator.is_available(),
        mixed_precision=config.precision,
        kwargs_handlers=[DistributedDataParallelKwargs(find_unused_parameters=True)],
    )


def share_of(accelerator: Accelerator) -> Share:
    """This process's share of the batches."""
    return Share(rank=accelerator.process_index, world_size=accelerator.num_processes)


def shard_model(accelerator: Accelerator, model: SatsModel, sharding: Sharding) -> None:
    """Spread the weights over the processes, in place, where that is asked for.

    Every repeated block is gathered when its turn comes; everything else is one group. To be called
    before an optimizer is made, and after whole weights were loaded.
    """
    _make_outputs_known()
    if sharding == "no" or accelerator.num_processes == 1 or _is_fsdp(accelerator):
        return
    from torch.distributed.device_mesh import init_device_mesh
    from torch.distributed.fsdp import fully_shard

    kind = accelerator.device.type
    mesh = init_device_mesh(kind, (accelerator.num_processes,))
    model.to(accelerator.device)
    blocks = repeated_blocks(model)
    for module in model.modules():
        if type(module).__name__ in blocks:
            fully_shard(module, mesh=mesh)
    fully_shard(model, mesh=mesh)


def repeated_blocks(model: nn.Module) -> frozenset[str]:
    """Classes that transformers names as the blocks of its models."""
    named = (getattr(module, "_no_split_modules", None) or () for module in model.modules())
    return frozenset(name for names in named for name in names)


def _make_outputs_known() -> None:
    """Let torch see the tensors in what the model returns, from which FSDP's backward begins."""
    from torch.utils._pytree import SUPPORTED_NODES, register_dataclass

    if Output not in SUPPORTED_NODES:
        register_dataclass(Output)


def prepare(accelerator: Accelerator, model: SatsModel, optimizer: Any) -> tuple[Any, Any]:
    """Model and optimizer as a stage of training uses them."""
    if is_spread(model):
        return model, accelerator.prepare(optimizer)
    prepared: tuple[Any, Any] = accelerator.prepare(model, optimizer)
    return prepared


def waiting(accelerator: Accelerator, model: Any, is_last: bool) -> AbstractContextManager[None]:
    """Gradients are exchanged with the last batch of an update only."""
    if is_last:
        return nullcontext()
    if is_spread(model):
        return _without_exchange(model)
    held: AbstractContextManager[None] = accelerator.no_sync(model)
    return held


@contextmanager
def _without_exchange(model: Any) -> Iterator[None]:
    model.set_requires_gradient_sync(False)
    try:
        yield
    finally:
        model.set_requires_gradient_sync(True)


def clip(accelerator: Accelerator, model: Any, most: float) -> float:
    """Scale gradients down to a norm of ``most``; gives the norm over all processes before."""
    norm = accelerator.clip_grad_norm_(model.parameters(), most)
    if norm is None:
        return 0.0
    return float(norm.full_tensor() if hasattr(norm, "full_tensor") else norm)


def is_spread(model: nn.Module) -> bool:
    """Whether each process holds only a part of every weight."""
    from torch.distributed.tensor import DTensor

    return any(isinstance(parameter, DTensor) for parameter in model.parameters())


def _is_fsdp(accelerator: Accelerator) -> bool:
    return bool(accelerator.distributed_type == DistributedType.FSDP)


def whole_states(model: Any, optimizer: Any) -> tuple[dict[str, Any], dict[str, Any]]:
    """Weights and optimizer state by name, on the CPU of the first process; others get nothing.

    All processes must call it together.
    """
    options = StateDictOptions(full_state_dict=True, cpu_offload=True)
    raw = getattr(optimizer, "optimizer", optimizer)
    state = get_optimizer_state_dict(model, raw, options=options)
    return get_model_state_dict(model, options=options), state


def whole_model(model: SatsModel, weights: Mapping[str, Any]) -> SatsModel:
    """The model with whole weights; itself where each process has them all."""
    if not is_spread(model):
        return model
    whole = SatsModel(SatsConfig.of(model.parts))
    whole.load_state_dict(dict(weights))
    return whole


def restore_optimizer(accelerator: Accelerator, model: Any, optimizer: Any, state: Any) -> None:
    """Give the optimizer its state; what had none (it never had a gradient) has none again."""
    raw = getattr(optimizer, "optimizer", optimizer)
    options = StateDictOptions(full_state_dict=True, strict=False)
    set_optimizer_state_dict(model, raw, optim_state_dict=state, options=options)
    for name, parameter in accelerator.unwrap_model(model).named_parameters():
        if name not in state["state"]:
            raw.state.pop(parameter, None)


def summed(accelerator: Accelerator, values: Mapping[str, float]) -> dict[str, float]:
    """Sums over all processes."""
    mine = torch.tensor(list(values.values()), device=accelerator.device, dtype=torch.float32)
    total: Tensor = accelerator.reduce(mine, "sum")
    return dict(zip(values, total.tolist(), strict=True))
