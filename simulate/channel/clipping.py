"""Clipping: what is above a level is cut off, as by an overloaded amplifier or converter."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar, Literal

import numpy as np

from talkover.simulate.channel.effects import Samples, Setting, require_between
from talkover.simulate.levels import gain_of

SOFT_KNEE = 0.5
"""Of the limit: below it a soft clipper is linear, above it bends to the limit as a tanh."""


@dataclass(frozen=True, kw_only=True)
class Clip:
    """Limit the signal a number of decibels below its own peak; the level stays as it is."""

    name: ClassVar[str] = "clip"
    below_peak_db: float = 10.0
    """Of the peak over all channels of the device and the whole session."""
    shape: Literal["hard", "soft"] = "hard"

    def __post_init__(self) -> None:
        """Check the parameters."""
        require_between("below_peak_db", self.below_peak_db, 0.0, 60.0)
        if self.shape not in ("hard", "soft"):
            raise ValueError(f"shape must be hard or soft, got {self.shape!r}")

    def check(self, sampling_rate: int) -> None:
        """Works at any rate."""

    def apply(self, blocks: Iterable[Samples], setting: Setting) -> Iterator[Samples]:
        """Find the peak, then cut; the samples above the limit are counted."""
        waiting, peak = setting.spool(), 0.0
        for block in blocks:
            waiting.append(block)
            peak = max(peak, float(np.abs(block).max()))
        limit = np.float32(peak * gain_of(-self.below_peak_db))
        clipped = total = 0
        for kept in waiting:
            assert kept is not None, "only blocks were put in"
            clipped += int(np.count_nonzero(np.abs(kept) > limit))
            total += kept.size
            yield self._limited(kept, limit)
        setting.measured["clipped_samples"] = clipped
        setting.measured["clipped_share"] = round(clipped / total, 6) if total else 0.0

    def _limited(self, block: Samples, limit: np.float32) -> Samples:
        if self.shape == "hard" or limit <= 0:
            return np.clip(block, -limit, limit)
        knee = np.float32(SOFT_KNEE) * limit
        over = np.maximum(np.abs(block) - knee, 0)
        bent = (limit - knee) * np.tanh(over / (limit - knee))
        soft = np.sign(block) * (np.minimum(np.abs(block), knee) + bent)
        return np.asarray(soft, dtype=np.float32)
