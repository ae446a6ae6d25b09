"""Known voices: a name for a person of a recording, or none.

A name needs enough similarity *and* a margin over the next name; whoever has neither stays unknown.
No two people of a recording get one name.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from talkover.annotate.clustering import Vectors, normalised


@dataclass(frozen=True, kw_only=True, slots=True)
class Enrolment:
    """What it takes to be recognised; calibrated for an embedder by `calibrate`."""

    similarity: float
    """Least cosine to the enrolled voice."""
    margin: float = 0.05
    """Least cosine over the next enrolled voice."""
    shortness: float = 0.0
    """How much less cosine one second of speech needs; of more it is this over the seconds. A short
    stretch is less like any voice, the right one and the wrong ones."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Recognised:
    """A person's name, None for somebody unknown, and the cosine behind it."""

    name: str | None
    similarity: float


def recognise(
    people: Vectors,
    names: Sequence[str],
    voices: Vectors,
    enrolment: Enrolment,
    seconds: NDArray[np.floating] | None = None,
) -> list[Recognised]:
    """A name or none for each person of a recording.

    Args:
        people: Mean embedding of each person, shape ``[K, D]``.
        names: Of the enrolled voices.
        voices: Embeddings of the enrolled voices, shape ``[V, D]``.
        enrolment: Threshold and margin.
        seconds: Speech behind each person's embedding, shape ``[K]``; None for plenty.

    Raises:
        ValueError: If there are not as many names as voices, or a name is there twice.
    """
    if len(names) != len(voices) or len(set(names)) != len(names):
        raise ValueError(f"{len(voices)} voices need as many names, each once, got {list(names)}")
    if len(names) == 0 or len(people) == 0:
        return [Recognised(name=None, similarity=0.0) for _ in people]
    cosine = normalised(people) @ normalised(voices).T  # [K, V]
    less = 0.0 if seconds is None else enrolment.shortness / np.asarray(seconds)[:, None]
    sure = _is_sure(cosine + less, enrolment)
    score = np.where(sure, cosine, -2.0)  # a pair that is not sure is worth less than none
    padded = np.concatenate([score, np.full((len(people), len(people)), -1.5)], axis=1)
    chosen = linear_sum_assignment(-padded)[1]
    return [
        Recognised(
            name=names[column] if column < len(names) and sure[k, column] else None,
            similarity=round(float(cosine[k].max()), 6),
        )
        for k, column in enumerate(chosen)
    ]


def _is_sure(cosine: NDArray[np.float64], enrolment: Enrolment) -> NDArray[np.bool_]:
    """Pairs that have the similarity and the margin, shape ``[K, V]``."""
    if cosine.shape[1] == 1:
        runner_up = np.full(cosine.shape, -1.0)
    else:
        top = np.sort(cosine, axis=1)[:, ::-1]
        is_top = cosine >= top[:, :1]
        runner_up = np.where(is_top, top[:, 1:2], top[:, :1])
    return np.asarray((cosine >= enrolment.similarity) & (cosine - runner_up >= enrolment.margin))


def calibrate(
    impostors: NDArray[np.float64], *, false_accepts: float = 0.05, margin: float = 0.05
) -> Enrolment:
    """The lowest threshold at which so many unknown people at most would get a name.

    Args:
        impostors: Highest cosine of each unknown person to any enrolled voice, shape ``[N]``.
        false_accepts: Share of them that may be taken for somebody.
        margin: As of `Enrolment`.

    Raises:
        ValueError: If there is no impostor, or the share is not in [0, 1).
    """
    if len(impostors) == 0 or not 0 <= false_accepts < 1:
        raise ValueError("calibration needs impostors and 0 <= false_accepts < 1")
    ordered = np.sort(impostors)[::-1]
    allowed = int(false_accepts * len(ordered))
    return Enrolment(similarity=float(np.nextafter(ordered[allowed], 2.0)), margin=margin)
