"""Turn-taking figures of a corpus, and the bars that a simulation is held to.

Units. Speech of one speaker is one inter-pausal unit while its gaps are shorter than ``join``. The
units of a session are walked by start; one holds the floor. A later unit is

* TH, turn-hold: same speaker; its pause is its start minus the floor's end, kept if above 0;
* TS, turn-switch: another speaker, from the floor's end on; the floor-transfer offset is >= 0;
* IR, interruption: another speaker, starts before and ends after the floor's end; offset < 0;
* BC, contained: another speaker, ends no later than the floor does; the floor does not change.

A session counts from its first start to its last end. Overlap is time with two or more speakers
over time with at least one, silence is time with none over the session, on frames of 10 ms; corpus
figures are means over sessions. Sessions with one speaker or under 20 s are left out. Terms after
Heldner and Edlund (2010), for any number of speakers.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass
from typing import Literal, Protocol

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import ManifestError
from talkover.manifests.schema import PAUSE_JOIN

EventType = Literal["TH", "TS", "IR", "BC"]
EVENT_TYPES: tuple[EventType, ...] = ("TH", "TS", "IR", "BC")
TURN_HOLD, TURN_SWITCH, INTERRUPTION, CONTAINED = range(4)

FRAMES_PER_SECOND = 100
SHORTEST_SESSION = 20.0
"""Seconds; shorter sessions hold too few changes of speaker to have ratios of their own."""
W1_RANGE = (-5.0, 10.0)
"""Seconds to which values are clipped before a Wasserstein distance."""
W1_BAR = 0.10
"""Seconds; the largest distance of a distribution that matches, unless the data's own is larger."""
RATIO_BAR = 0.01
SPREAD_BAR = 0.2
RATE_BAR = 0.1
SHARE_BAR = 0.03

Pool = Literal["fto", "pauses", "turns"]
POOLS: tuple[Pool, ...] = ("fto", "pauses", "turns")


class Spoken(Protocol):
    """A stretch of one speaker, in seconds; `talkover.manifests.labels.Segment` is one."""

    @property
    def speaker(self) -> str: ...  # noqa: D102
    @property
    def start(self) -> float: ...  # noqa: D102
    @property
    def end(self) -> float: ...  # noqa: D102


Unit = tuple[float, float, str]
"""Start, end, speaker of an inter-pausal unit."""


@dataclass(frozen=True, kw_only=True, slots=True)
class FloorWalk:
    """What happened in one session's sequence of units; times in seconds."""

    fto: list[float]
    pauses: list[float]
    turns: list[float]
    """From a change of speaker to the end of that speaker's floor; the last turn is not closed."""
    types: list[int]
    """Index into `EVENT_TYPES` of each unit after the first."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionFigures:
    """One session's figures."""

    minutes: float
    speakers: int
    overlap: float
    three: float
    silence: float
    walk: FloorWalk


