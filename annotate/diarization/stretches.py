"""Short stretches of speech, and whose voice is heard in each.

The segmentation model tells apart who speaks in ten seconds, but knows nobody; the embedding knows
voices, and is far surer of a second or two of one voice than the segmentation is of who goes on
after a pause. So the people of a recording are found in stretches of speech, and stretches have a
say in who speaks when (`talkover.annotate.diarization.stitching`).

::

    speech    ····██████████··█████████████████····    of the voice activity branch
    founding      |-----|       |-----|                 longer, further apart: clustered
    deciding      |---|  |---|  …                       shorter, closer: each nearest to somebody

Memory grows by two kilobytes a second of recording at most.

Legend: ``S`` stretch, ``F`` frame of the embedder, ``K`` person, ``D`` embedding.
"""

from __future__ import annotations

from dataclasses import dataclass, replace

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.clustering import ClusteringConfig, Vectors, cluster_recording, normalised
from talkover.annotate.diarization.windows import Embedder, features_between
from talkover.annotate.media import RATE, DecodedAudio

BLOCK_S = 60.0
"""Seconds heard at a time."""
LEAST_SPEECH_S = 0.2
"""Speech that a stretch must hold."""
PAUSE_S = 0.2
"""Pauses longer than this end a unit of speech (the contract's pause)."""
ROWS_AT_ONCE = 4096
"""Stretches compared at a time; changes nothing but memory."""
ROUNDS = 2
"""Times that people are found anew in the stretches nearest to them."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StretchConfig:
    """Which stretches are heard, and when two are of one person.

    Raises:
        ValueError: If a value is not above 0, or a share not in [0, 1).
    """

    stretch_similarity: float | None = None
    """Least mean cosine of two groups of founding stretches of one person; None for the
    embedder's own."""
    founding_s: float = 2.0
    """Seconds of the stretches in which people are found."""
    founding_every: int = 5
    """Deciding stretches from one founding stretch to the next."""
    deciding_s: float = 1.5
    """Seconds of the stretches that decide who speaks."""
    deciding_every_s: float = 0.2
    """Seconds from the middle of one to the middle of the next."""
    unit_s: float = 0.8
    """Seconds of speech from which a stretch keeps to its own side of a pause, where the speaker
    may change; 0 for never."""
    smallest_voice: float = 0.03
    """People with less than this share of the speech are given to others."""
    change_cost: float = 0.3
    """Cosine that a change of the speaker costs."""
    sharpness: float = 10.0
    """Of the probability of a person, by their cosine."""
    voice_weight: float = 1.0
    """Of that probability, beside the activity of the segmentation model; 0 for none."""

    def __post_init__(self) -> None:
        """Check the values."""
        lengths = (self.founding_s, self.deciding_s, self.deciding_every_s, self.founding_every)
        if min(lengths) <= 0 or not 0 <= self.smallest_voice < 1:
            raise ValueError(f"needs lengths above 0 and a share in [0, 1), got {self}")
        if min(self.change_cost, self.sharpness, self.voice_weight) < 0:
            raise ValueError("change_cost, sharpness and voice_weight must be 0 or more")


@dataclass(frozen=True, kw_only=True, slots=True)
class Stretches:
    """Stretches of a recording at even distances.

    Attributes:
        every: Samples from one to the next.
        deciding: Voice of each, half precision; zeros where there is too little speech; ``[S, D]``.
        founding: Of every ``founding_every``-th, longer, ``[S / founding_every, D]``.
        seconds: Speech in each founding one, ``[S / founding_every]``.
        founding_every: Deciding stretches from one founding stretch to the next.
    """

    every: int
    deciding: NDArray[np.float16]
    founding: NDArray[np.float16]
    seconds: NDArray[np.float32]
    founding_every: int


