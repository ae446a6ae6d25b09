"""Sessions as the trainers see them: log-mel frames on disk, and who and what is heard in each.

Log-mel frames are computed once and kept, named by the hash of the audio's samples, so that three
models and many runs share them.

Legend: ``T`` log-mel frame (10 ms), ``S`` frame of 0.1 s, ``M`` mel band, ``K`` voice, ``L`` label.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray

from talkover.annotate.models.mels import HALO, HOP, RATE, LogMel, num_frames
from talkover.annotate.models.sound_net import ACTIVITIES, EDGES
from talkover.annotate.models.sound_net import STRIDE as SOUND_STRIDE
from talkover.manifests.audio import read_audio
from talkover.manifests.errors import ManifestError
from talkover.manifests.io import read_sessions
from talkover.manifests.markers import atomic_path
from talkover.manifests.regions import units_of
from talkover.manifests.schema import Session
from talkover.manifests.seeds import content_id

FORMAT = "mels-1"
"""Of the kept features; changes with `talkover.annotate.models.mels`."""
BLOCK_FRAMES = 6000
"""Log-mel frames computed at a time: one minute."""
LOUD_NOISE_SNR_DB = 15.0
"""A noise that lasts for the whole session is heard as noise where speech is at most this much
louder; under weaker ones a pause is silence."""
Mask = NDArray[np.bool_]


@dataclass(frozen=True, kw_only=True)
class HeardSession:
    """One session, frame by frame."""

    id: str
    mels: NDArray[np.float16]
    """Shape ``[T, M]``, mapped from a file."""
    voices: tuple[str, ...]
    """Names across the corpus."""
    speaking: Mask
    """Who speaks, shape ``[T, K]``."""
    sounding: Mask
    """What sounds: the activities, then the labels that were asked for, then any sound event, then
    the beginnings and the ends of these; shape ``[S, L]``."""

    @property
    def num_frames(self) -> int:
        """Log-mel frames."""
        return len(self.mels)


def hear_sessions(
    manifests: Sequence[Path], cache: Path, events: Sequence[str]
) -> list[HeardSession]:
    """All sessions of manifests, with their features.

    Args:
        manifests: Folders with ``cuts.jsonl`` and audio at 16 kHz.
        cache: Folder where features are kept.
        events: Labels of sound events.

    Raises:
        ManifestError: If a session has another rate, or there is none at all.
        AudioError: If audio cannot be read.
    """
    cache.mkdir(parents=True, exist_ok=True)
    found = [
        _heard(folder, session, cache, events)
        for folder in manifests
        for session in read_sessions(folder)
    ]
    if not found:
        raise ManifestError("there is no session to learn from", path=manifests[0])
    return found


def event_labels(manifests: Iterable[Path]) -> tuple[str, ...]:
    """Labels of the sound events of manifests, sorted; music is an activity."""
    labels = {
        event.label
        for folder in manifests
        for session in read_sessions(folder)
        for event in session.events
        if event.kind == "sound"
    }
    return tuple(sorted(labels))


def log_mels(samples: NDArray[np.float32]) -> NDArray[np.float16]:
    """Log-mel frames of a signal of any length, shape ``[T, M]``."""
    module = LogMel()
    padded = np.pad(samples, (HALO, HALO + HOP))
    parts = []
    for first in range(0, num_frames(len(samples)), BLOCK_FRAMES):
        count = min(BLOCK_FRAMES, num_frames(len(samples)) - first)
        heard = padded[first * HOP : (first + count) * HOP + 2 * HALO]
        with torch.inference_mode():
            windows = torch.from_numpy(heard.astype(np.float32))[None]
            parts.append(module.of_padded(windows)[0].T.numpy().astype(np.float16))
    return np.concatenate(parts)


def _heard(folder: Path, session: Session, cache: Path, events: Sequence[str]) -> HeardSession:
    if session.audio.sampling_rate != RATE:
        raise ManifestError(
            f"{session.id}: needs {RATE} Hz, got {session.audio.sampling_rate}", path=folder
        )
    mels = _kept_mels(folder, session, cache)
    units = units_of(session.supervisions, RATE)
    names = {s.speaker_local: s.speaker for s in session.supervisions}
    speaking = np.zeros((len(mels), len(units)), dtype=np.bool_)
    for column, spans in enumerate(units.values()):
        _fill(speaking[:, column], spans, HOP)
    return HeardSession(
        id=session.id,
        mels=mels,
        voices=tuple(names[local] for local in units),
        speaking=speaking,
        sounding=_sounding(session, speaking, events),
    )


def _kept_mels(folder: Path, session: Session, cache: Path) -> NDArray[np.float16]:
    path = cache / f"{content_id(FORMAT, session.audio.pcm_sha256, length=24)}.npy"
    if not path.exists():
        root = folder if folder.is_dir() else folder.parent
        samples = read_audio(root / session.audio.path, channel=0)
        with atomic_path(path) as temporary, temporary.open("wb") as file:
            np.save(file, log_mels(samples), allow_pickle=False)
    mels: NDArray[np.float16] = np.load(path, mmap_mode="r", allow_pickle=False)
    return mels


def _sounding(session: Session, speaking: Mask, events: Sequence[str]) -> Mask:
    frames = -(-len(speaking) // SOUND_STRIDE)
    result = np.zeros((frames, len(ACTIVITIES) + len(events) + 1 + len(EDGES)), dtype=np.bool_)
    any_sound = result[:, len(ACTIVITIES) + len(events)]
    speech, music, noise, silence = (result[:, column] for column in range(len(ACTIVITIES)))
    anybody = np.zeros(frames * SOUND_STRIDE, dtype=np.bool_)
    anybody[: len(speaking)] = speaking.any(axis=1)
    speech[:] = anybody.reshape(frames, SOUND_STRIDE).mean(axis=1) >= 0.5
    for event in session.events:
        span = np.array([[event.start_sample, event.end_sample]])
        if event.kind == "music":
            _fill(music, span, HOP * SOUND_STRIDE)
            continue
        _fill(noise, span, HOP * SOUND_STRIDE)
        _fill(any_sound, span, HOP * SOUND_STRIDE)
        for column, edge in enumerate(span[0].tolist(), start=-len(EDGES)):
            around = edge + np.array([[-HOP * SOUND_STRIDE, HOP * SOUND_STRIDE]])
            _fill(result[:, column], around, HOP * SOUND_STRIDE)
        if event.label in events:
            column = len(ACTIVITIES) + list(events).index(event.label)
            _fill(result[:, column], span, HOP * SOUND_STRIDE)
    if any(n.snr_db_measured <= LOUD_NOISE_SNR_DB for n in session.noise):
        noise[:] = True
    silence[:] = ~(speech | music | noise)
    return result


def _fill(column: Mask, spans: NDArray[np.int64], hop: int) -> None:
    """Set frames of which at least half is inside a span."""
    for start, end in spans:
        column[max(0, round(start / hop)) : max(0, round(end / hop))] = True
