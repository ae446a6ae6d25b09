"""Which voices are the same person: average linkage that knows who cannot be.

Local speakers of one window are different people (they were told apart by their overlap or their
turns), so they never end up together unless a given number of
speakers leaves no other way. A long recording is clustered in blocks, and the blocks'
clusters are then clustered by the same rule, so memory grows with the speakers of a block, not with
the square of the recording.

Legend: ``N`` voice (a local speaker of a window), ``D`` embedding, ``K`` person.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from talkover.annotate.speaker_count import SpeakerCount

Vectors = NDArray[np.float64]  # [N, D]
Labels = NDArray[np.int64]  # [N]

DEFAULT_SIMILARITY = 0.3
"""Mean cosine between two groups of windows at which they are one person: best on real telephone
speech with windows of a second or more (2 people, 30 and 120 s); depends on the embedder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusteringConfig:
    """When two voices are one person.

    Raises:
        ValueError: If the share is not in [0, 1).
    """

    similarity: float = DEFAULT_SIMILARITY
    """Least mean cosine of a merge."""
    speakers: SpeakerCount = field(default_factory=SpeakerCount)
    """How many people there are, where somebody knows."""
    smallest_share: float = 0.0
    """People with less than this share of the clean speech of all are taken for noise of the
    clustering, and their voices given to the others, if that leaves enough people."""

    def __post_init__(self) -> None:
        """Check the share."""
        if not 0 <= self.smallest_share < 1:
            raise ValueError(f"smallest_share must be in [0, 1), got {self.smallest_share}")


def cluster_recording(
    embeddings: Vectors,
    windows: Sequence[int],
    seconds: Sequence[float],
    config: ClusteringConfig,
    *,
    blocks: Sequence[int] | None = None,
    linked: Sequence[int] | None = None,
) -> Labels:
    """A person for every voice, numbered by first appearance.

    Args:
        embeddings: One a voice, any length but 0, shape ``[N, D]``.
        windows: The window of each voice; voices of one window are different people.
        seconds: Clean speech behind each embedding, its weight; more than 0.
        config: Similarity and numbers of speakers.
        blocks: The block of each voice, in order; None for one block.
        linked: The track of each voice; voices of one track and block are known to be one person.

    Returns:
        Labels from 0, shape ``[N]``.
    """
    if len(embeddings) == 0:
        return np.zeros(0, dtype=np.int64)
    unit = normalised(embeddings)
    weight = np.asarray(seconds, dtype=np.float64)
    window = np.asarray(windows)
    block = np.zeros(len(unit), dtype=np.int64) if blocks is None else np.asarray(blocks)
    track = np.arange(len(unit)) if linked is None else np.asarray(linked)
    # A track ends with its block; its voices are one item, a vector of length 1 times their weight.
    item = np.asarray(
        np.unique(np.stack([block, track]), axis=1, return_inverse=True)[1], dtype=np.int64
    ).ravel()
    sums, weights = _sums(unit, weight, item)
    sums = normalised(sums) * weights[:, None]
    people = _people(sums, weights, item, window, block, config)
    people = _without_the_smallest(people, sums, weights, config)
    return _by_appearance(people[item])


def _people(
    sums: Vectors,
    weights: NDArray[np.float64],
    item: Labels,
    window: NDArray[np.int64],
    block: NDArray[np.int64],
    config: ClusteringConfig,
) -> Labels:
    """People of the items: at once in one block, else of each block and then of the blocks."""
    blocks = np.unique(block)
    # A block may lack people: only the least number binds it, since it must leave enough.
    least = SpeakerCount(least=config.speakers.limits[0])
    inside = config.speakers if len(blocks) == 1 else least
    local = np.zeros(len(sums), dtype=np.int64)
    known: list[int] = []
    for one in blocks:
        voices = np.flatnonzero(block == one)
        own = np.unique(item[voices])  # items are numbered by block, so these follow each other
        apart = _merged_apart(_apart(window[voices]), item[voices] - own[0], len(own))
        groups = _linked(sums[own], weights[own], apart, config.similarity, inside)
        local[own] = len(known) + groups
        known += [one] * (int(groups.max()) + 1)
    if len(blocks) == 1:
        return local
    totals = np.zeros((len(known), sums.shape[1]))
    np.add.at(totals, local, sums)
    together = np.bincount(local, weights=weights, minlength=len(known)).astype(np.float64)
    apart = _apart(np.array(known))
    return _linked(totals, together, apart, config.similarity, config.speakers)[local]


def _sums(
    unit: Vectors, weight: NDArray[np.float64], item: Labels
) -> tuple[Vectors, NDArray[np.float64]]:
    """Weighted sum of the vectors of each item, ``[K, D]``, and its weight, ``[K]``."""
    count = int(item.max()) + 1
    sums = np.zeros((count, unit.shape[1]))
    np.add.at(sums, item, unit * weight[:, None])
    return sums, np.bincount(item, weights=weight, minlength=count).astype(np.float64)


