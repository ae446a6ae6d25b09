r"""Where speech is in an utterance, from its energy: leading and trailing silence, pauses, level.

A coarse pass over frames of 10 ms finds what rises above the noise, with two thresholds (a region
must somewhere pass the upper one and reaches as far as the lower one); a fine pass moves each edge
to the millisecond in which the wave itself passes the lower one.

::

    level      ____/^^^\__/^\________   upper: opens a region
          ____/             \______   lower: how far it reaches
         |onset             |end

Shapes: ``T`` samples, ``N`` regions.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from functools import cache

import numpy as np
from numpy.typing import NDArray
from scipy.signal import butter, sosfiltfilt

from talkover.manifests.schema import PAUSE_JOIN

SampledWord = tuple[str, int, int]
"""Symbol, first sample and number of samples."""

FRAME = 0.010
"""Seconds; short against any speech sound, long against a pitch period's fine structure."""
STEP = 0.001
"""Seconds; the precision of an edge."""
FLOOR_WINDOW = 0.050
"""Seconds; the quietest stretch of this length is the noise floor (closures last as long)."""
DIGITAL_SILENCE = -90.0
"""dBFS; quieter than the last bit of 16, so it is padding and says nothing about the noise."""
LOWER_BELOW_TOP = 38.0
"""dB below the loudest frames at which speech ends; weak fricatives lie some 30 dB below vowels."""
UPPER_BELOW_TOP = 26.0
"""dB below the loudest frames that a region must somewhere reach."""
LOWER_ABOVE_FLOOR = 9.0
"""dB; frames of steady noise stay within this of its quietest 50 ms…"""
UPPER_ABOVE_FLOOR = 15.0
"""dB; …and what passes this is not steady."""
LEAST_RANGE = 12.0
"""dB between floor and top under which there is no silence to measure the noise in."""
SHORTEST_REGION = 0.030
"""Seconds; anything shorter is a click."""
HUM_CORNER = 80.0
"""Hz; above the mains, below most of the energy of any voice."""
HUM_GAIN = 6.0
"""dB by which taking hum away must lower the floor before it is done."""
WORD_TOLERANCE = 0.020
"""Seconds by which words may begin before or end after measured speech."""
SHORTEST_WORD = 0.020
"""Seconds that clipping must leave of a word; otherwise its times are kept as they came."""

_TINY = 1e-12  # power of -120 dBFS, so that digital silence has a level


@dataclass(frozen=True, kw_only=True, slots=True)
class Activity:
    """What was measured of one utterance."""

    regions: NDArray[np.int64]
    """First sample and end of each stretch of speech, ``[N, 2]``, N ≥ 1, gaps ≥ `PAUSE_JOIN`."""
    level_dbfs: float
    """RMS over the frames that are speech."""
    peak_dbfs: float
    """Largest sample."""
    noise_floor_dbfs: float
    """RMS of the quietest stretch; no better than -120."""

    @property
    def onset(self) -> int:
        """First sample of speech."""
        return int(self.regions[0, 0])

    @property
    def end(self) -> int:
        """Sample after the last of speech."""
        return int(self.regions[-1, 1])