@dataclass(frozen=True, kw_only=True, slots=True)
class TurnTakingSummary:
    """A corpus' figures: means over sessions, spreads, pooled quantiles (10, 50, 90 %)."""

    sessions: int
    hours: float
    speakers: float
    overlap: float
    """Time with two or more speakers over time with at least one."""
    overlap_sd: float
    three: float
    """Time with three or more speakers over time with at least one."""
    silence: float
    silence_sd: float
    changes_per_min: float
    types: tuple[float, float, float, float]
    """Shares of `EVENT_TYPES` among all units."""
    fto_q: tuple[float, ...]
    pause_q: tuple[float, ...]
    turn_q: tuple[float, ...]
    fto_lag1: float | None
    """Correlation of a floor-transfer offset with the next one of its session."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Comparison:
    """Two corpora side by side, and which bars hold."""

    real: TurnTakingSummary
    simulated: TurnTakingSummary
    w1: dict[Pool, float]
    """Wasserstein-1 distance in seconds; infinite where the simulation has no value at all."""
    noise_floor: dict[Pool, float]
    """The same between every other session of the real corpus and all of it."""
    bars: dict[str, bool]

    @property
    def all_hold(self) -> bool:
        """Whether no bar is missed."""
        return all(self.bars.values())

    def plain(self) -> dict[str, object]:
        """As a dictionary for JSON; an infinite distance is None."""
        result = asdict(self)
        result["w1"] = {k: v if np.isfinite(v) else None for k, v in self.w1.items()}
        return result


def turn_taking(
    sessions: Mapping[str, Sequence[Spoken]], join: float = PAUSE_JOIN
) -> TurnTakingSummary:
    """Turn-taking of a corpus.

    Args:
        sessions: Stretches of speech by session; such of no length are passed over.
        join: Seconds; gaps of one speaker below it do not end a unit.

    Raises:
        ManifestError: If no session has two speakers and 20 s.
    """
    return _summarise(list(_rows(sessions, join).values()))


def compare(
    real: Mapping[str, Sequence[Spoken]],
    simulated: Mapping[str, Sequence[Spoken]],
    join: float = PAUSE_JOIN,
) -> Comparison:
    """Hold simulated conversations against real ones.

    The bars: overlap and silence within 1 point, their spreads within 20 %, distance of
    floor-transfer offsets and of pauses at most 0.10 s or the real corpus' own noise floor, changes
    of speaker per minute within 10 %, shares of event types within 3 points.

    Args:
        real: Stretches of real speech by session.
        simulated: The same of the simulation.
        join: As in `turn_taking`.

    Raises:
        ManifestError: As `turn_taking`, of either side.
    """
    rows, simulated_rows = _rows(real, join), list(_rows(simulated, join).values())
    every_other = sorted(name for name in real if _num_speakers(real[name]) > 1)[::2]
    half_rows = [rows[name] for name in every_other if name in rows]
    first, second = _summarise(list(rows.values())), _summarise(simulated_rows)
    pools, half, made = (
        {key: pooled(group, key) for key in POOLS}
        for group in (list(rows.values()), half_rows, simulated_rows)
    )
    noise = {key: wasserstein(half[key], pools[key]) for key in POOLS}
    distance = {key: wasserstein(made[key], pools[key]) for key in POOLS}
    return Comparison(
        real=first,
        simulated=second,
        w1=distance,
        noise_floor=noise,
        bars=_bars(first, second, distance, noise),
    )


def join_units(segments: Iterable[Spoken], join: float = PAUSE_JOIN) -> list[Unit]:
    """Inter-pausal units of a session, by start, then end, then speaker.

    >>> from talkover.manifests.labels import Segment
    >>> a, b = (Segment(session="s", speaker="x", start=t, end=t + 1) for t in (0.0, 1.125))
    >>> join_units([b, a])
    [(0.0, 2.125, 'x')]
    """
    spoken: dict[str, list[tuple[float, float]]] = {}
    for segment in segments:
        if segment.end > segment.start:
            spoken.setdefault(segment.speaker, []).append((segment.start, segment.end))
    units: list[Unit] = []
    for speaker, spans in spoken.items():
        array = np.array(sorted(spans))
        ends = np.maximum.accumulate(array[:, 1])
        opens = np.concatenate([[True], ~(array[1:, 0] - ends[:-1] < join)])
        # A unit's own running end and the speaker's agree: what came before ended `join` earlier.
        closes = np.concatenate([opens[1:], [True]])
        units += [
            (float(a), float(b), speaker)
            for a, b in zip(array[opens, 0], ends[closes], strict=True)
        ]
    return sorted(units)


def follow_floor(units: Sequence[Unit]) -> Iterator[tuple[int, Unit, float]]:
    """Follow the floor through a session's units, which come in order of start.

    Yields:
        For each unit after the first: its type as an index into `EVENT_TYPES`, itself, and when
        the floor that it finds ends.

    >>> [event[0] for event in follow_floor([(0.0, 4.0, "x"), (1.0, 2.0, "y"), (3.0, 5.0, "y")])]
    [3, 2]
    """
    if not units:
        return
    _, end, who = units[0]
    for unit in units[1:]:
        start, stop, speaker = unit
        if speaker == who:
            yield TURN_HOLD, unit, end
            end = max(end, stop)
        elif stop <= end:
            yield CONTAINED, unit, end
        else:
            yield (TURN_SWITCH if start >= end else INTERRUPTION), unit, end
            end, who = stop, speaker


def walk_floor(units: Sequence[Unit]) -> FloorWalk:
    """Offsets, pauses, turns and types of a session's units, which come in order of start."""
    walk = FloorWalk(fto=[], pauses=[], turns=[], types=[])
    begun = units[0][0] if units else 0.0
    for kind, (start, _, _), end in follow_floor(units):
        walk.types.append(kind)
        if kind == TURN_HOLD:
            if start > end:
                walk.pauses.append(start - end)
        elif kind != CONTAINED:
            walk.fto.append(start - end)
            walk.turns.append(end - begun)
            begun = start
    return walk


def session_figures(segments: Iterable[Spoken], join: float = PAUSE_JOIN) -> SessionFigures | None:
    """One session's figures, or None if it has one speaker or is too short."""
    units = join_units(segments, join)
    speakers = {speaker for _, _, speaker in units}
    if len(speakers) < 2:
        return None
    first, last = units[0][0], max(end for _, end, _ in units)
    if last - first < SHORTEST_SESSION:
        return None
    count = _speakers_per_frame(units, first, last)
    speech = np.count_nonzero(count)
    return SessionFigures(
        minutes=(last - first) / 60,
        speakers=len(speakers),
        overlap=float(np.count_nonzero(count > 1) / speech),
        three=float(np.count_nonzero(count > 2) / speech),
        silence=float((count == 0).mean()),
        walk=walk_floor(units),
    )


