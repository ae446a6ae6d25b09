"""From the local speakers of windows to the turns of people.

::

    window 0   aaaaa··bbbb                 each window votes for its own frames
    window 1        a··bbbbb··             activity of a person = mean over the windows there
    person A   █████                       how many speak = mean of how many each window hears
    person B          ▆█████               the most active so many people speak

Windows are read one after the other and frames are decided once no later window covers them, so
memory holds one window, whatever the length of the recording.

Legend: ``F`` frame of a window, ``L`` local speaker, ``G`` frame of the recording, ``K`` person.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.activity_spans import stretches_of
from talkover.annotate.diarization.stretches import Likely
from talkover.annotate.media import RATE

LEAST_ACTIVITY = 0.02
"""A person under this does not speak, however many are heard."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StitchConfig:
    """When somebody speaks, and when somebody else does, too.

    Raises:
        ValueError: If a threshold is not in (0, 1), or a time is below 0.
    """

    speech: float = 0.5
    """Mean activity of the most active local speaker at which somebody speaks."""
    overlap: float = 0.5
    """Mean activity of the second local speaker at which two speak, and so on."""
    shortest_turn: float = 0.1
    """Seconds; shorter turns are dropped, after gaps are filled."""
    gap: float = 0.2
    """Seconds; shorter gaps inside a person's turn are filled (the contract's pause)."""

    def __post_init__(self) -> None:
        """Check the values."""
        if not (0 < self.speech < 1 and 0 < self.overlap < 1):
            raise ValueError(f"thresholds must be in (0, 1), got {self.speech}, {self.overlap}")
        if self.shortest_turn < 0 or self.gap < 0:
            raise ValueError(f"times must be 0 or more, got {self.shortest_turn}, {self.gap}")


