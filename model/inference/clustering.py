"""Who of one piece is who of another, decided over the whole recording at once.

The two groups whose voices are most alike (`talkover.model.inference.likeness`) become one, until
none are alike enough, or until there are as many as there are speakers. Speakers that a model told
apart inside one piece are different people and never end up in one group.

Shapes: ``N`` voices, ``D`` width.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from talkover.model.inference.likeness import Cosine, Likeness

Voices = NDArray[np.float64]
"""``[N, D]``."""


def cluster(
    voices: Voices,
    pieces: Sequence[int],
    weights: Sequence[float] | None = None,
    *,
    least: float,
    num_speakers: int | None = None,
    likeness: Likeness | None = None,
) -> list[int]:
    """A speaker for every voice, numbered by first appearance.

    Args:
        voices: ``[N, D]`` of any length but 0.
        pieces: Piece of each voice; voices of one piece are different people.
        weights: Of each voice, such as its seconds of speech; None for equal ones.
        least: Likeness from which two groups are one.
        num_speakers: How many there are, if that is known. There may be more where one piece alone
            has more, or fewer where there are not so many voices.
        likeness: How groups are compared; None for their mean cosine.

    >>> cluster(np.array([[1.0, 0.0], [0.0, 1.0], [0.9, 0.1]]), [0, 0, 1], least=0.5)
    [0, 1, 0]
    """
    count = len(voices)
    if count == 0:
        return []
    likeness = likeness or Cosine()
    weight = np.ones(count) if weights is None else np.maximum(np.asarray(weights, float), 1e-6)
    mass, total = weight.copy(), likeness.prepared(voices) * weight[:, None]
    place = np.asarray(pieces)
    barred = place[:, None] == place[None, :]
    groups = np.arange(count)
    alike = np.stack([likeness.row(total, mass, one) for one in range(count)])
    alike = np.where(barred, -np.inf, alike)
    left = count
    while left > max(1, num_speakers or 1):
        one, two = sorted(divmod(int(np.argmax(alike)), count))
        found = alike[one, two]
        if found == -np.inf or (num_speakers is None and found < least):
            break
        groups[groups == two] = one
        total[one] += total[two]
        mass[one] += mass[two]
        barred[one] |= barred[two]
        barred[:, one] |= barred[:, two]
        alike[two] = alike[:, two] = -np.inf
        gone = ~np.isin(np.arange(count), groups)
        row = np.where(barred[one] | gone, -np.inf, likeness.row(total, mass, one))
        row[one] = -np.inf
        alike[one] = alike[:, one] = row
        left -= 1
    order = {group: number for number, group in enumerate(dict.fromkeys(groups.tolist()))}
    return [order[group] for group in groups.tolist()]


def calibrated(voices: Voices, speakers: Sequence[str]) -> tuple[float, float]:
    """The cosine that best tells pairs of one speaker from pairs of two, and its error.

    Args:
        voices: ``[N, D]``.
        speakers: Of each voice.

    Returns:
        Cosine and the mean of the two shares of wrong pairs: of one speaker held apart, of two held
        to be one.

    Raises:
        ValueError: If there are not both kinds of pairs.
    """
    unit = voices / np.linalg.norm(voices, axis=1, keepdims=True)
    name = np.asarray(speakers)
    first, second = np.triu_indices(len(unit), 1)
    cosines = (unit[first] * unit[second]).sum(1)
    is_same = name[first] == name[second]
    if is_same.all() or not is_same.any():
        raise ValueError("calibration needs pairs of one speaker and pairs of two")
    order = np.argsort(cosines)
    sorted_same = is_same[order]
    missed = np.concatenate([[0], np.cumsum(sorted_same)]) / is_same.sum()
    joined = 1 - np.concatenate([[0], np.cumsum(~sorted_same)]) / (~is_same).sum()
    best = int(np.argmin(missed + joined))
    edges = np.concatenate([[-1.0], cosines[order], [1.0]])
    return float((edges[best] + edges[best + 1]) / 2), float((missed + joined)[best] / 2)
