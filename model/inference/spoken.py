"""What was said, by whom and when: what the parts of inference hand to each other."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace

import numpy as np


@dataclass(frozen=True, kw_only=True, slots=True)
class TimedWord:
    """A word on the clock of what holds it."""

    symbol: str
    start: float
    end: float
    score: float | None = None
    """Mean probability of its units where it was found in the sound, in [0, 1]; None where its time
    was only shared out by letters."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Spoken:
    """What a speaker says, in seconds of the clock that the holder names."""

    speaker: str
    start: float
    end: float
    text: str
    words: tuple[TimedWord, ...] | None = None
    """None where nothing is known of their times."""
    chunk: int | None = None
    """Number of the piece that it was heard in, from 0."""
    chunk_speaker: str | None = None
    """The speaker's label in that piece."""

    def moved(self, seconds: float) -> Spoken:
        """The same on a clock that began so many seconds earlier."""
        words = self.words
        if words is not None:
            words = tuple(
                replace(word, start=word.start + seconds, end=word.end + seconds) for word in words
            )
        return replace(self, start=self.start + seconds, end=self.end + seconds, words=words)

    def within(self, start: float, end: float) -> Spoken:
        """The same between other times; words keep their shares of it."""
        words = self.words
        if words is not None:
            scale = (end - start) / (self.end - self.start) if self.end > self.start else 0.0
            words = tuple(
                replace(
                    word,
                    start=start + (word.start - self.start) * scale,
                    end=start + (word.end - self.start) * scale,
                )
                for word in words
            )
        return replace(self, start=start, end=end, words=words)


def shared_out(text: str, start: float, end: float) -> tuple[TimedWord, ...]:
    """The words of a text, with the time shared out by letters.

    >>> [(w.symbol, w.start, w.end) for w in shared_out("abc d", 0.0, 4.0)]
    [('abc', 0.0, 3.0), ('d', 3.0, 4.0)]
    """
    words = text.split()
    return between(words, [None] * len(words), [None] * len(words), start, end)


def between(
    words: Sequence[str],
    middles: Sequence[float | None],
    scores: Sequence[float | None],
    start: float,
    end: float,
) -> tuple[TimedWord, ...]:
    """Words side by side from start to end, each around its middle where that is known.

    Between two known middles, what is between is shared out by letters: half of the one word, the
    words without a middle, half of the other.

    Args:
        words: In order.
        middles: Seconds, not going back; None where not known.
        scores: Handed on.
        start: Of the first word.
        end: Of the last one.
    """
    if not words:
        return ()
    sizes = np.array([max(1, len(word)) for word in words], dtype=np.float64)
    borders = np.concatenate([[0.0], np.cumsum(sizes)])  # letters before each border
    known = [place for place, middle in enumerate(middles) if middle is not None]
    letters = [0.0, *(borders[known] + sizes[known] / 2), borders[-1]]
    times = np.maximum.accumulate([start, *(middles[place] or 0.0 for place in known)])
    edges = np.interp(borders, letters, [*np.clip(times, start, end), end]).tolist()
    edges[0], edges[-1] = start, end
    return tuple(
        TimedWord(symbol=word, start=edges[n], end=edges[n + 1], score=scores[n])
        for n, word in enumerate(words)
    )
