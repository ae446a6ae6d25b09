"""The audio of conversations: found, opened, cut out or mixed where need be, put below a folder."""

from __future__ import annotations

import json
import os
import shutil
from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.audio import probe, read_audio
from talkover.manifests.audio_writing import MOST_FLAC_CHANNELS, write_audio
from talkover.manifests.convert.conversation import Conversation, Recording, path_text
from talkover.manifests.errors import ManifestError
from talkover.manifests.markers import atomic_path

SUFFIXES = (".wav", ".flac", ".ogg", ".mp3")

_BLOCK = 1 << 18  # samples that are copied at a time


def located(conversation: Conversation, folder: Path | None) -> Conversation:
    """The conversation with its recording looked for in a folder.

    A file that the labels name is kept if it is there; else one of its name, or of the session's,
    is taken from the folder.

    Raises:
        ManifestError: If the folder has none.
    """
    recording = conversation.recording
    if folder is None or (recording is not None and recording.path.is_file()):
        return conversation
    if recording is not None and recording.mix is not None:
        return conversation
    names = [] if recording is None else [recording.path.name]
    names += [conversation.id + suffix for suffix in SUFFIXES]
    for name in names:
        found = folder / name
        if "/" not in name and found.is_file():
            path = Path(path_text(found.absolute()))
            base = Recording(path=path) if recording is None else replace(recording, path=path)
            return replace(conversation, recording=base)
    raise ManifestError(
        f"holds no recording of session {conversation.id!r}: looked for {', '.join(names)}",
        path=folder,
    )


def opened(conversation: Conversation) -> Conversation:
    """The conversation with its recording's rate, samples and channels, read from the file.

    What a manifest says is believed; the file of one that says nothing is opened.
    """
    recording = conversation.recording
    if recording is None or recording.mix is not None:
        return conversation
    known = (recording.sampling_rate, recording.num_samples, recording.num_channels)
    if None not in known:
        return conversation
    info = probe(recording.path)
    count = recording.num_samples or info.num_samples
    return replace(
        conversation,
        recording=replace(
            recording,
            sampling_rate=info.sampling_rate,
            num_samples=count,
            num_channels=recording.num_channels or info.channels,
        ),
    )


def whole(conversation: Conversation, folder: Path) -> Conversation:
    """The conversation with a file of its own: windows and mixes are written below a folder.

    Args:
        conversation: Any.
        folder: Gets ``audio/SESSION.flac`` (or ``.wav``) if the audio is not a whole file.

    Raises:
        AudioError: If the audio cannot be read or written.
    """
    recording = conversation.recording
    if recording is None or recording.is_whole:
        return conversation
    path = folder / "audio" / conversation.id
    made = _mixed(recording, path) if recording.mix is not None else _cut_out(recording, path)
    return replace(conversation, recording=made)


def placed(source: Path, folder: Path, preferred: str) -> str:
    """The path of a file relative to a folder, which it is linked or copied into if need be.

    Args:
        source: An absolute path.
        folder: The folder of the manifest.
        preferred: Where below the folder it goes, unless it lies there already.

    Raises:
        ManifestError: If there is no such file, or another one in its place.
    """
    root = Path(path_text(folder.absolute()))
    if source.is_relative_to(root):
        return source.relative_to(root).as_posix()
    if not source.is_file():
        raise ManifestError("no such file: name the folder with --audio", path=source)
    target = root / preferred
    if target.exists():
        if not _same(source, target):
            raise ManifestError(f"is in the way of {source}: choose another folder", path=target)
        return preferred
    target.parent.mkdir(parents=True, exist_ok=True)
    try:
        os.link(source.resolve(), target)
    except OSError:  # another file system, or one without links
        with atomic_path(target) as temporary:
            shutil.copyfile(source, temporary)
    return preferred


def _same(first: Path, second: Path) -> bool:
    if first.samefile(second):
        return True
    if first.stat().st_size != second.stat().st_size:
        return False
    return first.read_bytes() == second.read_bytes()


def _cut_out(recording: Recording, path: Path) -> Recording:
    """A window or some channels of a file as a file, of the same resolution."""
    info = probe(recording.path)
    total, channels = recording.num_samples, recording.channels or tuple(range(info.channels))
    if total is None:
        total = info.num_samples - recording.start_sample
    if info.sampling_rate != recording.sampling_rate:
        raise ManifestError(
            f"the manifest says {recording.sampling_rate} Hz, the file has {info.sampling_rate}",
            path=recording.path,
        )
    subtype: Literal["PCM_16", "PCM_24", "FLOAT"] = "FLOAT"
    if info.subtype in ("PCM_16", "PCM_24"):
        subtype = "PCM_16" if info.subtype == "PCM_16" else "PCM_24"
    return _write(
        path, _blocks(recording, total, channels), info.sampling_rate, len(channels), subtype
    )


def _blocks(
    recording: Recording, total: int, channels: tuple[int, ...]
) -> Iterator[NDArray[np.float32]]:
    for start in range(0, total, _BLOCK):
        block = read_audio(
            recording.path,
            start_sample=recording.start_sample + start,
            num_samples=min(_BLOCK, total - start),
            channel=None,
        )
        if max(channels) >= len(block):
            raise ManifestError(
                f"the cut is of channel {max(channels)}, the file has {len(block)}",
                path=recording.path,
            )
        yield block[list(channels)]


def _mixed(recording: Recording, path: Path) -> Recording:
    """A mix as Lhotse makes it, as float: a mix may go beyond full scale."""
    from lhotse.cut import MixedCut

    cut = MixedCut.from_dict(_plain_cut(recording.mix or "{}"))
    samples = np.atleast_2d(np.asarray(cut.load_audio(), dtype=np.float32))
    return _write(path, iter([samples]), int(cut.sampling_rate), len(samples), "FLOAT")


def _plain_cut(text: str) -> dict[str, object]:
    row = json.loads(text)
    row.pop("type", None)
    plain: dict[str, object] = row
    return plain


def _write(
    path: Path,
    blocks: Iterator[NDArray[np.float32]],
    rate: int,
    channels: int,
    subtype: Literal["PCM_16", "PCM_24", "FLOAT"],
) -> Recording:
    is_wav = subtype == "FLOAT" or channels > MOST_FLAC_CHANNELS
    target = path.with_name(path.name + (".wav" if is_wav else ".flac"))
    written = write_audio(target, blocks, rate, format="wav" if is_wav else "flac", subtype=subtype)
    return Recording(
        path=Path(path_text(target.absolute())),
        sampling_rate=rate,
        num_samples=written.num_samples,
        num_channels=channels,
    )
