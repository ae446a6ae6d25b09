"""What each session has of its own: how it departs from its corpus, and how its parts follow.

Every trait of a session is estimated from its own events, so it is uncertain: it is drawn towards
the corpus by its sampling error (James and Stein 1961), and its spread and correlations are those
without that error (Spearman 1904). Sessions count by their changes of the floor, as they do in
pooled figures.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import combinations

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from talkover.simulate.turn_events import CUT, HOLD, SWITCH, Changes, SessionEvents
from talkover.simulate.turn_sessions import AXES, PAIRS, TRAITS, Character, Response, Traits
from talkover.simulate.turns import PIVOT

Array = NDArray[np.float64]

DIGITS = 4
TINY = 1e-9
LEAST_OF_A_KIND = 5
"""Events of a session from which its own mean is trusted."""
PRIOR = Response(
    backchannels=1.0, interruptions=1.0, overlaps=0.4, inside=0.3, gaps=0.8, pauses=0.6
)
"""Exponents towards which a corpus of few sessions is drawn."""
PRIOR_WEIGHT = 2.0
"""Of the prior, in units of the sum of squares of the sessions' log odds."""
RESPONSE_RANGE = (0.15, 2.5)
FEW_SESSIONS = 5
"""Sessions at which a correlation between sessions is believed by half."""
LEAST_RELIABILITY = 0.4
"""Of a trait, for the correction of its correlations."""
LEAST_ROOT = 0.02
"""Smallest eigenvalue that the correlations are given."""


@dataclass(frozen=True)
class Departures:
    """What each session has of its own; logarithms, 0 in a typical session."""

    overlap: Array
    """Effect."""
    silence: Array
    """Effect."""
    traits: dict[str, Array]
    """By name; see `Traits`."""
    spread: Traits
    correlations: dict[str, float]
    response: Response

    def character(self, number: int) -> Character:
        """Traits of a session; its ratios are left to the effects."""
        own = {name: float(values[number]) for name, values in self.traits.items()}
        return Character(overlap=0.0, silence=0.0, **own)


def departures(events: Sequence[SessionEvents], c: Changes, join: float) -> Departures:
    """Traits of sessions, how they go together, and how parts follow the ratios."""
    number = len(events)
    weights = np.bincount(c.session, minlength=number).astype(np.float64)
    overlap = _log_odds(np.array([e.overlap for e in events]))
    silence = _log_odds(np.array([e.silence for e in events]))
    parts = _Parts.of(events, c, join)
    response = _response(parts, overlap, silence, weights)
    pauses = parts.pauses - response.pauses * silence
    raw = {
        "tempo": _tempo(c, number),
        "holds": (parts.holds, parts.holds_error),
        "cuts": (parts.cuts - response.interruptions * overlap, parts.cuts_error),
        "pauses": (pauses - _mean(pauses), parts.pauses_error),
    }
    shrunk, spread, reliability = {}, {}, {}
    for name, (values, error) in raw.items():
        shrunk[name], spread[name], reliability[name] = _shrunk(values, error, weights)
    columns = {
        "length": np.array([e.length for e in events]),
        "speakers": np.array([float(e.speakers) for e in events]),
        "overlap": overlap,
        "silence": silence,
        **{name: raw[name][0] for name in TRAITS},
    }
    return Departures(
        overlap=np.zeros(number),
        silence=np.zeros(number),
        traits=shrunk,
        spread=Traits(**{name: _rounded(value) for name, value in spread.items()}),
        correlations=_correlations(columns, reliability, weights),
        response=response,
    )


@dataclass(frozen=True)
class _Parts:
    """Logarithms of what each session does, and their sampling variances."""

    holds: Array
    holds_error: Array
    cuts: Array
    cuts_error: Array
    backchannels: Array
    overlaps: Array
    inside: Array
    gaps: Array
    pauses: Array
    pauses_error: Array

    @classmethod
    def of(cls, events: Sequence[SessionEvents], c: Changes, join: float) -> _Parts:
        counts = np.zeros((len(events), 3))
        np.add.at(counts, (c.session, c.kind), 1)
        counts += 0.5  # of Haldane: logarithms of none
        held, switched, cut = counts[:, HOLD], counts[:, SWITCH], counts[:, CUT]
        pauses = c.offset[c.kind == HOLD]
        pivot = float(np.quantile(pauses, PIVOT)) if len(pauses) else join
        contained = np.array([len(e.contained) for e in events])
        spoken = np.array([sum(u.end - u.start for u in e.floor) for e in events])
        longer = np.maximum(0.0, pauses - pivot)
        relative = longer / max(1e-9, float(longer.mean())) if len(pauses) else longer
        return cls(
            holds=np.log(held / (switched + cut)),
            holds_error=1 / held + 1 / (switched + cut),
            cuts=np.log(cut / switched),
            cuts_error=1 / cut + 1 / switched,
            backchannels=np.log((contained + 0.5) / spoken),
            overlaps=_log_means(c, CUT, 0.0, len(events)),
            inside=np.array([_inside(e) for e in events]),
            gaps=_log_means(c, SWITCH, 0.0, len(events)),
            pauses=_log_means(c, HOLD, pivot, len(events)),
            pauses_error=float(relative.var() if len(relative) else 1.0) / held,
        )


