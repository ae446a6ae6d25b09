"""Words at their onsets: which begins in a frame, how long it lasts, and finding them again.

The head of CTC is taught by the frame: a unit sounds in the frames at its onset, the blank in all
others (`onset_loss`). What CTC alone finds after hundreds of updates is there from the first, its
peaks stand where words begin, and greedy reading gives words in the order of their starts, which is
that of the text.

Shapes: ``B`` batch, ``T`` frames, ``U`` units, ``W`` words.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor
from torch.nn import functional

from talkover.model.layout import IGNORED
from talkover.model.losses import BLANK, Loss

PEAK = 0.12
"""Seconds for which a unit sounds at its onset: three frames of 40 ms."""

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
    """Units of each recording by greedy reading: runs of frames with the same likeliest unit.

    Args:
        logits: ``[B, T, 1 + U]``.
        logarithms: ``[B, T]``; see `duration_loss`.
        lengths: ``[B]`` frames of each recording.
        rate: Frames a second.
    """
    best = logits.argmax(-1).cpu().numpy()
    seconds = seconds_of(logarithms).cpu().numpy()
    found: list[list[Found]] = []
    for row, length in enumerate(lengths.tolist()):
        classes = best[row, :length]
        edges = np.flatnonzero(np.diff(np.concatenate([[BLANK], classes]))).tolist()
        units = []
        for first, last in pairwise([*edges, length]):
            if classes[first] == BLANK:
                continue
            start = first / rate
            end = min(length / rate, start + float(seconds[row, first:last].mean()))
            unit = Unit(start=start, end=max(end, start + 1 / rate), kind=int(classes[first]))
            units.append(Found(unit=unit, frame=first))
        found.append(units)
    return found
