"""What cuts of a segmentation go through: words, turns, speech, sounds, music of the reference.

A cut crosses something if it lies inside it by more than a millisecond, the resolution of the usual
label files. Cuts are the starts and ends of the hypothesis' segments, or those that are given.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal

import numpy as np

from talkover.manifests.score.sides import Pair, Side
from talkover.manifests.score.tally import Tally

Crossed = Literal["words", "turns", "regions", "sounds", "music"]

CUT_SLACK = 0.001
"""Seconds: RTTM, STM and CTM files usually hold three decimals."""


def cut_rate(pair: Pair, crossed: Crossed) -> Tally:
    """How many of the reference's words (turns, sounds, pieces of music) are cut, of how many.

    Regions are stretches of speech of one speaker without a gap: what lies in one may be words.
    """
    cuts = pair.hypothesis.cuts
    if cuts is None:
        cuts = sorted({t for s in pair.hypothesis.segments for t in (s.start, s.end)})
    spans = _spans(pair.reference, crossed)
    return Tally(errors=count_crossed(cuts, spans), length=len(spans), parts={"cuts": len(cuts)})


def count_crossed(cuts: Sequence[float], spans: Sequence[tuple[float, float]]) -> int:
    """How many spans have a cut inside.

    >>> count_crossed([1.0], [(0.0, 1.0), (0.5, 1.5), (1.0, 2.0)])
    1
    """
    if not spans or not cuts:
        return 0
    times = np.sort(np.asarray(cuts, dtype=np.float64))
    bounds = np.asarray(spans, dtype=np.float64)
    first = np.searchsorted(times, bounds[:, 0] + CUT_SLACK, side="right")
    last = np.searchsorted(times, bounds[:, 1] - CUT_SLACK, side="left")
    return int((last > first).sum())


def _spans(side: Side, crossed: Crossed) -> list[tuple[float, float]]:
    if crossed == "turns":
        return [(s.start, s.end) for s in side.segments]
    if crossed == "regions":
        return [(float(a), float(b)) for spans in side.activity.values() for a, b in spans]
    if crossed == "words":
        return [(w.start, w.end) for s in side.segments for w in s.words or ()]
    kinds = ("music",) if crossed == "music" else ("sound", "noise")
    return [(e.start, e.end) for e in side.events or () if e.kind in kinds]
