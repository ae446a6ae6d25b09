"""Enrolled people: voices from a folder of clips, kept in a file.

A profile file holds voiceprints and no audio; it says which weights heard them, and is refused by
others, for which its numbers mean nothing.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, ValidationError

from talkover.annotate.clustering import Vectors, normalised
from talkover.annotate.levels import levels_of
from talkover.annotate.media import RATE
from talkover.manifests.audio import probe, read_audio, resample
from talkover.manifests.errors import AudioError, ConfigurationError
from talkover.manifests.markers import atomic_path

AUDIO_SUFFIXES = (".wav", ".flac", ".mp3", ".ogg", ".opus", ".aiff", ".aif")
LEAST_ENROLLED_SECONDS = 1.0
"""Of speech, under which a voice is refused."""
MOST_ENROLLED_SECONDS = 120.0
"""Seconds of a file that are heard."""
LEVEL_FRAME = 800
"""Samples of a frame by whose level speech is told from pauses: 50 ms."""
BELOW_LOUD_DB = 25.0
"""A frame this far below the loud ones (95th percentile) is a pause of an enrolment clip."""

Embed = Callable[[NDArray[np.float32]], NDArray[np.float32]]
"""Samples at `RATE`, ``[N]`` → a voice, ``[1, D]``."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Profiles:
    """Enrolled people.

    Attributes:
        names: Each once.
        voices: Of length 1, ``[V, D]``.
        model: Hash of the weights that heard them: voices of other weights mean nothing.
    """

    names: tuple[str, ...]
    voices: Vectors
    model: str


class _ProfileFile(BaseModel):
    """What a profile file holds."""

    model_config = ConfigDict(extra="forbid", frozen=True)

    format: int
    model: str
    voices: dict[str, list[float]]


def enrolled(folder: Path, embed: Embed, *, model: str) -> Profiles:
    """Voices of a folder: one file or one folder of files a person.

    Args:
        folder: With ``NAME.wav`` or ``NAME/*.wav``; any audio that can be decoded.
        embed: Gives a voice.
        model: Hash of the embedder's weights.

    Raises:
        ConfigurationError: If there is nobody, or a file cannot be used; names the file.
    """
    files: dict[str, list[Path]] = {}
    for path in sorted(folder.iterdir()):
        if path.is_dir():
            own = sorted(p for p in path.iterdir() if p.suffix.lower() in AUDIO_SUFFIXES)
            if own:
                files.setdefault(path.name, []).extend(own)
        elif path.suffix.lower() in AUDIO_SUFFIXES:
            files.setdefault(path.stem, []).append(path)
    if not files:
        raise ConfigurationError(
            f"{folder}: nobody is enrolled: put NAME.wav or NAME/*.wav there, one voice a name"
        )
    voices = [np.sum([_voice(path, embed) for path in paths], axis=0) for paths in files.values()]
    return Profiles(names=tuple(files), voices=normalised(np.stack(voices)), model=model)


def _voice(path: Path, embed: Embed) -> NDArray[np.float64]:
    """The voice of a clip's loud parts, times their seconds."""
    try:
        info = probe(path)
        most = round(MOST_ENROLLED_SECONDS * info.sampling_rate)
        signal = read_audio(path, num_samples=min(info.num_samples, most), channel="mean")
    except AudioError as error:
        raise ConfigurationError(f"enrolled voice {error}") from error
    heard = resample(signal, info.sampling_rate, RATE)
    levels = levels_of(heard, LEVEL_FRAME)
    loud = levels >= np.percentile(levels, 95) - BELOW_LOUD_DB if len(levels) else levels > 0
    speech = heard[np.repeat(loud, LEVEL_FRAME)[: len(heard)]]
    seconds = len(speech) / RATE
    if seconds < LEAST_ENROLLED_SECONDS or not np.any(speech):
        raise ConfigurationError(
            f"enrolled voice {path}: holds {seconds:.1f} s of sound, "
            f"needed are {LEAST_ENROLLED_SECONDS:g} s and more"
        )
    return np.asarray(embed(speech)[0], dtype=np.float64) * seconds


def write_profiles(profiles: Profiles, path: Path) -> None:
    """Keep voices as JSON, so that no audio of theirs is needed again; atomic."""
    document = {
        "format": 1,
        "model": profiles.model,
        "voices": {
            name: [round(float(x), 6) for x in voice]
            for name, voice in zip(profiles.names, profiles.voices, strict=True)
        },
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(document, ensure_ascii=False) + "\n", encoding="utf8")


def read_profiles(path: Path, *, model: str) -> Profiles:
    """Voices that were kept.

    Args:
        path: The file.
        model: Hash of the weights that they are to be compared with.

    Raises:
        ConfigurationError: If the file is no profile file, or of another model.
    """
    try:
        kept = _ProfileFile.model_validate_json(path.read_bytes())
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join(str(part) for part in first["loc"]) or "file"
        raise ConfigurationError(f"{path}: {place}: {first['msg']}") from error
    if kept.model != model:
        raise ConfigurationError(
            f"{path}: model: these voices were heard by other weights ({kept.model[:12]}…, here "
            f"{model[:12]}…): enrol them again from their audio"
        )
    if not kept.voices or len({len(voice) for voice in kept.voices.values()}) != 1:
        raise ConfigurationError(f"{path}: voices: needs voices of one length, one a name")
    vectors = np.array(list(kept.voices.values()), dtype=np.float64)
    if not np.isfinite(vectors).all():
        raise ConfigurationError(f"{path}: voices: not all numbers are finite")
    return Profiles(names=tuple(kept.voices), voices=normalised(vectors), model=model)
