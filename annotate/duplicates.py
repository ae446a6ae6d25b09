"""Near-duplicates among recordings: the same sound twice, whole or in part.

A recording's fingerprint is a set of landmarks: pairs of spectral peaks, each kept as a hash of two
frequencies and the time between them, and when it is (Wang 2003, "An industrial-strength audio
search algorithm"). Level, coding at low rates and some added noise leave most peaks where they are,
and an excerpt has those of its whole. Two recordings are near-duplicates if many of their hashes
agree on one time shift.

Fingerprints are made file by file and compared once at the end, in the order of their names, so the
result does not depend on who made them when.

Legend: ``N`` frame, ``F`` frequency bin, ``P`` peak, ``H`` landmark.
"""

from __future__ import annotations

import base64
import binascii
import zlib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.ndimage import maximum_filter

from talkover.annotate.media import RATE, DecodedAudio

WINDOW = 1024
HOP = 512
"""Samples of a frame: 32 ms."""
LOWEST_BIN, HIGHEST_BIN = 12, 240
"""190 to 3,750 Hz: what a telephone and low-rate coding leave."""
PEAK_FRAMES, PEAK_BINS = 21, 31
"""A peak is the largest within so many frames and bins: a few a second."""
FAN_OUT = 4
"""Later peaks with which each peak makes landmarks."""
FURTHEST = 63
"""Frames between the peaks of a landmark: two seconds."""
KEPT_OF = 2
"""One of so many landmarks is kept, by its hash, the same ones of every recording."""
BLOCK_FRAMES = 1875
"""Frames read at a time: one minute."""
SILENT_AMPLITUDE = 1e-3
"""Peaks under this in a window of full scale 1 are none: the rounding of 16 bits has some."""

CROWD = 64
"""Landmarks of more places than this say nothing: a tone that goes on, or a jingle of all files."""
SHIFT_FRAMES = 2
"""Shifts so near are one: frames of two copies do not lie on each other."""
LEAST_MATCHES = 7
"""Landmarks that agree by chance are fewer: at most 5 of any two among 238 real recordings."""
LEAST_SHARE = 0.05
"""Of the shorter recording's landmarks must agree at least."""


@dataclass(frozen=True, slots=True, eq=False)
class Fingerprint:
    """Landmarks of a recording by time.

    Attributes:
        hashes: ``[H]``, 21 bits each.
        frames: When, ``[H]``.
    """

    hashes: NDArray[np.uint32]
    frames: NDArray[np.uint32]

    def text(self) -> str:
        """As text, to be kept with other figures: four kilobytes a minute or so."""
        steps = np.diff(self.frames, prepend=np.uint32(0)).astype("<u4")
        data = self.hashes.astype("<u4").tobytes() + steps.tobytes()
        return base64.b85encode(zlib.compress(data, 9)).decode()

    @classmethod
    def of_text(cls, text: str) -> Fingerprint:
        """The fingerprint that was kept.

        Raises:
            ValueError: If the text is not one.
        """
        try:
            data = zlib.decompress(base64.b85decode(text))
        except (binascii.Error, ValueError, zlib.error) as error:
            raise ValueError(f"not a fingerprint: {error}") from error
        values = np.frombuffer(data, dtype="<u4").astype(np.uint32)
        if len(values) % 2:
            raise ValueError("not a fingerprint: half of a landmark is missing")
        hashes, steps = np.split(values, 2)
        return cls(hashes, np.cumsum(steps, dtype=np.uint32))


@dataclass(frozen=True, slots=True)
class Duplicate:
    """Two recordings that hold the same sound.

    Attributes:
        first: Name of one, before the other in order.
        second: Name of the other.
        similarity: Share of the shorter one's landmarks that agree; two copies have 0.3 to 1, since
            coding and noise move some peaks.
        shift: Seconds by which the sound is later in the first.
    """

    first: str
    second: str
    similarity: float
    shift: float


