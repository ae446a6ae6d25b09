"""The table of an evaluation: every system, over all sessions and by number of speakers.

A figure is the rate of the sessions of its row together, with the 95 % interval over resampled
sessions (`talkover.manifests.score.bootstrap`); the boundary error is the median of all shifts of
starts and ends of matched segments, its interval that of the medians of the same resamples.

Shapes: ``S`` sessions, ``N`` shifts, ``R`` resamples.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from statistics import median

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from talkover.manifests.score import ScoreResult, Tally
from talkover.manifests.score.bootstrap import CONFIDENCE, bootstrap_intervals
from talkover.manifests.score.report import format_rate
from talkover.manifests.score.tally import RATE_DIGITS, add_tallies
from talkover.manifests.seeds import SESSION_OF_CORPUS, generator
from talkover.model.evaluate_types import Evaluation, System

RATES = ("wer", "cpwer", "delta_cp_wer", "tcpwer", "orcwer", "cpcer", "der")
"""Columns that are rates, where they were asked for; more stand below the table."""

BOUNDARY = "boundary_error"
"""Column of the median shift, seconds."""

COUNTS = ("speaker_count", "fail_rate")
"""Columns of one thing a session; the first is shown as the share that is right."""

BLOCK = 64
"""Resamples at a time, so that memory is small for many sessions."""

Sessions = Mapping[str, Mapping[str, Tally]]
"""Session, metric."""


@dataclass(frozen=True, kw_only=True)
class Figure:
    """A number and how sure it is."""

    value: float
    interval: tuple[float, float] | None = None


@dataclass(frozen=True, kw_only=True)
class Row:
    """Figures of one system on some sessions."""

    system: str
    speakers: int | None
    """In each of the sessions; None for all sessions."""
    num_sessions: int
    figures: Mapping[str, Figure | None]
    """By column; None where there is nothing to be wrong about."""


def table_of(evaluation: Evaluation) -> list[Row]:
    """All rows: each system over everything, then by number of speakers."""
    return [row for system in evaluation.systems for row in _rows(system)]


def _rows(system: System) -> Iterator[Row]:
    result = system.result
    yield _row(system.name, None, result.sessions, result)
    groups: dict[int, dict[str, Mapping[str, Tally]]] = {}
    for id, tallies in result.sessions.items():
        speakers = {segment.speaker for segment in result.pairs[id].reference.segments}
        groups.setdefault(len(speakers), {})[id] = tallies
    for count in sorted(groups):
        yield _row(system.name, count, groups[count], result)


def _row(name: str, speakers: int | None, sessions: Sessions, result: ScoreResult) -> Row:
    resamples, seed = result.settings.get("bootstrap"), result.settings.get("seed")
    assert isinstance(resamples, int) and isinstance(seed, int)
    intervals = bootstrap_intervals(sessions, resamples, seed)
    figures: dict[str, Figure | None] = {}
    for metric in (*RATES, *COUNTS):
        if metric in result.overall:
            tally = add_tallies(tallies[metric] for tallies in sessions.values())
            rate = tally.error_rate
            interval = intervals.get(metric)
            figures[metric] = None if rate is None else Figure(value=rate, interval=interval)
    if "aas" in result.overall:
        figures[BOUNDARY] = boundary_figure(sessions, resamples, seed)
    return Row(system=name, speakers=speakers, num_sessions=len(sessions), figures=figures)


def boundary_error(tallies: Mapping[str, Tally]) -> float | None:
    """Median shift of starts and ends together, seconds; None if nothing matched."""
    values = _shifts(tallies)
    return round(median(values), RATE_DIGITS) if values else None


def boundary_figure(sessions: Sessions, resamples: int, seed: int) -> Figure | None:
    """The median shift with its interval; None if nothing matched.

    Args:
        sessions: Tallies per session.
        resamples: How many corpora are drawn, 0 for no interval.
        seed: Root seed.
    """
    shifts = [_shifts(sessions[id]) for id in sorted(sessions)]
    values = np.array([value for own in shifts for value in own])
    if not len(values):
        return None
    interval = None
    if resamples > 0 and len(shifts) > 1:
        owner = np.repeat(np.arange(len(shifts)), [len(own) for own in shifts])
        medians = resampled_medians(values, owner, len(shifts), resamples, seed)
        low, high = np.quantile(medians, [(1 - CONFIDENCE) / 2, (1 + CONFIDENCE) / 2])
        interval = (float(low), float(high))
    return Figure(value=float(np.median(values)), interval=interval)


def resampled_medians(
    values: NDArray[np.float64], owner: NDArray[np.int64], sessions: int, resamples: int, seed: int
) -> NDArray[np.float64]:
    """Medians over resampled sessions, of the draws in which there is any value.

    Args:
        values: Shape ``[N]``.
        owner: Session of each value, ``[N]``.
        sessions: How many there are, with and without values.
        resamples: How many corpora are drawn.
        seed: Root seed.
    """
    if not len(values):
        return np.zeros(0)
    order = np.argsort(values, kind="stable")
    ranked, owner = values[order], owner[order]
    rng = generator(seed, SESSION_OF_CORPUS, "evaluate/boundary")
    share = np.full(sessions, 1 / sessions)
    found = []
    for start in range(0, resamples, BLOCK):
        size = min(BLOCK, resamples - start)
        drawn = rng.multinomial(sessions, share, size=size)  # [R, S]
        below = np.cumsum(drawn[:, owner], axis=1)  # [R, N]
        for row in below[below[:, -1] > 0]:
            # Both middle values of an even number, the same one of an odd.
            middle = np.searchsorted(row, [(row[-1] + 1) // 2, row[-1] // 2 + 1])
            found.append(ranked[middle].mean())
    return np.array(found)


def _shifts(tallies: Mapping[str, Tally]) -> list[float]:
    tally = tallies.get("aas")
    return [] if tally is None else [v for values in tally.samples.values() for v in values]


def rows_to_json(rows: Sequence[Row]) -> list[JsonValue]:
    """The table for machines."""
    return [
        {
            "system": row.system,
            "speakers": row.speakers,
            "sessions": row.num_sessions,
            "figures": {name: _figure_to_json(figure) for name, figure in row.figures.items()},
        }
        for row in rows
    ]


def _figure_to_json(figure: Figure | None) -> JsonValue:
    if figure is None:
        return None
    plain: dict[str, JsonValue] = {"value": round(figure.value, RATE_DIGITS)}
    if figure.interval is not None:
        plain["interval"] = [round(value, RATE_DIGITS) for value in figure.interval]
    return plain


def cells_of(rows: Sequence[Row]) -> list[list[str]]:
    """The table for people: a head, then the rows."""
    names = list(rows[0].figures) if rows else []
    titles = {BOUNDARY: "boundary median", "speaker_count": "speaker count right"}
    head = ["system", "speakers", "sessions", *(titles.get(name, name) for name in names)]
    return [head] + [
        [
            row.system,
            "all" if row.speakers is None else str(row.speakers),
            str(row.num_sessions),
            *(shown(name, row.figures[name]) for name in names),
        ]
        for row in rows
    ]


def shown(name: str, figure: Figure | None) -> str:
    """A figure as people read it, with its interval.

    >>> shown("cpwer", Figure(value=0.1234, interval=(0.1, 0.15)))
    '12.34 % (10.00–15.00)'
    """
    if figure is None:
        return "–"
    value, interval = figure.value, figure.interval
    if name == "speaker_count":  # told as what is right
        value = 1 - value
        interval = None if interval is None else (1 - interval[1], 1 - interval[0])
    text = f"{value:.3f} s" if name == BOUNDARY else format_rate(name, value)
    if interval is None:
        return text
    factor, digits = (1, 3) if name == BOUNDARY else (100, 2)
    low, high = (f"{factor * bound:.{digits}f}" for bound in interval)
    return f"{text} ({low}–{high})"
