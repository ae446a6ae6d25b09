"""Parts of an utterance: what may be said of it without cutting through speech."""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.schema import PAUSE_JOIN
from talkover.simulate.config import UtterancesConfig
from talkover.simulate.source_cache import CachedUtterance, SourceCache


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """A part of one utterance, in samples of the utterance's clock."""

    utterance: int
    source_start: int
    num_samples: int
    speech_start: int
    speech_end: int
    pauses: int
    """Samples of the pauses between its regions, in which nobody hears the speaker."""
    whole: bool
    """It, or it and the slices of its saying, hold all speech of the utterance."""
    fade: int | None = None
    """Samples of the cross-fade centred on a cut through speech; None where none is cut."""

    @property
    def speech_samples(self) -> int:
        """From the first to the last sample of speech."""
        return self.speech_end - self.speech_start


@dataclass(frozen=True, slots=True)
class Piece:
    """A slice within a unit: its speech starts `offset` samples after the unit's."""

    slice: Slice
    offset: int
    saying: int = 0
    """Slices of one utterance whose pauses were shortened share it within a unit."""


def atoms(utterance: CachedUtterance, min_word_gap: int) -> NDArray[np.int64]:
    """The stretches of an utterance that must stay whole.

    Args:
        utterance: With words, an atom is a run of words with gaps under `min_word_gap`; without,
            it is a measured speech region.
        min_word_gap: Samples.

    Returns:
        Start and end of each atom in samples, shape ``[N, 2]``, in time order.
    """
    if utterance.words is None:
        return np.asarray(utterance.regions, dtype=np.int64).reshape(-1, 2)
    runs: list[list[int]] = []
    for _, start, length in utterance.words:
        if runs and start - runs[-1][1] < max(1, min_word_gap):
            runs[-1][1] = max(runs[-1][1], start + length)
        else:
            runs.append([start, start + length])
    return np.array(runs, dtype=np.int64).reshape(-1, 2)


def without_pauses(parts: NDArray[np.int64], pause: int, gap: int) -> NDArray[np.int64]:
    """Atoms moved together, so that each pause between them lasts `gap`.

    Args:
        parts: Start and end of each atom in samples, ``[N, 2]``.
        pause: Samples from which on a gap is a pause; shorter ones stay.
        gap: Samples that are left of it.
    """
    gaps = parts[1:, 0] - parts[:-1, 1]
    removed = np.cumsum(np.where(gaps >= pause, gaps - gap, 0))
    moved = parts.copy()
    moved[1:] -= removed[:, None]
    return moved


def whole_slice(cache: SourceCache, number: int, config: UtterancesConfig) -> Slice:
    """All speech of an utterance, with its margins."""
    rate = cache.sampling_rate
    utterance = cache.utterance(number)
    parts = atoms(utterance, round(config.min_word_gap * rate))
    margin = round(config.margin * rate)
    return slice_of(number, utterance, parts, 0, len(parts) - 1, margin, rate)


def slice_of(
    number: int,
    utterance: CachedUtterance,
    parts: NDArray[np.int64],
    first: int,
    last: int,
    margin: int,
    sampling_rate: int,
) -> Slice:
    """Speech from the first to the last atom, with quiet margins that touch no other atom.

    Args:
        number: Of the utterance in the cache.
        utterance: The utterance.
        parts: Its atoms.
        first: Index of the first atom.
        last: Index of the last atom, included.
        margin: Most samples kept on each side.
        sampling_rate: Hz.
    """
    speech_start, speech_end = int(parts[first, 0]), int(parts[last, 1])
    gaps = parts[first + 1 : last + 1, 0] - parts[first:last, 1]
    before = 0 if first == 0 else int(parts[first - 1, 1])
    after = utterance.num_samples if last == len(parts) - 1 else int(parts[last + 1, 0])
    lead = speech_start - before if first == 0 else (speech_start - before) // 2
    trail = after - speech_end if last == len(parts) - 1 else (after - speech_end) // 2
    start = speech_start - min(margin, max(0, lead))
    end = speech_end + min(margin, max(0, trail))
    return Slice(
        utterance=number,
        source_start=start,
        num_samples=end - start,
        speech_start=speech_start,
        speech_end=speech_end,
        pauses=int(gaps[gaps >= round(PAUSE_JOIN * sampling_rate)].sum()),
        whole=first == 0 and last == len(parts) - 1,
    )


def split_at_pauses(
    piece: Slice, utterance: CachedUtterance, parts: NDArray[np.int64], margin: int, rate: int
) -> list[Slice]:
    """The inter-pausal units of a slice, each with margins of its own.

    All of them keep the slice's `whole`: together they hold what it held.

    Args:
        piece: A slice from the first to the last of some atoms.
        utterance: What it is of.
        parts: Atoms of the utterance, ``[N, 2]``.
        margin: Most samples kept on each side.
        rate: Hz.
    """
    if piece.pauses == 0:
        return [piece]
    first = int(np.searchsorted(parts[:, 0], piece.speech_start))
    last = int(np.searchsorted(parts[:, 1], piece.speech_end))
    gaps = parts[first + 1 : last + 1, 0] - parts[first:last, 1]
    breaks = first + np.flatnonzero(gaps >= round(PAUSE_JOIN * rate))
    bounds = zip([first, *(breaks + 1)], [*breaks, last], strict=True)
    return [
        replace(
            slice_of(piece.utterance, utterance, parts, int(a), int(b), margin, rate),
            whole=piece.whole,
        )
        for a, b in bounds
    ]
