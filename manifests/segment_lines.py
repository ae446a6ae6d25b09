"""``segments.jsonl``: one line a segment of an annotated recording, each a Lhotse cut.

A segment is a window of a recording of ``cuts.jsonl``: `start` and `duration` of the cut say which.
As always in Lhotse, supervisions are on the cut's clock (0 is where the segment begins) and may
reach over its ends, if the segment was cut through a turn; everything under ``custom`` is on the
recording's clock. The segments of a recording cover it from end to end.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, Literal

from pydantic import Field, JsonValue, ValidationError

from talkover.manifests.errors import ManifestError
from talkover.manifests.lhotse_form import Channels, CutRecording, CutSupervision, Length
from talkover.manifests.lines import read_lines
from talkover.manifests.schema import SCHEMA_VERSION, Contract, Ratio, SafeId, Seconds

SEGMENTS = "segments.jsonl"

Cut = Literal["word", "turn", "sound", "music"]


class CutThrough(Contract):
    """An event that a boundary of the segment goes through."""

    event_id: SafeId
    kind: Cut
    at: Seconds
    """Of the boundary, on the recording's clock."""
    sample: Annotated[int, Field(ge=0)]


class SegmentExtras(Contract):
    """What Lhotse has no field for, of one segment."""

    schema_version: str = SCHEMA_VERSION
    session: SafeId
    """The recording's line of ``cuts.jsonl``."""
    start_sample: Annotated[int, Field(ge=0)]
    num_samples: Annotated[int, Field(gt=0)]
    boundary_cost: Annotated[float, Field(ge=0.0)]
    """Of the cut at its end; 0 at the end of the recording."""
    boundary_confidence: Ratio
    """1 in the middle of a long silence, 0 through an event."""
    event_ids: tuple[SafeId, ...]
    """Supervisions and sound events of the recording with any part in it, by start."""
    cut_events: tuple[CutThrough, ...] = ()
    continues_from: SafeId | None = None
    """The segment before, where an event goes on from it."""
    continues_to: SafeId | None = None
    steps: tuple[Literal["oversize", "music", "sound", "turn", "word", "short_end"], ...] = ()
    """What had to be given up for its length and its end."""
    quality: dict[str, JsonValue] = Field(default_factory=dict)
    """Figures of this stretch alone, the unit in the name."""
    flags: tuple[str, ...] = ()
    """Of the recording, and of this stretch."""


class SegmentCustom(Contract):
    """``custom`` of a cut."""

    talkover: SegmentExtras


class SegmentLine(Contract):
    """Lhotse's `MonoCut` or `MultiCut`: one line of ``segments.jsonl``."""

    id: SafeId
    start: Annotated[Seconds, Field(ge=0.0)]
    duration: Length
    channel: Channels
    supervisions: tuple[CutSupervision, ...]
    recording: CutRecording
    custom: SegmentCustom
    type: Literal["MonoCut", "MultiCut"]

    @property
    def extras(self) -> SegmentExtras:
        """What is under ``custom``."""
        return self.custom.talkover

    @property
    def end_sample(self) -> int:
        """First sample after it, on the recording's clock."""
        return self.extras.start_sample + self.extras.num_samples


def segment_text(segment: SegmentLine) -> str:
    """A segment as its line, without the line end; no key at None."""
    plain: dict[str, Any] = segment.model_dump(mode="json", exclude_none=True)
    quality = plain["custom"]["talkover"]["quality"]
    plain["custom"]["talkover"]["quality"] = {key: quality[key] for key in sorted(quality)}
    return json.dumps(plain, ensure_ascii=False, separators=(",", ":"), allow_nan=False)


def parse_segment(text: str) -> SegmentLine:
    """The segment of a line.

    Raises:
        ManifestError: At the first thing that is not as it must be, with its field.
    """
    try:
        return SegmentLine.model_validate_json(text)
    except ValidationError as error:
        fault = error.errors(include_url=False)[0]
        place = ".".join(map(str, fault["loc"]))
        raise ManifestError(fault["msg"], field=place or None) from error


def read_segments(folder: Path | str) -> Iterator[SegmentLine]:
    """The segments of a produced folder, one at a time; none where there is no such file.

    Raises:
        ManifestError: With the line, at the first that is torn or is no segment.
    """
    path = Path(folder)
    path = path / SEGMENTS if path.is_dir() else path
    if not path.exists():
        return
    for line in read_lines(path):
        if not line.ended:
            raise ManifestError("the last line has no line end", path=path, line=line.number)
        try:
            yield parse_segment(line.text)
        except ManifestError as error:
            raise ManifestError(
                error.reason, path=path, line=line.number, field=error.field
            ) from error
