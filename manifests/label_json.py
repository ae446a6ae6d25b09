"""Segments of JSON objects: SegLST, and Lhotse cuts or supervisions.

Errors name the field; the reader of the file (`talkover.manifests.labels`) adds file and line.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any

from talkover.manifests.errors import ManifestError
from talkover.manifests.schema import TIME_DIGITS
from talkover.manifests.segments import LabelWord, Segment, length, make_segment, seconds

Json = dict[str, Any]


def is_lhotse(row: Json) -> bool:
    """Whether an object of a JSON list is a Lhotse cut or supervision, not one of SegLST."""
    return "recording_id" in row or "type" in row


def segment_of_seglst(row: Json, default_session: str) -> Segment:
    """A segment of SegLST: session_id, speaker, start_time, end_time, words.

    Args:
        row: The object.
        default_session: For objects without ``session_id``, as CHiME has them.
    """
    text = row.get("words")
    if text is not None and not isinstance(text, str):
        raise ManifestError(f"must be text, got {text!r}", field="words")
    return make_segment(
        str(row.get("session_id") or default_session),
        _typed(row, "speaker", str),
        seconds(row.get("start_time"), "start_time"),
        seconds(row.get("end_time"), "end_time"),
        text,
    )


@dataclass(frozen=True, slots=True)
class PlacedSupervision:
    """A supervision of a cut, or by itself, and what puts it on the clock of its session."""

    session: str
    place: str
    """Its field in the object, such as ``supervisions[3]``; empty for one by itself."""
    row: Json
    shift: float
    """Seconds to add to its times."""
    word_shift: float
    """Seconds to add to the times of its words."""

    def error(self, error: ManifestError) -> ManifestError:
        """An error in the supervision as one in the object."""
        place = f"{self.place}.{error.field or ''}".strip(".")
        return ManifestError(error.reason, field=place or None)


def placed_supervisions(row: Json) -> Iterator[PlacedSupervision]:
    """The supervisions of a cut (mixed ones track by track), or a supervision by itself."""
    if "type" not in row:
        yield PlacedSupervision(_typed(row, "recording_id", str), "", row, 0.0, 0.0)
        return
    session = _typed(row, "id", str)
    for track in _objects(row, "tracks") if "tracks" in row else [{"cut": row}]:
        cut, offset = _typed(track, "cut", dict), seconds(track.get("offset", 0.0), "offset")
        # A supervision is on its cut's clock, a word on its recording's (Lhotse issue 1193).
        begin = seconds(cut.get("start", 0.0), "start")
        for number, supervision in enumerate(_objects(cut, "supervisions")):
            place = f"supervisions[{number}]"
            yield PlacedSupervision(session, place, supervision, offset, offset - begin)


def segments_of_lhotse(row: Json, *, regions: bool) -> Iterator[Segment]:
    """Segments of a cut (mixed ones track by track) or of a supervision by itself.

    Args:
        row: The object.
        regions: Give a segment for each of talkover's speech regions, where there are any.
    """
    for placed in placed_supervisions(row):
        try:
            yield from _segments(placed, regions)
        except ManifestError as error:
            raise placed.error(error) from None


def speaker_of(row: Json) -> str:
    """The speaker of a Lhotse supervision; empty where nothing says who."""
    return "" if row.get("speaker") is None else str(row["speaker"])


def _segments(placed: PlacedSupervision, regions: bool) -> Iterator[Segment]:
    row, speaker = placed.row, speaker_of(placed.row)
    ours = _talkover(row)
    if regions and "regions" in ours:
        for region in _objects(ours, "regions"):
            yield make_segment(placed.session, speaker, *span_of(region, placed.shift))
        return
    text, words = row.get("text"), aligned_words(row, placed.word_shift)
    yield make_segment(
        placed.session,
        speaker,
        *span_of(row, placed.shift),
        text if isinstance(text, str) else None,
        None if words is None else tuple(word for word, _ in words),
    )


def aligned_words(row: Json, shift: float) -> tuple[tuple[LabelWord, float | None], ...] | None:
    """The words of a Lhotse supervision with their scores, or None where it has no word times.

    Args:
        row: The supervision.
        shift: Seconds to add to their times.
    """
    alignment = row.get("alignment")
    items = alignment.get("word") if isinstance(alignment, dict) else None
    if items is None:
        return None
    words = []
    for number, item in enumerate(items):
        values = list(item.values()) if isinstance(item, dict) else item  # Lhotse before 1.8
        place = f"alignment.word[{number}]"
        if not isinstance(values, list) or len(values) < 3:
            raise ManifestError(f"must be [symbol, start, duration, …], got {item!r}", field=place)
        start, duration = seconds(values[1], place), length(values[2], place)
        word = LabelWord(
            symbol=str(values[0]),
            start=round(start + shift, TIME_DIGITS),
            end=round(start + duration + shift, TIME_DIGITS),
        )
        score = values[3] if len(values) > 3 else None
        words.append((word, None if score is None else seconds(score, place)))
    return tuple(words)


def span_of(row: Json, shift: float) -> tuple[float, float]:
    """Start and end in seconds as Lhotse rounds them, moved."""
    start = seconds(row.get("start"), "start")
    end = start + length(row.get("duration"), "duration")
    return round(start + shift, TIME_DIGITS), round(end + shift, TIME_DIGITS)


def _talkover(row: Json) -> Json:
    custom = row.get("custom")
    ours = custom.get("talkover") if isinstance(custom, dict) else None
    return ours if isinstance(ours, dict) else {}


def _objects(row: Json, name: str) -> list[Json]:
    value = row.get(name) or []
    if not isinstance(value, list) or not all(isinstance(item, dict) for item in value):
        raise ManifestError("must be a list of objects", field=name)
    return value


def _typed(row: Json, name: str, kind: type) -> Any:
    value = row.get(name)
    if not isinstance(value, kind):
        wanted = "text" if kind is str else "an object"
        raise ManifestError(f"must be {wanted}, got {value!r}", field=name)
    return value
