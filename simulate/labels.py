"""Labels of a plan: who says what, when, at the first microphone. Needs no audio.

The times of an utterance's words and speech are known on the utterance's own clock; a placement
moves them to the session's clock, and the seat's direct-path delay to what the microphone hears;
the delay of a speaker who walks is that of each time.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.regions import join_spans
from talkover.manifests.schema import (
    PAUSE_JOIN,
    Source,
    Supervision,
    TimeSpan,
    Word,
    time_span,
)
from talkover.simulate.plan import Placement, PlannedSeat, PlannedSpeaker, SessionPlan
from talkover.simulate.source_cache import CachedUtterance, SourceCache
from talkover.simulate.trajectories import direct_delay_at

LEVEL_DIGITS = 3
"""Digits after the point of a level or gain in dB."""


@dataclass(frozen=True, slots=True)
class _Part:
    """A stretch of one placement that becomes one supervision; samples of the session's clock."""

    emitted: int
    """When the mouth began; all else is as the microphone hears it."""
    start: int
    end: int
    regions: tuple[tuple[int, int], ...]
    words: tuple[tuple[str, int, int], ...] | None
    text: str | None


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelledSession:
    """A planned session as far as labels need it; see `talkover.manifests.exports`."""

    id: str
    supervisions: tuple[Supervision, ...]
    uem: tuple[TimeSpan, ...]


def labelled(plan: SessionPlan, cache: SourceCache) -> LabelledSession:
    """The labels of a plan, the same as those of its audio."""
    return LabelledSession(
        id=plan.session_id,
        supervisions=supervisions_of(plan, cache),
        uem=(time_span(0, plan.num_samples, plan.sampling_rate),),
    )


def supervisions_of(plan: SessionPlan, cache: SourceCache) -> tuple[Supervision, ...]:
    """The supervisions of a session, in time order.

    Where word times are known, a placement becomes one supervision per run of words without a pause
    of `PAUSE_JOIN`; where they are not, it is one supervision with its measured regions, and has
    the utterance's text only if all of the utterance's speech was placed.
    """
    rate = plan.sampling_rate
    join = round(PAUSE_JOIN * rate)
    delay = {seat.speaker_local: _delay(plan, seat) for seat in plan.room.seats}
    speakers = {speaker.speaker_local: speaker for speaker in plan.speakers}
    rows = []
    for saying in _sayings(plan.placements, cache):
        placement, utterance = saying[0], cache.utterance(saying[0].utterance)
        arrival = delay[placement.speaker_local]
        for part in _joined(
            [
                _heard(part, arrival)
                for p in saying
                for part in _parts(p, utterance, p.start_sample - p.source_start, join)
            ],
            join,
        ):
            rows.append((part.start, part.end, placement, utterance, part))
    rows.sort(key=lambda row: (row[0], row[1], row[2].speaker_local))
    return tuple(
        _supervision(plan, f"{plan.session_id}-{n:05d}", placement, utterance, part, speakers, rate)
        for n, (_, _, placement, utterance, part) in enumerate(rows)
    )


def _sayings(placements: Sequence[Placement], cache: SourceCache) -> list[list[Placement]]:
    """Placements that make one supervision or more: all slices of a saying, if it has no words."""
    sayings: dict[tuple[int, int], list[Placement]] = {}
    for n, placement in enumerate(placements):
        is_timed = cache.utterance(placement.utterance).words is not None
        key = (1, n) if is_timed or placement.saying is None else (0, placement.saying)
        sayings.setdefault(key, []).append(placement)
    return list(sayings.values())


def _joined(parts: list[_Part], join: int) -> list[_Part]:
    """Parts of a saying without word times as one; with word times, each for itself."""
    if len(parts) == 1 or parts[0].words is not None:
        return parts
    apart = np.array([region for part in parts for region in part.regions], dtype=np.int64)
    regions = tuple((int(a), int(b)) for a, b in join_spans(apart, join))
    first, last = parts[0], parts[-1]
    return [_Part(first.emitted, first.start, last.end, regions, None, first.text)]


def active_intervals(supervisions: Sequence[Supervision]) -> NDArray[np.int64]:
    """Where anybody is active: start and end in samples, shape ``[N, 2]``, disjoint."""
    spans = sorted(
        (region.start_sample, region.end_sample)
        for supervision in supervisions
        for region in supervision.regions
    )
    merged: list[list[int]] = []
    for start, end in spans:
        if merged and start <= merged[-1][1]:
            merged[-1][1] = max(merged[-1][1], end)
        else:
            merged.append([start, end])
    return np.array(merged, dtype=np.int64).reshape(-1, 2)


