"""How far speech is over the noise: an energy ratio between where somebody speaks and where nobody.

Legend: ``N`` frame.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.events import Event
from talkover.annotate.levels import SILENT_DB
from talkover.annotate.media import RATE

FRAME = 512
"""Samples of a frame: 32 ms."""
GUARD = 3
"""Frames beside speech that count as neither: tails of rooms, and what a detector misses."""
LEAST_NOISE = 30
"""Frames of noise, one second, under which the quietest tenth of all stands for it."""
QUIET_SHARE = 0.1
MOST_DB, LEAST_DB = 80.0, -20.0


def speech_to_noise_db(levels: NDArray[np.float64], speech: Sequence[Event]) -> float | None:
    """Signal-to-noise ratio in dB, from -20 to 80; None where nobody speaks.

    Args:
        levels: Of frames of `FRAME` samples, in dB, ``[N]``.
        speech: Where somebody speaks.
    """
    spoken = np.zeros(len(levels), dtype=np.bool_)
    near = np.zeros(len(levels), dtype=np.bool_)
    for event in speech:
        first, last = event.start // FRAME, -(-event.end // FRAME)
        spoken[first:last] = True
        near[max(0, first - GUARD) : last + GUARD] = True
    if not spoken.any():
        return None
    power = 10 ** (levels / 10)
    if int((~near).sum()) >= LEAST_NOISE:
        noise = float(power[~near].mean())
    else:
        noise = float(np.quantile(power, QUIET_SHARE))
    noise = max(noise, 10 ** (SILENT_DB / 10))
    clean = max(float(power[spoken].mean()) - noise, noise * 10 ** (LEAST_DB / 10))
    return float(np.clip(10 * np.log10(clean / noise), LEAST_DB, MOST_DB))


def seconds_of(speech: Sequence[Event]) -> float:
    """Seconds in which somebody speaks."""
    return sum(event.end - event.start for event in speech) / RATE
