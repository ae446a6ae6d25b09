"""tcpWER: cpWER where a word only matches a word at about the same time.

The protocol of meeteval (von Neumann et al. 2023), as CHiME-8 and NOTSOFAR use it with a collar of
5 s. Where words have times these are used. Where they do not, a reference segment is shared out
among its words by their number of characters, and a word of the hypothesis is a point at the
middle of its share; the collar widens the hypothesis on both sides. Two words may be paired if the
intervals overlap by more than a point.
"""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import overload

from talkover.manifests.score.concatenated import best_pairing, cost_matrix, tally_of_pairs
from talkover.manifests.score.edit import EditCounts, Pattern, Step, align, edit_distance
from talkover.manifests.score.normalize import Unit
from talkover.manifests.score.sides import Pair, TokenSegment, proportional_times
from talkover.manifests.score.spans import crowded_spans, inside
from talkover.manifests.score.tally import Tally


@dataclass(frozen=True, kw_only=True)
class TimedStream:
    """The tokens of one speaker with an interval each, in seconds."""

    tokens: list[str]
    starts: list[float]
    ends: list[float]


def tcp_error_rate(pair: Pair, unit: Unit, collar: float) -> Tally:
    """TcpWER (or tcpCER), with the errors inside and outside overlapped speech.

    Args:
        pair: Both sides of a session.
        unit: Words or characters.
        collar: Seconds on each side of a hypothesis word.
    """
    reference = {k: reference_stream(s) for k, s in pair.streams("reference", unit).items()}
    hypothesis = {k: hypothesis_stream(s) for k, s in pair.streams("hypothesis", unit).items()}

    def distances(stream: TimedStream) -> Callable[[TimedStream], int]:
        bounds = _Bounds(stream)
        pattern = Pattern(stream.tokens)
        return lambda other: edit_distance(pattern, other.tokens, bounds.masks(other, collar))

    streams, others = list(reference.values()), list(hypothesis.values())
    costs = cost_matrix(streams, others, lambda s: len(s.tokens), distances)
    pairing = best_pairing(reference, hypothesis, costs)
    nobody = TimedStream(tokens=[], starts=[], ends=[])
    overlapped = crowded_spans(pair.reference.activity, 2)
    inner, counts = EditCounts(), []
    for name, other in pairing:
        first = nobody if name is None else reference[name]
        second = nobody if other is None else hypothesis[other]
        steps = timed_steps(first, second, collar)
        flags_first = inside(_middles(first), overlapped)
        flags_second = inside(_middles(second), overlapped)
        count = within = EditCounts()
        for i, j in steps:
            step = _step_counts(i, j, first.tokens, second.tokens)
            count += step
            if flags_second[j] if i is None and j is not None else flags_first[i or 0]:
                within += step
        counts.append(count)
        inner += within
    parts = {"overlapped_errors": inner.errors, "overlapped_length": inner.length}
    return tally_of_pairs(pairing, counts, parts)


def timed_steps(reference: TimedStream, hypothesis: TimedStream, collar: float) -> list[Step]:
    """An alignment with the fewest errors in which paired tokens overlap in time."""
    masks = _Bounds(reference).masks(hypothesis, collar)
    return align(reference.tokens, hypothesis.tokens, masks)


def reference_stream(segments: Sequence[TokenSegment]) -> TimedStream:
    """Intervals for a reference speaker: known word times, or shares by characters."""
    times = [
        time for s in segments for time in (s.times or proportional_times(s.tokens, s.start, s.end))
    ]
    return _stream(segments, times)


def hypothesis_stream(segments: Sequence[TokenSegment]) -> TimedStream:
    """Intervals for a hypothesis speaker: known word times, or the middles of shares."""
    times: list[tuple[float, float]] = []
    for s in segments:
        if s.times:
            times.extend(s.times)
            continue
        for start, end in proportional_times(s.tokens, s.start, s.end):
            middle = (start + end) / 2
            times.append((middle, middle))
    return _stream(segments, times)


def _stream(segments: Sequence[TokenSegment], times: Sequence[tuple[float, float]]) -> TimedStream:
    return TimedStream(
        tokens=[token for s in segments for token in s.tokens],
        starts=[start for start, _ in times],
        ends=[end for _, end in times],
    )


def _middles(stream: TimedStream) -> list[float]:
    return [(a + b) / 2 for a, b in zip(stream.starts, stream.ends, strict=True)]


def _step_counts(
    i: int | None, j: int | None, reference: Sequence[str], hypothesis: Sequence[str]
) -> EditCounts:
    if i is None:
        return _INSERTION
    if j is None:
        return _DELETION
    return _MATCH if reference[i] == hypothesis[j] else _SUBSTITUTION


_INSERTION, _DELETION = EditCounts(0, 0, 1, 0), EditCounts(0, 1, 0, 1)
_SUBSTITUTION, _MATCH = EditCounts(1, 0, 0, 1), EditCounts(0, 0, 0, 1)


class _Bounds:
    """Which tokens of a stream overlap an interval, as a bit mask.

    In a stream without overlap with itself the tokens that overlap are a run. Running maxima from
    the left and minima from the right bound what may and what must overlap, so that only tokens
    between the two, where segments of one speaker overlap, are looked at one by one.
    """

    def __init__(self, stream: TimedStream) -> None:
        self.starts, self.ends = stream.starts, stream.ends
        self.start_max = list(accumulate(stream.starts, max))
        self.start_min = list(accumulate(reversed(stream.starts), min))[::-1]
        self.end_max = list(accumulate(stream.ends, max))
        self.end_min = list(accumulate(reversed(stream.ends), min))[::-1]

    def masks(self, other: TimedStream, collar: float) -> Sequence[int]:
        """One mask per token of the other stream, widened by the collar; made when asked for."""
        return _Masks(self, other, collar)

    def mask(self, start: float, end: float) -> int:
        """The tokens that begin before ``end`` and end after ``start``."""
        all_begun = bisect_left(self.start_max, end)
        some_begun = bisect_left(self.start_min, end)
        none_ended = bisect_right(self.end_min, start)
        first = bisect_right(self.end_max, start)
        if some_begun <= first:
            return 0
        mask = (1 << some_begun) - (1 << first)
        for i in (*range(first, none_ended), *range(all_begun, some_begun)):
            if self.ends[i] <= start or self.starts[i] >= end:
                mask &= ~(1 << i)
        return mask


class _Masks(Sequence[int]):
    def __init__(self, bounds: _Bounds, other: TimedStream, collar: float) -> None:
        self._bounds, self._other, self._collar = bounds, other, collar

    def __len__(self) -> int:
        return len(self._other.tokens)

    @overload
    def __getitem__(self, index: int) -> int: ...
    @overload
    def __getitem__(self, index: slice) -> Sequence[int]: ...
    def __getitem__(self, index: int | slice) -> int | Sequence[int]:
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        other, collar = self._other, self._collar
        return self._bounds.mask(other.starts[index] - collar, other.ends[index] + collar)
