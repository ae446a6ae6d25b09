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
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

Vectors = NDArray[np.float64]  # [N, D]
Labels = NDArray[np.int64]  # [N]

DEFAULT_SIMILARITY = 0.3
"""Mean cosine between two groups of windows at which they are one person: best on real telephone
speech with windows of a second or more (2 people, 30 and 120 s); depends on the embedder."""


@dataclass(frozen=True, kw_only=True, slots=True)
class ClusteringConfig:
    """When two voices are one person.

    Raises:
        ValueError: If the numbers of speakers contradict each other.
    """

    similarity: float = DEFAULT_SIMILARITY
    """Least mean cosine of a merge."""
    exact_speakers: int | None = None
    least_speakers: int | None = None
    most_speakers: int | None = None

    def __post_init__(self) -> None:
        """Check the numbers."""
        least, most = self.limits
        if least < 1 or (most is not None and most < least):
            raise ValueError(f"speakers must be 1 or more and least <= most, got {self.limits}")

    @property
    def limits(self) -> tuple[int, int | None]:
        """Least and most speakers."""
        if self.exact_speakers is not None:
            return self.exact_speakers, self.exact_speakers
        return self.least_speakers or 1, self.most_speakers


def cluster_recording(
    embeddings: Vectors,
    windows: Sequence[int],
    seconds: Sequence[float],
    config: ClusteringConfig,
    *,
    blocks: Sequence[int] | None = None,
) -> Labels:
    """A person for every voice, numbered by first appearance.

    Args:
        embeddings: One a voice, any length but 0, shape ``[N, D]``.
        windows: The window of each voice; voices of one window are different people.
        seconds: Clean speech behind each embedding, its weight; more than 0.
        config: Similarity and numbers of speakers.
        blocks: The block of each voice, in order; None for one block.

    Returns:
        Labels from 0, shape ``[N]``.
    """
    unit = normalised(embeddings)
    weight = np.asarray(seconds, dtype=np.float64)
    window = np.asarray(windows)
    block = np.zeros(len(unit), dtype=np.int64) if blocks is None else np.asarray(blocks)
    if len(unit) == 0:
        return np.zeros(0, dtype=np.int64)
    # A block may lack people: only the least number binds it, since it must leave enough.
    inside = ClusteringConfig(similarity=config.similarity, least_speakers=config.limits[0])
    local = np.zeros(len(unit), dtype=np.int64)
    known = 0
    for one in np.unique(block):
        own = np.flatnonzero(block == one)
        local[own] = known + _linked(
            unit[own] * weight[own, None], weight[own], _apart(window[own]), inside
        )
        known = int(local.max()) + 1
    sums = np.zeros((known, unit.shape[1]))
    np.add.at(sums, local, unit * weight[:, None])
    weights = np.bincount(local, weights=weight, minlength=known).astype(np.float64)
    block_of = np.zeros(known, dtype=np.int64)
    block_of[local] = block
    if len(np.unique(block)) == 1:
        apart = _merged_apart(_apart(window), local, known)
    else:
        apart = _apart(block_of)
    people = _linked(sums, weights, apart, config)
    return _by_appearance(people[local])


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
    sums: Vectors, weights: NDArray[np.float64], apart: NDArray[np.bool_], config: ClusteringConfig
) -> Labels:
    """Average linkage; the similarity of two groups is the weighted mean of their pairs' cosines.

    Args:
        sums: Weighted sum of the unit vectors of each item, ``[N, D]``.
        weights: Of each item, ``[N]``.
        apart: Items that must not be joined, ``[N, N]``.
        config: When to stop.
    """
    count = len(sums)
    labels = np.arange(count)
    alive = np.ones(count, dtype=np.bool_)
    sums, weights, apart = sums.copy(), weights.astype(np.float64).copy(), apart.copy()
    similar = _similar(sums, weights, apart)
    least, most = config.limits
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
        if best < config.similarity and (most is None or left <= most):
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
    return np.asarray(np.unique(labels, return_inverse=True)[1], dtype=np.int64)


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
