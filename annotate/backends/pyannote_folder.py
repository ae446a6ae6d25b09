"""A diarization pipeline of pyannote.audio without pickle: safetensors, JSON and plain arrays.

pyannote's checkpoints are pickles, and reading a pickle runs whatever is in it. So they are
converted once, by a person who trusts where they come from:

>>> from talkover.annotate.backends.pyannote_folder import convert_pyannote
>>> convert_pyannote("community-1", "converted", licence="CC-BY-4.0",
...                  trust_pickle=True)  # doctest: +SKIP

The folder then holds ``pipeline.json``, ``segmentation.safetensors``, ``embedding.safetensors`` and
``plda/*.npz``, and nothing in it is ever executed.
"""

from __future__ import annotations

import dataclasses
import importlib
import json
import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import yaml

from talkover.annotate.backends.base import BackendInfo, is_non_commercial
from talkover.annotate.offline import go_offline
from talkover.manifests.errors import ConfigurationError
from talkover.manifests.markers import atomic_path, file_sha256
from talkover.manifests.seeds import content_id
from talkover.manifests.torchaudio_guard import guard_torchaudio

DESCRIPTION = "pipeline.json"
FORMAT = 1
MODELS = ("segmentation", "embedding")
PLDA = ("xvec_transform.npz", "plda.npz")
ARCHITECTURES = "pyannote.audio.models."
"""Classes of models are looked for in here, and nowhere else."""
CHECKPOINT = "pytorch_model.bin"


def import_pyannote() -> Any:
    """The package, without telemetry, network or torchaudio's compiled part."""
    go_offline()
    guard_torchaudio()
    return importlib.import_module("pyannote.audio")


def convert_pyannote(
    source: Path | str,
    out: Path | str,
    *,
    licence: str,
    name: str = "pyannote",
    trust_pickle: bool = False,
) -> Path:
    """Rewrite a local pipeline of pyannote.audio so that it holds no pickle.

    Args:
        source: Folder with ``config.yaml``, as it is downloaded from the hub by its user.
        out: Folder to write.
        licence: SPDX id of the weights' licence, which goes to every label.
        name: What labels say of who made them.
        trust_pickle: Must be True: whoever made the checkpoints can run code here, once.

    Returns:
        The folder that was written.

    Raises:
        ConfigurationError: If the pickles are not trusted, or the folder holds no such pipeline.
    """
    source, out = Path(source), Path(out)
    if not trust_pickle:
        raise ConfigurationError(
            f"{source}: its checkpoints are pickles, which can run any code when they are read: "
            "convert them with trust_pickle=True if you trust who made them"
        )
    config = _pipeline_config(source)
    audio = import_pyannote()
    described: dict[str, Any] = {
        "format": FORMAT,
        "name": name,
        "licence": licence,
        "pyannote.audio": audio.__version__,
        "clustering": config["pipeline"]["params"].get("clustering", "VBxClustering"),
        "segmentation_step": config["pipeline"]["params"].get("segmentation_step", 0.1),
        "embedding_exclude_overlap": config["pipeline"]["params"].get(
            "embedding_exclude_overlap", False
        ),
        "params": config.get("params", {}),
        "models": {},
    }
    for kind in MODELS:
        place = _below(source, config["pipeline"]["params"].get(kind))
        model = audio.Model.from_pretrained(place, strict=False)
        described["models"][kind] = _save_model(model, out / f"{kind}.safetensors")
    plda = _below(source, config["pipeline"]["params"].get("plda"))
    (out / "plda").mkdir(parents=True, exist_ok=True)
    for file in PLDA:
        shutil.copyfile(plda / file, out / "plda" / file)
    with atomic_path(out / DESCRIPTION) as temporary:
        temporary.write_text(json.dumps(described, indent=1, sort_keys=True) + "\n", "utf8")
    return out


def folder_info(folder: Path) -> BackendInfo:
    """Who speaks, with one hash over all weights.

    Raises:
        ConfigurationError: If the folder was not written by `convert_pyannote`.
    """
    described = read_description(folder)
    files = [*(f"{kind}.safetensors" for kind in MODELS), *(f"plda/{file}" for file in PLDA)]
    hashes = [file_sha256(folder / file) for file in files]
    return BackendInfo(
        name=str(described["name"]),
        version=f"{described['pyannote.audio']}+1",
        licence=str(described["licence"]),
        weights_sha256=content_id(*hashes, length=64),
        non_commercial=is_non_commercial(str(described["licence"])),
    )


