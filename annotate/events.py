"""What the branches of annotation say about a recording: events with times, and curves.

Times are integer samples of the recording's own clock; seconds appear only on export. Words lie
inside turns and turns inside conversations by ``parent``. Everything a branch claims carries how
sure it is; what made it (backend, version, weights, licence) is on the `BranchResult`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Literal

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from talkover.manifests.errors import ManifestError

EventKind = Literal["word", "turn", "overlap", "sound", "music"]
EVENT_KINDS: tuple[EventKind, ...] = ("word", "turn", "overlap", "sound", "music")


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """Something that is heard from one sample to another."""

    id: str
    kind: EventKind
    start: int
    """First sample."""
    end: int
    """First sample after it."""
    label: str = ""
    confidence: float = 1.0
    """From 0 to 1."""
    speaker: str | None = None
    text: str | None = None
    parent: str | None = None
    """Id of the turn that a word is of."""
    bars: tuple[int, ...] = ()
    """Samples at which a piece of music begins a bar, where known: the best places to cut it."""
    attributes: Mapping[str, JsonValue] = field(default_factory=dict)
    """Further figures, the unit in the name, such as ``tempo_bpm`` and ``key`` of music."""


@dataclass(frozen=True, kw_only=True, slots=True, eq=False)
class Curve:
    """A value from 0 to 1 for every hop of a recording, such as the probability of speech."""

    name: str
    hop: int
    """Samples a value stands for."""
    values: NDArray[np.float32]  # [N]

    def at(self, samples: NDArray[np.int64]) -> NDArray[np.float64]:
        """Values at some samples, shape as given; 0 beyond the end."""
        index = samples // self.hop
        inside = (index >= 0) & (index < len(self.values))
        found = np.zeros(samples.shape, dtype=np.float64)
        found[inside] = self.values[index[inside]]
        return found


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """All that is known of a recording when it is cut into segments."""

    sampling_rate: int
    num_samples: int
    events: tuple[Event, ...]
    """By start."""
    curves: Mapping[str, Curve] = field(default_factory=dict)


def check_events(events: Sequence[Event], num_samples: int, *, where: str) -> None:
    """Refuse events that no recording can have; says all faults at once.

    Args:
        events: In any order.
        num_samples: Length of the recording.
        where: Name of the recording or file, for the message.

    Raises:
        ManifestError: If an event is empty, outside the recording, not sure of itself in [0, 1],
            has the id of another, or is not inside its parent.
    """
    faults: list[str] = []
    known: dict[str, Event] = {}
    for event in events:
        if event.id in known:
            faults.append(f"{event.id}: two events have this id")
        known[event.id] = event
        if not 0 <= event.start < event.end <= num_samples:
            faults.append(
                f"{event.id}: start {event.start}, end {event.end} must satisfy "
                f"0 <= start < end <= {num_samples}"
            )
        if not 0.0 <= event.confidence <= 1.0:  # false for NaN, too
            faults.append(f"{event.id}: confidence must be in [0, 1], got {event.confidence}")
    for event in events:
        parent = None if event.parent is None else known.get(event.parent)
        if event.parent is not None and parent is None:
            faults.append(f"{event.id}: parent {event.parent!r} is not an event")
        elif parent is not None and not (parent.start <= event.start <= event.end <= parent.end):
            faults.append(f"{event.id}: not inside its parent {parent.id}")
    if faults:
        raise ManifestError(f"{where}: {len(faults)} bad events: " + "; ".join(faults[:10]))


def sorted_events(events: Iterable[Event]) -> tuple[Event, ...]:
    """By start, then end, then id: one order for the same events."""
    return tuple(sorted(events, key=lambda e: (e.start, e.end, e.id)))
