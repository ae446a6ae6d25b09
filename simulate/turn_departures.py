"""What each session has of its own: how it departs from its corpus, and how its parts follow."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkover.simulate.turn_events import CUT, HOLD, SWITCH, Changes, SessionEvents
from talkover.simulate.turns import PIVOT, Response

Array = NDArray[np.float64]

DIGITS = 4
LEAST_OF_A_KIND = 5
"""Events of a session from which its own mean is trusted."""
PRIOR = Response(backchannels=1.0, interruptions=1.0, overlaps=0.4, gaps=0.8, pauses=0.6)
"""Exponents towards which a corpus of few sessions is drawn."""
PRIOR_WEIGHT = 2.0
"""Of the prior, in units of the sum of squares of the sessions' log odds."""
RESPONSE_RANGE = (0.15, 2.5)


@dataclass(frozen=True)
class Departures:
    """What each session has of its own."""

    overlap: Array
    silence: Array
    tempo: Array
    """Logarithm of the factor on durations."""
    tempo_deviation: float
    response: Response


def tempo_of(c: Changes, sessions: int) -> tuple[Array, float]:
    """Log tempo of each session, drawn to 0 by its uncertainty, and its spread."""
    level = np.ones(3)
    for kind in range(3):  # kinds differ in duration: take their own level out
        chosen = c.kind == kind
        level[kind] = c.duration[chosen].mean() if chosen.any() else 1.0
    relative = c.duration / level[c.kind]
    number = np.maximum(1, np.bincount(c.session, minlength=sessions))
    mean = np.bincount(c.session, relative, minlength=sessions) / number
    mean = np.where(mean > 0, mean, 1.0)
    logs = np.log(mean)
    error = relative.var() / number  # of the logarithm, to first order
    variance = max(0.0, float(np.var(logs) - error.mean()))
    shrunk = (logs - logs.mean()) * variance / (variance + error)
    return shrunk, float(np.sqrt(variance))


def response_of(events: Sequence[SessionEvents], c: Changes, join: float) -> Response:
    """Exponents: how parts of a session follow the log odds of its overlap and silence."""
    overlap = _log_odds(np.array([e.overlap for e in events]))
    silence = _log_odds(np.array([e.silence for e in events]))
    counts = np.zeros((len(events), 3))
    np.add.at(counts, (c.session, c.kind), 1)
    held = c.offset[c.kind == HOLD]
    pivot = float(np.quantile(held, PIVOT)) if len(held) else join
    contained = np.array([len(e.contained) for e in events])
    spoken = np.array([sum(u.end - u.start for u in e.floor) for e in events])
    return Response(
        backchannels=_slope(overlap, np.log((contained + 0.5) / spoken), PRIOR.backchannels),
        interruptions=_slope(
            overlap,
            np.log((counts[:, CUT] + 0.5) / (counts[:, SWITCH] + 0.5)),
            PRIOR.interruptions,
        ),
        overlaps=_slope(overlap, _log_means(c, CUT, 0.0, len(events)), PRIOR.overlaps),
        gaps=_slope(silence, _log_means(c, SWITCH, 0.0, len(events)), PRIOR.gaps),
        pauses=_slope(silence, _log_means(c, HOLD, pivot, len(events)), PRIOR.pauses),
    )


def _log_odds(ratios: Array) -> Array:
    ratios = np.clip(ratios, 0.003, 0.95)
    odds = np.log(ratios / (1 - ratios))
    return np.asarray(odds - odds.mean())


def _log_means(c: Changes, kind: int, least: float, sessions: int) -> Array:
    """Logarithm of the mean length of one kind of change in each session; NaN if it is rare."""
    chosen = c.kind == kind
    sums = np.bincount(
        c.session[chosen],
        np.maximum(0.0, np.abs(c.offset[chosen]) - least) + 0.005,
        minlength=sessions,
    )
    number = np.bincount(c.session[chosen], minlength=sessions)
    enough = number >= LEAST_OF_A_KIND
    return np.where(enough, np.log(np.maximum(sums, 1e-6) / np.maximum(number, 1)), np.nan)


def _slope(x: Array, y: Array, prior: float) -> float:
    """Least-squares slope, drawn to a prior, within `RESPONSE_RANGE`."""
    known = np.isfinite(y)
    x, y = x[known], y[known]
    if len(x) < LEAST_OF_A_KIND:
        return prior
    x, y = x - x.mean(), y - y.mean()
    slope = (float(x @ y) + PRIOR_WEIGHT * prior) / (float(x @ x) + PRIOR_WEIGHT)
    return _rounded(float(np.clip(slope, *RESPONSE_RANGE)))


def _rounded(value: float) -> float:
    return round(float(value), DIGITS)
