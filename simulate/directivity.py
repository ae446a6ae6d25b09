"""How a voice radiates: less to the back than to the front, and the more so the higher the pitch.

The pattern is one of the cardioid family whose depth depends on frequency::

    D(angle, f) = 1 - depth(f) · (1 - cos angle) / 2          0: everywhere the same, 1: a cardioid

so a response needs two sets of pulses, whatever the number of frequencies: one with weight 1 and
one with weight ``-(1 - cos angle) / 2`` that is filtered with ``depth(f)``. The filter has no delay
(zero phase), so that delays stay those of the geometry.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Literal, get_args

import numpy as np
from numpy.typing import NDArray

OCTAVES_HZ = (125.0, 250.0, 500.0, 1000.0, 2000.0, 4000.0, 8000.0)
"""Centres of the octave bands (IEC 61260) in which rooms and voices are described."""

Directivity = Literal["omni", "cardioid", "head"]
DIRECTIVITIES: tuple[str, ...] = get_args(Directivity)

FRONT_TO_BACK_DB: Mapping[str, tuple[float, ...]] = {
    "omni": (0.0,) * 7,
    "cardioid": (np.inf,) * 7,
    "head": (2.0, 4.0, 6.0, 7.5, 11.0, 15.0, 18.0),
}
"""Level in front over the level behind, dB per octave band. ``head``: rounded, of the size that is
reported for talkers (Chu and Warnock 2002, NRC IRC-RR-104; Monson et al. 2012, JASA 132, 433)."""


def pattern_depth(pattern: str) -> NDArray[np.float64]:
    """Depth of a pattern in each band of `OCTAVES_HZ`, 0 to 1.

    >>> pattern_depth("cardioid")[0], pattern_depth("omni")[0]
    (np.float64(1.0), np.float64(0.0))
    """
    return 1.0 - 10 ** (-np.array(FRONT_TO_BACK_DB[pattern]) / 20)


def depth_at(pattern: str, frequencies: NDArray[np.float64]) -> NDArray[np.float64]:
    """Depth at any frequencies in Hz, linear over the logarithm of the frequency."""
    octaves = np.log2(np.maximum(frequencies, 1.0))
    return np.interp(octaves, np.log2(OCTAVES_HZ), pattern_depth(pattern))


def radiated_power(pattern: str) -> NDArray[np.float64]:
    """Power over all directions in each band, over that of a source with the same level in front.

    The mean of ``D²`` over the sphere, ``1 - depth + depth² / 3``: what a diffuse field gets.
    """
    depth = pattern_depth(pattern)
    return 1.0 - depth + depth**2 / 3


def rear_weight(cosine: NDArray[np.float64]) -> NDArray[np.float64]:
    """Weight of the filtered pulses, from the cosine of the angle off the front."""
    return -(1.0 - cosine) / 2