def read_description(folder: Path) -> dict[str, Any]:
    """What `convert_pyannote` wrote down.

    Raises:
        ConfigurationError: If it did not write this folder, or a file is missing.
    """
    try:
        described = json.loads((folder / DESCRIPTION).read_text("utf8"))
        if described["format"] != FORMAT:
            raise ConfigurationError(f"{folder}: of another format: convert it again")
    except (OSError, ValueError, KeyError, TypeError) as error:
        pickled = list(folder.rglob("*.bin")) if folder.is_dir() else []
        what = "its checkpoints are pickles" if pickled else f"no {DESCRIPTION} in it"
        raise ConfigurationError(
            f"{folder}: {what}: convert it once with "
            "talkover.annotate.backends.pyannote_folder.convert_pyannote"
        ) from error
    found: dict[str, Any] = described
    return found


def load_pipeline(folder: Path) -> Any:
    """The pipeline, ready to run; no pickle is read.

    Raises:
        ConfigurationError: If the folder does not hold what it says.
    """
    described = read_description(folder)
    import_pyannote()
    from pyannote.audio.core.plda import PLDA as Plda
    from pyannote.audio.pipelines import SpeakerDiarization

    models = {
        kind: _load_model(described["models"][kind], folder / f"{kind}.safetensors")
        for kind in MODELS
    }
    pipeline: Any = SpeakerDiarization(
        segmentation=models["segmentation"],
        embedding=models["embedding"],
        plda=Plda(folder / "plda" / PLDA[0], folder / "plda" / PLDA[1]),
        clustering=described["clustering"],
        segmentation_step=described["segmentation_step"],
        embedding_exclude_overlap=described["embedding_exclude_overlap"],
    )
    return pipeline.instantiate(described["params"] or pipeline.default_parameters())


def _pipeline_config(source: Path) -> Mapping[str, Any]:
    try:
        config = yaml.safe_load((source / "config.yaml").read_text("utf8"))
        name = config["pipeline"]["name"]
    except (OSError, yaml.YAMLError, KeyError, TypeError) as error:
        raise ConfigurationError(f"{source}: holds no config.yaml of a pipeline") from error
    if not str(name).endswith("SpeakerDiarization"):
        raise ConfigurationError(f"{source}: is a {name}, not a pipeline of SpeakerDiarization")
    found: Mapping[str, Any] = config
    return found


def _below(source: Path, value: object) -> Path:
    """The local place of ``$model/…``.

    Raises:
        ConfigurationError: If it is somewhere else, or not there.
    """
    text = str(value)
    place = source / text.removeprefix("$model/")
    if not text.startswith("$model/") or not place.exists():
        raise ConfigurationError(f"{source}: {text!r} is not below it: download the whole pipeline")
    return place


def _save_model(model: Any, path: Path) -> dict[str, Any]:
    """Write weights; give what is needed to build the model again."""
    from safetensors.torch import save

    module, name = type(model).__module__, type(model).__name__
    if not module.startswith(ARCHITECTURES):
        raise ConfigurationError(f"{module}.{name} is no model of pyannote.audio itself")
    weights = {key: value.contiguous().clone() for key, value in model.state_dict().items()}
    with atomic_path(path) as temporary:
        temporary.write_bytes(save(weights))
    specifications = dataclasses.asdict(model.specifications)
    specifications["problem"] = model.specifications.problem.name
    specifications["resolution"] = model.specifications.resolution.name
    return {
        "module": module,
        "class": name,
        "hyper_parameters": json.loads(json.dumps(dict(model.hparams))),
        "specifications": json.loads(json.dumps(specifications)),
    }


def _load_model(described: Mapping[str, Any], path: Path) -> Any:
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from safetensors import SafetensorError
    from safetensors.torch import load_file

    module = str(described["module"])
    if not module.startswith(ARCHITECTURES):
        raise ConfigurationError(f"{path}: {module} is no module of pyannote's models")
    values = dict(described["specifications"])
    if values.get("warm_up") is not None:
        values["warm_up"] = tuple(values["warm_up"])
    values["problem"] = Problem[values["problem"]]
    values["resolution"] = Resolution[values["resolution"]]
    model = getattr(importlib.import_module(module), described["class"])(
        **described["hyper_parameters"]
    )
    model.specifications = Specifications(**values)
    model.setup()
    try:
        model.load_state_dict(load_file(path))
    except (OSError, RuntimeError, SafetensorError) as error:
        reason = " ".join(str(error).split())[:200]
        raise ConfigurationError(f"{path}: not the weights of {module}: {reason}") from error
    return model.eval()
