"""Beats and bars of music whose tempo is known.

Beats: the sequence of times with the strongest onsets whose distances stay near one beat (Ellis
2007, "Beat tracking by dynamic programming", §3.1). Bars: of the four ways to count to four, the
one whose first beats are strongest in the bass; music in other metres gets the nearest count, and
the figure behind it says how clear it was.

Legend: ``N`` frame of 10 ms, ``M`` beat.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.music_analysis import HOP_SECONDS

TIGHTNESS = 100.0
"""How dear it is to leave the tempo; Ellis 2007 uses 400 to 680 at other scales of the onsets."""
BEATS_OF_BAR = 4
AROUND_BEAT = 3
"""Frames on each side of a beat in which its bass may sound."""


def track_beats(onsets: NDArray[np.float64], bpm: float) -> NDArray[np.int64]:
    """Frames of the beats, ``[M]``.

    Args:
        onsets: Onset strength, ``[N]``.
        bpm: Tempo.

    >>> onsets = np.zeros(200); onsets[10::50] = 1.0
    >>> track_beats(onsets, 120.0)
    array([ 10,  60, 110, 160])
    """
    spread = float(onsets.std()) if len(onsets) else 0.0
    if spread <= 0:
        return np.zeros(0, dtype=np.int64)
    period = 60.0 / bpm / HOP_SECONDS
    lags = np.arange(max(1, round(period / 2)), round(2 * period) + 1)
    penalty = -TIGHTNESS * np.log(lags / period) ** 2
    strength = onsets / spread
    total, before = strength.copy(), np.full(len(onsets), -1, dtype=np.int64)
    for frame in range(int(lags[0]), len(onsets)):
        reach = lags[: np.searchsorted(lags, frame, side="right")]
        candidates = total[frame - reach] + penalty[: len(reach)]
        best = int(np.argmax(candidates))
        if candidates[best] > 0:
            total[frame] += candidates[best]
            before[frame] = frame - reach[best]
    tail = max(0, len(onsets) - round(period))
    frame = tail + int(np.argmax(total[tail:]))
    beats = []
    while frame >= 0:
        beats.append(frame)
        frame = int(before[frame])
    return _within(np.array(beats[::-1], dtype=np.int64), strength)


def _within(beats: NDArray[np.int64], strength: NDArray[np.float64]) -> NDArray[np.int64]:
    """Without the beats before the first and after the last that sound at all."""
    sounding = np.flatnonzero(strength[beats] > 0.1 * np.median(strength[beats]))
    return beats[sounding[0] : sounding[-1] + 1] if len(sounding) else beats[:0]


def first_beats(beats: NDArray[np.int64], bass: NDArray[np.float64]) -> tuple[int, float]:
    """Which of the first four beats begins a bar, and how much clearer it is than the next choice.

    Args:
        beats: Frames, ``[M]``.
        bass: Onset strength of the lowest bands, ``[N]``.

    Returns:
        Phase from 0 to 3, and a clearness from 0 to 1; ``(0, 0.0)`` of less than two bars.
    """
    if len(beats) < 2 * BEATS_OF_BAR:
        return 0, 0.0
    near = np.clip(beats[:, None] + np.arange(-AROUND_BEAT, AROUND_BEAT + 1), 0, len(bass) - 1)
    strength = bass[near].max(axis=1)
    means = np.array([strength[phase::BEATS_OF_BAR].mean() for phase in range(BEATS_OF_BAR)])
    order = np.argsort(-means, kind="stable")
    if means[order[0]] <= 0:
        return 0, 0.0
    return int(order[0]), float(1.0 - means[order[1]] / means[order[0]])
