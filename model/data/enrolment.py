"""Vectors of registration clips: by the model's own speaker encoder, or as they are given.

Given vectors lie beside a manifest in ``registration.safetensors``, one tensor ``[D]`` for each
clip, named by the clip's path in the manifest; so any embedder may make them.

Shapes: ``T`` samples or frames, ``D`` width of a vector.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from torch import nn

from talkover.manifests.audio import read_audio, unusable
from talkover.manifests.errors import AudioError, ConfigurationError, ManifestError
from talkover.model.modeling import SatsModel

Vector = NDArray[np.float32]
"""``[D]``."""

VECTORS = "registration.safetensors"
"""Name of the file with given vectors, beside ``cuts.jsonl``."""

LONGEST_CLIP = 10.0
"""Seconds of a clip that are heard; published clips have 2 to 10 s (SpeakerLM)."""

SHORTEST_CLIP = 0.5
"""Seconds below which a clip says too little of a voice to stand for it."""


def clip_vector(model: SatsModel, path: Path) -> Vector:
    """What a clip says of a voice, by the model's own speaker encoder.

    Raises:
        AudioError: If the clip cannot be used.
        ConfigurationError: If the model takes given vectors only.
    """
    return samples_vector(model, clip_samples(path, model.parts.features.sampling_rate))


def clip_samples(path: Path, sampling_rate: int) -> NDArray[np.float32]:
    """What is heard of a clip, ``[T]``.

    Raises:
        AudioError: If the clip cannot be used.
    """
    samples = read_audio(path, sampling_rate=sampling_rate)[: round(LONGEST_CLIP * sampling_rate)]
    if (fault := unusable(samples, sampling_rate)) is not None:
        raise AudioError(path, fault)
    if len(samples) < SHORTEST_CLIP * sampling_rate:
        raise AudioError(path, f"shorter than {SHORTEST_CLIP} s")
    return samples


def samples_vector(model: SatsModel, samples: NDArray[np.float32]) -> Vector:
    """What speech of one speaker, ``[T]`` at the model's rate, says of the voice.

    Raises:
        ConfigurationError: If the model takes given vectors only.
    """
    hears = getattr(model.speaker, "hears", "vectors")
    if hears == "vectors" or model.parts.registration_width is not None:
        raise ConfigurationError(
            "this model registers speakers by given vectors (model.registration_width): put them "
            f"into {VECTORS} beside the manifest"
        )
    assert model.speaker is not None
    device = next(model.speaker.parameters()).device
    audio = torch.from_numpy(np.ascontiguousarray(samples))[None].to(device)
    with torch.no_grad(), _resting(model.speaker):
        features, lengths = model.features(audio, torch.tensor([len(samples)], device=device))
        voices = model.speaker(audio if hears == "audio" else features, lengths)
        weights = torch.ones(1, 1, voices.hidden.shape[1], device=device)
        return np.asarray(model.voice(voices, weights)[0, 0].float().cpu().numpy(), np.float32)


@contextmanager
def _resting(module: nn.Module) -> Iterator[None]:
    """Without dropout; the mode is put back."""
    was_training = module.training
    module.eval()
    try:
        yield
    finally:
        module.train(was_training)


def given_vectors(folder: Path, clips: Iterable[Path], width: int) -> dict[Path, Vector]:
    """The vectors beside a manifest, of those of the clips that are below its folder.

    Raises:
        ManifestError: If the file cannot be read, or a vector has another width; names the clip.
    """
    from safetensors import SafetensorError
    from safetensors.numpy import load_file

    file = folder / VECTORS
    try:
        table = load_file(file)
    except (OSError, SafetensorError) as error:
        raise ManifestError(f"no vectors of registration clips: {error}", path=file) from error
    found: dict[Path, Vector] = {}
    for clip in clips:
        name = clip.relative_to(folder).as_posix() if clip.is_relative_to(folder) else ""
        if name not in table:
            continue
        vector = np.asarray(table[name], np.float32)
        if vector.shape != (width,) or not np.isfinite(vector).all():
            raise ManifestError(
                f"must hold {width} finite numbers (model.registration_width), got shape "
                f"{list(vector.shape)}",
                path=file,
                field=name,
            )
        found[clip] = vector
    return found


def clip_vectors(
    model: SatsModel, clips: Sequence[Path], folders: Iterable[Path]
) -> tuple[dict[Path, Vector], dict[str, str]]:
    """Vectors of clips, and why others have none.

    Args:
        model: Decides which vectors it takes.
        clips: Files.
        folders: Of the manifests, for given vectors.

    Raises:
        ManifestError: If given vectors cannot be read.
        ConfigurationError: If the model has no registration.
    """
    if model.registration is None:
        raise ConfigurationError("the model has no registration: set model.layout.registration")
    width = model.parts.registration_width
    found: dict[Path, Vector] = {}
    faults: dict[str, str] = {}
    if width is not None:
        for folder in dict.fromkeys(folders):
            found |= given_vectors(folder, clips, width)
        faults = {str(clip): f"not in {VECTORS}" for clip in clips if clip not in found}
        return found, faults
    for clip in clips:
        try:
            found[clip] = clip_vector(model, clip)
        except AudioError as error:
            faults[str(clip)] = error.reason
    return found, faults


def mean_vector(clips: Sequence[Path], vectors: Mapping[Path, Vector]) -> Vector | None:
    """The mean over a speaker's clips; None where none of them has a vector."""
    known = [vectors[clip] for clip in clips if clip in vectors]
    return np.mean(known, axis=0, dtype=np.float32) if known else None
