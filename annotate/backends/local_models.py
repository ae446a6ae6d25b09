"""Models of Hugging Face that a user has in a folder: safetensors only, nothing downloaded."""

from __future__ import annotations

import importlib.util
from pathlib import Path
from typing import Any

from talkover.annotate.backends.base import BackendInfo, is_non_commercial
from talkover.annotate.offline import go_offline
from talkover.manifests.errors import ConfigurationError
from talkover.manifests.markers import file_sha256
from talkover.manifests.seeds import content_id
from talkover.manifests.torchaudio_guard import guard_torchaudio


def resolved(model: Path | str) -> Path:
    """The folder of a model: itself, or a hub's name that is in the local cache already.

    Raises:
        ConfigurationError: If there is no such folder.
    """
    folder = Path(model).expanduser()
    if folder.is_dir():
        return folder
    go_offline()
    if importlib.util.find_spec("huggingface_hub") is not None and not folder.is_absolute():
        from huggingface_hub import snapshot_download

        try:
            return Path(snapshot_download(str(model), local_files_only=True))
        except (OSError, ValueError):  # the hub's errors are of these two
            pass
    raise ConfigurationError(
        f"{model}: no such folder, and no model of this name in the hub's local cache: "
        "download it first; talkover downloads nothing"
    )


def weight_files(folder: Path) -> list[Path]:
    """The safetensors of a model.

    Raises:
        ConfigurationError: If there are none; pickled weights are refused.
    """
    found = sorted(folder.glob("*.safetensors"))
    if found:
        return found
    pickled = sorted([*folder.glob("*.bin"), *folder.glob("*.pt"), *folder.glob("*.pth")])
    what = f"{pickled[0].name} is a pickle, which can run code" if pickled else "no weights"
    raise ConfigurationError(
        f"{folder}: {what}: save the model with save_pretrained(…, safe_serialization=True)"
    )


def folder_info(name: str, folder: Path, licence: str, code: str) -> BackendInfo:
    """Who speaks: hash over weights and configuration.

    Args:
        name: Of the backend.
        folder: Of the model.
        licence: SPDX id, as the user says; nothing in a folder is sure to tell it.
        code: Version of the adapter.
    """
    files = [*weight_files(folder), *sorted(folder.glob("*.json"))]
    digest = content_id(*(file_sha256(path) for path in files), length=64)
    return BackendInfo(
        name=f"{name}:{folder.resolve().name}",
        version=code,
        licence=licence,
        weights_sha256=digest,
        non_commercial=is_non_commercial(licence),
    )


def import_transformers() -> Any:
    """The package, offline and with the torchaudio that loads here."""
    go_offline()
    guard_torchaudio()
    import transformers

    return transformers


def available(folder: Path | str) -> tuple[bool, str]:
    """Whether transformers is there and the folder holds safetensors."""
    if importlib.util.find_spec("transformers") is None:
        return False, "transformers is not installed: pip install talkover[model]"
    try:
        weight_files(resolved(folder))
    except ConfigurationError as error:
        return False, str(error)
    return True, ""
