"""How sure a figure is: resampling of sessions, alone and for two systems on the same sessions.

Sessions are the unit, because errors inside one are not independent. An interval is the percentile
interval over the resampled ratios (Bisani and Ney 2004); the comparison draws the same sessions for
both systems, so what is hard for both cancels out.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.score.tally import Tally
from talkover.manifests.seeds import SESSION_OF_CORPUS, generator

CONFIDENCE = 0.95
_BLOCK = 64  # resamples at a time, so that memory is small for many sessions

SessionTallies = Mapping[str, Mapping[str, Tally]]
"""Session, metric."""


@dataclass(frozen=True, kw_only=True)
class Difference:
    """The first system's rate minus the second's, with its interval."""

    difference: float
    low: float
    high: float
    p_value: float
    """Two-sided: twice the share of resamples on the far side of zero."""


def bootstrap_intervals(
    sessions: SessionTallies, num_resamples: int, seed: int
) -> dict[str, tuple[float, float]]:
    """The 95 % interval of each metric's rate; none for fewer than two sessions.

    Args:
        sessions: Tallies per session.
        num_resamples: How many corpora are drawn.
        seed: Root seed; the same sessions are drawn for every metric.
    """
    if len(sessions) < 2 or num_resamples < 1:
        return {}
    result = {}
    for metric in _metrics(sessions):
        rates = _resampled_rates(sessions, metric, num_resamples, seed)
        if len(rates):
            low, high = np.quantile(rates, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
            result[metric] = (float(low), float(high))
    return result


def compare_systems(
    first: SessionTallies, second: SessionTallies, num_resamples: int, seed: int
) -> dict[str, Difference]:
    """The difference of two systems on the same sessions, for every metric that both have.

    Raises:
        ValueError: If the sessions differ.
    """
    if set(first) != set(second):
        raise ValueError("two systems can only be compared on the same sessions")
    result = {}
    others = _metrics(second)
    for metric in _metrics(first):
        if metric not in others:
            continue
        rates = [_rate(system, metric) for system in (first, second)]
        if rates[0] is None or rates[1] is None:
            continue
        draws = _resampled_rates(first, metric, num_resamples, seed, keep_empty=True)
        draws = draws - _resampled_rates(second, metric, num_resamples, seed, keep_empty=True)
        draws = draws[np.isfinite(draws)]
        if len(first) < 2 or len(draws) == 0:
            continue
        low, high = np.quantile(draws, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        tails = min(float((draws <= 0).mean()), float((draws >= 0).mean()))
        result[metric] = Difference(
            difference=rates[0] - rates[1],
            low=float(low),
            high=float(high),
            p_value=min(1.0, 2 * tails),
        )
    return result


def _metrics(sessions: SessionTallies) -> list[str]:
    return list(dict.fromkeys(metric for tallies in sessions.values() for metric in tallies))


def _rate(sessions: SessionTallies, metric: str) -> float | None:
    counts = _counts(sessions, metric)
    return float(counts[0].sum() / counts[1].sum()) if counts[1].sum() else None


def _counts(sessions: SessionTallies, metric: str) -> NDArray[np.float64]:
    tallies = [sessions[session][metric] for session in sorted(sessions)]
    return np.array([[t.errors for t in tallies], [t.length for t in tallies]], dtype=np.float64)


def _resampled_rates(
    sessions: SessionTallies, metric: str, num_resamples: int, seed: int, keep_empty: bool = False
) -> NDArray[np.float64]:
    counts = _counts(sessions, metric)
    sums = [weights @ counts.T for weights in _draws(len(sessions), num_resamples, seed)]
    errors, lengths = np.concatenate(sums).T
    rates = np.divide(errors, lengths, out=np.full_like(errors, np.nan), where=lengths > 0)
    return np.asarray(rates if keep_empty else rates[np.isfinite(rates)], dtype=np.float64)


def _draws(num_sessions: int, num_resamples: int, seed: int) -> Iterator[NDArray[np.float64]]:
    """How often each session was drawn, in blocks of resamples."""
    rng = generator(seed, SESSION_OF_CORPUS, "score/bootstrap")
    share = np.full(num_sessions, 1 / num_sessions)
    for start in range(0, num_resamples, _BLOCK):
        size = min(_BLOCK, num_resamples - start)
        yield rng.multinomial(num_sessions, share, size=size).astype(np.float64)