def _without_the_smallest(
    people: Labels, sums: Vectors, weights: NDArray[np.float64], config: ClusteringConfig
) -> Labels:
    """People of the items once those who say too little are given to the most similar others."""
    totals, said = _sums(sums / weights[:, None], weights, people)
    order = np.argsort(said, kind="stable")
    kept = said >= config.smallest_share * said.sum()
    spare = max(0, config.speakers.limits[0] - int(kept.sum()))
    kept[order[::-1][: int(kept.sum()) + spare]] = True
    if kept.all() or not kept.any():
        return people
    cosine = normalised(totals) @ normalised(totals).T
    cosine[:, ~kept] = -np.inf
    nearest = np.where(kept, np.arange(len(said)), np.argmax(cosine, axis=1))
    return np.asarray(nearest[people], dtype=np.int64)


def _numbered(labels: NDArray[np.int64]) -> Labels:
    """The same groups, numbered from 0."""
    return np.asarray(np.unique(labels, return_inverse=True)[1], dtype=np.int64)


def normalised(vectors: Vectors) -> Vectors:
    """Vectors of length 1; zeros stay zeros."""
    length = np.linalg.norm(vectors, axis=1, keepdims=True)
    return np.asarray(vectors / np.where(length > 0, length, 1.0), dtype=np.float64)


def assign_voices(similarity: NDArray[np.float64]) -> Labels:
    """The people of one window's voices, no two the same, of the highest sum of similarities.

    Args:
        similarity: Of each voice to each person, shape ``[N, K]``.

    Returns:
        A person per voice, -1 for voices beyond the number of people; shape ``[N]``.
    """
    result = np.full(len(similarity), -1, dtype=np.int64)
    rows, columns = linear_sum_assignment(-similarity)
    result[rows] = columns
    return result


def _apart(groups: NDArray[np.int64]) -> NDArray[np.bool_]:
    """Pairs of one group, which must not be joined, shape ``[N, N]``."""
    same = groups[:, None] == groups[None, :]
    np.fill_diagonal(same, False)
    return np.asarray(same)


def _merged_apart(apart: NDArray[np.bool_], labels: Labels, count: int) -> NDArray[np.bool_]:
    """Which clusters hold voices that must stay apart, shape ``[K, K]``."""
    result = np.zeros((count, count), dtype=np.bool_)
    one, two = np.nonzero(apart)
    result[labels[one], labels[two]] = True
    np.fill_diagonal(result, False)
    return result


def _linked(
    sums: Vectors,
    weights: NDArray[np.float64],
    apart: NDArray[np.bool_],
    similarity: float,
    speakers: SpeakerCount,
) -> Labels:
    """Average linkage; the similarity of two groups is the weighted mean of their pairs' cosines.

    Args:
        sums: Weighted sum of the unit vectors of each item, ``[N, D]``.
        weights: Of each item, ``[N]``.
        apart: Items that must not be joined, ``[N, N]``.
        similarity: Least mean cosine of a merge.
        speakers: How many there are.
    """
    count = len(sums)
    labels = np.arange(count)
    alive = np.ones(count, dtype=np.bool_)
    sums, weights, apart = sums.copy(), weights.astype(np.float64).copy(), apart.copy()
    similar = _similar(sums, weights, apart)
    least, most = speakers.limits
    left = count
    while left > least:
        first, second = divmod(int(np.argmax(similar)), count)
        best = similar[first, second]
        if np.isneginf(best):  # everybody left is held to be somebody else
            if most is None or left <= most:
                break
            apart[:] = False  # …but a person who counted the speakers knows better
            similar = _similar(sums, weights, apart | ~np.outer(alive, alive))
            continue
        if best < similarity and (most is None or left <= most):
            break
        keep, gone = min(first, second), max(first, second)
        labels[labels == gone] = keep
        sums[keep] += sums[gone]
        weights[keep] += weights[gone]
        apart[keep] |= apart[gone]
        apart[:, keep] |= apart[:, gone]
        alive[gone] = False
        similar[gone] = similar[:, gone] = -np.inf
        row = (sums @ sums[keep]) / (weights * weights[keep])
        row[apart[keep] | ~alive] = -np.inf
        row[keep] = -np.inf
        similar[keep] = similar[:, keep] = row
        left -= 1
    return _numbered(labels)


def _similar(
    sums: Vectors, weights: NDArray[np.float64], barred: NDArray[np.bool_]
) -> NDArray[np.float64]:
    """Mean cosine of every pair of groups, shape ``[N, N]``; -inf where they must not be joined."""
    similar = np.asarray((sums @ sums.T) / np.outer(weights, weights), dtype=np.float64)
    similar[barred] = -np.inf
    np.fill_diagonal(similar, -np.inf)
    return similar


def _by_appearance(labels: Labels) -> Labels:
    """The same groups, numbered by their first member."""
    _, first, inverse = np.unique(labels, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return np.asarray(rank[inverse], dtype=np.int64)
