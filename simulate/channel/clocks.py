"""Sampling-rate offset: a device whose clock runs a little fast or slow against the first one's."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import ClassVar

from talkover.simulate.channel.effects import Samples, Setting, require_between
from talkover.simulate.channel.streams import resampled

PARTS = 1e6
"""ppm."""


@dataclass(frozen=True, kw_only=True)
class SamplingRateOffset:
    """The device takes ``1 + ppm / 1e6`` samples while the first device takes one.

    All devices begin together. The labels are on the first device's clock, which is why that one
    never has an offset: after ``t`` seconds a device of 50 ppm hears everything 50 µs · ``t`` late
    by its own count.
    """

    name: ClassVar[str] = "clock"
    ppm: float = 0.0

    def __post_init__(self) -> None:
        """Check the offset."""
        require_between("ppm", self.ppm, -1000.0, 1000.0)

    def check(self, sampling_rate: int) -> None:
        """Works at any rate."""

    def apply(self, blocks: Iterable[Samples], setting: Setting) -> Iterator[Samples]:
        """Resample all channels of the device alike; as many samples as before."""
        step = 1 / (1 + self.ppm / PARTS)
        return resampled(blocks, step, num_samples=setting.num_samples)
