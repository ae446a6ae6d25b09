"""Who said which word: the likeliest partition of the words of a recording into speakers.

Words are taken in order of their starts. Each goes to a speaker that was heard before or to a new
one; a beam keeps the best partitions. A partition's score is the likelihood of the voices under a
`Plda` (each word predicted from those of the same speaker before it), of the pauses (how long
after a speaker's last word the next one begins, if it is the same speaker's, and if not) and of the
arrivals: how often somebody new speaks after so many words of so many speakers.

Shapes: ``W`` words, ``N`` partitions in the beam, ``S`` speakers, ``K`` directions.
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from talkover.model.voices.plda import Plda

Array = NDArray[np.float64]
Labels = NDArray[np.int64]

PAUSES = (-0.02, 0.03, 0.06, 0.09, 0.12, 0.15, 0.19, 0.25, 0.35, 0.5, 0.8, 1.2, 2.0, 3.0)
"""Seconds, edges of the classes of pauses; the first class is a speaker who is still speaking."""

NUM_PAUSES = len(PAUSES) + 1

BLUR = 0.06
"""Seconds, standard deviation: how well the ends of words are known when they are found."""

ARRIVALS = (24, 8)
"""Words and speakers so far from which more of them make no difference."""

FULL = 0.4
"""Seconds alone from which a word counts fully; the sounds of half of it were heard twice."""

LEAST = 0.15
"""What a word in overlap counts at least, as part of one alone."""


@dataclass(frozen=True, kw_only=True)
class AssignmentConfig:
    """How words are given to speakers."""

    evidence: float = 0.8
    """How much a word's statistics count: words of one speaker in one room are not independent."""
    new_speaker: float = 0.0
    """Added to the log-odds of a new speaker: what training speech had too few of."""
    beam: int = 24
    """Partitions that are kept."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not self.evidence > 0 or self.beam < 1:
            raise ValueError(
                f"evidence must be above 0 and beam 1 or more, got {self.evidence} and {self.beam}"
            )


@dataclass(frozen=True, kw_only=True)
class Odds:
    """What training speech tells of turns."""

    pauses: Array
    """``[NUM_PAUSES]``; see `pause_odds`."""
    arrivals: Array
    """``ARRIVALS``; see `arrival_odds`."""


def pause_class(pause: Array) -> Labels:
    """Class of each pause in seconds."""
    return np.asarray(np.searchsorted(PAUSES, pause, side="right"), dtype=np.int64)


def pause_odds(own: Array, other: Array) -> Array:
    """Log-odds of each class of pauses for the same speaker.

    Args:
        own: ``[NUM_PAUSES]`` how often a speaker's next word came so long after the last.
        other: The same where it was somebody else's word.
    """
    mine, theirs = own + 0.5, other + 0.5
    odds: Array = np.log(mine / mine.sum()) - np.log(theirs / theirs.sum())
    return odds


def blurred(pause: float) -> Array:
    """Share of each class of a pause that is not known exactly, ``[NUM_PAUSES]``; the sum is 1."""
    below = ndtr((np.array(PAUSES) - pause) / BLUR)
    return np.diff(np.concatenate([[0.0], below, [1.0]]))


def count_pauses(spans: list[tuple[float, float]], speakers: list[int]) -> tuple[Array, Array]:
    """How often each class of pauses came before a speaker's own word, and before another's.

    Labels know ends better than what is found, so each pause counts as if it were known by `BLUR`.

    Args:
        spans: Start and end of each word in seconds, in order of their starts.
        speakers: Who said each.
    """
    own, other = np.zeros(NUM_PAUSES), np.zeros(NUM_PAUSES)
    ends: dict[int, float] = {}
    for (start, end), speaker in zip(spans, speakers, strict=True):
        for somebody, last in ends.items():
            table = own if somebody == speaker else other
            table += blurred(start - last)
        ends[speaker] = max(end, ends.get(speaker, end))
    return own, other


def count_arrivals(speakers: list[int]) -> Array:
    """How often a word was a new speaker's and how often not, ``[2, *ARRIVALS]``.

    Args:
        speakers: Who said each word.
    """
    counts = np.zeros((2, *ARRIVALS))
    known: set[int] = set()
    for word, speaker in enumerate(speakers):
        counts[int(speaker in known)][_arrival(word, len(known))] += 1
        known.add(speaker)
    return counts


def arrival_odds(counts: Array) -> Array:
    """Log-odds of a new speaker against each one of those who are known, ``ARRIVALS``.

    Args:
        counts: Sums of `count_arrivals`.
    """
    new, old = counts[0] + 0.5, counts[1] + 1.0
    odds: Array = np.log(new) - np.log(old) + np.log(np.maximum(1, np.arange(ARRIVALS[1])))
    return odds


def _arrival(words: int, speakers: int) -> tuple[int, int]:
    """Place in the tables of arrivals after so many words of so many speakers."""
    return min(words, ARRIVALS[0] - 1), min(speakers, ARRIVALS[1] - 1)


def assign(
    voices: Array,
    clean: Array,
    spans: list[tuple[float, float]],
    plda: Plda,
    odds: Odds,
    config: AssignmentConfig,
    *,
    most: int,
) -> list[int]:
    """Speaker of each word, numbered in order of arrival from 0.

    Args:
        voices: ``[W, K]`` projected statistics.
        clean: ``[W]`` seconds alone; -1 where there are no statistics.
        spans: Start and end of each word in seconds, in order of their starts.
        plda: Model of voices.
        odds: Of pauses and arrivals.
        config: Options.
        most: Speakers at most.
    """
    if not len(spans):
        return []
    weights = word_weights(clean, config)
    beam = _Beam.empty(most, voices.shape[1])
    for word, (start, end) in enumerate(spans):
        scores = _scores(beam, voices[word], float(weights[word]), start, plda, odds, config)
        beam = beam.extended(scores, voices[word], float(weights[word]), end, config.beam)
    return [int(label) for label in beam.labels[0]]


def word_weights(clean: Array, config: AssignmentConfig) -> Array:
    """How much each word's statistics count, ``[W]``.

    Args:
        clean: ``[W]`` seconds alone; -1 where there are no statistics.
        config: Options.
    """
    weights = config.evidence * np.clip(clean / FULL, LEAST, 1.0)
    return np.asarray(np.where(clean < 0, 0.0, weights))


@dataclass(frozen=True)
class _Beam:
    """Partitions of the words so far, the best first."""

    score: Array  # [N]
    labels: Labels  # [N, words so far]
    weight: Array  # [N, S] of the words of each speaker
    mean: Array  # [N, S, K] of their voices
    end: Array  # [N, S] seconds; of their last word
    used: Labels  # [N] speakers so far

    @classmethod
    def empty(cls, most: int, directions: int) -> _Beam:
        """The partition of no words."""
        return cls(
            np.zeros(1),
            np.zeros((1, 0), dtype=np.int64),
            np.zeros((1, most)),
            np.zeros((1, most, directions)),
            np.zeros((1, most)),
            np.zeros(1, dtype=np.int64),
        )

    def extended(self, scores: Array, voice: Array, weight: float, end: float, size: int) -> _Beam:
        """The best partitions with one word more: ``[N, S]`` scores of giving it to each."""
        total = (self.score[:, None] + scores).ravel()
        order = np.argsort(-total, kind="stable")[:size]
        order = order[np.isfinite(total[order])]
        rows, speakers = np.divmod(order, scores.shape[1])
        here = np.arange(len(order))
        heavier, mean, ends = self.weight[rows], self.mean[rows], self.end[rows]
        before = heavier[here, speakers]
        after = before + weight
        if weight > 0:
            share = (weight / after)[:, None]
            mean[here, speakers] += share * (voice - mean[here, speakers])
        heavier[here, speakers] = after
        used = np.maximum(self.used[rows], speakers + 1)
        is_new = speakers >= self.used[rows]
        ends[here, speakers] = np.where(is_new, end, np.maximum(ends[here, speakers], end))
        labels = np.concatenate([self.labels[rows], speakers[:, None]], axis=1)
        return _Beam(total[order], labels, heavier, mean, ends, used)


def _scores(
    beam: _Beam,
    voice: Array,
    weight: float,
    start: float,
    plda: Plda,
    odds: Odds,
    config: AssignmentConfig,
) -> Array:
    """Log-score of giving a word to each speaker of each partition, ``[N, S]``."""
    speakers = np.arange(beam.weight.shape[1])
    known = speakers[None] < beam.used[:, None]
    is_next = speakers[None] == beam.used[:, None]
    words = min(beam.labels.shape[1], ARRIVALS[0] - 1)
    arrival = odds.arrivals[words, np.minimum(beam.used, ARRIVALS[1] - 1)] + config.new_speaker
    scores = np.where(known, odds.pauses[pause_class(start - beam.end)], arrival[:, None])
    if weight > 0:
        # Posterior of the speaker's mean from the words so far, then the word under it.
        gain = plda.between / (1 + plda.between * beam.weight[..., None])  # [N, S, K]
        expected = gain * beam.weight[..., None] * beam.mean
        variance = gain + 1 / weight
        deviation = (voice - expected) ** 2 / variance + np.log(variance)
        scores = scores - 0.5 * deviation.sum(-1)
    return np.where(known | is_next, scores, -np.inf)
