"""What happens in real labels: the floor and its changes, read off one session at a time.

The definitions are those that `talkover.manifests.turn_taking` compares by: units are walked by
start; a later unit of another speaker that ends inside the floor holder's unit is contained, every
other unit takes the floor.
"""

from __future__ import annotations

from collections.abc import Hashable, Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise
from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from talkover.simulate.turns import Kind

KINDS = ("hold", "switch", "interruption")
HOLD, SWITCH, CUT = range(3)


class Spoken(Protocol):
    """A stretch of speech of one speaker; `talkover.manifests.labels.Segment` is one."""

    @property
    def speaker(self) -> Hashable:
        """Who."""

    @property
    def start(self) -> float:
        """Seconds."""

    @property
    def end(self) -> float:
        """Seconds."""


@dataclass(frozen=True, slots=True)
class FloorUnit:
    """A unit that held the floor."""

    speaker: Hashable
    start: float
    end: float
    kind: Kind
    """How it took the floor; the first one of a session counts as a switch."""
    offset: float
    """Seconds from the end of the floor before to `start`; 0 for the first."""


@dataclass(frozen=True, slots=True)
class Contained:
    """A unit inside the floor holder's unit."""

    speaker: Hashable
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
    units, gaps = joined_units(spoken, join)
    if not units:
        return None
    first = units[0]
    floor = [FloorUnit(first[2], first[0], first[1], "switch", 0.0)]
    contained = []
    for start, end, speaker in units[1:]:
        holder = floor[-1]
        if speaker == holder.speaker:
            kind: Kind = "hold"
        elif end <= holder.end:
            contained.append(Contained(speaker, start, end, len(floor) - 1))
            continue
        else:
            kind = "switch" if start >= holder.end else "interruption"
        floor.append(FloorUnit(speaker, start, end, kind, start - holder.end))
    length = max(end for _, end, _ in units) - first[0]
    speech, overlapped = occupancy(units)
    return SessionEvents(
        floor=tuple(floor),
        contained=tuple(contained),
        speakers=len({speaker for _, _, speaker in units}),
        length=length,
        overlap=overlapped / speech if speech > 0 else 0.0,
        silence=max(0.0, 1 - speech / length) if length > 0 else 0.0,
        gaps=tuple(gaps),
    )


def joined_units(
    spoken: Iterable[Spoken], join: float
) -> tuple[list[tuple[float, float, Hashable]], list[float]]:
    """Inter-pausal units (start, end, speaker) by start, and every silence of one speaker."""
    by_speaker: dict[Hashable, list[tuple[float, float]]] = {}
    for item in spoken:
        if item.end > item.start:
            by_speaker.setdefault(item.speaker, []).append((item.start, item.end))
    units: list[tuple[float, float, Hashable]] = []
    gaps: list[float] = []
    for speaker, spans in by_speaker.items():
        spans.sort()
        begun, end = spans[0]
        for a, b in spans[1:]:
            if a > end:
                gaps.append(a - end)
            if a - end >= join:
                units.append((begun, end, speaker))
                begun, end = a, b
            else:
                end = max(end, b)
        units.append((begun, end, speaker))
    units.sort(key=lambda unit: unit[:2])
    return units, gaps


def occupancy(units: Iterable[tuple[float, float, Hashable]]) -> tuple[float, float]:
    """Seconds with one or more, and with two or more units.

    Args:
        units: (start, end, speaker) by start.

    >>> occupancy([(0.0, 4.0, "ana"), (3.0, 5.0, "bo")])
    (5.0, 1.0)
    """
    speech = overlapped = 0.0
    last = second = float("-inf")  # the two latest ends so far
    for start, end, _ in units:
        speech += max(0.0, end - max(start, last))
        overlapped += max(0.0, min(end, last) - max(start, second))
        if end > last:
            last, second = end, last
        elif end > second:
            second = end
    return speech, overlapped


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
