"""Adapters added to the weights under them, as a checkpoint without any: what is deployed.

Adapters are those of the checkpoint (`talkover.model.lora`), or those of a local folder that peft
wrote for the language model: ``adapter_config.json`` and ``adapter_model.safetensors``.

Shapes: ``O`` outputs, ``I`` inputs, ``R`` rank.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

from talkover.manifests.errors import ConfigurationError
from talkover.model.checkpoints import load_model, save_model
from talkover.model.lora import has_lora, merge_lora
from talkover.model.modeling import SatsModel

CONFIG, WEIGHTS = "adapter_config.json", "adapter_model.safetensors"
"""Files of a folder of peft."""

PREFIX = "base_model.model."
"""Ahead of all names in such a file."""

PLAIN: Mapping[str, Any] = {
    "use_dora": False,
    "fan_in_fan_out": False,
    "bias": "none",
    "rank_pattern": {},
    "alpha_pattern": {},
    "modules_to_save": None,
}
"""Settings of peft that are more than two matrices beside each map, and their values for none."""


@dataclass(frozen=True, kw_only=True)
class Merged:
    """What came of it."""

    folder: Path
    adapters: int
    """Linear maps that had one."""


def merge_adapters(
    checkpoint: Path | str, out: Path | str, *, adapters: Path | str | None = None
) -> Merged:
    """Write a checkpoint whose weights hold what its adapters added; it answers the same.

    Args:
        checkpoint: Folder of a trained model.
        out: Folder to write.
        adapters: Folder of peft with adapters of the language model, which are added to those of
            the checkpoint.

    Raises:
        ConfigurationError: If there is no adapter, one does not fit, or the folder is in use.
    """
    out = Path(out)
    if (out / "config.json").exists():
        raise ConfigurationError(f"{out}: holds a checkpoint already: choose another folder")
    model, codec = load_model(checkpoint)
    if adapters is None and not has_lora(model):
        raise ConfigurationError(f"{checkpoint}: has no adapters: nothing to merge")
    count = merge_lora(model)
    if adapters is not None:
        count += add_adapters(model, Path(adapters))
    save_model(model, codec, out)
    return Merged(folder=out, adapters=count)


def add_adapters(model: SatsModel, folder: Path) -> int:
    """Add adapters that peft wrote to the language model's weights; says how many.

    Raises:
        ConfigurationError: If the folder holds something else, or an adapter does not fit.
    """
    scale = _scale(folder)
    pairs = _pairs(folder)
    modules = dict(model.lm.named_modules())
    with torch.no_grad():
        for name, (down, up) in pairs.items():
            module = modules.get(name)
            if not isinstance(module, nn.Linear):
                raise ConfigurationError(f"{folder}: the language model has no linear map {name}")
            change = scale * (up.double() @ down.double())  # [O, I]
            if change.shape != module.weight.shape:
                raise ConfigurationError(
                    f"{folder}: the adapter of {name} is for {list(change.shape)} weights, the "
                    f"language model has {list(module.weight.shape)}"
                )
            module.weight += change.to(module.weight)
    return len(pairs)


def _scale(folder: Path) -> float:
    """Factor on the product of the two matrices."""
    file = folder / CONFIG
    try:
        values = json.loads(file.read_text(encoding="utf8"))
    except (OSError, ValueError) as error:
        raise ConfigurationError(f"{file}: no configuration of adapters: {error}") from error
    if values.get("peft_type") != "LORA":
        raise ConfigurationError(f"{file}: peft_type must be LORA, got {values.get('peft_type')!r}")
    for name, plain in PLAIN.items():
        if values.get(name, plain) not in (plain, None):
            raise ConfigurationError(
                f"{file}: {name} is {values[name]!r}: only plain adapters can be merged"
            )
    rank = int(values["r"])
    return float(values["lora_alpha"]) / (math.sqrt(rank) if values.get("use_rslora") else rank)


def _pairs(folder: Path) -> dict[str, tuple[Tensor, Tensor]]:
    """Both matrices by the name of their map: ``[R, I]`` and ``[O, R]``."""
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    file = folder / WEIGHTS
    try:
        tensors = load_file(file)
    except (OSError, SafetensorError) as error:
        raise ConfigurationError(
            f"{file}: no adapters in safetensors (a pickle is never read): {error}"
        ) from error
    found: dict[str, dict[str, Tensor]] = {}
    for name, tensor in tensors.items():
        parts = name.removeprefix(PREFIX).rsplit(".", 2)
        if len(parts) != 3 or parts[1] not in ("lora_A", "lora_B") or parts[2] != "weight":
            raise ConfigurationError(f"{file}: {name} is no matrix of a plain adapter")
        found.setdefault(parts[0], {})[parts[1]] = tensor
    for name, pair in found.items():
        if len(pair) != 2:
            raise ConfigurationError(f"{file}: {name} has one of its two matrices only")
    if not found:
        raise ConfigurationError(f"{file}: holds no adapter")
    return {name: (pair["lora_A"], pair["lora_B"]) for name, pair in found.items()}
