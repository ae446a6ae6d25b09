"""What a SATS text says (who, when, what), free of any format, and its labelled pieces."""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import Literal

MAX_TIME = 1e8
"""Seconds (three years); a longer time is no time, so that any text of digits is readable."""

MAX_DIGITS = 6
"""Finest resolution of a written time: microseconds, below a sample of any audio rate."""

MAX_SPEAKERS = 10**6
"""Anonymous labels run from S01 to S1000000; a higher number in a text is a fault."""

ANONYMOUS = re.compile(r"S(0[1-9]|[1-9][0-9]{1,6})")

Gender = Literal["f", "m", "o"]
"""Female, male, other; None where it is unknown."""

Tag = Literal["fmt", "time", "speaker", "word"]
"""What a piece of target text is, for losses that weigh the kinds differently."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Turn:
    """One stretch of speech of one speaker, as a target text writes it."""

    speaker: str = ""
    """``S01``, ``S02``, … or a registered name; empty where nothing says who."""
    text: str = ""
    start: float | None = None
    """Seconds; None where nothing says when."""
    end: float | None = None
    overlap: bool = False
    """Somebody else is heard during the turn."""
    gender: Gender | None = None

    def __post_init__(self) -> None:
        """Refuse times that no format can write."""
        check_times(self.start, self.end, f"turn of {self.speaker or '?'}")
        if self.gender not in (None, "f", "m", "o"):
            raise ValueError(f"gender must be 'f', 'm', 'o' or None, got {self.gender!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Event:
    """One sound that is not speech, such as a door or laughter."""

    label: str
    start: float | None = None
    """Seconds."""
    end: float | None = None

    def __post_init__(self) -> None:
        """Refuse times that no format can write."""
        check_times(self.start, self.end, f"event {self.label!r}")


@dataclass(frozen=True, kw_only=True, slots=True)
class Transcript:
    """The turns and events of one session, each in time order."""

    turns: tuple[Turn, ...] = ()
    events: tuple[Event, ...] = ()
    hotwords: tuple[str, ...] = ()
    """Words that the prompt names; no target text holds them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Piece:
    """A run of target text of one kind."""

    text: str
    tag: Tag
    turn: int | None = None
    """Index of the turn it belongs to; None for the frame of the format and for events."""
    event: int | None = None
    """Index of the event it belongs to."""


def check_times(start: float | None, end: float | None, what: str) -> None:
    """Raise ValueError unless 0 <= start <= end <= `MAX_TIME`, as far as they are known."""
    for name, time in (("start", start), ("end", end)):
        if time is not None and not (math.isfinite(time) and 0 <= time <= MAX_TIME):
            raise ValueError(
                f"{name} of {what} must be None or seconds in [0, {MAX_TIME:g}], got {time}"
            )
    if start is not None and end is not None and end < start:
        raise ValueError(f"{what} must not end before it starts, got {start} to {end} s")


def round_time(time: float | None, digits: int) -> float | None:
    """The time in seconds that its text with this many digits reads back as.

    >>> round_time(1.005, 2), round_time(0.125, 2), round_time(None, 2)
    (1.0, 0.12, None)
    """
    return None if time is None else float(time_text(time, digits))


def time_text(time: float | None, digits: int) -> str:
    """A time in seconds with a fixed number of digits; empty for None.

    >>> time_text(0.48, 2), time_text(-0.0, 2), time_text(3, 0)
    ('0.48', '0.00', '3')
    """
    return "" if time is None else f"{abs(time):.{digits}f}"


def speaker_label(number: int) -> str:
    """The anonymous label of the speaker who appears as number ``number``, from 1.

    >>> speaker_label(1), speaker_label(12), speaker_label(100)
    ('S01', 'S12', 'S100')
    """
    return f"S{number:02d}"


def speaker_number(label: str) -> int | None:
    """The inverse of `speaker_label`, or None where the label is a name.

    >>> speaker_number("S07"), speaker_number("S7"), speaker_number("ana")
    (7, None, None)
    """
    if ANONYMOUS.fullmatch(label) is None:
        return None
    number = int(label[1:])
    return number if number <= MAX_SPEAKERS else None