@dataclass(frozen=True, kw_only=True, slots=True)
class Likely:
    """How likely each person is to be the one who speaks, by stretch.

    Attributes:
        every: Samples that a row stands for.
        probability: ``[S, K]``.
        weight: Of it, beside the activity of the segmentation model.
    """

    every: int
    probability: NDArray[np.float32]
    weight: float

    def at(self, samples: NDArray[np.int64]) -> NDArray[np.float32]:
        """Of the people at some samples, times the weight, ``[N, K]``."""
        row = np.minimum(samples // self.every, len(self.probability) - 1)
        return np.float32(self.weight) * self.probability[row]


def hear_stretches(
    audio: DecodedAudio, embedder: Embedder, speech: NDArray[np.bool_], config: StretchConfig
) -> Stretches:
    """All stretches of a recording.

    Args:
        audio: The recording.
        embedder: Gives the voices.
        speech: In which frames of the embedder somebody speaks, ``[F]``.
        config: Lengths.
    """
    frame = embedder.frame_samples
    every = max(1, round(config.deciding_every_s * RATE / frame))
    count = -(-len(speech) // every)
    of_block = max(1, round(BLOCK_S * RATE / frame / every / config.founding_every))
    of_block *= config.founding_every
    halves = [max(1, round(s * RATE / frame / 2)) for s in (config.deciding_s, config.founding_s)]
    units, least = _units(speech, round(PAUSE_S * RATE / frame)), config.unit_s * RATE / frame
    parts: list[tuple[NDArray[np.float16], ...]] = []
    for first in range(0, count, of_block):
        middles = np.arange(first, min(first + of_block, count)) * every
        begin, end = int(middles[0]) - max(halves), int(middles[-1]) + max(halves) + 1
        inside = np.full(end - begin, -1, dtype=np.int64)
        low, high = max(0, begin), min(len(speech), end)
        inside[low - begin : high - begin] = units[low:high]
        features = features_between(audio, embedder, begin * frame, end * frame)
        middles -= begin
        short, _ = _pooled(features, inside, middles, halves[0], least, embedder)
        own = middles[:: config.founding_every]
        long, held = _pooled(features, inside, own, halves[1], least, embedder)
        parts.append((short, long, held.astype(np.float16)))
    deciding, founding, held = (np.concatenate(rows) for rows in zip(*parts, strict=True))
    return Stretches(
        every=every * frame,
        deciding=deciding,
        founding=founding,
        seconds=held.astype(np.float32) * np.float32(frame / RATE),
        founding_every=config.founding_every,
    )


def _units(speech: NDArray[np.bool_], pause: int) -> NDArray[np.int64]:
    """Number of the stretch between pauses that each frame is in, or -1 where nobody speaks.

    >>> _units(np.array([True, False, True, False, False, True]), 2).tolist()
    [0, -1, 0, -1, -1, 1]
    """
    units = np.full(len(speech), -1, dtype=np.int64)
    spoken = np.flatnonzero(speech)
    units[spoken] = np.cumsum(np.diff(spoken, prepend=spoken[:1]) > pause)
    return units


def _pooled(
    features: NDArray[np.float32],
    units: NDArray[np.int64],
    middles: NDArray[np.int64],
    half: int,
    least: float,
    embedder: Embedder,
) -> tuple[NDArray[np.float16], NDArray[np.int64]]:
    """Voices of stretches around some frames, and their frames of speech.

    Args:
        features: ``[F, C]``.
        units: As of `_units`, ``[F]``.
        middles: Frames in the middle of the stretches, ``[S]``.
        half: Frames to each side.
        least: Frames from which a stretch keeps to the unit of its middle; 0 for never.
        embedder: Gives the voices.
    """
    masks = np.abs(np.arange(len(units))[None] - middles[:, None]) <= half
    masks &= units[None] >= 0
    if least > 0:
        own = masks & (units[None] == units[middles][:, None])
        masks = np.where((own.sum(axis=1) >= least)[:, None], own, masks)
    frames = masks.sum(axis=1)
    enough = frames * embedder.frame_samples >= LEAST_SPEECH_S * RATE
    masks &= enough[:, None]
    voices = embedder.pool(features, masks.astype(np.float32))
    return voices.astype(np.float16), np.where(enough, frames, 0)


def people_of(
    stretches: Stretches, clustering: ClusteringConfig, config: StretchConfig, block_s: float
) -> Vectors | None:
    """The voice of each person of a recording, ``[K, D]``; None if too few stretches are heard.

    Args:
        stretches: Of the recording.
        clustering: When two are of one person, and how many people there are.
        config: How people are found anew.
        block_s: Seconds that are clustered at once.
    """
    heard = np.flatnonzero(stretches.seconds > 0)
    if len(heard) < clustering.speakers.limits[0] or not len(heard):
        return None
    voices = normalised(stretches.founding[heard].astype(np.float64))
    seconds = stretches.seconds[heard].astype(np.float64)
    block = heard * stretches.founding_every * stretches.every // round(block_s * RATE)
    labels = cluster_recording(
        voices,
        heard.tolist(),
        seconds.tolist(),
        replace(clustering, smallest_share=config.smallest_voice),
        blocks=block.tolist(),
    )
    people = np.zeros((int(labels.max()) + 1, voices.shape[1]))
    np.add.at(people, labels, voices * seconds[:, None])
    people = normalised(people)
    for _ in range(ROUNDS):
        path = likeliest(_similarity(stretches, people), config.change_cost)
        people = _found_anew(stretches, path, people)
    return people


def _similarity(stretches: Stretches, people: Vectors) -> NDArray[np.float32]:
    """Cosine of each stretch to each person, ``[S, K]``; 0 where nobody is heard."""
    result = np.zeros((len(stretches.deciding), len(people)), dtype=np.float32)
    for at in range(0, len(result), ROWS_AT_ONCE):
        rows = slice(at, at + ROWS_AT_ONCE)
        result[rows] = stretches.deciding[rows].astype(np.float64) @ people.T
    return result


def _found_anew(stretches: Stretches, path: NDArray[np.int64], people: Vectors) -> Vectors:
    """Mean voice of the stretches of each person; as before for those who have none."""
    sums = np.zeros_like(people)
    for at in range(0, len(path), ROWS_AT_ONCE):
        rows = slice(at, at + ROWS_AT_ONCE)
        np.add.at(sums, path[rows], stretches.deciding[rows].astype(np.float64))
    found = np.any(sums != 0, axis=1)
    return np.asarray(np.where(found[:, None], normalised(sums), people), dtype=np.float64)


def likeliest(similarity: NDArray[np.floating], change_cost: float) -> NDArray[np.int64]:
    """The path of people with the highest sum of cosines, where each change costs (Viterbi).

    Args:
        similarity: Of each stretch to each person, ``[S, K]``.
        change_cost: Of a change.

    >>> likeliest(np.array([[0.9, 0.1], [0.4, 0.5], [0.9, 0.1]]), 0.3).tolist()
    [0, 0, 0]
    """
    count, people = similarity.shape
    came_from = np.zeros((count, people), dtype=np.int32)
    best = np.zeros(people)
    own = np.arange(people, dtype=np.int32)
    for number, row in enumerate(similarity):
        leader = int(np.argmax(best))
        stays = best >= best[leader] - change_cost
        came_from[number] = np.where(stays, own, leader)
        best = np.maximum(best, best[leader] - change_cost) + row
    path = np.zeros(count, dtype=np.int64)
    path[-1] = int(np.argmax(best))
    for number in range(count - 1, 0, -1):
        path[number - 1] = came_from[number, path[number]]
    return path


def likely_people(stretches: Stretches, people: Vectors, config: StretchConfig) -> Likely:
    """How likely each person is in each stretch: half by its sound alone, half by the best path."""
    similarity = _similarity(stretches, people)
    odds = np.exp(config.sharpness * (similarity - similarity.max(axis=1, keepdims=True)))
    probability = odds / odds.sum(axis=1, keepdims=True)
    probability[np.arange(len(odds)), likeliest(similarity, config.change_cost)] += 1.0
    return Likely(
        every=stretches.every,
        probability=(probability / 2).astype(np.float32),
        weight=config.voice_weight,
    )
