"""Who speaks when, for all sessions of a part at once: units, occupancy, floor, talk shares.

The definitions are those of `talkover.manifests.statistics`. Times are whole ticks of 10 ns, the
last digit that seconds have in a manifest, so that sums are exact and a gap of exactly the pause
that separates regions separates them.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import numpy as np
import pandas as pd
from numpy.typing import NDArray

from talkover.manifests.schema import PAUSE_JOIN, TIME_DIGITS

TICKS = 10**TIME_DIGITS
"""Ticks of a second."""
_ROUNDING = 2  # ticks by which a difference of two rounded times may be off
_JOIN = round(PAUSE_JOIN * TICKS) - _ROUNDING
_LONGEST = 1e9  # seconds; times beyond it (30 years) are clipped, not trusted

Ints = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Units:
    """Inter-pausal units of speakers, by session, then start, then end, then speaker's name."""

    session_row: Ints
    speaker: NDArray[Any]
    """Names."""
    start: Ints
    """In ticks."""
    end: Ints


def ticks(seconds: Any) -> Ints:
    """Seconds as whole ticks."""
    values = np.clip(np.asarray(seconds, dtype=np.float64), -_LONGEST, _LONGEST)
    return np.asarray(np.rint(values * TICKS), dtype=np.int64)


def units_of(regions: pd.DataFrame, turns: pd.DataFrame) -> Units:
    """Regions of each speaker joined over gaps shorter than `PAUSE_JOIN`.

    Args:
        regions: Their ``turn_row`` is a position in ``turns``.
        turns: With ``speaker``; one without a name is a speaker by itself.
    """
    rows = regions["session_row"].to_numpy()
    codes, names = pd.factorize(turns["speaker"].fillna(""), sort=True)
    code = codes[regions["turn_row"].to_numpy()]
    start, end = ticks(regions["start"]), ticks(regions["end"])
    order = np.lexsort((end, start, code, rows))
    rows, code, start, end = rows[order], code[order], start[order], end[order]
    group = _changes(rows, code)
    reach = pd.Series(end).groupby(np.cumsum(group)).cummax().to_numpy()
    opens = group.copy()
    opens[1:] |= start[1:] - reach[:-1] >= _JOIN
    closes = np.append(opens[1:], True) if len(opens) else opens
    rows, code, start, end = rows[opens], code[opens], start[opens], reach[closes]
    order = np.lexsort((code, end, start, rows))
    return Units(
        session_row=rows[order],
        speaker=np.asarray(names, dtype=object)[code[order]],
        start=start[order],
        end=end[order],
    )


def occupancy(units: Units, durations: NDArray[np.float64]) -> tuple[dict[str, Any], pd.DataFrame]:
    """How long how many speak, by session, and the stretches with two and more.

    Args:
        units: As `units_of` gives them.
        durations: Length of each session in seconds, by row; what lies outside is not counted.

    Returns:
        Columns ``speech``, ``overlap`` (seconds) and ``max_concurrent`` by row, and a table of
        ``session_row``, ``start``, ``duration``, ``max_speakers``.
    """
    count = len(durations)
    limit = ticks(durations)[units.session_row]
    start, end = np.clip(units.start, 0, limit), np.clip(units.end, 0, limit)
    time = np.concatenate([start, end])
    rows = np.concatenate([units.session_row, units.session_row])
    step = np.concatenate([np.ones(len(start), np.int64), -np.ones(len(end), np.int64)])
    order = np.lexsort((step, time, rows))
    time, rows, step = time[order], rows[order], step[order]
    speakers = np.cumsum(step)[:-1] if len(step) else step
    length = np.diff(time)
    inside = (rows[1:] == rows[:-1]) & (length > 0)
    rows, time, speakers, length = (
        rows[:-1][inside],
        time[:-1][inside],
        speakers[inside],
        length[inside],
    )
    most = np.zeros(count, dtype=np.int64)
    np.maximum.at(most, rows, speakers)
    sums = {
        "speech": np.bincount(rows, length * (speakers >= 1), count) / TICKS,
        "overlap": np.bincount(rows, length * (speakers >= 2), count) / TICKS,
        "max_concurrent": most,
    }
    return sums, _stretches(rows, time, speakers, length)


def _stretches(rows: Ints, time: Ints, speakers: Ints, length: Ints) -> pd.DataFrame:
    """Runs of two and more speakers that touch, as one stretch each."""
    both = speakers >= 2
    rows, time, speakers, length = rows[both], time[both], speakers[both], length[both]
    opens = np.ones(len(rows), dtype=bool)
    opens[1:] = (rows[1:] != rows[:-1]) | (time[1:] != time[:-1] + length[:-1])
    first = np.flatnonzero(opens)
    frame = {
        "session_row": rows[first],
        "start": time[first] / TICKS,
        "duration": (np.add.reduceat(length, first) if len(first) else length) / TICKS,
        "max_speakers": np.maximum.reduceat(speakers, first) if len(first) else speakers,
    }
    return pd.DataFrame(frame)


