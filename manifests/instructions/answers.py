"""What an answer says, apart from its words: this is what is scored.

Every time is in seconds of the row's own clock: 0 is the first sample of its stretch.
"""

from __future__ import annotations

from typing import Annotated, Literal

from pydantic import Field

from talkover.manifests.schema import Contract, Seconds

Time = Annotated[Seconds, Field(ge=0.0)]


class Stamp(Contract):
    """A word or sentence with its times."""

    text: str
    start: Time
    end: Time


class Statement(Contract):
    """That somebody or something is heard from one time to another."""

    label: Annotated[str, Field(min_length=1)]
    """``S01``, … in order of appearance in the stretch, or the name of a sound."""
    start: Time
    end: Time


class StampsAnswer(Contract):
    """A transcription with times."""

    kind: Literal["stamps"] = "stamps"
    items: tuple[Stamp, ...]


class CaptionAnswer(Contract):
    """What a caption states."""

    kind: Literal["caption"] = "caption"
    num_speakers: Annotated[int, Field(ge=0)]
    statements: tuple[Statement, ...]


class TimeAnswer(Contract):
    """One time."""

    kind: Literal["time"] = "time"
    seconds: Time
    tolerance: Annotated[Seconds, Field(ge=0.0)]
    """Seconds by which an answer may be off and still count as right."""


class SpanAnswer(Contract):
    """From one time to another."""

    kind: Literal["span"] = "span"
    start: Time
    end: Time


class NumberAnswer(Contract):
    """How many."""

    kind: Literal["number"] = "number"
    value: Annotated[int, Field(ge=0)]


class LabelsAnswer(Contract):
    """Who or which; none is "nobody"."""

    kind: Literal["labels"] = "labels"
    labels: tuple[str, ...]
    choices: tuple[str, ...]
    """All that may be named; what an answer names besides is not looked at."""


Answer = Annotated[
    StampsAnswer | CaptionAnswer | TimeAnswer | SpanAnswer | NumberAnswer | LabelsAnswer,
    Field(discriminator="kind"),
]