def measure_activity(samples: NDArray[np.float32], sampling_rate: int) -> Activity:
    """Regions of speech, levels and noise floor of one utterance.

    Args:
        samples: ``[T]``, full scale at 1.0, longer than one frame and not constant.
        sampling_rate: In Hz.

    Raises:
        ValueError: If the samples are fewer than one frame.
    """
    frame = round(FRAME * sampling_rate)
    if len(samples) < frame:
        raise ValueError(f"need at least {frame} samples (one frame), got {len(samples)}")
    plain = samples - np.float32(_offset(samples, frame))
    plain_levels = _frame_levels(plain, frame)
    wave, levels = _without_hum(plain, plain_levels, sampling_rate, frame)
    lower, upper, floor = _thresholds(levels)
    active = levels >= lower
    edges = [
        _refine(wave, first * frame, end * frame, lower, frame, round(STEP * sampling_rate))
        for first, end in _runs(active)
        if levels[first:end].max() >= upper
    ]
    long_enough = [e for e in edges if e[1] - e[0] >= SHORTEST_REGION * sampling_rate]
    regions = join_regions(long_enough or edges, sampling_rate)
    inside = np.zeros(len(levels), dtype=bool)
    for start, end in regions:
        inside[start // frame : -(-end // frame)] = True
    power = np.mean(10 ** (plain_levels[active & inside] / 10))
    return Activity(
        regions=regions,
        level_dbfs=float(10 * np.log10(power)),
        peak_dbfs=float(20 * np.log10(max(float(np.abs(samples).max()), _TINY))),
        noise_floor_dbfs=float(floor),
    )


def join_regions(
    regions: Sequence[tuple[int, int]], sampling_rate: int, pause: float = PAUSE_JOIN
) -> NDArray[np.int64]:
    """Regions joined over every gap shorter than a pause.

    Args:
        regions: First sample and end, sorted by start.
        sampling_rate: In Hz.
        pause: In seconds.

    Returns:
        ``[N, 2]``.

    >>> join_regions([(0, 800), (900, 1000), (2000, 2400)], 1000).tolist()
    [[0, 1000], [2000, 2400]]
    """
    shortest = round(pause * sampling_rate)
    joined: list[list[int]] = []
    for start, end in regions:
        if joined and start - joined[-1][1] < shortest:
            joined[-1][1] = max(joined[-1][1], end)
        else:
            joined.append([start, end])
    return np.array(joined, dtype=np.int64).reshape(-1, 2)


def fit_words(
    words: Sequence[SampledWord], activity: Activity, sampling_rate: int
) -> tuple[SampledWord, ...]:
    """Words whose first does not begin before, and whose last does not end after, the speech.

    Aligners let the outer words reach into silence. Times between words are left alone, and so
    is a word of which clipping would leave less than `SHORTEST_WORD`: it is wrong in another way.

    Args:
        words: Sorted by start; at least one.
        activity: Measured on the same samples.
        sampling_rate: In Hz.
    """
    tolerance = round(WORD_TOLERANCE * sampling_rate)
    shortest = round(SHORTEST_WORD * sampling_rate)
    earliest, latest = activity.onset - tolerance, activity.end + tolerance
    fitted = []
    for place, (symbol, start, length) in enumerate(words):
        first, end = start, start + length
        if place == 0:
            first = max(first, earliest)
        if place == len(words) - 1:
            end = min(end, latest)
        if end - first < min(shortest, length):
            first, end = start, start + length
        fitted.append((symbol, first, end - first))
    return tuple(fitted)


def regions_of(
    words: Sequence[SampledWord] | None, activity: Activity, sampling_rate: int
) -> NDArray[np.int64]:
    """Speech regions of an utterance: words rule where their times are known.

    Args:
        words: As `fit_words` gives them; None or empty if no times are known.
        activity: Measured on the same samples.
        sampling_rate: In Hz.

    Returns:
        ``[N, 2]``: runs of words joined over gaps under `PAUSE_JOIN`, or the measured regions.
    """
    if not words:
        return activity.regions
    return join_regions([(start, start + length) for _, start, length in words], sampling_rate)


def _offset(samples: NDArray[np.float32], frame: int) -> float:
    """Where the wave rests: the middle one of the means of the frames in which it moves least."""
    whole = samples[: len(samples) // frame * frame].reshape(-1, frame)
    means = np.einsum("nt->n", whole).astype(np.float64) / frame
    moving = np.einsum("nt,nt->n", whole, whole).astype(np.float64) / frame - means**2
    few = np.argsort(moving, kind="stable")[: round(FLOOR_WINDOW / FRAME)]
    return float(np.median(means[few]))


def _without_hum(
    wave: NDArray[np.float32], levels: NDArray[np.float64], sampling_rate: int, frame: int
) -> tuple[NDArray[np.float32], NDArray[np.float64]]:
    """The wave without low frequencies, if its noise floor consists of them, and its levels."""
    floor = _floor(levels)
    if floor + LOWER_ABOVE_FLOOR <= _top(levels) - LOWER_BELOW_TOP:
        return wave, levels  # so quiet that the floor decides nothing
    margin = round(FLOOR_WINDOW * sampling_rate)  # so that the ends show no step
    padding = min(margin, len(wave) - 1)
    filtered = sosfiltfilt(_high_pass(sampling_rate), wave, padlen=padding).astype(np.float32)
    without = _frame_levels(filtered, frame)
    # In the same stretch: the filter rings into digital silence, which would look quieter still.
    gain = floor - _mean_level(without[_quietest(levels)])
    return (filtered, without) if gain > HUM_GAIN else (wave, levels)


@cache
def _high_pass(sampling_rate: int) -> NDArray[np.float64]:
    return np.asarray(butter(4, HUM_CORNER, "highpass", fs=sampling_rate, output="sos"))


def _frame_levels(wave: NDArray[np.float32], frame: int) -> NDArray[np.float64]:
    """Level of each frame in dBFS; the last, shorter one is measured over what there is."""
    whole = len(wave) // frame
    frames = wave[: whole * frame].reshape(whole, frame)
    power = np.einsum("nt,nt->n", frames, frames).astype(np.float64) / frame
    if len(rest := wave[whole * frame :]):
        power = np.append(power, float(rest @ rest) / len(rest))
    return np.asarray(10 * np.log10(power + _TINY))


def _floor(levels: NDArray[np.float64]) -> float:
    """Level of the quietest stretch."""
    return _mean_level(levels[_quietest(levels)])


def _quietest(levels: NDArray[np.float64]) -> slice:
    """Frames of the quietest stretch without digital silence; of all if there is none."""
    width = min(round(FLOOR_WINDOW / FRAME), len(levels))
    means = np.convolve(10 ** (levels / 10), np.ones(width) / width, mode="valid")
    silent = np.convolve(levels < DIGITAL_SILENCE, np.ones(width), mode="valid") > 0.5
    if not silent.all():
        means[silent] = np.inf
    first = int(np.argmin(means))
    return slice(first, first + width)


def _mean_level(levels: NDArray[np.float64]) -> float:
    return float(10 * np.log10(np.mean(10 ** (levels / 10))))


def _thresholds(levels: NDArray[np.float64]) -> tuple[float, float, float]:
    """Lower and upper threshold and noise floor, in dBFS."""
    top = _top(levels)
    floor = _floor(levels)
    lower, upper = top - LOWER_BELOW_TOP, top - UPPER_BELOW_TOP
    room = top - floor
    if room >= LEAST_RANGE:
        lower = max(lower, floor + min(LOWER_ABOVE_FLOOR, room / 3))
        upper = max(upper, floor + min(UPPER_ABOVE_FLOOR, room / 2))
    else:
        floor = min(floor, float(levels.min()))
    return max(lower, DIGITAL_SILENCE), max(upper, DIGITAL_SILENCE), floor


def _top(levels: NDArray[np.float64]) -> float:
    """Level of the loudest 50 ms, so that a click alone does not count as speech."""
    width = min(round(FLOOR_WINDOW / FRAME), len(levels))
    means = np.convolve(10 ** (levels / 10), np.ones(width) / width, mode="valid")
    return float(10 * np.log10(means.max()))


def _runs(active: NDArray[np.bool_]) -> list[tuple[int, int]]:
    """First frame and end of each run of true values."""
    steps = np.diff(np.concatenate(([False], active, [False])).astype(np.int8))
    starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1)
    return [(int(a), int(b)) for a, b in zip(starts, ends, strict=True)]


def _refine(
    wave: NDArray[np.float32], start: int, end: int, threshold: float, frame: int, step: int
) -> tuple[int, int]:
    """Edges moved to the first and last step whose level passes the threshold.

    Looked for from one frame outside to one frame inside each coarse edge; an edge where nothing
    passes stays where it is.
    """
    begin, close = max(0, start - frame), max(0, end - frame)
    head = np.flatnonzero(_frame_levels(wave[begin : start + frame], step) >= threshold)
    tail = np.flatnonzero(_frame_levels(wave[close : end + frame], step) >= threshold)
    first = begin + int(head[0]) * step if len(head) else start
    last = close + (int(tail[-1]) + 1) * step if len(tail) else end
    return first, min(last, len(wave))
