"""Checkpoints: the model with its tokenizer, and the state of a training run. No pickle anywhere.

A folder appears whole or not at all: it is written under another name and renamed.
"""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor
from transformers.utils import logging

from talkover.manifests.errors import ConfigurationError
from talkover.model.codec import SatsCodec
from talkover.model.modeling import SatsModel

WEIGHTS = "model.safetensors"
OPTIMIZER = "optimizer.safetensors"
STATE = "state.json"
SHOWN = 3
"""Names of weights that an error tells."""
SEPARATOR = "::"
"""Between the name of a parameter and that of its optimizer state."""


def save_model(model: SatsModel, codec: SatsCodec, folder: Path) -> None:
    """Write weights, configuration and tokenizer."""
    folder.mkdir(parents=True, exist_ok=True)
    with _without_bars():
        model.save_pretrained(folder, max_shard_size="100GB")
    codec.tokenizer.save_pretrained(folder)


def load_model(folder: Path | str) -> tuple[SatsModel, SatsCodec]:
    """A model and its codec from a checkpoint.

    Raises:
        ConfigurationError: If the folder is no checkpoint of a SATS model, or of another layout.
    """
    from transformers import AutoTokenizer

    folder = Path(folder)
    check_checkpoint(folder)
    model = _with_all_weights(folder)
    codec = SatsCodec(model.parts.codec, AutoTokenizer.from_pretrained(folder))
    check_fit(model, codec, folder)
    model.train(False)
    return model, codec


def check_checkpoint(folder: Path) -> None:
    """Refuse a folder that is no checkpoint of a SATS model; weights are not read.

    Raises:
        ConfigurationError: If it is none.
    """
    file = folder / "config.json"
    if not file.is_file() or not (folder / WEIGHTS).is_file():
        raise ConfigurationError(
            f"{folder}: not a checkpoint: it needs config.json and {WEIGHTS}, as `talkover train` "
            "writes them"
        )
    kind = json.loads(file.read_text(encoding="utf8")).get("model_type")
    if kind != SatsModel.config_class.model_type:
        raise ConfigurationError(f"{folder}: holds a {kind} model, not a SATS model of talkover")


def _with_all_weights(folder: Path) -> SatsModel:
    """The model, if its file has every weight that its configuration asks for, and no other.

    Raises:
        ConfigurationError: With the first weights that are missing, too many or of another shape.
    """
    loaded: Any
    with _without_bars():
        loaded = SatsModel.from_pretrained(
            folder, local_files_only=True, output_loading_info=True, ignore_mismatched_sizes=True
        )
    model: SatsModel = loaded[0]
    found: Mapping[str, Any] = loaded[1]
    faults = {
        "missing": sorted(found["missing_keys"]),
        "not of this model": sorted(found["unexpected_keys"]),
        "of another shape": sorted(str(key[0]) for key in found["mismatched_keys"]),
    }
    said = [
        f"{len(names)} {fault} ({', '.join(names[:SHOWN])}{', …' if names[SHOWN:] else ''})"
        for fault, names in faults.items()
        if names
    ]
    if said:
        raise ConfigurationError(
            f"{folder}: a checkpoint of another layout than its config.json says: weights "
            + "; ".join(said)
        )
    return model


@contextmanager
def _without_bars() -> Iterator[None]:
    """No progress bars of transformers: a small checkpoint every minute is no event."""
    shown = logging.is_progress_bar_enabled()
    logging.disable_progress_bar()  # type: ignore[no-untyped-call]
    try:
        yield
    finally:
        if shown:
            logging.enable_progress_bar()  # type: ignore[no-untyped-call]


def check_fit(model: SatsModel, codec: SatsCodec, folder: Path) -> None:
    """Refuse a tokenizer that is not the one that the model was trained with.

    Raises:
        ConfigurationError: If a token that the model relies on is another one now.
    """
    size = model.lm.get_input_embeddings().weight.shape[0]
    times = tuple(codec.time_ids())
    if len(codec) > size or times != model.parts.tables.times:
        raise ConfigurationError(
            f"{folder}: the tokenizer ({len(codec)} tokens, {len(times)} times) is not that of the "
            f"model ({size} tokens, {len(model.parts.tables.times)} times)"
        )


def save_run(
    folder: Path,
    model: SatsModel,
    codec: SatsCodec,
    optimizer: Mapping[str, Any],
    state: Mapping[str, Any],
) -> None:
    """Write everything that going on needs.

    Args:
        folder: Replaced if it is there.
        model: Unwrapped.
        codec: Goes with the model.
        optimizer: State by name of parameter, as `torch.distributed.checkpoint.state_dict` gives.
        state: JSON values.
    """
    temporary = folder.with_name(f".{folder.name}.tmp")
    shutil.rmtree(temporary, ignore_errors=True)
    save_model(model, codec, temporary)
    tensors, groups = flat_optimizer(optimizer)
    save_file(tensors, temporary / OPTIMIZER)
    values = {**state, "param_groups": groups}
    (temporary / STATE).write_text(json.dumps(values, indent=1), encoding="utf8")
    for file in temporary.iterdir():
        with file.open("rb") as opened:
            os.fsync(opened.fileno())
    shutil.rmtree(folder, ignore_errors=True)
    temporary.rename(folder)


def read_state(folder: Path) -> dict[str, Any]:
    """The JSON values of `save_run`."""
    values: dict[str, Any] = json.loads((folder / STATE).read_text(encoding="utf8"))
    return values


def read_optimizer(folder: Path) -> dict[str, Any]:
    """The optimizer's state, in the form that was given to `save_run`."""
    state: dict[str, dict[str, Tensor]] = {}
    for key, tensor in load_file(folder / OPTIMIZER).items():
        name, _, part = key.rpartition(SEPARATOR)
        state.setdefault(name, {})[part] = tensor
    return {"state": state, "param_groups": read_state(folder)["param_groups"]}


def flat_optimizer(optimizer: Mapping[str, Any]) -> tuple[dict[str, Tensor], list[Any]]:
    """Tensors by one name each, and the groups."""
    tensors = {
        f"{name}{SEPARATOR}{part}": torch.as_tensor(value).contiguous()
        for name, parts in optimizer["state"].items()
        for part, value in parts.items()
    }
    return tensors, list(optimizer["param_groups"])


def finished(folder: Path) -> list[Path]:
    """Whole checkpoints of a run, oldest first."""
    return sorted(path.parent for path in folder.glob(f"*/{STATE}") if path.parent.name[0] != ".")


def prune(folder: Path, keep: int) -> None:
    """Delete all but the last checkpoints."""
    for old in finished(folder)[:-keep]:
        shutil.rmtree(old)


def average_weights(folders: Sequence[Path]) -> dict[str, Tensor]:
    """Mean of the weights of some checkpoints; integer buffers are those of the last.

    Raises:
        ConfigurationError: If there is none, or they differ in names or shapes.
    """
    if not folders:
        raise ConfigurationError("no checkpoint to average")
    total = load_file(folders[0] / WEIGHTS)
    sums = {name: tensor.double() for name, tensor in total.items()}
    for folder in folders[1:]:
        weights = load_file(folder / WEIGHTS)
        if {n: t.shape for n, t in weights.items()} != {n: t.shape for n, t in total.items()}:
            raise ConfigurationError(f"{folder}: other weights than {folders[0]}")
        for name, tensor in weights.items():
            sums[name] = sums[name] + tensor.double()
        total = weights
    return {
        name: (sums[name] / len(folders)).to(tensor.dtype) if tensor.is_floating_point() else tensor
        for name, tensor in total.items()
    }
