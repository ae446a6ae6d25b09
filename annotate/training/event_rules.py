"""How curves of sound events become events: the rules that give the best F1.

When something sounds has a rule of its own, of the best F1 of events of whatever kind. What it is
called has one least probability a kind, of the best F1 over all kinds together. They share one F1:
a kind whose every claim is a guess costs more than it brings, and is better not claimed at all.
With a fixed level ``F``, pooled F1 is above it just where the sum over the kinds of ``2 matched - F
(there + said)`` is above 0, so each kind has its own best rule; then ``F`` is set to the F1 that
these give, until it stays (Dinkelbach 1967).

Legend: ``S`` frame of 0.1 s.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.activity_spans import Hysteresis, active_stretches
from talkover.annotate.models.mels import RATE
from talkover.annotate.models.sound_net import FRAME
from talkover.annotate.models.tagger import Threshold
from talkover.annotate.sound_naming import NamedStretch
from talkover.annotate.training.event_scores import (
    COLLAR,
    Spans,
    match_spans,
    runs,
    total_of,
)

LEAST = (*(round(0.05 * step, 2) for step in range(1, 20)), 0.999)
"""Mean probabilities that a kind may need; the last is that of a kind better not claimed."""
LOOSE_COLLAR = 2 * COLLAR
"""Frames within which an event gets half a point: with a few dozen events of a class, whether one
is two or three frames off is chance."""
MOST_ROUNDS = 20


@dataclass(frozen=True, kw_only=True, slots=True)
class Trial:
    """A rule, and what it gives on some sessions."""

    rule: Threshold
    there: int
    said: int
    points: float
    """Events found: whole points within the collar, half a point within twice of it."""

    def over(self, level: float) -> float:
        """How much it adds to the points that an F1 of `level` needs."""
        return 2 * self.points - level * (self.there + self.said)


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


def try_names(
    there: Sequence[NDArray[np.bool_]], claims: Sequence[Sequence[NamedStretch]]
) -> list[Trial]:
    """What each of `LEAST` gives for one kind.

    Args:
        there: Where it sounds in each session, shape ``[S]``.
        claims: Stretches that are likeliest of this kind, by session.
    """
    real = [runs(track) for track in there]
    found = []
    for least in LEAST:
        said = [[(one.start, one.end) for one in own if one.confidence >= least] for own in claims]
        found.append(_trial(Threshold(onset=least, offset=least), real, said))
    return found


def best_alone(trials: Sequence[Trial]) -> Threshold:
    """The rule of the best F1, with half points; the earlier of two equal ones."""
    return max(trials, key=lambda trial: _f1([trial])).rule


def best_together(trials: Mapping[str, Sequence[Trial]]) -> tuple[dict[str, Threshold], float]:
    """One rule a class, of the best F1 over all of them; and that F1, with half points.

    Args:
        trials: Of each class; the earlier of two equal ones is taken.
    """
    level = 0.0
    chosen: dict[str, Trial] = {}
    for _ in range(MOST_ROUNDS):
        chosen = {
            label: max(own, key=lambda trial: trial.over(level)) for label, own in trials.items()
        }
        found = _f1(chosen.values())
        if found <= level:
            break
        level = found
    return {label: trial.rule for label, trial in chosen.items()}, level


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


def _f1(trials: Iterable[Trial]) -> float:
    chosen = list(trials)
    events = sum(trial.there + trial.said for trial in chosen)
    return 2 * sum(trial.points for trial in chosen) / max(1, events)
