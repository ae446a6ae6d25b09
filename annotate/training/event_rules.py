"""How the curve of any sound becomes events: the rule that gives the best F1, whatever their kind.

Legend: ``S`` frame of 0.1 s.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.activity_spans import Hysteresis, active_stretches
from talkover.annotate.models.mels import RATE
from talkover.annotate.models.sound_net import FRAME
from talkover.annotate.models.tagger import Threshold
from talkover.annotate.training.event_scores import (
    COLLAR,
    Spans,
    match_spans,
    runs,
    total_of,
)

LOOSE_COLLAR = 2 * COLLAR
"""Frames within which an event gets half a point: with a few dozen events of a class, whether one
is two or three frames off is chance."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """A rule, and what it gives on some sessions."""

    rule: Threshold
    there: int
    said: int
    points: float
    """Events found: whole points within the collar, half a point within twice of it."""

    @property
    def f1(self) -> float:
        """With half points; 0 where there is nothing."""
        return 2 * self.points / max(1, self.there + self.said)


def try_rules(
    there: Sequence[NDArray[np.bool_]],
    curves: Sequence[NDArray[np.float32]],
    rules: Iterable[Threshold],
) -> list[Trial]:
    """What each rule gives for one curve.

    Args:
        there: Where the sound is in each session, shape ``[S]``.
        curves: Its probability, shape ``[S]``.
        rules: To be tried.
    """
    real = [runs(track) for track in there]
    return [_trial(rule, real, [spans_by(curve, rule) for curve in curves]) for rule in rules]


def best_rule(trials: Sequence[Trial]) -> Threshold:
    """The rule of the best F1, with half points; the earlier of two equal ones."""
    return max(trials, key=lambda trial: trial.f1).rule


def spans_by(curve: NDArray[np.float32], rule: Threshold, *, early: bool = True) -> Spans:
    """Spans of frames that a rule gives, by the same code as in `talkover annotate`."""
    hysteresis = Hysteresis(
        onset=rule.onset,
        offset=rule.offset,
        shortest=rule.shortest_s,
        gap=rule.gap_s,
        early=early,
    )
    found = active_stretches(curve, FRAME, FRAME * len(curve), RATE, hysteresis) // FRAME
    return [(int(start), int(end)) for start, end in found]


def _trial(rule: Threshold, real: Sequence[Spans], said: Sequence[Spans]) -> Trial:
    pairs = list(zip(real, said, strict=True))
    strict = total_of(match_spans(*pair) for pair in pairs)
    loose = total_of(match_spans(*pair, collar=LOOSE_COLLAR) for pair in pairs)
    points = (strict.matched + loose.matched) / 2
    return Trial(rule=rule, there=strict.there, said=strict.said, points=points)
