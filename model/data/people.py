"""People to register for a recording, from a folder of clips or from a manifest."""

from __future__ import annotations

from pathlib import Path

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.io import read_sessions
from talkover.manifests.lines import CUTS_NAMES, cuts_file
from talkover.model.codec import SatsCodec
from talkover.model.data.enrolment import clip_vectors, mean_vector
from talkover.model.data.examples import Registered
from talkover.model.data.names import check_names
from talkover.model.modeling import SatsModel

AUDIO_SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")


def registered_of(where: Path | str, model: SatsModel, codec: SatsCodec) -> tuple[Registered, ...]:
    """People to register, by the names of files, of folders, or of speakers of a manifest.

    Args:
        where: A folder with ``NAME.wav`` (or flac, ogg, mp3) or ``NAME/*.wav``, or a manifest whose
            clips are used under the speakers' ids; several clips of one name are averaged.
        model: Makes the vectors.
        codec: Must be able to write the names.

    Raises:
        ConfigurationError: If nobody is found, a clip cannot be used, or a name cannot be written.
        ManifestError: If the manifest cannot be read.
    """
    where = Path(where)
    clips = clips_of(where)
    check_names(clips, codec)
    folder = cuts_file(where).parent if _is_manifest(where) else where
    vectors, faults = clip_vectors(
        model, [clip for found in clips.values() for clip in found], [folder]
    )
    if faults:
        clip, reason = next(iter(faults.items()))
        raise ConfigurationError(f"{clip}: cannot register by this clip: {reason}")
    people = []
    for name, found in sorted(clips.items()):
        vector = mean_vector(found, vectors)
        assert vector is not None
        people.append(Registered(name=name, speaker=name, vector=vector))
    return tuple(people)


def clips_of(where: Path) -> dict[str, list[Path]]:
    """Clips by name, of a folder or a manifest.

    Raises:
        ConfigurationError: If there is none.
        ManifestError: If the manifest cannot be read.
    """
    clips = _clips_of_manifest(where) if _is_manifest(where) else _clips_of_folder(where)
    if not clips:
        raise ConfigurationError(
            f"{where}: nobody to register: give NAME{AUDIO_SUFFIXES[0]} files, NAME/ folders with "
            "clips, or a manifest with registration clips"
        )
    return clips


def _is_manifest(where: Path) -> bool:
    return where.is_file() or any((where / name).is_file() for name in CUTS_NAMES)


def _clips_of_manifest(where: Path) -> dict[str, list[Path]]:
    folder = cuts_file(where).parent
    found: dict[str, dict[Path, None]] = {}
    for session in read_sessions(where):
        for clip in session.registration:
            found.setdefault(clip.speaker, {})[folder / clip.path] = None
    return {name: list(clips) for name, clips in found.items()}


def _clips_of_folder(where: Path) -> dict[str, list[Path]]:
    if not where.is_dir():
        raise ConfigurationError(f"{where}: no such folder or manifest of registered speakers")
    found: dict[str, list[Path]] = {}
    for path in sorted(where.iterdir()):
        if path.is_dir():
            inside = [p for p in sorted(path.iterdir()) if p.suffix.lower() in AUDIO_SUFFIXES]
            if inside:
                found.setdefault(path.name, []).extend(inside)
        elif path.suffix.lower() in AUDIO_SUFFIXES:
            found.setdefault(path.stem, []).append(path)
    return found
