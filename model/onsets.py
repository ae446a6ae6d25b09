"""Words at their onsets: which begins in a frame, how long it lasts, and finding them again.

The head of CTC is taught by the frame: a unit sounds in the frames at its onset, the blank in all
others (`onset_loss`). What CTC alone finds after hundreds of updates is there from the first, its
peaks stand where words begin, and reading them gives words in the order of their starts, which is
that of the text.

Shapes: ``B`` batch, ``T`` frames, ``U`` units, ``W`` words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor
from torch.nn import functional

from talkover.model.layout import IGNORED
from talkover.model.losses import BLANK, Loss

PEAK = 0.12
"""Seconds for which a unit sounds at its onset: three frames of 40 ms."""

LEAST_SUM = 1 / 3
"""Of what a unit's probabilities can sum up to over its frames, from which it is found."""

TYPICAL = 0.6
"""Seconds of a word, where the head of durations begins."""


@dataclass(frozen=True, kw_only=True)
class Unit:
    """A unit of speech (a word, or a piece of one) with its time."""

    start: float
    """Seconds."""
    end: float
    kind: int
    """Class of CTC; `BLANK` where the word is not known."""


def onset_targets(units: Sequence[Unit], frames: int, rate: float) -> tuple[list[int], list[float]]:
    """Class and duration of every frame of a recording.

    Args:
        units: In order of their starts; a later one takes a frame from an earlier.
        frames: ``T``.
        rate: Frames a second.

    Returns:
        ``[T]`` classes, and ``[T]`` seconds that the unit which begins there lasts, 0 elsewhere.
    """
    classes, durations = [BLANK] * frames, [0.0] * frames
    width = max(1, round(PEAK * rate))
    for unit in units:
        first = min(frames - 1, max(0, round(unit.start * rate)))
        for place in range(first, min(frames, first + width)):
            classes[place], durations[place] = unit.kind, unit.end - unit.start
    return classes, durations


def onset_loss(logits: Tensor, targets: Tensor) -> Loss:
    """Cross-entropy of each frame, counted by frames.

    Args:
        logits: ``[B, T, 1 + U]``.
        targets: ``[B, T]``, `IGNORED` where words are not known.
    """
    total = functional.cross_entropy(
        logits.flatten(0, 1).float(), targets.flatten(), ignore_index=IGNORED, reduction="sum"
    )
    return Loss(total, (targets != IGNORED).sum())


def duration_loss(logarithms: Tensor, durations: Tensor) -> Loss:
    """Absolute error of the duration at onsets, in seconds, counted by frames.

    Args:
        logarithms: ``[B, T]`` of the seconds, over `TYPICAL`.
        durations: ``[B, T]`` seconds; 0 where nothing begins.
    """
    begins = durations > 0
    errors = (seconds_of(logarithms) - durations).abs() * begins
    return Loss(errors.sum(), begins.sum())


def seconds_of(logarithms: Tensor) -> Tensor:
    """What the head of durations says, in seconds."""
    return TYPICAL * logarithms.float().clamp(-4, 4).exp()


@dataclass(frozen=True, kw_only=True)
class Found:
    """A unit that was found, and the first of its frames."""

    unit: Unit
    frame: int


@torch.no_grad()
def find_units(
    logits: Tensor, logarithms: Tensor, lengths: Tensor, rate: float
) -> list[list[Found]]:
    """Units of each recording: peaks of the probability that a unit begins.

    A unit's sum over the frames for which it sounds must be a third of the most that it can be.
    Where two peaks share a frame the lower is left out: one word taken for either of two, more
    often than two words at once.

    Args:
        logits: ``[B, T, 1 + U]``.
        logarithms: ``[B, T]``; see `duration_loss`.
        lengths: ``[B]`` frames of each recording.
        rate: Frames a second.
    """
    likely = logits.float().softmax(-1).cpu().numpy()
    seconds = seconds_of(logarithms).cpu().numpy()
    width = max(1, round(PEAK * rate))
    found: list[list[Found]] = []
    for row, length in enumerate(lengths.tolist()):
        units = []
        for first, kind in _peaks(likely[row, :length], width):
            weights = likely[row, first : min(first + width, length), kind]
            lasts = float(weights @ seconds[row, first : first + len(weights)] / weights.sum())
            start = first / rate
            end = max(start + 1 / rate, min(length / rate, start + lasts))
            units.append(Found(unit=Unit(start=start, end=end, kind=kind), frame=first))
        found.append(units)
    return found


def _peaks(likely: NDArray[np.float32], width: int) -> list[tuple[int, int]]:
    """First frame and class of each unit, in order of the frames; ``[T, 1 + U]`` probabilities."""
    sounding = likely.copy()
    sounding[:, BLANK] = 0.0
    sums = sounding.copy()
    for step in range(1, width):
        sums[:-step] += sounding[step:]
    frames, kinds = np.nonzero(sums >= LEAST_SUM * width)
    order = np.lexsort((kinds, frames, -sums[frames, kinds]))
    kept: list[tuple[int, int]] = []
    for frame, kind in zip(frames[order].tolist(), kinds[order].tolist(), strict=True):
        if all(abs(frame - other) >= width + (kind == same) for other, same in kept):
            kept.append((frame, kind))
    return sorted(kept)
