"""G.711: eight bits a sample on a logarithmic scale, at 8 kHz (ITU-T Recommendation G.711, 1988).

Both laws are given by formula and applied by table: 65,536 entries from a 16-bit sample to the
16-bit value that the receiver hears. As usual in software, a 16-bit sample stands for 13 bits of
A-law (sign and twelve) or 14 of µ-law (sign and thirteen); a magnitude on a decision value belongs
to the interval above it, on both sides of zero.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from functools import lru_cache
from typing import ClassVar, Literal

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.pcm import to_pcm16
from talkover.simulate.channel.effects import Samples, Setting, require_between
from talkover.simulate.channel.streams import decimated, fitted, interpolated, resampled

TELEPHONE_RATE = 8000
"""Hz; the rate of G.711."""
BAND = 0.92
"""Cut-off of the change of rate, of the telephone's 4 kHz; full stop band from 4 kHz on."""
MU_BIAS = 33
"""Added to a 13-bit magnitude so that µ-law's segments begin at powers of two (G.711, table 2)."""
MU_CLIP = 8158
"""Largest 13-bit magnitude of µ-law before the bias (virtual decision value 8159)."""
A_CLIP = 4095
"""Largest 12-bit magnitude of A-law (virtual decision value 4096)."""
ALTERNATE_BITS = 0x55
"""A-law inverts its even bits on the line (G.711, note to table 1)."""

Law = Literal["a", "mu"]


@dataclass(frozen=True, kw_only=True)
class G711:
    """The signal of each channel at 8 kHz through G.711 and back; above 3.7 kHz nothing is left."""

    name: ClassVar[str] = "g711"
    law: Law = "a"
    """``a`` (Europe) or ``mu`` (North America, Japan)."""

    def __post_init__(self) -> None:
        """Check the law."""
        if self.law not in ("a", "mu"):
            raise ValueError(f"law must be a or mu, got {self.law!r}")

    def check(self, sampling_rate: int) -> None:
        """Works at 8 kHz and above."""
        require_between("sampling rate", sampling_rate, TELEPHONE_RATE, np.inf)

    def apply(self, blocks: Iterable[Samples], setting: Setting) -> Iterator[Samples]:
        """Change of rate, both tables, change of rate."""
        if setting.sampling_rate == TELEPHONE_RATE:
            return self._companded(blocks)
        factor, rest = divmod(setting.sampling_rate, TELEPHONE_RATE)
        if not rest:
            slow = self._companded(decimated(blocks, factor, cutoff=BAND))
            return fitted(interpolated(slow, factor, cutoff=BAND), setting.num_samples)
        step = setting.sampling_rate / TELEPHONE_RATE
        count = int(np.ceil(setting.num_samples / step)) + 1
        slow = resampled(blocks, step, num_samples=count, cutoff=BAND)
        return resampled(
            self._companded(slow), 1 / step, num_samples=setting.num_samples, cutoff=BAND
        )

    def _companded(self, blocks: Iterable[Samples]) -> Iterator[Samples]:
        table = round_trip(self.law)
        for block in blocks:
            heard = table[to_pcm16(block).view(np.uint16)]
            yield heard.astype(np.float32) / np.float32(2**15)


def encode(samples: NDArray[np.int16], law: Law) -> NDArray[np.uint8]:
    """The octets that G.711 sends for 16-bit samples.

    >>> encode(np.array([0, -1, 32767], dtype=np.int16), "mu").tolist()
    [255, 127, 128]
    """
    wide = samples.astype(np.int32)
    return _encode_a(wide) if law == "a" else _encode_mu(wide)


def decode(octets: NDArray[np.uint8], law: Law) -> NDArray[np.int16]:
    """The 16-bit samples that octets of G.711 stand for."""
    wide = octets.astype(np.int32)
    return _decode_a(wide) if law == "a" else _decode_mu(wide)


@lru_cache(maxsize=2)
def round_trip(law: Law) -> NDArray[np.int16]:
    """What is heard for every 16-bit sample, by its unsigned value; ``[65536]``."""
    every = np.arange(2**16, dtype=np.uint16).view(np.int16)
    return decode(encode(every, law), law)


def _encode_mu(samples: NDArray[np.int32]) -> NDArray[np.uint8]:
    magnitude = np.abs(samples) >> 2
    biased = np.minimum(magnitude, MU_CLIP) + MU_BIAS
    segment = _floor_log2(biased) - 5  # 33 … 8191: segments 0 … 7
    step = (biased >> (segment + 1)) & 0x0F
    code = np.where(samples < 0, 0x80, 0x00) | (segment << 4) | step
    return np.asarray(code ^ 0xFF, dtype=np.uint8)


def _decode_mu(octets: NDArray[np.int32]) -> NDArray[np.int16]:
    code = octets ^ 0xFF
    segment, step = (code >> 4) & 0x07, code & 0x0F
    magnitude = (((2 * step + MU_BIAS) << segment) - MU_BIAS) << 2
    return np.where(code & 0x80, -magnitude, magnitude).astype(np.int16)


def _encode_a(samples: NDArray[np.int32]) -> NDArray[np.uint8]:
    magnitude = np.minimum(np.abs(samples) >> 3, A_CLIP)
    segment = np.maximum(_floor_log2(np.maximum(magnitude, 1)) - 4, 0)
    step = (magnitude >> np.maximum(segment, 1)) & 0x0F
    code = np.where(samples < 0, 0x00, 0x80) | (segment << 4) | step
    return np.asarray(code ^ ALTERNATE_BITS, dtype=np.uint8)


def _decode_a(octets: NDArray[np.int32]) -> NDArray[np.int16]:
    code = octets ^ ALTERNATE_BITS
    segment, step = (code >> 4) & 0x07, code & 0x0F
    linear = 2 * step + 1
    magnitude = np.where(segment == 0, linear, (linear + 32) << np.maximum(segment - 1, 0)) << 3
    return np.where(code & 0x80, magnitude, -magnitude).astype(np.int16)


def _floor_log2(values: NDArray[np.int32]) -> NDArray[np.int32]:
    """Place of the highest bit; exact, for values of at least 1."""
    return np.asarray(np.frexp(values.astype(np.float64))[1] - 1, dtype=np.int32)
