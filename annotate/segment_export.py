"""Segments as lines of ``segments.jsonl``."""

from __future__ import annotations

import bisect
import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import JsonValue

from talkover.annotate.config import FlagsConfig
from talkover.annotate.events import Curve
from talkover.annotate.export import Clock
from talkover.annotate.flags import NO_SPEECH, flags_of
from talkover.annotate.segmentation.segments import AnnotatedSegment
from talkover.manifests.lhotse_form import (
    CutRecording,
    CutSupervision,
    SupervisionCustom,
    to_cut,
)
from talkover.manifests.regions import occupancy, units_of
from talkover.manifests.schema import (
    TIME_DIGITS,
    Session,
    Supervision,
    SupervisionExtras,
    span_fields,
    time_span,
)
from talkover.manifests.segment_lines import CutThrough, SegmentCustom, SegmentExtras, SegmentLine

FIGURE_DIGITS = 6


@dataclass(frozen=True, kw_only=True, slots=True)
class SegmentWriter:
    """Makes the lines of one recording.

    Args are those of the fields.
    """

    session: Session
    clock: Clock
    curves: Mapping[str, Curve]
    """Of the quality branch: their mean over a segment is a figure of it."""
    flags: FlagsConfig

    def lines(self, segments: Sequence[AnnotatedSegment]) -> Iterator[SegmentLine]:
        """The line of each segment, in order."""
        rows = self.session.supervisions
        known = {row.id for row in rows} | {event.id for event in self.session.events}
        recording = CutRecording.model_validate_json(_recording_text(self.session))
        starts = [row.start_sample for row in rows]
        longest = max((row.num_samples for row in rows), default=0)
        for segment in segments:
            first, last = self._boundary(segment.start), self._boundary(segment.end)
            if segment is segments[-1]:
                last = self.clock.num_samples
            low = bisect.bisect_left(starts, first - longest)
            near = rows[low : bisect.bisect_left(starts, last)]
            inside = [row for row in near if row.end_sample > first]
            yield self._line(segment, first, last, inside, known, recording)

    def _boundary(self, at: int) -> int:
        """A boundary on the recording's clock, which leaves the last segment a sample at least."""
        return min(self.clock.sample(at), self.clock.num_samples - 1) if at else 0

    def _line(
        self,
        segment: AnnotatedSegment,
        first: int,
        last: int,
        rows: Sequence[Supervision],
        known: set[str],
        recording: CutRecording,
    ) -> SegmentLine:
        rate, channels = self.session.audio.sampling_rate, self.session.audio.num_channels
        span = span_fields(first, last - first, rate)
        quality = self._quality(segment, first, last, rows)
        extras = SegmentExtras(
            session=self.session.id,
            start_sample=first,
            num_samples=last - first,
            boundary_cost=round(segment.boundary_cost, FIGURE_DIGITS),
            boundary_confidence=round(segment.boundary_confidence, FIGURE_DIGITS),
            event_ids=tuple(name for name in segment.event_ids if name in known),
            cut_events=tuple(self._cuts(segment)),
            continues_from=segment.continues_from,
            continues_to=segment.continues_to,
            steps=segment.steps,
            quality=quality,
            flags=self._flags(quality, rows),
        )
        channel = 0 if channels == 1 else tuple(range(channels))
        return SegmentLine(
            id=segment.id,
            start=span["start"],
            duration=span["duration"],
            channel=channel,
            supervisions=tuple(
                _supervision(row, self.session.id, channel, first, rate) for row in rows
            ),
            recording=recording,
            custom=SegmentCustom(talkover=extras),
            type="MonoCut" if channels == 1 else "MultiCut",
        )

    def _cuts(self, segment: AnnotatedSegment) -> Iterator[CutThrough]:
        for cut in segment.cut_events:
            if cut.kind != "overlap":
                sample = self._boundary(cut.sample)
                yield CutThrough(
                    event_id=cut.event_id,
                    kind=cut.kind,
                    at=round(sample / self.clock.sampling_rate, TIME_DIGITS),
                    sample=sample,
                )

    def _quality(
        self, segment: AnnotatedSegment, first: int, last: int, rows: Sequence[Supervision]
    ) -> dict[str, JsonValue]:
        """Shares of time, number of speakers, and means of the quality branch's curves."""
        rate, length = self.clock.sampling_rate, last - first
        units = {name: spans - first for name, spans in units_of(rows, rate).items()}
        total = occupancy(units, length)
        found: dict[str, JsonValue] = {
            "speech_share": round(total.speech / length, FIGURE_DIGITS),
            "overlap_share": round(total.overlap / length, FIGURE_DIGITS),
            "num_speakers": len({row.speaker_local for row in rows}),
        }
        for name, curve in sorted(self.curves.items()):
            values = curve.values[segment.start // curve.hop : -(-segment.end // curve.hop)]
            finite = values[np.isfinite(values)]
            if len(finite):
                found[name] = round(float(finite.mean(dtype=np.float64)), FIGURE_DIGITS)
        return found

    def _flags(
        self, quality: Mapping[str, JsonValue], rows: Sequence[Supervision]
    ) -> tuple[str, ...]:
        own = flags_of(quality, self.flags, has_speech=bool(rows))
        annotation = self.session.annotation
        whole = () if annotation is None else annotation.flags
        return tuple(sorted({*own, *(flag for flag in whole if flag != NO_SPEECH)}))


def _recording_text(session: Session) -> str:
    return json.dumps(to_cut(session.model_copy(update={"supervisions": ()}))["recording"])


def _supervision(
    row: Supervision, session: str, channel: int | tuple[int, ...], first: int, rate: int
) -> CutSupervision:
    """A supervision on the segment's clock; what is under ``custom`` stays on the recording's."""
    extras = {name: getattr(row, name) for name in SupervisionExtras.model_fields}
    moved = time_span(row.start_sample - first, row.num_samples, rate)
    return CutSupervision(
        id=row.id,
        recording_id=session,
        start=moved.start,
        duration=moved.duration,
        channel=channel,
        text=row.text,
        language=row.language,
        speaker=row.speaker,
        gender=row.gender,
        custom=SupervisionCustom(talkover=SupervisionExtras(**extras)),
    )
