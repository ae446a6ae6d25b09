"""A labelled stretch of speech, as every reader gives it and every score takes it."""

from __future__ import annotations

import math
from dataclasses import dataclass
from sys import intern

from talkover.manifests.errors import ManifestError


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelWord:
    """A word with its time on the session's clock, in seconds."""

    symbol: str
    start: float
    end: float


@dataclass(frozen=True, kw_only=True, slots=True)
class Segment:
    """A stretch in which one speaker speaks, in seconds of the session's clock.

    ``text`` is None where nothing is known, and empty where nothing was said. ``words`` is None
    where word times are not known.
    """

    session: str
    speaker: str
    start: float
    end: float
    text: str | None = None
    words: tuple[LabelWord, ...] | None = None


def make_segment(
    session: str,
    speaker: str,
    start: float,
    end: float,
    text: str | None = None,
    words: tuple[LabelWord, ...] | None = None,
) -> Segment:
    """A segment whose names are shared with all others of its speaker.

    Raises:
        ManifestError: If it ends before it starts.
    """
    if end < start:
        raise ManifestError(f"ends at {end} s, before its start at {start} s")
    return Segment(
        session=intern(session),
        speaker=intern(speaker),
        start=start,
        end=end,
        text=text,
        words=words,
    )


def seconds(value: object, field: str) -> float:
    """A finite number of seconds; text is read as one, since CHiME's JSON has its times so.

    Raises:
        ManifestError: If the value is no such number; it names the field.
    """
    try:
        number = float(value)  # type: ignore[arg-type]
    except (TypeError, ValueError):
        number = math.nan
    if isinstance(value, bool) or not math.isfinite(number):
        raise ManifestError(f"must be a time in seconds, got {value!r}", field=field)
    return number


def length(value: object, field: str) -> float:
    """A duration of 0 s or more; see `seconds`."""
    number = seconds(value, field)
    if number < 0:
        raise ManifestError(f"must not be negative, got {value!r}", field=field)
    return number