def _parts(placement: Placement, utterance: CachedUtterance, shift: int, join: int) -> list[_Part]:
    first, end = placement.source_start, placement.source_start + placement.num_samples
    if utterance.words is None:
        if placement.fade_samples is not None:  # a cut through speech is where its fade is half
            first, end = first + placement.fade_samples // 2, end - placement.fade_samples // 2
        regions = tuple(
            (max(int(a), first) + shift, min(int(b), end) + shift)
            for a, b in utterance.regions
            if b > first and a < end
        )
        text = utterance.text if placement.whole else None
        return [_Part(regions[0][0], regions[0][0], regions[-1][1], regions, None, text)]
    tokens = _tokens(utterance)
    groups: list[list[tuple[str, str, int, int]]] = []
    for (symbol, start, length), token in zip(utterance.words, tokens, strict=True):
        if start < first or start + length > end:
            continue
        if not groups or start - (groups[-1][-1][2] + groups[-1][-1][3]) >= join:
            groups.append([])
        groups[-1].append((symbol, token, start, length))
    parts = []
    for group in groups:
        start = group[0][2] + shift
        stop = max(a + n for _, _, a, n in group) + shift
        words = tuple((symbol, a + shift, n) for symbol, _, a, n in group)
        text = " ".join(token for _, token, _, _ in group)
        if placement.whole and len(group) == len(utterance.words) and utterance.text is not None:
            text = utterance.text  # as written, where nothing was left out
        parts.append(_Part(start, start, stop, ((start, stop),), words, text))
    return parts


def _delay(plan: SessionPlan, seat: PlannedSeat) -> Callable[[int], int]:
    """Samples from emission at a session sample to the direct path at the first channel."""
    if not seat.trajectory or not plan.room.microphone_positions_m:
        return lambda sample: seat.direct_delay_samples
    first = plan.room.microphone_positions_m[0]
    return lambda sample: direct_delay_at(seat, first, plan.sampling_rate, sample)


def _heard(part: _Part, delay: Callable[[int], int]) -> _Part:
    """A stretch of emission as the first microphone hears it."""

    def at(sample: int) -> int:
        return sample + delay(sample)

    words = part.words
    return _Part(
        emitted=part.emitted,
        start=at(part.start),
        end=at(part.end),
        regions=tuple((at(a), at(b)) for a, b in part.regions),
        words=words and tuple((s, at(a), at(a + n) - at(a)) for s, a, n in words),
        text=part.text,
    )


def _tokens(utterance: CachedUtterance) -> list[str]:
    """The written form of each word: the text's own tokens where they match, else the symbols."""
    assert utterance.words is not None
    symbols = [symbol for symbol, _, _ in utterance.words]
    written = (utterance.text or "").split()
    return written if len(written) == len(symbols) else symbols


def _word(symbol: str, start: int, length: int, rate: int) -> Word:
    span = time_span(start, length, rate)
    return Word(
        symbol=symbol,
        start=span.start,
        duration=span.duration,
        start_sample=start,
        num_samples=length,
    )


def _supervision(
    plan: SessionPlan,
    name: str,
    placement: Placement,
    utterance: CachedUtterance,
    part: _Part,
    speakers: dict[str, PlannedSpeaker],
    rate: int,
) -> Supervision:
    speaker = speakers[placement.speaker_local]
    emitted = part.emitted - placement.start_sample
    words = None if part.words is None else tuple(_word(s, a, n, rate) for s, a, n in part.words)
    span = time_span(part.start, part.end - part.start, rate)
    regions: tuple[TimeSpan, ...] = tuple(time_span(a, b - a, rate) for a, b in part.regions)
    return Supervision(
        id=name,
        turn_id=f"{plan.session_id}-t{placement.turn:05d}",
        speaker=speaker.speaker,
        speaker_local=placement.speaker_local,
        role=placement.role,
        start=span.start,
        duration=span.duration,
        start_sample=span.start_sample,
        num_samples=span.num_samples,
        regions=regions,
        text=part.text,
        language=utterance.language,
        gender=utterance.gender,
        words=words,
        word_samples=None if part.words is None else tuple((a, n) for _, a, n in part.words),
        word_source=utterance.word_source if part.words is not None else None,
        source=Source(
            corpus=utterance.corpus,
            corpus_version=utterance.corpus_version,
            recording_id=utterance.recording_id,
            utterance_id=utterance.utterance_id,
            offset=round((placement.source_start + emitted) / rate, 8),
            duration=span.duration,
            licence=utterance.licence,
            sha256=utterance.sha256,
        ),
        gain_db=round(placement.gain_db, LEVEL_DIGITS),
        level_dbfs=round(utterance.level_dbfs + placement.gain_db, LEVEL_DIGITS),
    )
