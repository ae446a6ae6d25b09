"""LoRA (Hu et al. 2021, arXiv 2106.09685) by peft: small trainable matrices beside frozen ones.

Adapters are put in place inside the model: it stays the same class, generates and saves as before,
and a checkpoint holds them with its other weights. An adapter that was never trained changes
nothing. `merge_lora` adds the adapters to the weights under them, for use without peft.
"""

from __future__ import annotations

import math
from collections.abc import Iterator
from dataclasses import dataclass, replace
from fnmatch import fnmatchcase
from typing import Any

from torch import nn

from talkover.manifests.errors import ConfigurationError, MissingExtraError
from talkover.manifests.torchaudio_guard import guard_torchaudio

ADAPTER_MARK = "lora_"
"""In the names of all parameters of adapters, as peft names them."""

BASE_MARK = ".base_layer."
"""In the names of the parameters that have adapters beside them."""


@dataclass(frozen=True, kw_only=True)
class LoraSettings:
    """Which linear maps get adapters, and of which size."""

    targets: tuple[str, ...] = ("lm.*.q_proj", "lm.*.v_proj")
    """Globs over names of modules; linear ones that match get an adapter."""
    rank: int = 16
    alpha: float = 32.0
    """An adapter's output is scaled by ``alpha / rank``."""
    dropout: float = 0.0

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.rank < 1:
            raise ValueError(f"rank must be 1 or more, got {self.rank}")
        if not self.targets:
            raise ValueError("targets must name at least one module")


def insert_lora(model: nn.Module, settings: LoraSettings) -> int:
    """Put adapters beside the matching linear maps; says how many.

    Raises:
        ConfigurationError: If a glob matches no linear map.
        MissingExtraError: If peft is not installed.
    """
    guard_torchaudio()
    try:
        from peft import LoraConfig, inject_adapter_in_model
    except ImportError as error:
        raise MissingExtraError("peft", "model", "adapters (model.lora)") from error
    names = [name for name, module in model.named_modules() if isinstance(module, nn.Linear)]
    for glob in settings.targets:
        if not any(fnmatchcase(name, glob) for name in names):
            raise ConfigurationError(
                f"lora.targets: no linear map is called {glob!r}; the first are "
                f"{', '.join(names[:4])}"
            )
    chosen = [n for n in names if any(fnmatchcase(n, glob) for glob in settings.targets)]
    wanted = {name: parameter.requires_grad for name, parameter in model.named_parameters()}
    config = LoraConfig(
        r=settings.rank,
        lora_alpha=settings.alpha,  # type: ignore[arg-type, unused-ignore]
        lora_dropout=settings.dropout,
        target_modules=chosen,
        bias="none",
    )
    inject_adapter_in_model(config, model)
    # peft froze everything else; what a stage trains is said by its globs alone.
    for name, parameter in model.named_parameters():
        parameter.requires_grad_(wanted.get(name.replace(BASE_MARK, "."), True))
    return len(chosen)


def choose_lora(model: nn.Module, is_trained: bool) -> None:
    """Train the adapters and freeze what is under them; or freeze the adapters, which still act."""
    for name, parameter in model.named_parameters():
        if ADAPTER_MARK in name:
            parameter.requires_grad_(is_trained)
        elif BASE_MARK in name and is_trained:
            parameter.requires_grad_(False)


def has_lora(model: nn.Module) -> bool:
    """Whether there are adapters."""
    return any(ADAPTER_MARK in name for name, _ in model.named_parameters())


def merge_lora(model: Any) -> int:
    """Add the adapters to the weights under them and take them away; says how many there were.

    Args:
        model: A `talkover.model.modeling.SatsModel`; its configuration then says that it has none.
    """
    merged = 0
    for parent, name, layer in list(_adapted(model)):
        layer.merge()
        setattr(parent, name, layer.get_base_layer())
        merged += 1
    model.parts = replace(model.parts, lora=None)
    model.config.parts = model.parts.plain()
    return merged


def reset_lora(model: nn.Module, seed: int) -> None:
    """Let all adapters begin anew, so that they change nothing."""
    import torch

    generator = torch.Generator().manual_seed(seed)
    for name, parameter in model.named_parameters():
        if "lora_A" in name:
            bound = 1 / math.sqrt(parameter.shape[1])  # that of nn.Linear's own first weights
            values = torch.rand(parameter.shape, generator=generator) * 2 * bound - bound
            parameter.data.copy_(values)
        elif "lora_B" in name:
            parameter.data.zero_()


def _adapted(model: nn.Module) -> Iterator[tuple[nn.Module, str, Any]]:
    from peft.tuners.tuners_utils import BaseTunerLayer

    for parent in model.modules():
        for name, child in parent.named_children():
            if isinstance(child, BaseTunerLayer):
                yield parent, name, child
