"""Rounding: how a float sample becomes an integer, defined once, and how samples are hashed."""

from __future__ import annotations

from pathlib import Path
from typing import Any, Literal

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import AudioError


def to_pcm16(signal: NDArray[np.floating[Any]]) -> NDArray[np.int16]:
    """Quantise to 16 bits: x · 2¹⁵, rounded half to even, held to [-2¹⁵, 2¹⁵ - 1].

    No dither, so that equal signals give equal bytes.

    Raises:
        ValueError: If a value is not finite.

    >>> to_pcm16(np.array([0.5 / 2**15, 1.5 / 2**15, 1.0, -1.0]))
    array([     0,      2,  32767, -32768], dtype=int16)
    """
    return _quantise(signal, 16)[0].astype(np.int16)


def to_pcm24(signal: NDArray[np.floating[Any]]) -> NDArray[np.int32]:
    """Quantise to 24 bits as `to_pcm16` does to 16, in the upper three bytes of an int32."""
    return _quantise(signal, 24)[0].astype(np.int32) << 8


def count_clipped(signal: NDArray[np.floating[Any]], bits: Literal[16, 24] = 16) -> int:
    """Number of values that quantising to `bits` sets to the nearest value that fits."""
    return _quantise(signal, bits)[1]


def little_endian(samples: NDArray[Any]) -> bytes:
    """Bytes of samples as every machine hashes them; ``[T, C]`` gives interleaved channels."""
    return samples.astype(samples.dtype.newbyteorder("<"), copy=False).tobytes()


def require_finite(path: Path | str, signal: NDArray[Any], first: int) -> None:
    """Raise an AudioError that names the first sample of ``[T]`` or ``[C, T]`` that is no number.

    Args:
        path: For the message.
        signal: What to check.
        first: Index in the file of the signal's first sample.

    Raises:
        AudioError: If a value is NaN or infinite.
    """
    finite = np.isfinite(signal)
    if not finite.all():
        where = int(np.argmin(np.atleast_2d(finite).all(axis=0)))
        raise AudioError(path, f"not finite: NaN or infinite at sample {first + where}")


def _quantise(signal: NDArray[np.floating[Any]], bits: int) -> tuple[NDArray[Any], int]:
    """Rounded values of `bits` bits, still as floats, and how many of them had to be clipped."""
    if not np.isfinite(signal).all():
        raise ValueError("not finite: a signal to quantise holds NaN or infinite values")
    full = 2 ** (bits - 1)  # a power of two: scaling by it is exact in float32, too
    rounded = np.rint(np.clip(signal, -2.0, 2.0) * full)  # held to what cannot overflow
    low, high = -full, full - 1
    return np.clip(rounded, low, high), int(np.count_nonzero((rounded < low) | (rounded > high)))