def pooled(rows: Sequence[SessionFigures], key: Pool) -> NDArray[np.float64]:
    """All values of a kind over sessions, seconds."""
    return np.array([value for row in rows for value in getattr(row.walk, key)], dtype=np.float64)


def wasserstein(values: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """Wasserstein-1 distance in seconds of two samples clipped to `W1_RANGE`.

    The mean absolute difference of 1000 quantiles from 0.001 to 0.999; infinite if either sample
    is empty.
    """
    if len(values) == 0 or len(others) == 0:
        return float("inf")
    levels = np.linspace(0.001, 0.999, 1000)
    a, b = (np.quantile(np.clip(x, *W1_RANGE), levels) for x in (values, others))
    return float(np.abs(a - b).mean())


def _rows(sessions: Mapping[str, Sequence[Spoken]], join: float) -> dict[str, SessionFigures]:
    figures = ((name, session_figures(segments, join)) for name, segments in sessions.items())
    rows = {name: row for name, row in figures if row is not None}
    if not rows:
        raise ManifestError(
            f"none of {len(sessions)} sessions has two speakers and {SHORTEST_SESSION:.0f} s"
        )
    return rows


def _num_speakers(segments: Iterable[Spoken]) -> int:
    return len({s.speaker for s in segments if s.end > s.start})


def _speakers_per_frame(units: Sequence[Unit], first: float, last: float) -> NDArray[np.int64]:
    """Number of speakers in each frame of 10 ms; units of a speaker are disjoint, so they add."""
    frames = int((last - first) * FRAMES_PER_SECOND) + 1
    bounds = np.array([unit[:2] for unit in units])
    edges = ((bounds - first) * FRAMES_PER_SECOND).astype(np.int64)
    steps = np.bincount(edges[:, 0], minlength=frames + 1)
    steps = steps - np.bincount(edges[:, 1], minlength=frames + 1)
    return np.asarray(np.cumsum(steps[:frames]))


def _summarise(rows: Sequence[SessionFigures]) -> TurnTakingSummary:
    types = np.array([t for row in rows for t in row.walk.types], dtype=np.int64)
    shares = np.bincount(types, minlength=len(EVENT_TYPES)) / max(1, len(types))
    overlap, silence = ([getattr(row, key) for row in rows] for key in ("overlap", "silence"))
    return TurnTakingSummary(
        sessions=len(rows),
        hours=sum(row.minutes for row in rows) / 60,
        speakers=float(np.mean([row.speakers for row in rows])),
        overlap=float(np.mean(overlap)),
        overlap_sd=float(np.std(overlap)),
        three=float(np.mean([row.three for row in rows])),
        silence=float(np.mean(silence)),
        silence_sd=float(np.std(silence)),
        changes_per_min=float(np.mean([len(row.walk.fto) / row.minutes for row in rows])),
        types=(float(shares[0]), float(shares[1]), float(shares[2]), float(shares[3])),
        fto_q=_quantiles(pooled(rows, "fto")),
        pause_q=_quantiles(pooled(rows, "pauses")),
        turn_q=_quantiles(pooled(rows, "turns")),
        fto_lag1=_lag1(rows),
    )


def _quantiles(values: NDArray[np.float64]) -> tuple[float, ...]:
    if len(values) == 0:
        return ()
    return tuple(round(float(v), 3) for v in np.percentile(values, [10, 50, 90]))


def _lag1(rows: Sequence[SessionFigures]) -> float | None:
    """Mean over sessions of more than three changes; such whose offsets never vary have none."""
    found = []
    for row in rows:
        fto = np.array(row.walk.fto)
        if len(fto) > 3 and fto[:-1].std() > 0 and fto[1:].std() > 0:
            found.append(np.corrcoef(fto[:-1], fto[1:])[0, 1])
    return float(np.mean(found)) if found else None


def _bars(
    real: TurnTakingSummary,
    simulated: TurnTakingSummary,
    distance: Mapping[Pool, float],
    noise: Mapping[Pool, float],
) -> dict[str, bool]:
    def off(a: float, b: float) -> float:
        return abs(a / b - 1) if b else float("inf")

    shares = max(abs(a - b) for a, b in zip(simulated.types, real.types, strict=True))
    return {
        "overlap within 1 point": abs(simulated.overlap - real.overlap) <= RATIO_BAR,
        "silence within 1 point": abs(simulated.silence - real.silence) <= RATIO_BAR,
        "overlap spread within 20 %": off(simulated.overlap_sd, real.overlap_sd) <= SPREAD_BAR,
        "silence spread within 20 %": off(simulated.silence_sd, real.silence_sd) <= SPREAD_BAR,
        "W1 of floor-transfer offset": distance["fto"] <= max(W1_BAR, noise["fto"]),
        "W1 of pause": distance["pauses"] <= max(W1_BAR, noise["pauses"]),
        "changes per minute within 10 %": off(simulated.changes_per_min, real.changes_per_min)
        <= RATE_BAR,
        "type shares within 3 points": shares <= SHARE_BAR,
    }
