"""Failures that error rates hide: no output, output that stops early, loops, wrong people.

Every rate is a count over a count, so that it adds up over sessions.
"""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise

import numpy as np

from talkover.manifests.score.diarization import scored_activity
from talkover.manifests.score.sides import LabelledSegment, Pair, joined
from talkover.manifests.score.spans import elementary_edges, occupancy
from talkover.manifests.score.tally import Tally

LOOP_REPEATS = 5
"""A phrase said so often in a row is a loop …"""
LOOP_TOKENS = 10
"""… if it covers at least so many words …"""
LOOP_PHRASE = 20
"""… and the phrase is at most so long. Greedy decoders that hang repeat short phrases."""

SWITCH_RUN = 0.2
"""Seconds; a shorter stretch of another speaker inside a turn is not a switch (= `PAUSE_JOIN`)."""


def speaker_count_error(pair: Pair) -> Tally:
    """Share of sessions with a wrong number of speakers; sums of |difference| and difference."""
    difference = len(_speakers(pair.hypothesis.segments)) - len(_speakers(pair.reference.segments))
    return Tally(
        errors=int(difference != 0),
        length=1,
        parts={"absolute_error": abs(difference), "bias": difference},
    )


def fail_rate(pair: Pair) -> Tally:
    """Share of sessions without a usable hypothesis: absent, or marked as unparsable."""
    return Tally(errors=int(pair.hypothesis.failed), length=1)


def coverage(pair: Pair) -> Tally:
    """Seconds after the hypothesis' last end, over the session's length; ``covered`` is the rest.

    Without a known length the last end of the reference stands for it.
    """
    length = pair.reference.duration
    if length is None:
        length = max((s.end for s in pair.reference.segments), default=0.0)
    reached = max((s.end for s in pair.hypothesis.segments), default=0.0)
    covered = min(max(reached, 0.0), length)
    return Tally(errors=length - covered, length=length, parts={"covered": covered})


def loop_rate(pair: Pair) -> Tally:
    """Share of sessions whose hypothesis repeats a phrase over and over and whose reference not."""
    looped = longest_loop(joined(pair.tokens("hypothesis", "word")))
    if looped and longest_loop(joined(pair.tokens("reference", "word"))):
        looped = 0
    return Tally(errors=int(looped > 0), length=1, parts={"looped_tokens": looped})


def longest_loop(tokens: Sequence[str]) -> int:
    """Number of tokens in the longest loop, 0 where there is none.

    >>> longest_loop("and so on".split() * 5)
    15
    >>> longest_loop("no no no no".split())
    0
    """
    numbers: dict[str, int] = {}
    coded = np.array([numbers.setdefault(t, len(numbers)) for t in tokens], dtype=np.int64)
    longest = 0
    for size in range(1, min(LOOP_PHRASE, len(coded) // LOOP_REPEATS) + 1):
        same = np.concatenate([[False], coded[size:] == coded[:-size], [False]])
        edges = np.flatnonzero(same[1:] != same[:-1])
        runs = edges[1::2] - edges[::2] + size  # tokens that the phrase and its repeats cover
        run = int(runs.max(initial=0))
        if run >= max(LOOP_REPEATS * size, LOOP_TOKENS):
            longest = max(longest, run)
    return longest


def hallucinated_turns(pair: Pair) -> Tally:
    """Turns given to registered speakers who are silent in the session, over all turns."""
    silent = (pair.reference.registered or frozenset()) - _speakers(pair.reference.segments)
    turns = pair.hypothesis.segments
    named = [s.speaker for s in turns if s.speaker in silent]
    return Tally(
        errors=len(named),
        length=len(turns),
        parts={"silent_speakers": len(silent), "silent_speakers_named": len(set(named))},
    )


def false_names(pair: Pair) -> Tally:
    """Turns under a registered name during which somebody else (or nobody) speaks most.

    Over all turns under a registered name.
    """
    registered = pair.reference.registered or frozenset()
    named = [s for s in pair.hypothesis.segments if s.speaker in registered]
    wrong = 0
    for segment in named:
        shared = {
            name: float(
                np.clip(
                    np.minimum(spans[:, 1], segment.end) - np.maximum(spans[:, 0], segment.start),
                    0.0,
                    None,
                ).sum()
            )
            for name, spans in pair.reference.activity.items()
        }
        own = shared.get(segment.speaker, 0.0)
        wrong += own == 0.0 or own < max(shared.values())
    return Tally(errors=wrong, length=len(named))


def speaker_switches(pair: Pair) -> Tally:
    """Changes of the hypothesis' speaker inside a reference turn, over the number of turns.

    Looked at is where the turn's speaker alone is active and the hypothesis names one speaker.
    """
    reference, hypothesis = pair.reference.activity, pair.hypothesis.activity
    edges = elementary_edges(reference.values(), hypothesis.values(), [pair.scored])
    activity = scored_activity(reference, hypothesis, pair.scored)
    kept = occupancy(pair.scored, edges)
    starts = edges[:-1][kept]
    single = (activity.reference.sum(axis=0) == 1) & (activity.hypothesis.sum(axis=0) == 1)
    label = np.where(single, activity.hypothesis.argmax(axis=0) if hypothesis else -1, -1)
    rows = dict(zip(reference, activity.reference, strict=True))
    switches = 0
    for turn in pair.reference.segments:
        first, last = np.searchsorted(starts, [turn.start, turn.end])
        mine = rows[turn.speaker][first:last]
        switches += _switches(
            label[first:last][mine].tolist(), activity.widths[first:last][mine].tolist()
        )
    return Tally(errors=switches, length=len(pair.reference.segments))


def _switches(labels: Sequence[int], widths: Sequence[float]) -> int:
    runs: list[tuple[int, float]] = []
    for label, width in zip(labels, widths, strict=True):
        if label < 0:
            continue
        if runs and runs[-1][0] == label:
            runs[-1] = (label, runs[-1][1] + width)
        else:
            runs.append((label, width))
    long = [label for label, width in runs if width >= SWITCH_RUN]
    return sum(a != b for a, b in pairwise(long))


def _speakers(segments: Sequence[LabelledSegment]) -> frozenset[str]:
    return frozenset(s.speaker for s in segments)
