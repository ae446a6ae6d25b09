"""Which of many proposed stretches are claimed to be sound events.

Each proposal has a few figures: how likely its kind and every other is inside it and just outside,
how sharply sounds begin and end at its edges and within it, how long it is, what else is heard. A
logistic model of these and their squares, fitted on sessions whose truth is known, makes of them
the probability that the proposal would count as found. The surest are claimed first; one of the
same kind that overlaps a claimed one, or of another kind at by and large the same time, is not.

Legend: ``P`` proposal, ``F`` figure, ``K`` kind, ``N`` frame.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import numpy as np

from talkover.annotate.sounds.proposals import Proposal, SoundCurves, Values, propose, steps

FIGURES = (
    "kind",
    "best_other",
    "kind_before",
    "kind_after",
    "any_sound",
    "any_sound_before",
    "any_sound_after",
    "rise",
    "fall",
    "slow_rise",
    "slow_fall",
    "kind_low",
    "kind_high",
    "log_frames",
    "speech",
    "music",
    "noise",
    "onset",
    "onset_inside",
    "offset",
    "offset_inside",
)
"""Names of a proposal's figures, besides which kind it is."""
AROUND = 3
"""Frames before and after a proposal that are looked at."""
LARGEST = 6.0
"""Logit beyond which a frame says no more."""
SLOW = 4
"""Frames on each side of a slow step."""
LOW = 0.2
"""Quantile."""
SAME_TIME = 0.5
"""Common time over all time of two claims from which they are one sound with two names."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Claim:
    """A sound event that is claimed, in frames."""

    kind: int
    start: int
    end: int
    confidence: float
    """Probability that it counts as found."""


@dataclass(frozen=True, kw_only=True, eq=False)
class Scorer:
    """The logistic model.

    Raises:
        ValueError: If the sizes do not fit.
    """

    kinds: tuple[str, ...]
    """Labels, in the order of the curves."""
    weights: Values
    """Of each figure, of its square, then of each kind, ``[2 F + K]``; per unit of the figure."""
    bias: float
    least: float
    """Probability from which a proposal may be claimed."""

    def __post_init__(self) -> None:
        """Check the sizes."""
        if len(self.weights) != 2 * len(FIGURES) + len(self.kinds):
            raise ValueError(
                f"needs {2 * len(FIGURES)} weights and one of each kind, got {len(self.weights)}"
            )

    @staticmethod
    def of(settings: Mapping[str, Any]) -> Scorer:
        """From what `as_dict` gave.

        Raises:
            ValueError: If it was made for other figures.
        """
        if tuple(settings["figures"]) != FIGURES:
            raise ValueError("the scorer of sound events was made for other figures")
        return Scorer(
            kinds=tuple(settings["kinds"]),
            weights=np.array(settings["weights"], dtype=np.float64),
            bias=float(settings["bias"]),
            least=float(settings["least"]),
        )

    def as_dict(self) -> dict[str, Any]:
        """For `model.json`."""
        return {
            "kinds": list(self.kinds),
            "figures": list(FIGURES),
            "weights": [round(float(value), 6) for value in self.weights],
            "bias": round(self.bias, 6),
            "least": self.least,
        }

    def probabilities(self, figures: Values) -> Values:
        """Of each proposal, ``[P]``.

        Args:
            figures: ``[P, F + K]``.
        """
        return np.asarray(1 / (1 + np.exp(-(with_squares(figures) @ self.weights + self.bias))))


def with_squares(figures: Values) -> Values:
    """What the logistic model hears: an event may be too long as well as too short.

    Args:
        figures: ``[P, F + K]``.

    Returns:
        ``[P, 2 F + K]``.
    """
    count = len(FIGURES)
    own, kinds = figures[:, :count], figures[:, count:]
    return np.concatenate([own, own**2, kinds], axis=1)


def figures_of(curves: SoundCurves, proposals: Sequence[Proposal]) -> Values:
    """Figures of each proposal, then which kind it is, ``[P, F + K]``.

    Args:
        curves: What was heard.
        proposals: Within it.
    """
    kinds = curves.kinds.shape[1]
    if not proposals:
        return np.zeros((0, len(FIGURES) + kinds))
    clipped = np.clip(curves.kinds, -LARGEST, LARGEST)
    any_sound = np.clip(curves.any_sound, -LARGEST, LARGEST)
    quick = np.append(steps(curves.any_sound), 0.0)
    slow = np.append(steps(curves.any_sound, SLOW), 0.0)
    onsets, offsets = (np.append(np.clip(e, -LARGEST, LARGEST), -LARGEST)
                       for e in (curves.onsets, curves.offsets))  # fmt: skip
    rows = []
    for kind, start, end in proposals:
        inside = clipped[start:end]
        means = inside.mean(axis=0)
        rows.append(
            (
                means[kind],
                np.delete(means, kind).max(initial=-LARGEST),
                _mean(clipped[max(0, start - AROUND) : start, kind]),
                _mean(clipped[end : end + AROUND, kind]),
                any_sound[start:end].mean(),
                _mean(any_sound[max(0, start - AROUND) : start]),
                _mean(any_sound[end : end + AROUND]),
                quick[start],
                -quick[end],
                slow[start],
                -slow[end],
                np.quantile(inside[:, kind], LOW),
                inside[:, kind].max(),
                np.log(end - start),
                *curves.activities[start:end].mean(axis=0),
                onsets[max(0, start - 1) : start + 1].max(),
                onsets[start + 2 : end - 1].max(initial=-LARGEST),
                offsets[end - 1 : end + 1].max(),
                offsets[start + 1 : end - 2].max(initial=-LARGEST),
            )
        )
    which = np.array([p.kind for p in proposals])[:, None] == np.arange(kinds)
    return np.concatenate([np.array(rows, dtype=np.float64), which], axis=1)


def _mean(values: Values) -> float:
    """As of deep silence, where there is nothing before or after."""
    return float(values.mean()) if len(values) else -LARGEST


def claim(curves: SoundCurves, scorer: Scorer) -> list[Claim]:
    """Sound events of a recording, by start.

    Args:
        curves: What was heard.
        scorer: Fitted for the kinds of these curves.
    """
    proposals = propose(curves)
    return choose(proposals, scorer.probabilities(figures_of(curves, proposals)), scorer.least)


def choose(proposals: Sequence[Proposal], probabilities: Values, least: float) -> list[Claim]:
    """The surest proposals of which no two are one sound, by start.

    Args:
        proposals: Sorted, for the sake of those that are equally sure.
        probabilities: Of each, ``[P]``.
        least: Those under it are not claimed.

    >>> three = [Proposal(0, 2, 9), Proposal(0, 3, 8), Proposal(1, 3, 9)]
    >>> [(one.start, one.end) for one in choose(three, np.array([0.6, 0.9, 0.8]), 0.5)]
    [(3, 8)]
    """
    order = np.argsort(-probabilities, kind="stable")
    order = order[probabilities[order] >= least]
    spans = np.array([proposals[i] for i in order], dtype=np.int64).reshape(-1, 3)
    kept = np.zeros(len(order), dtype=np.bool_)
    for row, (kind, start, end) in enumerate(spans):
        surer = spans[:row][kept[:row]]
        common = np.minimum(surer[:, 2], end) - np.maximum(surer[:, 1], start)
        together = np.maximum(surer[:, 2], end) - np.minimum(surer[:, 1], start)
        clash = (common > 0) & ((surer[:, 0] == kind) | (common >= SAME_TIME * together))
        kept[row] = not clash.any()
    claims = [
        Claim(kind=int(k), start=int(s), end=int(e), confidence=float(probabilities[i]))
        for i, (k, s, e), stays in zip(order, spans, kept, strict=True)
        if stays
    ]
    return sorted(claims, key=lambda one: (one.start, one.end, one.kind))
