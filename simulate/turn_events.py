"""What happens in real labels: the floor and its changes, read off one session at a time.

The definitions are those that `talkover.manifests.turn_taking` compares by: units are walked by
start; a later unit of another speaker that ends inside the floor holder's unit is contained, every
other unit takes the floor.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.turn_taking import (
    CONTAINED,
    INTERRUPTION,
    TURN_HOLD,
    TURN_SWITCH,
    Spoken,
    Unit,
    follow_floor,
    join_units,
)
from talkover.simulate.turns import Kind

HOLD, SWITCH, CUT = TURN_HOLD, TURN_SWITCH, INTERRUPTION
KINDS: tuple[Kind, ...] = ("hold", "switch", "interruption")


@dataclass(frozen=True, slots=True)
class FloorUnit:
    """A unit that held the floor."""

    speaker: str
    start: float
    end: float
    kind: Kind
    """How it took the floor; the first one of a session counts as a switch."""
    offset: float
    """Seconds from the end of the floor before to `start`; 0 for the first."""


@dataclass(frozen=True, slots=True)
class Contained:
    """A unit inside the floor holder's unit."""

    speaker: str
    start: float
    end: float
    floor: int
    """Index of the unit it lies in."""


@dataclass(frozen=True, slots=True)
class SessionEvents:
    """One session, walked."""

    floor: tuple[FloorUnit, ...]
    contained: tuple[Contained, ...]
    speakers: int
    length: float
    """Seconds from the first start to the last end."""
    overlap: float
    """Time with two or more speakers over time with one or more."""
    crowded: float
    """Time with three or more speakers over time with one or more."""
    silence: float
    """Time with no speaker over `length`."""
    gaps: tuple[float, ...]
    """All silences of one speaker between their labels, seconds, before joining."""

    def window(self, index: int) -> float:
        """Seconds of a floor unit before its end or, if earlier, the start of the next one."""
        unit = self.floor[index]
        following = self.floor[index + 1].start if index + 1 < len(self.floor) else unit.end
        return min(unit.end, following) - unit.start


@dataclass(frozen=True)
class Changes:
    """All changes of the floor of a corpus as columns, one row per change; seconds."""

    session: NDArray[np.int64]
    before: NDArray[np.int64]
    """Kind of the unit that held the floor before, index into `KINDS`."""
    kind: NDArray[np.int64]
    offset: NDArray[np.float64]
    duration: NDArray[np.float64]
    """Of the new unit."""
    beyond: NDArray[np.float64]
    """Of the new unit after the end of the one before."""
    previous: NDArray[np.float64]
    """Of the unit before."""


def session_events(spoken: Iterable[Spoken], join: float) -> SessionEvents | None:
    """Walk a session.

    Args:
        spoken: Labels of one session in any order.
        join: Silences of one speaker shorter than this are part of a unit, seconds.

    Returns:
        None if nobody speaks.
    """
    segments = list(spoken)
    units = join_units(segments, join)
    return events_of(units, own_silences(segments)) if units else None


def events_of(units: Sequence[Unit], silences: Sequence[float] = ()) -> SessionEvents:
    """Walk a session's inter-pausal units, at least one, by start.

    Args:
        units: (start, end, speaker).
        silences: All silences of one speaker between two of the speaker's labels, seconds.
    """
    first = units[0]
    floor = [FloorUnit(first[2], first[0], first[1], "switch", 0.0)]
    contained = []
    for event, (start, end, speaker), floor_end in follow_floor(units):
        if event == CONTAINED:
            contained.append(Contained(speaker, start, end, len(floor) - 1))
        else:
            floor.append(FloorUnit(speaker, start, end, KINDS[event], start - floor_end))
    length = max(end for _, end, _ in units) - first[0]
    speech, overlapped, crowded = occupancy(units)
    return SessionEvents(
        floor=tuple(floor),
        contained=tuple(contained),
        speakers=len({speaker for _, _, speaker in units}),
        length=length,
        overlap=overlapped / speech if speech > 0 else 0.0,
        crowded=crowded / speech if speech > 0 else 0.0,
        silence=max(0.0, 1 - speech / length) if length > 0 else 0.0,
        gaps=tuple(silences),
    )


def own_silences(spoken: Iterable[Spoken]) -> list[float]:
    """Every silence of a speaker between two of the speaker's labels, seconds."""
    return [
        later - sooner
        for units in _by_speaker(join_units(spoken, 0.0)).values()
        for (_, sooner), (later, _) in pairwise(units)
        if later > sooner
    ]


def _by_speaker(units: Iterable[Unit]) -> dict[str, list[tuple[float, float]]]:
    found: dict[str, list[tuple[float, float]]] = {}
    for start, end, speaker in units:
        found.setdefault(speaker, []).append((start, end))
    return found


def occupancy(units: Iterable[Unit]) -> tuple[float, float, float]:
    """Seconds with one or more, with two or more, and with three or more units.

    Args:
        units: (start, end, speaker) by start.

    >>> occupancy([(0.0, 4.0, "ana"), (3.0, 5.0, "bo"), (3.5, 3.75, "cy")])
    (5.0, 1.0, 0.25)
    """
    seconds = [0.0, 0.0, 0.0]
    ends = [float("-inf")] * 4  # the latest ends so far, latest first; one more than is counted
    for start, end, _ in units:
        for n in range(3):  # n units outlast `start` until ends[n]: this one makes them n + 1
            upper = end if n == 0 else min(end, ends[n - 1])
            seconds[n] += max(0.0, upper - max(start, ends[n]))
        ends.append(end)
        ends.sort(reverse=True)
        ends.pop()
    return seconds[0], seconds[1], seconds[2]


def changes_of(events: Sequence[SessionEvents]) -> Changes:
    """All changes of the floor of some sessions, in order."""
    rows = [
        (
            number,
            KINDS.index(last.kind),
            KINDS.index(unit.kind),
            unit.offset,
            unit.end - unit.start,
            unit.end - max(unit.start, last.end),
            last.end - last.start,
        )
        for number, e in enumerate(events)
        for last, unit in pairwise(e.floor)
    ]
    table = np.array(rows, dtype=np.float64)
    session, before, kind = table[:, :3].astype(np.int64).T
    return Changes(session, before, kind, *table[:, 3:].T)
