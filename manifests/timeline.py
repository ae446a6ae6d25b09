"""Labels under a change of time: mix, shift, trim, windows, pad and speed, as pure functions.

A `Timeline` is what a session says of time, without its audio: so no hash of audio that is no
longer there can be taken along. Words, regions and events move with their supervision. (Lhotse
leaves word times where they were, on the recording's clock; that is why this module exists.)
`with_timeline` makes a session of the result and of the audio that was made to match.

Samples are mapped by a function that never goes back, and seconds follow, so they always agree.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, replace
from typing import Any, TypeVar

import numpy as np

from talkover.manifests.regions import Spans, as_spans, join_regions, join_spans, spans_of
from talkover.manifests.schema import (
    TIME_DIGITS,
    Session,
    SoundEvent,
    Supervision,
    TimeSpan,
    Word,
    span_fields,
    time_span,
)

S = TypeVar("S", bound=TimeSpan)


@dataclass(frozen=True, kw_only=True, slots=True)
class Timeline:
    """What a session says of time."""

    sampling_rate: int
    num_samples: int
    supervisions: tuple[Supervision, ...] = ()
    events: tuple[SoundEvent, ...] = ()
    uem: tuple[TimeSpan, ...] = ()


@dataclass(frozen=True, kw_only=True, slots=True)
class Trimmed:
    """A window of a timeline, and what the window did to supervisions, by id."""

    timeline: Timeline
    start_sample: int
    """Of the window, on the clock that it was cut from."""
    dropped: tuple[str, ...] = ()
    """Wholly outside."""
    cut: tuple[str, ...] = ()
    """Partly outside: their text, words and regions are those of the part inside."""


def timeline_of(session: Session) -> Timeline:
    """The timeline of a session."""
    return Timeline(
        sampling_rate=session.audio.sampling_rate,
        num_samples=session.audio.num_samples,
        supervisions=session.supervisions,
        events=session.events,
        uem=session.uem,
    )


def shift(timeline: Timeline, samples: int) -> Timeline:
    """Everything later by so many samples (earlier if negative); the length stays."""
    return _mapped(timeline, lambda sample: sample + samples)


def pad(timeline: Timeline, left: int, right: int) -> Timeline:
    """Digital silence of so many samples before and after; it is labelled: nobody speaks there.

    Raises:
        ValueError: If either is negative.
    """
    if left < 0 or right < 0:
        raise ValueError(f"padding must be 0 samples or more, got {left} and {right}")
    moved = shift(timeline, left)
    length = timeline.num_samples + left + right
    silence = [(0, left), (length - right, length)]
    uem = join_spans(np.concatenate([spans_of(moved.uem), as_spans(silence)]))
    return replace(moved, num_samples=length, uem=_time_spans(uem, timeline.sampling_rate))


def speed(timeline: Timeline, factor: float) -> Timeline:
    """Played ``factor`` times as fast, at the same rate: every time is divided by the factor.

    Regions that come closer than the pause that separates regions become one. Words that go apart
    may leave a pause inside a supervision: `split_pauses` mends that, where it is wanted.

    Raises:
        ValueError: If the factor is not above 0.
    """
    if not 0 < factor < float("inf"):
        raise ValueError(f"a speed must be above 0 and finite, got {factor}")
    scaled = _mapped(timeline, lambda sample: round(sample / factor))
    rate = timeline.sampling_rate
    rows = tuple(
        row.model_copy(
            update={
                "speed": row.speed * factor,
                "regions": _time_spans(join_regions(spans_of(row.regions), rate), rate),
            }
        )
        for row in scaled.supervisions
    )
    return replace(scaled, num_samples=round(timeline.num_samples / factor), supervisions=rows)


def mix(timelines: Sequence[Timeline], offsets: Sequence[int]) -> Timeline:
    """Several timelines at once, each from its offset in samples, as their audio is added.

    A stretch counts as labelled where every timeline that sounds there is labelled.

    Raises:
        ValueError: If rates differ, an offset is negative, or two timelines share the id of
            a supervision, turn or event.
    """
    if not timelines or len(timelines) != len(offsets):
        raise ValueError(f"one offset a timeline, got {len(offsets)} for {len(timelines)}")
    if len({timeline.sampling_rate for timeline in timelines}) > 1 or min(offsets) < 0:
        raise ValueError("timelines to mix must have one rate and offsets of 0 samples or more")
    rate = timelines[0].sampling_rate
    moved = [shift(t, offset) for t, offset in zip(timelines, offsets, strict=True)]
    length = max(t.num_samples + offset for t, offset in zip(timelines, offsets, strict=True))
    _require_own_ids(timelines)
    unlabelled = [
        _without(as_spans([(offset, offset + t.num_samples)]), spans_of(m.uem))
        for t, m, offset in zip(timelines, moved, offsets, strict=True)
    ]
    uem = _without(as_spans([(0, length)]), join_spans(np.concatenate(unlabelled)))
    return Timeline(
        sampling_rate=rate,
        num_samples=length,
        supervisions=_ordered([row for timeline in moved for row in timeline.supervisions]),
        events=tuple(
            sorted((e for t in moved for e in t.events), key=lambda e: (e.start_sample, e.id))
        ),
        uem=_time_spans(uem, rate),
    )


def trim(timeline: Timeline, start_sample: int, num_samples: int) -> Trimmed:
    """The window ``[start_sample, start_sample + num_samples)`` with its own clock.

    Of a supervision that the window cuts, the words that lie wholly inside stay, and its text is
    made of them; without word times, or if no word is left, its text is not known (None). Regions
    and events are clipped.

    Raises:
        ValueError: If the window is empty or not inside the timeline.
    """
    end = start_sample + num_samples
    if start_sample < 0 or num_samples <= 0 or end > timeline.num_samples:
        raise ValueError(
            f"a window must lie in [0, {timeline.num_samples}] and not be empty, got "
            f"[{start_sample}, {end})"
        )
    kept, dropped, cut = [], [], []
    for row in timeline.supervisions:
        clipped = _clip(row, start_sample, end, timeline.sampling_rate)
        if clipped is None:
            dropped.append(row.id)
        else:
            kept.append(clipped)
            if clipped is not row:
                cut.append(row.id)
    inside = replace(
        timeline,
        num_samples=num_samples,
        supervisions=tuple(kept),
        events=_clip_spans(timeline.events, start_sample, end, timeline.sampling_rate),
        uem=_clip_spans(timeline.uem, start_sample, end, timeline.sampling_rate),
    )
    moved = shift(inside, -start_sample)
    return Trimmed(
        timeline=replace(moved, supervisions=_ordered(moved.supervisions)),
        start_sample=start_sample,
        dropped=tuple(dropped),
        cut=tuple(cut),
    )


def windows(timeline: Timeline, length: int, hop: int) -> Iterator[Trimmed]:
    """Windows of ``length`` samples every ``hop`` until the end is covered; the last is shorter.

    Raises:
        ValueError: If length or hop is not above 0, or if hop leaves holes.
    """
    if not 0 < hop <= length:
        raise ValueError(f"a hop must be above 0 and at most the length, got {hop} and {length}")
    start = 0
    while True:
        yield trim(timeline, start, min(length, timeline.num_samples - start))
        if start + length >= timeline.num_samples:
            return
        start += hop


def split_pauses(timeline: Timeline) -> Timeline:
    """Supervisions with word times split where their words leave a pause that separates regions.

    The parts are numbered behind the id (``-1``, ``-2``, …) and share the turn.
    """
    rows = [part for row in timeline.supervisions for part in _split(row, timeline.sampling_rate)]
    return replace(timeline, supervisions=_ordered(rows))


def _require_own_ids(timelines: Sequence[Timeline]) -> None:
    seen: set[tuple[str, str]] = set()
    for timeline in timelines:
        ids = {("supervision", row.id) for row in timeline.supervisions}
        ids |= {("turn", row.turn_id) for row in timeline.supervisions}
        ids |= {("event", event.id) for event in timeline.events}
        if shared := seen & ids:
            kind, name = min(shared)
            raise ValueError(
                f"timelines to mix must have ids of their own, but share {kind} {name}"
            )
        seen |= ids


def _mapped(timeline: Timeline, to: Callable[[int], int]) -> Timeline:
    rate = timeline.sampling_rate
    return replace(
        timeline,
        supervisions=tuple(_mapped_supervision(row, to, rate) for row in timeline.supervisions),
        events=tuple(_mapped_span(event, to, rate) for event in timeline.events),
        uem=tuple(_mapped_span(span, to, rate) for span in timeline.uem),
    )


def _mapped_supervision(row: Supervision, to: Callable[[int], int], rate: int) -> Supervision:
    words = None if row.words is None else tuple(_mapped_span(w, to, rate) for w in row.words)
    start, end = to(row.start_sample), to(row.end_sample)
    return row.model_copy(
        update={
            **span_fields(start, end - start, rate),
            "regions": tuple(_mapped_span(region, to, rate) for region in row.regions),
            **_word_fields(words),
        }
    )


def _mapped_span(span: S, to: Callable[[int], int], rate: int) -> S:
    start, end = to(span.start_sample), to(span.end_sample)
    return span.model_copy(update=span_fields(start, end - start, rate))


def _word_fields(words: tuple[Word, ...] | None) -> dict[str, Any]:
    samples = None if words is None else tuple((w.start_sample, w.num_samples) for w in words)
    return {"words": words, "word_samples": samples}


def _clip(row: Supervision, first: int, end: int, rate: int) -> Supervision | None:
    """The part of a supervision in a window: itself if nothing is cut, None if nothing is left."""
    if row.start_sample >= first and row.end_sample <= end:
        return row
    regions = _clip_spans(row.regions, first, end, rate)
    if not regions:
        return None
    start, stop = regions[0].start_sample, regions[-1].end_sample
    kept = [
        n
        for n, word in enumerate(row.words or ())
        if word.start_sample >= start and word.end_sample <= stop
    ]
    words = tuple(row.words[n] for n in kept) if row.words is not None and kept else None
    return row.model_copy(
        update={
            **span_fields(start, stop - start, rate),
            "regions": regions,
            "text": _text_of(row, kept),
            "text_normalized": None,
            "word_source": row.word_source if words else None,
            "source": _clip_source(row, start, stop, rate),
            **_word_fields(words),
        }
    )


def _text_of(row: Supervision, kept: Sequence[int]) -> str | None:
    """The text of some words: the tokens as written where there is one a word, else symbols."""
    if row.text is None or row.words is None or not kept:
        return None
    tokens = row.text.split()
    if len(tokens) == len(row.words):
        return " ".join(tokens[n] for n in kept)
    between = " " if len(tokens) > 1 else ""  # a script without spaces has one token
    return between.join(row.words[n].symbol for n in kept)


def _clip_source(row: Supervision, start: int, stop: int, rate: int) -> Any:
    """What is still used of the utterance, on its own clock."""
    if row.source is None:
        return None
    lost = (start - row.start_sample) / rate * row.speed
    used = (stop - start) / rate * row.speed
    return row.source.model_copy(
        update={
            "offset": round(row.source.offset + lost, TIME_DIGITS),
            "duration": round(used, TIME_DIGITS),
        }
    )


def _clip_spans(spans: Sequence[S], first: int, end: int, rate: int) -> tuple[S, ...]:
    """The parts of spans in a window; what has no length there is left out."""
    clipped = []
    for span in spans:
        start, stop = max(span.start_sample, first), min(span.end_sample, end)
        if stop > start:
            clipped.append(span.model_copy(update=span_fields(start, stop - start, rate)))
    return tuple(clipped)


def _split(row: Supervision, rate: int) -> list[Supervision]:
    if not row.words:
        return [row]
    runs = join_regions(spans_of(row.words), rate)
    if len(runs) < 2:
        return [row]
    whole = row.model_copy(update={"regions": _time_spans(runs, rate)})
    parts = (_clip(whole, start, end, rate) for start, end in runs.tolist())
    return [
        part.model_copy(update={"id": f"{row.id}-{number}"})
        for number, part in enumerate(parts, start=1)
        if part is not None
    ]


def _without(spans: Spans, taken: Spans) -> Spans:
    """What is left of disjoint spans when others are taken away."""
    edges = np.unique(np.concatenate([spans.ravel(), taken.ravel()]))
    if len(edges) < 2:
        return as_spans([])
    pieces = np.stack([edges[:-1], edges[1:]], axis=1)
    keep = _inside(pieces, spans) & ~_inside(pieces, taken)
    return join_spans(pieces[keep])


def _inside(pieces: Spans, spans: Spans) -> np.ndarray[Any, np.dtype[np.bool_]]:
    if len(spans) == 0:
        return np.zeros(len(pieces), dtype=np.bool_)
    index = np.searchsorted(spans[:, 0], pieces[:, 0], side="right") - 1
    return np.asarray((index >= 0) & (pieces[:, 0] < spans[np.maximum(index, 0), 1]))


def _time_spans(spans: Spans, rate: int) -> tuple[TimeSpan, ...]:
    return tuple(time_span(start, end - start, rate) for start, end in spans.tolist())


def _ordered(rows: Sequence[Supervision]) -> tuple[Supervision, ...]:
    """Rows by start; of those that start together, the order stays."""
    return tuple(sorted(rows, key=lambda row: row.start_sample))
