"""What a metric says of one session, as sums: errors over a length, never a ratio."""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from statistics import median

from pydantic import JsonValue

from talkover.manifests.score.edit import EditCounts

RATE_DIGITS = 6
"""Digits after the point of every rate and every time in seconds in a result."""


@dataclass(frozen=True, kw_only=True)
class Tally:
    """Errors over a length, with what else adds up; the sum of sessions is a tally again."""

    errors: float
    length: float
    parts: Mapping[str, float] = field(default_factory=dict)
    """Further sums, such as ``substitutions`` or ``miss``; summed by name."""
    samples: Mapping[str, Sequence[float]] = field(default_factory=dict)
    """Single values whose median is reported; joined by name."""
    speakers: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """Errors and length per reference speaker, for strata of speakers; of one session only."""
    detail: Mapping[str, JsonValue] = field(default_factory=dict)
    """What is said of one session and lost in a sum, such as the assignment of speakers."""

    @property
    def error_rate(self) -> float | None:
        """Errors over length; None where there is nothing to be wrong about."""
        return self.errors / self.length if self.length else None

    def to_json(self) -> dict[str, JsonValue]:
        """The tally as it stands in a result file."""
        rate = self.error_rate
        result: dict[str, JsonValue] = {
            "error_rate": None if rate is None else round(rate, RATE_DIGITS),
            "errors": _plain(self.errors),
            "length": _plain(self.length),
        }
        result |= {name: _plain(value) for name, value in self.parts.items()}
        result |= {
            f"{name}_median": round(median(values), RATE_DIGITS) if values else None
            for name, values in self.samples.items()
        }
        return result | dict(self.detail)


def _plain(value: float) -> int | float:
    rounded = round(value, RATE_DIGITS)
    return int(rounded) if rounded == int(rounded) else rounded


def add_tallies(tallies: Iterable[Tally]) -> Tally:
    """The tally of all sessions together: sums of errors over sums of lengths.

    >>> add_tallies([Tally(errors=1, length=2), Tally(errors=0, length=8)]).error_rate
    0.1
    """
    errors = length = 0.0
    parts: dict[str, float] = {}
    samples: dict[str, list[float]] = {}
    for tally in tallies:
        errors += tally.errors
        length += tally.length
        for name, value in tally.parts.items():
            parts[name] = parts.get(name, 0) + value
        for name, values in tally.samples.items():
            samples.setdefault(name, []).extend(values)
    return Tally(errors=errors, length=length, parts=parts, samples=samples)


def subtract_tallies(first: Tally, second: Tally) -> Tally:
    """Errors of the first minus errors of the second, over the same length.

    Raises:
        ValueError: If the lengths differ: the two do not count the same reference.
    """
    if first.length != second.length:
        raise ValueError(
            f"the difference of two metrics needs one reference length, got {first.length} "
            f"and {second.length}"
        )
    return Tally(errors=first.errors - second.errors, length=first.length)


def edit_tally(
    counts: EditCounts,
    *,
    speakers: Mapping[str, tuple[float, float]] | None = None,
    parts: Mapping[str, float] | None = None,
    detail: Mapping[str, JsonValue] | None = None,
) -> Tally:
    """A tally of counted edits."""
    return Tally(
        errors=counts.errors,
        length=counts.length,
        parts={
            "substitutions": counts.substitutions,
            "deletions": counts.deletions,
            "insertions": counts.insertions,
            **(parts or {}),
        },
        speakers=speakers or {},
        detail=detail or {},
    )
