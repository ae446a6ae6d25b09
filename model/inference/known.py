"""People whose voices are known, for a model that does not read them: told apart afterwards.

A model with `layout.registration` reads names and voices and writes the names itself. For any other
one that knows voices, each person is a voice of its own among those of the pieces
(`talkover.model.inference.voices.linked`): a speaker who is alike enough gets the name.
"""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path

import numpy as np

from talkover.manifests.errors import AudioError, ConfigurationError
from talkover.manifests.serialize.transcript import speaker_label
from talkover.model.data.enrolment import Vector, clip_samples
from talkover.model.data.names import check_label
from talkover.model.data.people import clips_of
from talkover.model.inference.ears import Ears
from talkover.model.inference.spoken import Spoken
from talkover.model.inference.voices import KnownVoice


def known_voices(where: Path | str, ears: Ears) -> tuple[KnownVoice, ...]:
    """Voices of people, by the names of files, of folders, or of speakers of a manifest.

    Args:
        where: A folder with ``NAME.wav`` (or flac, ogg, mp3) or ``NAME/*.wav``, or a manifest whose
            registration clips are used; several clips of one name are averaged.
        ears: Hears the clips.

    Raises:
        ConfigurationError: If nobody is found, a clip cannot be used, or the model knows no voices.
        ManifestError: If the manifest cannot be read.
    """
    check_ears(ears)
    people = []
    for name, clips in sorted(clips_of(Path(where)).items()):
        check_label(name)
        sums, faults = clip_sums(ears, clips, ())
        if faults:
            clip, reason = next(iter(faults.items()))
            raise ConfigurationError(f"{clip}: cannot register by this clip: {reason}")
        people.append(known_voice(name, np.sum(list(sums.values()), axis=0)))
    return tuple(people)


def check_ears(ears: Ears) -> None:
    """Refuse a model that cannot compare voices.

    Raises:
        ConfigurationError: If it cannot.
    """
    if not ears.has_voices or ears.given is not None:
        raise ConfigurationError(
            "this checkpoint takes no registered speakers: it has neither registration nor a model "
            "of voices"
        )


def clip_sums(
    ears: Ears, clips: Iterable[Path], folders: Iterable[Path]
) -> tuple[dict[Path, Vector], dict[str, str]]:
    """The voice in each clip of one speaker, times its weight, and the weight behind it, ``[D+1]``.

    Args:
        ears: Hears the clips.
        clips: Files.
        folders: Of the manifests; not looked at.

    Returns:
        By clip, and why others have none.
    """
    found: dict[Path, Vector] = {}
    faults: dict[str, str] = {}
    for clip in clips:
        try:
            voice, weight = _voice_of(clip, ears)
        except AudioError as error:
            faults[str(clip)] = error.reason
        else:
            found[clip] = np.append(voice * weight, weight).astype(np.float32)
    return found, faults


def known_voice(name: str, sums: Vector) -> KnownVoice:
    """Somebody by the sums or means of `clip_sums`."""
    weight = float(sums[-1])
    return KnownVoice(name=name, voice=np.asarray(sums[:-1] / weight, np.float32), weight=weight)


def _voice_of(clip: Path, ears: Ears) -> tuple[Vector, float]:
    """The voice in a clip, and its weight.

    Raises:
        AudioError: If the clip cannot be used.
    """
    label = speaker_label(1)
    samples = clip_samples(clip, ears.sampling_rate)
    whole = Spoken(speaker=label, start=0.0, end=len(samples) / ears.sampling_rate, text="")
    voice, weight = ears.listen(samples, [whole], needs_voices=True).voices[label]
    if weight <= 0:
        raise AudioError(clip, "no speech was found in it")
    return voice, weight
