"""Rules over a session and its files: that they are there, and are what the session says.

Audio is read in blocks, so memory does not grow with the length of a session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from pathlib import Path

import numpy as np

from talkover.manifests.audio import file_sha256, pcm_sha256, probe, read_audio
from talkover.manifests.errors import AudioError
from talkover.manifests.rules import Fault
from talkover.manifests.schema import Session

STEP_16_BIT = 1 / 32768
"""The most by which a mixture may differ from the sum of its stems, full scale = 1."""
_DUST = 1e-7  # of float32 sums
_BLOCK = 1 << 18  # samples

AudioRule = Callable[[Session, Path], Iterator[Fault]]


def files_are_there(session: Session, folder: Path) -> Iterator[Fault]:
    """Every file of the session is below the folder and has its hash."""
    for field, path, sha256 in _files(session):
        file = folder / path
        if not file.resolve().is_relative_to(folder.resolve()):
            yield Fault(f"{field}.path", path, "leads out of the folder of the manifest")
        elif not file.is_file():
            yield Fault(f"{field}.path", path, "does not exist")
        elif sha256 is not None and (got := file_sha256(file)) != sha256:
            yield Fault(f"{field}.sha256", sha256, f"the file's is {got}")


def audio_is_as_described(session: Session, folder: Path) -> Iterator[Fault]:
    """The audio decodes to the rate, samples, channels and samples' hash that are declared."""
    audio = session.audio
    path = folder / audio.path
    if not _readable(session, folder, audio.path):
        return
    try:
        info = probe(path)
        actual = {
            "sampling_rate": info.sampling_rate,
            "num_samples": info.num_samples,
            "num_channels": info.channels,
            "format": info.format,
            "subtype": info.subtype,
        }
        for name, value in actual.items():
            if getattr(audio, name) != value:
                yield Fault(f"audio.{name}", getattr(audio, name), f"the file's is {value}")
        if (got := pcm_sha256(path)) != audio.pcm_sha256:
            yield Fault("audio.pcm_sha256", audio.pcm_sha256, f"the file's is {got}")
    except AudioError as error:
        yield Fault("audio.path", audio.path, error.reason)


def clips_have_their_length(session: Session, folder: Path) -> Iterator[Fault]:
    """Registration clips decode and are as long as they say."""
    for n, clip in enumerate(session.registration):
        field = f"registration[{n}]"
        if not _readable(session, folder, clip.path):
            continue
        try:
            info = probe(folder / clip.path)
        except AudioError as error:
            yield Fault(f"{field}.path", clip.path, error.reason)
            continue
        if abs(info.duration - clip.duration) * info.sampling_rate > 0.5:
            yield Fault(f"{field}.duration", clip.duration, f"the file's is {info.duration:.8f} s")


def clipping_is_counted(session: Session, folder: Path) -> Iterator[Fault]:
    """No more samples are said to be clipped than stand at full scale in the file."""
    mix, audio = session.mix, session.audio
    if mix is None or mix.clipped_samples == 0 or session.channel:
        return
    if not audio.subtype.startswith("PCM_") or not _readable(session, folder, audio.path):
        return
    try:
        full = sum(
            int(np.count_nonzero((block >= 1 - STEP_16_BIT) | (block <= -1)))
            for block in _blocks(folder / audio.path, audio.num_samples)
        )
    except AudioError:
        return  # told by audio_is_as_described
    if full < mix.clipped_samples:
        yield Fault(
            "mix.clipped_samples", mix.clipped_samples, f"the file has {full} at full scale"
        )


def stems_sum_to_the_mixture(session: Session, folder: Path) -> Iterator[Fault]:
    """The mixture before the channel is the sum of its stems, within one step of 16 bits."""
    mix = session.mix
    if mix is None or not mix.stems:
        return
    parts = [stem for stem in mix.stems if stem.target == "reverberant"]
    if not any(stem.kind == "speaker" for stem in parts):
        return  # targets alone, which need not add up
    paths = [mix.pre_channel or session.audio.path, *(stem.path for stem in parts)]
    if not all(_readable(session, folder, path) for path in paths):
        return
    worst = 0.0
    try:
        lengths = {path: probe(folder / path).num_samples for path in paths}
        for path in paths[1:]:
            if lengths[path] != lengths[paths[0]]:
                yield Fault(
                    "mix.stems", path, f"has {lengths[path]} samples, not {lengths[paths[0]]}"
                )
                return
        signals = [_blocks(folder / path, lengths[path]) for path in paths]
        for mixture, *stems in zip(*signals, strict=True):
            total = sum((stem.astype(np.float64) for stem in stems), start=np.zeros(1))
            worst = max(worst, float(np.abs(mixture - total).max()))
    except (AudioError, ValueError) as error:
        yield Fault("mix.stems", [stem.path for stem in parts], f"cannot be summed: {error}")
        return
    if worst > STEP_16_BIT + _DUST:
        yield Fault(
            "mix.stems",
            worst,
            f"their sum differs from the mixture by more than one step of 16 bits, {STEP_16_BIT}",
        )


AUDIO_RULES: dict[str, AudioRule] = {
    "files": files_are_there,
    "audio": audio_is_as_described,
    "registration_audio": clips_have_their_length,
    "clipping": clipping_is_counted,
    "stem_sum": stems_sum_to_the_mixture,
}


def _files(session: Session) -> Iterator[tuple[str, str, str | None]]:
    """Field, path and hash of every file; None where no hash is kept."""
    yield "audio", session.audio.path, session.audio.sha256
    if session.mix is not None:
        for n, stem in enumerate(session.mix.stems):
            yield f"mix.stems[{n}]", stem.path, stem.sha256
        if session.mix.pre_channel is not None:
            yield "mix.pre_channel", session.mix.pre_channel, None
    for n, clip in enumerate(session.registration):
        yield f"registration[{n}]", clip.path, clip.sha256


def _readable(session: Session, folder: Path, path: str) -> bool:
    """Whether a file is there to be read; that it is not is told once, by `files_are_there`."""
    file = folder / path
    return file.is_file() and file.resolve().is_relative_to(folder.resolve())


def _blocks(path: Path, num_samples: int) -> Iterator[np.ndarray]:
    """A file's samples ``[C, T]``, block by block."""
    for start in range(0, num_samples, _BLOCK):
        count = min(_BLOCK, num_samples - start)
        yield read_audio(path, start_sample=start, num_samples=count, channel=None)