@dataclass(frozen=True, kw_only=True, slots=True)
class PersonTurn:
    """A stretch in which a person speaks."""

    person: int
    start: int
    """First sample."""
    end: int
    """First sample after it."""
    activity: float
    """Mean activity, from 0 to 1."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Grid:
    """Where frames lie.

    Attributes:
        hop: Samples from window to window, whole frames.
        frame: Samples of a frame.
        num_samples: Length of the recording.
    """

    hop: int
    frame: int
    num_samples: int

    def first_frame(self, window: int) -> int:
        """The recording's frame at which a window begins."""
        return window * self.hop // self.frame

    @property
    def num_frames(self) -> int:
        """Frames of the recording; the last may be cut short by its end."""
        return -(-self.num_samples // self.frame)


@dataclass(frozen=True, kw_only=True, slots=True)
class Decided:
    """Some frames of the recording, in order and complete.

    Attributes:
        first: The recording's frame at which they begin.
        activity: Of each person, ``[G, K]``.
        heard: Mean activity of the first, the second, … local speaker, ``[G, L]``.
    """

    first: int
    activity: NDArray[np.float64]
    heard: NDArray[np.float64]

    def with_voices(self, likely: Likely, grid: Grid) -> Decided:
        """The same, with the mean of each person's activity and how likely their voice is."""
        middles = (self.first + np.arange(len(self.activity))) * grid.frame + grid.frame // 2
        mean = (self.activity + likely.at(middles)) / (1.0 + likely.weight)
        return replace(self, activity=mean)


def stitched(
    windows: Iterable[NDArray[np.float32]],
    people: Iterable[NDArray[np.int64]],
    num_people: int,
    grid: Grid,
) -> Iterator[Decided]:
    """Frames of the recording, as soon as no later window covers them.

    Args:
        windows: Activity of the local speakers of each window, each ``[F, L]``.
        people: Person of each local speaker of each window, or -1, each ``[L]``.
        num_people: How many people there are.
        grid: Where frames lie.
    """
    activity = np.zeros((0, num_people))
    heard: NDArray[np.float64] | None = None
    votes = np.zeros(0)
    first = 0
    for number, (window, who) in enumerate(zip(windows, people, strict=True)):
        begin = grid.first_frame(number)
        if heard is None:
            heard = np.zeros((0, window.shape[1]))
        ready = min(begin - first, len(votes))
        if ready > 0:
            yield _mean(first, activity[:ready], heard[:ready], votes[:ready])
            activity, heard, votes = activity[ready:], heard[ready:], votes[ready:]
            first += ready
        missing = max(0, len(window) - len(votes))
        activity = np.pad(activity, ((0, missing), (0, 0)))
        heard = np.pad(heard, ((0, missing), (0, 0)))
        votes = np.pad(votes, (0, missing))
        inside = slice(begin - first, begin - first + len(window))
        for local, person in enumerate(who.tolist()):
            if person >= 0:  # two voices of a window may be one person where a count forces it
                column = activity[inside, person]
                np.add(column, window[:, local], out=column)
        heard[inside] += -np.sort(-window, axis=1)
        votes[inside] += 1
    if heard is not None:
        stop = max(0, grid.num_frames - first)
        yield _mean(first, activity[:stop], heard[:stop], votes[:stop])


def _mean(
    first: int,
    activity: NDArray[np.float64],
    heard: NDArray[np.float64],
    votes: NDArray[np.float64],
) -> Decided:
    share = 1.0 / np.maximum(votes, 1.0)[:, None]
    return Decided(first=first, activity=np.minimum(activity * share, 1.0), heard=heard * share)


@dataclass(frozen=True, kw_only=True, slots=True)
class Speech:
    """What a detector of speech says of the recording's frames, whoever speaks.

    Attributes:
        possible: Where anybody may speak, ``[G]``.
        sure: Where somebody does, ``[G]``.
    """

    possible: NDArray[np.bool_]
    sure: NDArray[np.bool_]

    def part(self, first: int, count: int) -> Speech:
        """Of some frames."""
        inside = slice(first, first + count)
        return Speech(possible=self.possible[inside], sure=self.sure[inside])


def speaking(
    decided: Decided, config: StitchConfig, speech: Speech | None = None
) -> NDArray[np.bool_]:
    """Who speaks in each frame, ``[G, K]``.

    Args:
        decided: Some frames.
        config: Thresholds.
        speech: What a detector of speech says of these frames; None where nobody asked one.
    """
    thresholds = np.full(decided.heard.shape[1], config.overlap)
    thresholds[:1] = config.speech
    count = np.cumprod(decided.heard >= thresholds, axis=1).sum(axis=1)  # [G]
    if speech is not None:
        count = np.where(speech.possible, np.maximum(count, speech.sure), 0)
    order = np.argsort(-decided.activity, axis=1, kind="stable")
    rank = np.argsort(order, axis=1, kind="stable")
    return np.asarray((rank < count[:, None]) & (decided.activity >= LEAST_ACTIVITY))


def turns_of(
    frames: Iterable[Decided],
    grid: Grid,
    config: StitchConfig,
    *,
    speech: Speech | None = None,
    likely: Likely | None = None,
) -> list[PersonTurn]:
    """Turns of everybody by start, none beyond the recording.

    Args:
        frames: In order, as of `stitched`.
        grid: Where they lie.
        config: Thresholds and least lengths.
        speech: What a detector of speech says of the recording; None where nobody asked one.
        likely: How likely each person is by their voice; None for activity alone.
    """
    runs: dict[int, list[_Run]] = {}
    gap = config.gap * RATE / grid.frame
    for decided in frames:
        if likely is not None:
            decided = decided.with_voices(likely, grid)
        part = None if speech is None else speech.part(decided.first, len(decided.heard))
        on = speaking(decided, config, part)
        for person in np.flatnonzero(on.any(axis=0)).tolist():
            own = runs.setdefault(person, [])
            for start, end in stretches_of(on[:, person]).tolist():
                total = float(decided.activity[start:end, person].sum())
                first, last = decided.first + start, decided.first + end
                if own and (first == own[-1].end or first - own[-1].end < gap):
                    own[-1] = _Run(own[-1].start, last, own[-1].total + total, own[-1].active)
                else:
                    own.append(_Run(first, last, total, 0))
                own[-1] = own[-1].with_more(end - start)
    found = (
        PersonTurn(
            person=person,
            start=run.start * grid.frame,
            end=min(run.end * grid.frame, grid.num_samples),
            activity=min(1.0, run.total / run.active),
        )
        for person, own in runs.items()
        for run in own
    )
    shortest = max(1.0, config.shortest_turn * RATE)
    kept = [turn for turn in found if turn.end - turn.start >= shortest]
    return sorted(kept, key=lambda turn: (turn.start, turn.end, turn.person))


@dataclass(frozen=True, slots=True)
class _Run:
    """Frames in which a person speaks, gaps filled."""

    start: int
    end: int
    total: float
    """Sum of the activity."""
    active: int
    """Frames that are no gap."""

    def with_more(self, frames: int) -> _Run:
        """The same with more active frames."""
        return _Run(self.start, self.end, self.total, self.active + frames)
