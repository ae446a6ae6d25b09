"""Stretches that may be sound events: many more than there are, for `claims` to choose from.

One rule for all cannot follow a saw of four seconds and a tick of a tenth, nor two sounds at once.
So each kind of sound is followed by several rules: the most likely path between silent and sounding
(Viterbi 1967), where a frame speaks for a sound as its probability lies over a level, a change
of state costs, and less where any sound seems to begin or to end. Stretches of the curve of any
sound are added, under their two likeliest names: their edges are the best where a sound is alone.

Legend: ``N`` frame, ``K`` kind, ``R`` rule.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.activity_spans import is_on_early, joined, stretches_of

Values = NDArray[np.float64]
LEAST_PROBABILITY = 1e-4
LARGEST_LOGIT = 4.0
"""Beyond this a frame says no more."""
LEVELS = np.array([-1.0, -1.0, -1.0, 0.0, 0.0, 0.0, 0.0, 0.0, 1.0])
"""Logit over which a frame speaks for a sound, ``[R]``."""
COSTS = np.array([6.0, 16.0, 6.0, 6.0, 10.0, 16.0, 25.0, 16.0, 10.0])
"""Of the beginning of a sound, ``[R]``."""
EDGE_WEIGHTS = np.array([1.0, 1.0, 0.0, 1.0, 1.0, 1.0, 1.0, 2.0, 1.0])
"""How much a step of the curve of any sound takes off the cost, ``[R]``."""
STEP_RANGE = (-1.0, 3.0)
"""Least and most that a step counts."""
STEP_FRAMES = 2
"""Frames on each side of a step."""
ANY_SOUND_RULES = ((0.99, 0.5, 2), (0.9, 0.5, 2), (0.5, 0.25, 2), (0.99, 0.8, 0), (0.9, 0.5, 6))
"""Onset, offset, and frames of a gap that is filled."""
NAMES = 2
"""Likeliest kinds under which a stretch of any sound is proposed."""


class Proposal(NamedTuple):
    """A kind, and the frames in which it may sound."""

    kind: int
    start: int
    end: int
    """The first frame after it."""


@dataclass(frozen=True, kw_only=True, eq=False)
class SoundCurves:
    """What a tagger heard, as logits."""

    kinds: Values
    """Of each kind of sound, ``[N, K]``."""
    any_sound: Values
    """``[N]``."""
    onsets: Values
    """That a sound begins, ``[N]``."""
    offsets: Values
    """That a sound ends, ``[N]``."""
    activities: Values
    """Probability of speech, music and noise, ``[N, 3]``."""

    @staticmethod
    def of(
        kinds: NDArray[np.floating],
        any_sound: NDArray[np.floating],
        edges: NDArray[np.floating],
        activities: NDArray[np.floating],
    ) -> SoundCurves:
        """From probabilities.

        Args:
            kinds: ``[N, K]``.
            any_sound: ``[N]``.
            edges: Of beginnings and ends, ``[N, 2]``.
            activities: Of speech, music and noise, ``[N, 3]``.
        """
        both = logits(edges)
        return SoundCurves(
            kinds=logits(kinds),
            any_sound=logits(any_sound),
            onsets=both[:, 0],
            offsets=both[:, 1],
            activities=activities.astype(np.float64),
        )

    def __len__(self) -> int:
        """Frames."""
        return len(self.any_sound)


def logits(probabilities: NDArray[np.floating]) -> Values:
    """Logarithm of the odds; shape as given.

    >>> logits(np.array([0.5, 1.0])).round(2).tolist()
    [0.0, 9.21]
    """
    kept = np.clip(probabilities.astype(np.float64), LEAST_PROBABILITY, 1 - LEAST_PROBABILITY)
    return np.asarray(np.log(kept / (1 - kept)))


def steps(values: Values, frames: int = STEP_FRAMES) -> Values:
    """How much higher the mean of some frames is than that of as many before, ``[N]``.

    >>> steps(np.array([0.0, 0.0, 1.0, 1.0]), 1).tolist()
    [0.0, 0.0, 1.0, 0.0]
    """
    if len(values) == 0:
        return values
    padded = np.pad(values, (frames, frames), mode="edge")
    sums = np.concatenate([[0.0], np.cumsum(padded)])
    means = (sums[frames:] - sums[:-frames]) / frames
    return np.asarray(means[frames : frames + len(values)] - means[: len(values)])


def propose(curves: SoundCurves) -> list[Proposal]:
    """All stretches that are worth a look, each once, sorted."""
    if len(curves) == 0:
        return []
    found = {
        Proposal(kind, start, end)
        for on in _paths(curves)
        for kind in range(on.shape[1])
        for start, end in stretches_of(on[:, kind]).tolist()
    }
    probabilities = 1 / (1 + np.exp(-curves.any_sound))
    for onset, offset, gap in ANY_SOUND_RULES:
        on = is_on_early(probabilities, onset, offset)
        for start, end in joined(stretches_of(on), gap).tolist():
            likely = np.argsort(-curves.kinds[start:end].mean(axis=0), kind="stable")
            found |= {Proposal(int(kind), start, end) for kind in likely[:NAMES]}
    return sorted(found)


def _paths(curves: SoundCurves) -> list[NDArray[np.bool_]]:
    """Where each rule hears each kind, ``[N, K]`` for each of ``R``."""
    frames, kinds = curves.kinds.shape
    rises = steps(curves.any_sound)
    silent, sounding = np.zeros((len(LEVELS), kinds)), np.full((len(LEVELS), kinds), -np.inf)
    left = np.zeros((frames, len(LEVELS), kinds), dtype=np.bool_)
    entered = np.zeros_like(left)
    for frame in range(frames):
        rise, fall = np.clip((rises[frame], -rises[frame]), *STEP_RANGE)
        ended = sounding + (EDGE_WEIGHTS * fall)[:, None]
        begun = silent + (EDGE_WEIGHTS * rise - COSTS)[:, None]
        left[frame], entered[frame] = ended > silent, begun > sounding
        silent, sounding = (
            np.where(left[frame], ended, silent),
            np.where(entered[frame], begun, sounding)
            + np.clip(curves.kinds[frame] - LEVELS[:, None], -LARGEST_LOGIT, LARGEST_LOGIT),
        )
    on = sounding > silent
    for frame in range(frames - 1, -1, -1):
        before = np.where(on, ~entered[frame], left[frame])
        left[frame] = on  # the memory is used again: hours of recording are tens of megabytes
        on = before
    return [left[:, rule] for rule in range(len(LEVELS))]