def walk(units: Units) -> pd.DataFrame:
    """Follow the floor of every session, as `talkover.manifests.turn_taking.walk_floor` does.

    Returns:
        ``session_row``, ``time``, ``kind``, ``offset``, ``speaker``, ``next_speaker``; one row a
        unit after the first of its session.
    """
    out: dict[str, list[Any]] = {
        name: [] for name in ("session_row", "time", "kind", "offset", "speaker", "next_speaker")
    }
    add = [out[name].append for name in out]
    row, floor, who = -1, 0, ""
    columns = (units.session_row, units.start, units.end, units.speaker)
    for here, start, end, speaker in zip(*(c.tolist() for c in columns), strict=True):
        if here != row:
            row, floor, who = here, end, speaker
            continue
        if speaker == who:
            kind = "hold"
        elif end <= floor:
            kind = "contained"
        else:
            kind = "switch" if start >= floor else "interruption"
        for append, value in zip(
            add, (here, start, kind, start - floor, who, speaker), strict=True
        ):
            append(value)
        if kind == "hold":
            floor = max(floor, end)
        elif kind != "contained":
            floor, who = end, speaker
    frame = pd.DataFrame(out)
    for name in ("time", "offset"):
        frame[name] = frame[name].astype("int64") / TICKS
    return frame


def quantiles(rows: Ints, values: NDArray[np.float64], count: int, levels: list[float]) -> Any:
    """Quantiles of the values of each row, with linear interpolation as NumPy has it.

    Returns:
        Shape ``[len(levels), count]``; NaN where a row has no value.
    """
    order = np.lexsort((values, rows))
    ordered = values[order]
    sizes = np.bincount(rows, minlength=count)
    first = np.concatenate([[0], np.cumsum(sizes)[:-1]]) if count else sizes
    result = np.full((len(levels), count), np.nan)
    some = sizes > 0
    for n, level in enumerate(levels):
        position = (sizes[some] - 1) * level
        below = np.floor(position).astype(np.int64)
        above = np.minimum(below + 1, sizes[some] - 1)
        low, high = ordered[first[some] + below], ordered[first[some] + above]
        result[n, some] = low + (high - low) * (position - below)
    return result


def talk(units: Units, count: int) -> tuple[pd.DataFrame, dict[str, Any]]:
    """Speech of each speaker, and how evenly it is shared out in each session."""
    frame = pd.DataFrame(
        {
            "session_row": units.session_row,
            "speaker": units.speaker,
            "speech": (units.end - units.start) / TICKS,
        }
    )
    sums = frame.groupby(["session_row", "speaker"], sort=True)["speech"].sum().reset_index()
    total = np.bincount(sums["session_row"], sums["speech"], count)
    rows = sums["session_row"].to_numpy(dtype=np.int64)
    share = sums["speech"].to_numpy() / np.where(total[rows] > 0, total[rows], 1.0)
    sums["talk_share"] = share
    speakers = np.bincount(rows, minlength=count)
    parts = -share * np.log(np.where(share > 0, share, 1.0))
    even = np.where(speakers > 1, np.log(np.maximum(speakers, 2)), 1.0)
    top = np.zeros(count)
    np.maximum.at(top, rows, share)
    figures = {
        "num_speakers": speakers,
        "top_share": np.where(speakers > 0, top, np.nan),
        "talk_entropy": np.where(speakers > 0, np.bincount(rows, parts, count) / even, np.nan),
        "talk_gini": _gini(rows, share, speakers, count),
    }
    return sums, figures


def _gini(rows: Ints, share: NDArray[np.float64], speakers: Ints, count: int) -> Any:
    """Gini coefficient of each row's shares, which sum to 1."""
    order = np.lexsort((share, rows))
    first = np.concatenate([[0], np.cumsum(speakers)[:-1]]) if count else speakers
    rank = np.arange(len(rows)) - first[rows[order]] + 1
    weighted = np.bincount(rows[order], rank * share[order], count)
    size = np.maximum(speakers, 1)
    return np.where(speakers > 0, 2 * weighted / size - (size + 1) / size, np.nan)


def _changes(*columns: Any) -> NDArray[np.bool_]:
    """Where any of the sorted columns is another than in the row before."""
    result = np.ones(len(columns[0]), dtype=bool)
    if len(result):
        result[1:] = np.logical_or.reduce([c[1:] != c[:-1] for c in columns])
    return result
