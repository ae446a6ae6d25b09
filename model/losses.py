"""Losses as (sum, count), so that their mean is the same over any number of processes and parts.

Shapes: ``B`` batch, ``T`` frames or positions, ``V`` vocabulary, ``U`` units, ``K`` speakers,
``D`` width, ``S`` classes.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import permutations
from typing import NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkover.model.layout import IGNORED

BLANK = 0
"""Class of CTC that stands for no unit."""

MOST_PERMUTED = 5
"""Speakers; the permutation-invariant part looks at all their orders (120)."""


class Loss(NamedTuple):
    """A loss summed over what it counts."""

    total: Tensor
    weight: Tensor
    """How many things it is the sum over."""

    @property
    def mean(self) -> Tensor:
        """Zero where nothing counts."""
        return self.total / self.weight.clamp(min=1)


@dataclass(frozen=True, kw_only=True)
class LossConfig:
    """Options of the losses; their weights belong to the stages of training."""

    label_smoothing: float = 0.0
    """Of the answer's cross-entropy."""
    invariant: float = 0.5
    """Weight of the permutation-invariant part of the activity loss; the rest is in order of
    arrival. Sortformer (arXiv 2409.06656) takes half of each."""
    margin: float = 0.2
    """Radians that speaker classification adds to the angle of the right class (AAM-softmax, Deng
    et al. 2019); 0 is plain cross-entropy of cosines."""
    scale: float = 30.0
    """Factor on the cosines of speaker classification (same source)."""

    def __post_init__(self) -> None:
        """Check the ranges."""
        if not 0 <= self.invariant <= 1:
            raise ValueError(f"invariant must be in [0, 1], got {self.invariant}")
        if not 0 <= self.label_smoothing < 1:
            raise ValueError(f"label_smoothing must be in [0, 1), got {self.label_smoothing}")


def ctc_loss(logits: Tensor, lengths: Tensor, units: Tensor, num_units: Tensor) -> Loss:
    """Negative log-probability of the units under CTC (Graves et al. 2006), counted by units.

    A row whose frames are too few for its units adds nothing to the sum or the count.

    Args:
        logits: ``[B, T, V]``; class `BLANK` is the blank.
        lengths: ``[B]`` frames of each row.
        units: ``[B, U]`` classes from 1.
        num_units: ``[B]``; a row with none is left out.
    """
    fits = (needed_frames(units, num_units) <= lengths) & (num_units > 0)
    if not bool(fits.any()):
        return Loss(logits.sum() * 0.0, num_units.new_zeros(()))
    log_probabilities = logits[fits].float().log_softmax(-1).transpose(0, 1)  # [T, B, V]
    total = functional.ctc_loss(
        log_probabilities,
        units[fits],
        lengths[fits],
        num_units[fits],
        blank=BLANK,
        reduction="sum",
    )
    return Loss(total, num_units[fits].sum())


def needed_frames(units: Tensor, num_units: Tensor) -> Tensor:
    """Fewest frames that can say the units: one each, and a blank between equal neighbours.

    >>> needed_frames(torch.tensor([[4, 4, 5, 0]]), torch.tensor([3])).tolist()
    [4]
    """
    places = torch.arange(1, max(1, units.shape[1]), device=units.device)
    is_inside = places < num_units[:, None]
    repeated = (units[:, 1:] == units[:, :-1]) & is_inside
    return num_units + repeated.sum(1)


def activity_loss(logits: Tensor, activity: Tensor, mask: Tensor, invariant: float) -> Loss:
    """Binary cross-entropy of who speaks in each frame, counted by (frame, speaker).

    Args:
        logits: ``[B, T, K]``.
        activity: ``[B, T, K]``, 0 or 1, speakers in order of arrival.
        mask: ``[B, T]``, frames that count.
        invariant: Share of the loss in which each row may reorder its speakers.
    """
    speakers = logits.shape[2]
    weights = mask[:, :, None, None].float()
    each = functional.binary_cross_entropy_with_logits(
        logits[:, :, :, None].expand(-1, -1, -1, speakers).float(),
        activity[:, :, None, :].expand(-1, -1, speakers, -1).float(),
        reduction="none",
    )
    pairs = (each * weights).sum(1)  # [B, K output, K speaker]
    arrival = pairs.diagonal(dim1=1, dim2=2).sum(1)  # [B]
    total = (1 - invariant) * arrival
    if invariant > 0:
        total = total + invariant * _best_order(pairs)
    return Loss(total.sum(), mask.sum() * speakers)


def _best_order(pairs: Tensor) -> Tensor:
    """Least sum over assignments of outputs to speakers, ``[B]``."""
    speakers = pairs.shape[1]
    if speakers > MOST_PERMUTED:
        raise ValueError(
            f"the permutation-invariant loss takes at most {MOST_PERMUTED} speakers, got "
            f"{speakers}: set losses.invariant to 0"
        )
    orders = torch.tensor(list(permutations(range(speakers))), device=pairs.device)  # [P, K]
    rows = torch.arange(speakers, device=pairs.device)
    return pairs[:, rows, orders].sum(-1).amin(-1)


class SpeakerClassifier(nn.Module):
    """Cosines between voices and classes."""

    def __init__(self, inputs: int, width: int, classes: int) -> None:
        """``width`` is that of the embedding."""
        super().__init__()
        self.embed = nn.Linear(inputs, width)
        self.classes = nn.Parameter(torch.randn(classes, width) / math.sqrt(width))

    def forward(self, voices: Tensor) -> Tensor:
        """``[..., D]`` to cosines ``[..., S]``."""
        embedded = functional.normalize(self.embed(voices), dim=-1)
        return embedded @ functional.normalize(self.classes, dim=-1).T


def speaker_loss(cosines: Tensor, classes: Tensor, margin: float, scale: float) -> Loss:
    """AAM-softmax: cross-entropy of ``scale · cos(angle + margin)`` for the right class.

    Args:
        cosines: ``[N, S]``.
        classes: ``[N]``, `IGNORED` where nobody is known.
        margin: Radians.
        scale: Factor on all cosines.
    """
    known = classes != IGNORED
    cosines, right = cosines[known].float(), classes[known]
    if not len(right):
        return Loss(cosines.sum() * 0.0, known.sum())
    clipped = cosines.clamp(-1 + 1e-6, 1 - 1e-6)
    moved = torch.cos(torch.acos(clipped) + margin)
    is_right = functional.one_hot(right, cosines.shape[1]).bool()
    logits = scale * torch.where(is_right, moved, clipped)
    return Loss(functional.cross_entropy(logits, right, reduction="sum"), known.sum())
