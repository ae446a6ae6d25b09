"""Which person each voice of a recording is.

Voices with enough clean speech are clustered, block by block, as tracks: the same local speaker
seen by windows that share most of their time. Everybody else is given to the person whose voice is
nearest, no two voices of a window to one person.

Legend: ``V`` voice, ``K`` person, ``D`` embedding.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.clustering import (
    ClusteringConfig,
    Labels,
    Vectors,
    assign_voices,
    cluster_recording,
    normalised,
)
from talkover.annotate.diarization.windows import Voices


@dataclass(frozen=True, kw_only=True, slots=True)
class People:
    """The people of a recording.

    Attributes:
        of_voice: The person of each voice, or -1; ``[V]``.
        centroids: Mean voice of each, length 1, ``[K, D]``.
        sureness: Of each voice: cosine to its person, ``[V]``; 0 where there is none.
    """

    of_voice: Labels
    centroids: Vectors
    sureness: NDArray[np.float64]

    @property
    def count(self) -> int:
        """How many."""
        return len(self.centroids)


def find_people(
    voices: Voices, config: ClusteringConfig, *, strong: float, windows_of_block: int
) -> People:
    """The person of each voice.

    Args:
        voices: All of a recording.
        config: When two voices are one person, and how many people there are.
        strong: Seconds of clean speech from which a voice may found a person. Where there are too
            few such voices for the number of people, all may.
        windows_of_block: Windows that are clustered at once.
    """
    count = len(voices.windows)
    if count == 0:
        nothing = np.zeros(0)
        return People(
            of_voice=np.zeros(0, dtype=np.int64), centroids=np.zeros((0, 1)), sureness=nothing
        )
    unit = normalised(voices.embeddings)
    tracks = _tracks(voices, windows_of_block)
    founding = voices.clean >= strong
    if len(np.unique(tracks[founding])) < config.speakers.limits[0]:
        founding = np.ones(count, dtype=np.bool_)
    if len(np.unique(tracks[founding])) < config.speakers.limits[0]:
        tracks = np.arange(count)  # a person who counted the speakers knows better
    weight = np.maximum(voices.clean, np.finfo(np.float32).eps)
    own = np.flatnonzero(founding)
    labels = np.full(count, -1, dtype=np.int64)
    labels[own] = cluster_recording(
        unit[own],
        voices.windows[own].tolist(),
        weight[own].tolist(),
        config,
        blocks=(voices.windows[own] // windows_of_block).tolist(),
        linked=tracks[own].tolist(),
    )
    centroids = _centroids(unit[own], weight[own], labels[own])
    labels = _along_tracks(labels, tracks)
    labels = _given_to_the_nearest(labels, unit @ centroids.T, tracks, voices.windows)
    known = labels >= 0
    sureness = np.zeros(count)
    sureness[known] = np.einsum("vd,vd->v", unit[known], centroids[labels[known]])
    return People(of_voice=labels, centroids=centroids, sureness=sureness)


def nearest_people(voices: Voices, centroids: Vectors, *, windows_of_block: int) -> People:
    """The person of each voice where the people are known: no two of a window are the same.

    Args:
        voices: All of a recording.
        centroids: Voice of each person, length 1, ``[K, D]``.
        windows_of_block: Windows after which tracks end.
    """
    nobody = np.full(len(voices.windows), -1, dtype=np.int64)
    if not len(nobody):
        return People(of_voice=nobody, centroids=centroids, sureness=np.zeros(0))
    similarity = normalised(voices.embeddings) @ centroids.T
    tracks = _tracks(voices, windows_of_block)
    labels = _given_to_the_nearest(nobody, similarity, tracks, voices.windows)
    own = similarity[np.arange(len(labels)), np.maximum(labels, 0)]
    return People(of_voice=labels, centroids=centroids, sureness=np.where(labels >= 0, own, 0.0))


def _tracks(voices: Voices, windows_of_block: int) -> Labels:
    """The first voice of each voice's track; a track ends with its block."""
    tracks = np.arange(len(voices.windows))
    blocks = voices.windows // windows_of_block
    for voice, link in enumerate(voices.links.tolist()):
        if link >= 0 and blocks[link] == blocks[voice]:
            tracks[voice] = tracks[link]
    return tracks


def _centroids(unit: Vectors, weight: NDArray[np.float64], labels: Labels) -> Vectors:
    sums = np.zeros((int(labels.max()) + 1, unit.shape[1]))
    np.add.at(sums, labels, unit * weight[:, None])
    return normalised(sums)


def _along_tracks(labels: Labels, tracks: Labels) -> Labels:
    """A voice without a person gets that of its track, if the track has one."""
    person = np.full(len(labels), -1, dtype=np.int64)
    known = labels >= 0
    person[tracks[known]] = labels[known]
    return np.where(known, labels, person[tracks])


def _given_to_the_nearest(
    labels: Labels, similarity: NDArray[np.float64], tracks: Labels, windows: NDArray[np.int64]
) -> Labels:
    """Voices of no person get the nearest of those that their window does not have yet.

    Args:
        labels: Person of each voice or -1, ``[V]``.
        similarity: Of each voice to each person, ``[V, K]``.
        tracks: Of the voices; a track is heard as a whole.
        windows: Of the voices, in order.
    """
    if (labels >= 0).all():
        return labels
    result = labels.copy()
    totals = np.zeros_like(similarity)
    np.add.at(totals, tracks, similarity)
    mean = totals / np.maximum(np.bincount(tracks, minlength=len(labels)), 1)[:, None]
    edges = np.flatnonzero(np.diff(windows, prepend=-1, append=-1))
    for first, last in pairwise(edges.tolist()):
        rows = np.arange(first, last)
        loose = rows[labels[rows] < 0]
        if not len(loose):
            continue
        taken = labels[rows][labels[rows] >= 0]
        free = np.setdiff1d(np.arange(similarity.shape[1]), taken)
        if not len(free):
            continue
        chosen = assign_voices(mean[np.ix_(tracks[loose], free)])
        result[loose] = np.where(chosen >= 0, free[np.maximum(chosen, 0)], -1)
    return result
