"""Registration clips as files: named by their content, written once, shared by sessions.

A clip's name is a hash of all that decides its samples, so any worker that needs it writes the same
bytes under the same name, at any time and as often as it likes; a file is replaced atomically by
its equal. Every shard's marker lists the clips of its sessions, so a resumed run notices a clip
that was lost or changed and writes it again with the first shard that wants it.
"""

from __future__ import annotations

from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

import numpy as np
import scipy.signal
from numpy.typing import NDArray

from talkover.manifests.audio_writing import write_audio
from talkover.manifests.markers import file_sha256
from talkover.manifests.schema import RegistrationClip, Room
from talkover.manifests.seeds import content_id
from talkover.simulate.levels import LARGEST_PCM16
from talkover.simulate.plan import PlannedRegistration, RoomPlan, SessionPlan
from talkover.simulate.responses import responses, room_hash
from talkover.simulate.source_cache import SourceCache
from talkover.simulate.tracks import FULL_SCALE

FADE_SECONDS = 0.005
"""Raised-cosine fade at both ends of each utterance, against clicks where they are joined."""
NAME_DIGITS = 16
"""Hexadecimal digits of a clip's name."""
ROOM_DIGITS = 12
REMEMBERED = 65536
"""Clips that a process knows to have written itself."""


class _Written(NamedTuple):
    sha256: str
    num_samples: int


class ClipWriter:
    """Writes the clips of sessions below a folder, each at most once in a process.

    Args:
        out: Root of the produced folder.
        cache: The corpus.
    """

    def __init__(self, out: Path, cache: SourceCache) -> None:
        """Know of no clip yet."""
        self._out, self._cache = out, cache
        self._written: dict[str, _Written] = {}

    def write(self, plan: SessionPlan) -> tuple[RegistrationClip, ...]:
        """Write what a session needs of them and describe it.

        Raises:
            RunError: If the disk is full.
        """
        return tuple(self._clip(plan, row) for row in plan.registration)

    def _clip(self, plan: SessionPlan, row: PlannedRegistration) -> RegistrationClip:
        room = None if row.room is None else plan.registration_rooms[row.room]
        name = clip_name(row, room, self._cache)
        path = f"registration/{name[:2]}/{name}.flac"
        known = self._written.get(name)
        if known is None or not (self._out / path).exists():
            samples = clip_samples(row, room, self._cache)
            rate = self._cache.sampling_rate
            write_audio(self._out / path, [samples], rate, format="flac", subtype="PCM_16")
            known = _Written(file_sha256(self._out / path), len(samples))
            if len(self._written) >= REMEMBERED:
                self._written.clear()
            self._written[name] = known
        return RegistrationClip(
            speaker=row.speaker,
            speaker_local=row.speaker_local,
            path=path,
            sha256=known.sha256,
            duration=round(known.num_samples / plan.sampling_rate, 8),
            length=row.length,
            room=None if room is None else _room(room),
            utterance_ids=tuple(self._cache.utterance(n).utterance_id for n in row.utterances),
        )


@lru_cache(maxsize=2)
def clip_writer(out: Path, cache: SourceCache) -> ClipWriter:
    """The writer of this process for a folder."""
    return ClipWriter(out, cache)


def clip_name(row: PlannedRegistration, room: RoomPlan | None, cache: SourceCache) -> str:
    """Hash of all that decides the samples of a clip."""
    parts = []
    for number in row.utterances:
        utterance = cache.utterance(number)
        parts.append(f"{utterance.sha256}:{utterance.regions[0][0]}-{utterance.regions[-1][1]}")
    where = "dry" if room is None else room_hash(room)
    rate = str(cache.sampling_rate)
    return content_id(rate, f"{row.length:g}", where, *parts, length=NAME_DIGITS)


def clip_samples(
    row: PlannedRegistration, room: RoomPlan | None, cache: SourceCache
) -> NDArray[np.int16] | NDArray[np.float32]:
    """The clip, ``[T]``: the speech of its utterances joined, cut to its length, in its room."""
    rate = cache.sampling_rate
    wanted = round(row.length * rate)
    fade = round(FADE_SECONDS * rate)
    pieces: list[NDArray[np.float32]] = []
    left = wanted
    for number in row.utterances:
        regions = cache.utterance(number).regions
        speech = cache.samples(number)[regions[0][0] : regions[-1][1]][:left]
        pieces.append(_faded(speech.astype(np.float32) / np.float32(FULL_SCALE), fade))
        left -= len(speech)
    dry = np.concatenate(pieces)
    return dry if room is None else _heard(dry, room, rate)


def _heard(dry: NDArray[np.float32], room: RoomPlan, rate: int) -> NDArray[np.float32]:
    """The clip at the room's microphone: without the way there, as loud as it was."""
    response = responses(room, rate).h[0, 0]
    delay = room.seats[0].direct_delay_samples
    wet = scipy.signal.oaconvolve(dry.astype(np.float64), response.astype(np.float64))
    wet = wet[delay : delay + len(dry)]
    wet *= np.sqrt(np.mean(dry.astype(np.float64) ** 2) / max(np.mean(wet**2), 1e-20))
    wet *= min(1.0, LARGEST_PCM16 / max(float(np.abs(wet).max()), 1e-20))
    return np.asarray(wet, dtype=np.float32)


def _faded(samples: NDArray[np.float32], fade: int) -> NDArray[np.float32]:
    count = min(fade, len(samples) // 2)
    ramp = (0.5 - 0.5 * np.cos(np.pi * (np.arange(count) + 0.5) / max(count, 1))).astype(np.float32)
    samples[:count] *= ramp
    samples[len(samples) - count :] *= ramp[::-1]
    return samples


def _room(room: RoomPlan) -> Room:
    return Room(
        kind="shoebox",
        id=f"registration-{room_hash(room)[:ROOM_DIGITS]}",
        dimensions_m=room.dimensions_m,
        t60_asked=room.t60,
    )
