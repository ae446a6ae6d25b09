"""Second pass of rendering: the sum of all signals as 16 bit, and what was measured on it.

Legend: ``C`` channel, ``T`` sample.
"""

from __future__ import annotations

from collections.abc import Iterator

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.schema import Mix
from talkover.simulate.compose import PCM16_SCALE, Composition
from talkover.simulate.levels import LEVEL_DIGITS, decibels_of


class Mixdown:
    """Sums and quantises the mixture, and measures what comes out."""

    def __init__(self, signals: Composition) -> None:
        """Nothing is summed yet."""
        self._signals = signals
        self._peak = 0

    def blocks(self) -> Iterator[NDArray[np.int16]]:
        """The mixture in blocks ``[C, T]``; each pass is the same."""
        self._peak = 0
        for mixed in self._signals.mixture():
            # Interleaved in memory, as files and hashes want it.
            pcm = np.empty((mixed.shape[1], mixed.shape[0]), dtype=np.int16)
            for channel, samples in enumerate(mixed):  # twice as fast as all at once
                pcm[:, channel] = np.rint(samples, out=samples).astype(np.int16)
            self._peak = max(self._peak, int(pcm.max()), -int(pcm.min()))
            yield pcm.T

    def mix(self, *, pre_channel: str | None = None, residual_peak: float | None = None) -> Mix:
        """Gain, peak and clipping, after `blocks` was gone through."""
        return Mix(
            gain_db=round(decibels_of(self._signals.gain), LEVEL_DIGITS),
            peak_dbfs=round(decibels_of(self._peak / PCM16_SCALE), LEVEL_DIGITS),
            clipped_samples=0,  # headroom: `Composition.mixture`
            residual_peak=residual_peak,
            pre_channel=pre_channel,
        )
