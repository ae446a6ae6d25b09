"""Weights of a published checkpoint: read one at a time, renamed, copied, all accounted for.

Only safetensors are read. A file that torch pickled can run any program when it is read, so it is
refused with the way to convert it.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path

import torch
from torch import Tensor, nn

from talkover.manifests.errors import ConfigurationError

INDEX = "model.safetensors.index.json"
WHOLE = "model.safetensors"
PICKLED = (".bin", ".pt", ".pth", ".ckpt")
SHOWN = 3
"""Names that an error tells."""

Rename = Callable[[str], str | None]
"""From a published name to ours; None for what our model has no use for. A name that is not known
stays as it is, and is told."""

HEADS = ("unit_head.", "duration_head.", "activity_head.", "classifier.")
"""Parts of our own, for losses that published models do not have; they begin at zero."""

TABLES = ("lm.lm_head.weight", "embed_tokens.weight")
"""Ends of names of matrices with a row for each token; ours may have more rows."""


def stored_weights(folder: Path, prefix: str = "") -> dict[str, Path]:
    """The file of each tensor of a folder, under its name behind a prefix.

    Raises:
        ConfigurationError: If there are no safetensors files.
    """
    return {prefix + name: file for file in _files(folder) for name in _names(file)}


def _names(file: Path) -> list[str]:
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        return list(opened.keys())


def _files(folder: Path) -> list[Path]:
    if (folder / INDEX).is_file():
        names = json.loads((folder / INDEX).read_text(encoding="utf8"))["weight_map"].values()
        found = [folder / Path(name).name for name in sorted(set(names))]
        missing = [file.name for file in found if not file.is_file()]
        if missing:
            raise ConfigurationError(f"{folder}: {INDEX} names {missing[0]}, which is not there")
        return found
    if (folder / WHOLE).is_file():
        return [folder / WHOLE]
    found = sorted(folder.glob("*.safetensors"))
    if not found:
        raise ConfigurationError(f"{folder}: {_advice(folder)}")
    return found


def _advice(folder: Path) -> str:
    files = sorted(folder.iterdir()) if folder.is_dir() else []
    pickled = [file.name for file in files if file.suffix in PICKLED]
    if not pickled:
        return "no *.safetensors file"
    return (
        f"no *.safetensors file, only {pickled[0]}, a pickle, which can run any program when it is "
        "read: convert it where you trust it, with safetensors.torch.save_file(dict of tensors of "
        f"torch.load({pickled[0]!r}, weights_only=True), {WHOLE!r})"
    )


def copy_weights(model: nn.Module, stored: Mapping[str, Path], rename: Rename) -> None:
    """Fill a model; rows of tokens that the checkpoint does not know become the mean of the others.

    The mean is never the likeliest token, so new control tokens do not disturb greedy decoding.

    Args:
        model: With weights of any values.
        stored: See `stored_weights`.
        rename: From the names in ``stored``.

    Raises:
        ConfigurationError: With the first weights that are missing, unknown or of another shape.
    """
    own = model.state_dict(keep_vars=True)
    ours = {name: rename(name) for name in stored}
    sources = {name: mine for name, mine in ours.items() if mine is not None}
    unknown = sorted(name for name, mine in sources.items() if mine not in own)
    filled = {own[mine].data_ptr() for mine in sources.values() if mine in own}
    missing = sorted(
        name
        for name, tensor in own.items()
        if tensor.data_ptr() not in filled and not name.startswith(HEADS)
    )
    odd = []
    with torch.no_grad():
        for name, tensor in own.items():
            if name.startswith(HEADS):
                tensor.zero_()
        for name, mine in sources.items():
            if mine in own:
                value = _read(stored[name], name)
                if not _copy(value, own[mine], mine):
                    odd.append(f"{name} {list(value.shape)} for {list(own[mine].shape)}")
    faults = {"missing": missing, "not known": unknown, "of another shape": odd}
    said = [
        f"{len(names)} {fault} ({', '.join(names[:SHOWN])}{', …' if names[SHOWN:] else ''})"
        for fault, names in faults.items()
        if names
    ]
    if said:
        folder = next(iter(stored.values())).parent
        raise ConfigurationError(
            f"{folder}: not the weights that its config says: " + "; ".join(said)
        )


def _read(file: Path, name: str) -> Tensor:
    """One tensor; its name in the file may be without the prefix of its part."""
    from safetensors import safe_open

    with safe_open(file, framework="pt") as opened:
        known = set(opened.keys())
        while name not in known and "." in name:
            name = name.partition(".")[2]
        tensor: Tensor = opened.get_tensor(name)
    return tensor


def _copy(value: Tensor, target: Tensor, name: str) -> bool:
    """Copy if the shapes fit; tables may grow."""
    more = target.shape[0] - value.shape[0] if name.endswith(TABLES) else 0
    if more < 0 or target.shape[1:] != value.shape[1:]:
        return False
    if not more and target.shape != value.shape:
        return False
    target[: len(value)].copy_(value) if more else target.copy_(value)
    if more:
        target[len(value) :].copy_(value.float().mean(0, keepdim=True).expand(more, -1))
    return True
