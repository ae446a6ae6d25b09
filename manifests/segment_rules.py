"""Rules over ``segments.jsonl``: what `talkover validate` looks for beside ``cuts.jsonl``.

Segments of a recording stand together, in the order of time, and cover it from its first sample to
its last; what they refer to is there.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

from talkover.manifests.errors import ManifestError
from talkover.manifests.faults import Fault
from talkover.manifests.lines import read_lines
from talkover.manifests.schema import Session, span_fields
from talkover.manifests.segment_lines import SEGMENTS, SegmentLine, parse_segment


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionFacts:
    """What the segments of a session are held against."""

    num_samples: int
    sampling_rate: int
    path: str
    event_ids: frozenset[str]
    num_segments: int | None

    @classmethod
    def of(cls, session: Session) -> SessionFacts:
        """The facts of a session."""
        ids = [row.id for row in session.supervisions] + [event.id for event in session.events]
        annotation = session.annotation
        return cls(
            num_samples=session.audio.num_samples,
            sampling_rate=session.audio.sampling_rate,
            path=session.audio.path,
            event_ids=frozenset(ids),
            num_segments=None if annotation is None else annotation.num_segments,
        )


def segment_faults(
    folder: Path, sessions: dict[str, SessionFacts]
) -> Iterator[tuple[int, str | None, Fault]]:
    """Line, segment and fault of everything that is wrong; nothing where there is no such file.

    Args:
        folder: Of ``cuts.jsonl``.
        sessions: Facts of its annotated sessions, by id.
    """
    path = folder / SEGMENTS
    if not path.exists():
        return
    ends: dict[str, int] = {}
    counts: dict[str, int] = dict.fromkeys(sessions, 0)
    seen: set[str] = set()
    number = 0
    for line in read_lines(path):
        number = line.number
        try:
            segment = parse_segment(line.text)
        except ManifestError as error:
            yield line.number, None, Fault(error.field or "", "", error.reason)
            continue
        if segment.id in seen:
            yield line.number, segment.id, Fault("id", segment.id, "is in the file already")
        seen.add(segment.id)
        facts = sessions.get(segment.extras.session)
        if facts is None:
            yield (
                line.number,
                segment.id,
                Fault("custom.talkover.session", segment.extras.session, "is not in cuts.jsonl"),
            )
            continue
        counts[segment.extras.session] += 1
        for fault in _faults(segment, facts, ends):
            yield line.number, segment.id, fault
    for name, facts in sessions.items():
        if ends.get(name, 0) != facts.num_samples and (facts.num_segments or name in ends):
            yield (
                number,
                name,
                Fault("segments", ends.get(name, 0), f"must reach to sample {facts.num_samples}"),
            )
        if facts.num_segments is not None and counts[name] != facts.num_segments:
            yield (
                number,
                name,
                Fault("annotation.num_segments", facts.num_segments, f"there are {counts[name]}"),
            )


def _faults(segment: SegmentLine, facts: SessionFacts, ends: dict[str, int]) -> Iterator[Fault]:
    extras = segment.extras
    expected = ends.get(extras.session, 0)
    if extras.start_sample != expected:
        yield Fault(
            "custom.talkover.start_sample",
            extras.start_sample,
            f"must be {expected}, where the segment before it ends",
        )
    ends[extras.session] = segment.end_sample
    if segment.end_sample > facts.num_samples:
        yield Fault(
            "duration",
            segment.duration,
            f"reaches over the recording's {facts.num_samples} samples",
        )
    right = span_fields(extras.start_sample, extras.num_samples, facts.sampling_rate)
    for name in ("start", "duration"):
        if getattr(segment, name) != right[name]:
            yield Fault(name, getattr(segment, name), f"must be {right[name]} by its samples")
    if segment.recording.id != extras.session or segment.recording.sources[0].source != facts.path:
        yield Fault("recording", segment.recording.id, "is not that of the session")
    known = facts.event_ids
    named = [*extras.event_ids, *(cut.event_id for cut in extras.cut_events)]
    for name in [name for name in named if name not in known][:1]:
        yield Fault("custom.talkover.event_ids", name, "is no supervision or event of the session")
    for n, row in enumerate(segment.supervisions):
        if row.id not in known:
            yield Fault(f"supervisions[{n}].id", row.id, "is no supervision of the session")
        elif row.start >= segment.duration or row.start + row.duration <= 0:
            yield Fault(f"supervisions[{n}].start", row.start, "has no part in the segment")