def fingerprint(audio: DecodedAudio) -> Fingerprint:
    """Landmarks of a recording; memory does not depend on its length but by the result."""
    total = max(0, 1 + (audio.num_samples - WINDOW) // HOP)
    halo = PEAK_FRAMES // 2
    found: list[NDArray[np.int64]] = [np.zeros((0, 2), dtype=np.int64)]
    for first in range(0, total, BLOCK_FRAMES):
        count = min(BLOCK_FRAMES, total - first)
        begin, stop = max(0, first - halo), min(total, first + count + halo)
        peaks = _peaks(audio.read(begin * HOP, (stop - 1) * HOP + WINDOW))
        peaks[:, 0] += begin
        found.append(peaks[(peaks[:, 0] >= first) & (peaks[:, 0] < first + count)])
    return _landmarks(np.concatenate(found))


def _peaks(signal: NDArray[np.float32]) -> NDArray[np.int64]:
    """Frame and bin of each peak, by time; ``[P, 2]``."""
    frames = np.lib.stride_tricks.sliding_window_view(signal, WINDOW)[::HOP]
    taper = np.hanning(WINDOW).astype(np.float32)
    spectra = np.abs(np.fft.rfft(frames * taper, axis=1))[:, LOWEST_BIN:HIGHEST_BIN]
    largest = maximum_filter(spectra, size=(PEAK_FRAMES, PEAK_BINS), mode="nearest")
    is_peak = (spectra == largest) & (spectra > SILENT_AMPLITUDE)
    return np.argwhere(is_peak).astype(np.int64)


def _landmarks(peaks: NDArray[np.int64]) -> Fingerprint:
    hashes, frames = [], []
    for step in range(1, FAN_OUT + 1):
        here, there = peaks[:-step], peaks[step:]
        apart = there[:, 0] - here[:, 0]
        near = apart <= FURTHEST
        # Frequencies to 7 bits, a bin and a half apart: rounding may move a peak by one bin.
        code = (here[:, 1] // 2) << 14 | (there[:, 1] // 2) << 7 | apart
        kept = near & (_scrambled(code) % KEPT_OF == 0)
        hashes.append(code[kept])
        frames.append(here[kept, 0])
    all_hashes, all_frames = np.concatenate(hashes), np.concatenate(frames)
    order = np.lexsort((all_hashes, all_frames))
    return Fingerprint(all_hashes[order].astype(np.uint32), all_frames[order].astype(np.uint32))


def _scrambled(code: NDArray[np.int64]) -> NDArray[np.int64]:
    """Bits that depend on all of a hash (Knuth's multiplicative hashing)."""
    return (code * 2654435761 % (1 << 32)) >> 16


def near_duplicates(fingerprints: Mapping[str, str | Fingerprint]) -> list[Duplicate]:
    """Pairs of recordings with the same sound, by name.

    Args:
        fingerprints: By the recording's name, as kept or as text.

    Raises:
        ValueError: If a text is no fingerprint.
    """
    names = sorted(fingerprints)
    prints = []
    for name in names:
        given = fingerprints[name]
        prints.append(Fingerprint.of_text(given) if isinstance(given, str) else given)
    if not prints:
        return []
    sizes = np.array([len(p.hashes) for p in prints])
    found = []
    for first, second, shift, matches in _agreeing(prints):
        smaller = int(min(sizes[first], sizes[second]))
        if matches >= LEAST_MATCHES and matches >= LEAST_SHARE * smaller:
            found.append(
                Duplicate(
                    names[first],
                    names[second],
                    round(min(1.0, matches / smaller), 4),
                    round(shift * HOP / RATE, 3),
                )
            )
    return found


def _agreeing(prints: list[Fingerprint]) -> Iterator[tuple[int, int, int, int]]:
    """For pairs with common landmarks: both, the shift that most agree on, and how many do."""
    hashes = np.concatenate([p.hashes for p in prints])
    frames = np.concatenate([p.frames for p in prints]).astype(np.int64)
    files = np.repeat(np.arange(len(prints)), [len(p.hashes) for p in prints])
    order = np.lexsort((frames, files, hashes))
    hashes, frames, files = hashes[order], frames[order], files[order]
    starts = np.flatnonzero(np.concatenate([[True], hashes[1:] != hashes[:-1]]))
    sizes = np.diff(np.append(starts, len(hashes)))
    crowd = np.repeat(sizes, sizes)
    pairs: list[NDArray[np.int64]] = [np.zeros((0, 3), dtype=np.int64)]
    for step in range(1, CROWD):
        same = np.flatnonzero(
            (hashes[step:] == hashes[:-step])
            & (files[step:] != files[:-step])
            & (crowd[step:] <= CROWD)
        )
        if not len(same):
            continue
        shift = frames[same] - frames[same + step]
        pairs.append(np.stack([files[same], files[same + step], shift], axis=1))
    matches = np.concatenate(pairs)
    if not len(matches):
        return
    matches = matches[np.lexsort((matches[:, 2], matches[:, 1], matches[:, 0]))]
    edges = np.flatnonzero(np.any(np.diff(matches[:, :2], axis=0, prepend=-1) != 0, axis=1))
    for begin, end in zip(edges, np.append(edges[1:], len(matches)), strict=True):
        shifts = matches[begin:end, 2]  # sorted
        reach = np.searchsorted(shifts, shifts + SHIFT_FRAMES, side="right") - np.arange(
            len(shifts)
        )
        best = int(np.argmax(reach))
        middle = shifts[best + int(reach[best]) // 2]
        yield int(matches[begin, 0]), int(matches[begin, 1]), int(middle), int(reach[best])
