"""One synthesised line as a corpus item: 16 kHz, trimmed, every word with a start and an end.

The engine tells where words start and nothing else. A word ends where the next one starts, or
earlier where the signal falls silent for longer than a plosive's closure.
"""

from __future__ import annotations

import re
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.signal import resample_poly

from talkover.simulate.espeak import Speech

SAMPLING_RATE = 16_000
"""Hz, of the corpus; the engine's own is 22 050 Hz."""
MARGIN = 320
"""Samples (20 ms) kept before and after the speech."""

_FRAME = 80
"""Samples (5 ms) over which level is measured."""
_SPEECH_FLOOR_DB = -45.0
"""Below the loudest frame: weak fricatives of the engine lie above it, its pauses far below."""
_CLOSURE = 1_600
"""Samples (100 ms): a silence up to this belongs to the word, as the closure of a plosive does."""
_PER_MILLISECOND = SAMPLING_RATE // 1000


class UnalignedLine(ValueError):
    """A line whose word events do not say where each of its words starts; the text says why."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SpokenLine:
    """Audio and labels of one line.

    Args:
        samples: int16, shape ``[T]``, 16 kHz; speech with a margin of at most 20 ms around it.
        words: Symbol, start and duration in seconds from the first sample, in whole milliseconds.
    """

    samples: NDArray[np.int16]
    words: tuple[tuple[str, float, float], ...]

    @property
    def text(self) -> str:
        """The words, without punctuation."""
        return " ".join(symbol for symbol, _, _ in self.words)


def spoken_line(text: str, speech: Speech) -> SpokenLine:
    """Turn the engine's samples and events into a trimmed utterance with word times.

    Args:
        text: What the engine was given: words with spaces between, perhaps commas after them.
        speech: What it answered.

    Raises:
        UnalignedLine: If a word has no event of its own, no duration, or there is no speech.
    """
    samples = _resampled(speech)
    active = _active_frames(samples)
    if not active.any():
        raise UnalignedLine("no speech")
    scale = SAMPLING_RATE / speech.sampling_rate
    starts = [round(sample * scale) for sample in word_starts(text, speech.words)]
    spans = [
        _tightened(start, end, active)
        for start, end in zip(starts, [*starts[1:], len(samples)], strict=True)
    ]
    first, last = _speech_span(0, len(samples), active)
    spans[0] = (max(spans[0][0], first), spans[0][1])
    spans[-1] = (spans[-1][0], min(spans[-1][1], last))
    cut = max(0, first - MARGIN)
    kept = samples[cut : last + MARGIN]
    symbols = [_symbol(match) for match in re.finditer(r"\S+", text)]
    words = []
    for symbol, (start, end) in zip(symbols, spans, strict=True):
        begin, stop = (start - cut) // _PER_MILLISECOND, (end - cut) // _PER_MILLISECOND
        if stop <= begin:
            raise UnalignedLine(f"word {symbol!r} has no duration")
        words.append((symbol, begin / 1000, (stop - begin) / 1000))
    return SpokenLine(samples=kept, words=tuple(words))


def word_starts(text: str, events: tuple[tuple[int, int], ...]) -> list[int]:
    """The sample at which each word of the text starts, on the engine's clock.

    Every word needs an event at its first character. Events inside a word are left out: in
    Mandarin the engine reports most syllables by themselves.

    Args:
        text: Words with spaces between.
        events: Character from 0 and sample of each word event.

    Raises:
        UnalignedLine: If the engine merged a word with the one before it, or went backwards.

    >>> word_starts("oh really", ((0, 10), (3, 500)))
    [10, 500]
    """
    sample_at = dict(reversed(events))  # the first event at a place counts
    starts: list[int] = []
    for match in re.finditer(r"\S+", text):
        if match.start() not in sample_at:
            raise UnalignedLine(f"the engine merged {match.group()!r} with the word before it")
        starts.append(sample_at[match.start()])
        if len(starts) > 1 and starts[-1] <= starts[-2]:
            raise UnalignedLine(f"word {match.group()!r} does not start after the word before it")
    return starts


def _symbol(match: re.Match[str]) -> str:
    return match.group().strip(",.?!")


def _resampled(speech: Speech) -> NDArray[np.int16]:
    """Samples at 16 kHz; rational polyphase filtering, so the same bytes every time."""
    engine = np.frombuffer(speech.pcm, dtype="<i2").astype(np.float64)
    if not len(engine):
        return np.zeros(0, dtype=np.int16)
    common = np.gcd(SAMPLING_RATE, speech.sampling_rate)
    up, down = SAMPLING_RATE // common, speech.sampling_rate // common
    limits = np.iinfo(np.int16)
    audio = np.clip(np.rint(resample_poly(engine, up, down)), limits.min, limits.max)
    result: NDArray[np.int16] = audio.astype(np.int16)
    return result


def _active_frames(samples: NDArray[np.int16]) -> NDArray[np.bool_]:
    """Whether each frame is speech, by its level below the loudest frame."""
    padded = np.pad(samples.astype(np.float64), (0, -len(samples) % _FRAME))
    power = np.mean(padded.reshape(-1, _FRAME) ** 2, axis=1)
    if not len(power) or power.max() == 0:
        return np.zeros(len(power), dtype=np.bool_)
    active: NDArray[np.bool_] = power > power.max() * 10 ** (_SPEECH_FLOOR_DB / 10)
    return active


def _speech_span(start: int, end: int, active: NDArray[np.bool_]) -> tuple[int, int]:
    """First and last sample of the active frames between two samples; both the start if none."""
    first = start // _FRAME
    frames = np.flatnonzero(active[first : -(-end // _FRAME)])
    if not len(frames):
        return start, start
    begin, stop = (first + int(frames[0])) * _FRAME, (first + int(frames[-1]) + 1) * _FRAME
    return max(start, begin), min(end, stop)


def _tightened(start: int, end: int, active: NDArray[np.bool_]) -> tuple[int, int]:
    """The span of a word without a silence at either end that is too long for a closure."""
    begin, stop = _speech_span(start, end, active)
    return (
        begin if begin - start > _CLOSURE else start,
        stop if end - stop > _CLOSURE else end,
    )
