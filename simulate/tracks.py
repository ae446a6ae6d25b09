"""A speaker's dry signal: the placed slices of source utterances, with their gains and fades."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from functools import lru_cache
from itertools import accumulate
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from talkover.simulate.levels import gain_of
from talkover.simulate.plan import Placement

FADE_SECONDS = 0.005
"""Raised-cosine fade at both ends of a slice, against clicks where a recording is cut."""
FULL_SCALE = 32768.0


class Sources(Protocol):
    """Where utterances come from; `talkover.simulate.source_cache.SourceCache` is one."""

    def samples(self, utterance: int, /) -> NDArray[np.int16]:
        """All samples of an utterance at the plan's rate, shape ``[T]``."""


class SpeakerTrack:
    """The sum of one speaker's placements as a signal that can be read anywhere.

    Args:
        placements: Of one speaker, in any order.
        sources: The utterances.
        sampling_rate: Hz, of the plan and the sources.
    """

    def __init__(
        self, placements: Sequence[Placement], sources: Sources, sampling_rate: int
    ) -> None:
        """Index the placements by time."""
        self._placements = sorted(placements, key=lambda p: (p.start_sample, p.utterance))
        self._sources = sources
        self._starts = [p.start_sample for p in self._placements]
        ends = (p.start_sample + p.num_samples for p in self._placements)
        # Latest end so far: sorted, so that a search finds the first that may still sound.
        self._ends = list(accumulate(ends, max))
        self._fade = round(FADE_SECONDS * sampling_rate)

    def block(self, start: int, num_samples: int) -> NDArray[np.float32] | None:
        """Samples from ``start`` on, full scale 1, shape ``[T]``; None where nobody speaks."""
        end = start + num_samples
        first, last = bisect_right(self._ends, start), bisect_left(self._starts, end)
        result: NDArray[np.float32] | None = None
        for placement in self._placements[first:last]:
            begin = max(start, placement.start_sample)
            stop = min(end, placement.start_sample + placement.num_samples)
            if begin >= stop:
                continue
            if result is None:
                result = np.zeros(num_samples, dtype=np.float32)
            offset = begin - placement.start_sample
            result[begin - start : stop - start] += self._piece(placement, offset, stop - begin)
        return result

    def _piece(self, placement: Placement, offset: int, length: int) -> NDArray[np.float32]:
        """Part of a slice, from an offset into it, with its gain and fades."""
        first = placement.source_start + offset
        source = self._sources.samples(placement.utterance)[first : first + length]
        if len(source) < length:
            raise ValueError(
                f"utterance {placement.utterance_id!r} ends before sample {first + length}: "
                "the plan was made with another corpus"
            )
        scale = np.float32(gain_of(placement.gain_db) / FULL_SCALE)
        piece: NDArray[np.float32] = source.astype(np.float32)
        piece *= scale
        asked = self._fade if placement.fade_samples is None else placement.fade_samples
        fade = min(asked, placement.num_samples // 2)
        ramp = _ramp(fade)
        head = min(fade - offset, length)
        if head > 0:
            piece[:head] *= ramp[offset : offset + head]
        into_end = offset + length - (placement.num_samples - fade)
        if into_end > 0:
            tail = min(into_end, length)
            piece[length - tail :] *= ramp[::-1][into_end - tail : into_end]
        return piece


@lru_cache(maxsize=64)
def _ramp(num_samples: int) -> NDArray[np.float32]:
    """Rising half of a raised cosine."""
    phase = np.pi * (np.arange(num_samples) + 0.5) / max(num_samples, 1)
    return np.asarray(0.5 - 0.5 * np.cos(phase), dtype=np.float32)
