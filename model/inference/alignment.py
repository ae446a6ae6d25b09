"""Times of words: the answer's words, found again in the probabilities of CTC.

The words of a turn are known, and between which frames they lie. A Viterbi path over CTC's frames
(blank, unit, blank, …; Graves et al. 2006) says at which frames each unit is likeliest. CTC units
are spikes, so a word is put around the middle of its spikes and reaches half way to its neighbours
(by letters); the first begins and the last ends with the turn. Where people talk at once, frames
that belong to somebody else's words are passed over as blanks.

Words with pieces that CTC does not know are left out of the path; their time is shared out by
letters between their neighbours, and they have no score.

Shapes: ``T`` frames, ``U`` units of a text, ``C`` classes of CTC, ``S`` states, 2 U + 1.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from talkover.model.codec import SatsCodec
from talkover.model.inference.spoken import Spoken, TimedWord, between
from talkover.model.losses import BLANK

Frames = NDArray[np.float32]
"""``[T, C]`` logarithms of probabilities."""


@dataclass(frozen=True, kw_only=True)
class WordTimer:
    """Finds the words of turns in a piece's frames."""

    codec: SatsCodec
    classes: Mapping[int, int]
    """Class of CTC of each token id."""

    def timed(self, spoken: Sequence[Spoken], frames: Frames, rate: float) -> list[Spoken]:
        """Turns with the times of their words.

        Args:
            spoken: On the clock of the frames.
            frames: ``[T, C]``.
            rate: Frames a second.
        """
        return [replace(s, words=self._words(s, frames, rate)) for s in spoken]

    def _words(self, spoken: Spoken, frames: Frames, rate: float) -> tuple[TimedWord, ...]:
        words = spoken.text.split()
        units = [self._units(word) for word in words]
        first = min(int(spoken.start * rate), len(frames))
        last = min(max(first + 1, round(spoken.end * rate)), len(frames))
        flat = [unit for own in units for unit in own]
        path = align(frames[first:last], flat)
        if path is None:
            unknown = [None] * len(words)
            return between(words, unknown, unknown, spoken.start, spoken.end)
        middles: list[float | None] = []
        scores: list[float | None] = []
        at = 0
        for own in units:
            if not own:
                middles.append(None)
                scores.append(None)
                continue
            places = path[at : at + len(own)]
            likely = [float(np.exp(frames[first + p, u])) for p, u in zip(places, own, strict=True)]
            middles.append((first + (places[0] + places[-1] + 1) / 2) / rate)
            scores.append(float(np.mean(likely)))
            at += len(own)
        return between(words, middles, scores, spoken.start, spoken.end)

    def _units(self, word: str) -> list[int]:
        """Classes of a word; none if CTC does not know all of it."""
        ids = self.codec.encode_text(word)
        found = [self.classes[index] for index in ids if index in self.classes]
        return found if len(found) == len(ids) else []


def align(frames: Frames, units: Sequence[int], blank: int = BLANK) -> list[int] | None:
    """The likeliest frame of each unit on the best path of CTC; None if there are too few frames.

    Args:
        frames: ``[T, C]`` logarithms of probabilities.
        units: Classes in the order of the text; two equal ones in a row have a blank between them.
        blank: The class that says nothing.

    Returns:
        For each unit, of the frames that the best path gives to it, the one where it is likeliest.

    >>> align(np.log([[0.9, 0.1], [0.2, 0.8], [0.7, 0.3], [0.1, 0.9]]), [1, 1])
    [1, 3]
    """
    if not units:
        return None
    path = best_path(frames, units, blank)
    if path is None:
        return None
    found: list[int] = []
    for place, unit in enumerate(units):
        own = np.flatnonzero(path == 2 * place + 1)
        found.append(int(own[np.argmax(frames[own, unit])]))
    return found


def best_path(frames: Frames, units: Sequence[int], blank: int = BLANK) -> NDArray[np.int64] | None:
    """The state of each frame on the best path, ``[T]``: unit k is state 2 k + 1, blanks are even.

    None if there are too few frames.
    """
    labels = np.full(2 * len(units) + 1, blank)
    labels[1::2] = units
    count, length = len(labels), len(frames)
    repeated = sum(a == b for a, b in pairwise(units))
    if length < len(units) + repeated or not length:
        return None
    scores = frames.astype(np.float64)[:, labels]  # [T, S]
    can_skip = np.zeros(count, dtype=bool)  # over the blank before a unit that is another one
    can_skip[3::2] = labels[3::2] != labels[1:-2:2]
    best = np.full(count, -np.inf)
    best[:2] = scores[0, :2]
    back = np.zeros((length, count), dtype=np.int8)  # how many states the path came from below
    for frame in range(1, length):
        one = np.concatenate([[-np.inf], best[:-1]])
        two = np.where(can_skip, np.concatenate([[-np.inf, -np.inf], best[:-2]]), -np.inf)
        ways = np.stack([best, one, two])
        back[frame] = ways.argmax(0)
        best = ways.max(0) + scores[frame]
    state = count - 1 if count == 1 or best[-1] >= best[-2] else count - 2
    path = np.zeros(length, dtype=np.int64)
    for frame in range(length - 1, -1, -1):
        path[frame] = state
        state -= int(back[frame, state])
    return path