def _response(parts: _Parts, overlap: Array, silence: Array, weights: Array) -> Response:
    """Exponents: how parts of a session follow the log odds of its overlap and silence."""
    return Response(
        backchannels=_slope(overlap, parts.backchannels, PRIOR.backchannels, weights),
        interruptions=_slope(overlap, parts.cuts, PRIOR.interruptions, weights),
        overlaps=_slope(overlap, parts.overlaps, PRIOR.overlaps, weights),
        inside=_slope(overlap, parts.inside, PRIOR.inside, weights),
        gaps=_slope(silence, parts.gaps, PRIOR.gaps, weights),
        pauses=_slope(silence, parts.pauses, PRIOR.pauses, weights),
    )


def _tempo(c: Changes, sessions: int) -> tuple[Array, Array]:
    """Log mean of each session's durations, kinds aside, and its sampling variance."""
    level = np.ones(3)
    for kind in range(3):  # kinds differ in duration: take their own level out
        chosen = c.kind == kind
        level[kind] = c.duration[chosen].mean() if chosen.any() else 1.0
    relative = c.duration / level[c.kind]
    number = np.maximum(1, np.bincount(c.session, minlength=sessions))
    mean = np.bincount(c.session, relative, minlength=sessions) / number
    return np.log(np.where(mean > 0, mean, 1.0)), relative.var() / number


def _shrunk(values: Array, error: Array, weights: Array) -> tuple[Array, float, float]:
    """Values drawn to their mean by their error, their spread without it, their reliability."""
    known = np.isfinite(values)
    weights = np.where(known, weights, 0.0) + TINY
    filled = np.where(known, values, 0.0)
    centred = np.where(known, filled - np.average(filled, weights=weights), 0.0)
    total = float(np.average(centred**2, weights=weights))
    noise = np.where(known, error, 0.0)
    variance = max(0.0, total - float(np.average(noise, weights=weights)))
    shrunk = np.where(known, centred * variance / (variance + error), 0.0)
    return shrunk, float(np.sqrt(variance)), variance / max(total, 1e-9)


def _correlations(
    columns: dict[str, Array], reliability: dict[str, float], weights: Array
) -> dict[str, float]:
    """Correlations of normal scores by `PAIRS`, without sampling error and drawn to 0."""
    number = len(columns["length"])
    scores = {}
    for name, values in columns.items():
        filled = np.where(np.isfinite(values), values, _mean(values))
        scores[name] = ndtri(rankdata(filled) / (number + 1))
    trust = number / (number + FEW_SESSIONS)
    matrix = np.eye(len(AXES))
    for (i, a), (j, b) in combinations(enumerate(AXES), 2):
        if min(scores[a].std(), scores[b].std()) > 0:
            covariance = np.cov(scores[a], scores[b], aweights=weights)
            seen = covariance[0, 1] / np.sqrt(covariance[0, 0] * covariance[1, 1])
            sure = np.prod([max(LEAST_RELIABILITY, reliability.get(n, 1.0)) for n in (a, b)])
            matrix[i, j] = matrix[j, i] = np.clip(trust * seen / np.sqrt(sure), -0.95, 0.95)
    return possible(matrix)


def possible(matrix: Array) -> dict[str, float]:
    """The nearest matrix of correlations with positive roots, by `PAIRS` and rounded."""
    values, vectors = np.linalg.eigh(matrix)
    matrix = (vectors * np.maximum(values, LEAST_ROOT)) @ vectors.T
    scale = np.sqrt(np.diag(matrix))
    matrix = matrix / scale / scale[:, None]
    pairs = combinations(range(len(AXES)), 2)
    return {name: _rounded(matrix[i, j]) for name, (i, j) in zip(PAIRS, pairs, strict=True)}


def _mean(values: Array) -> float:
    known = values[np.isfinite(values)]
    return float(known.mean()) if len(known) else 0.0


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


def _inside(e: SessionEvents) -> float:
    """Logarithm of the mean duration of a session's backchannels; NaN if they are rare."""
    if len(e.contained) < LEAST_OF_A_KIND:
        return float("nan")
    return float(np.log(np.mean([b.end - b.start for b in e.contained])))


def _slope(x: Array, y: Array, prior: float, weights: Array) -> float:
    """Least-squares slope, drawn to a prior, within `RESPONSE_RANGE`."""
    known = np.isfinite(y)
    x, y, w = x[known], y[known], weights[known]
    if len(x) < LEAST_OF_A_KIND:
        return prior
    w = w / w.mean()
    x, y = x - np.average(x, weights=w), y - np.average(y, weights=w)
    slope = (float((w * x) @ y) + PRIOR_WEIGHT * prior) / (float((w * x) @ x) + PRIOR_WEIGHT)
    return _rounded(float(np.clip(slope, *RESPONSE_RANGE)))


def _rounded(value: float) -> float:
    return round(float(value), DIGITS)
