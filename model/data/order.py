"""Which windows form which batch: a pure function of lengths, seed and epoch.

Every process computes the same list and takes its share, so a position in training is a number, and
going on after a stop needs nothing else.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Callable, Iterator, Sequence
from typing import Any, Literal

import numpy as np

from talkover.manifests.errors import ConfigurationError, MissingExtraError
from talkover.manifests.seeds import SESSION_OF_CORPUS, generator

Buckets = Literal["auto", "lhotse", "plain"]
"""Who puts windows of like length together: Lhotse, or the twenty lines here."""

NUM_BUCKETS = 10
"""Of like length; more would leave small corpora with batches of one."""

LEAST_BUCKETED = 4
"""Windows from which on Lhotse's buckets, at least two, mean anything."""

POOL = 50
"""Batches over which `plain` sorts: enough for like lengths, few enough to stay random."""


def resolve_buckets(buckets: Buckets) -> Literal["lhotse", "plain"]:
    """``auto`` is Lhotse where it can be imported.

    Raises:
        MissingExtraError: If Lhotse is asked for by name and absent.
    """
    is_here = importlib.util.find_spec("lhotse") is not None
    if buckets == "lhotse" and not is_here:
        raise MissingExtraError("lhotse", "all", "training with buckets = lhotse")
    return "plain" if buckets == "plain" or not is_here else "lhotse"


def copies_of(weights: Sequence[float], seed: int, epoch: int) -> list[int]:
    """How often each window occurs in an epoch: its weight, rounded up or down by chance."""
    rng = generator(seed, SESSION_OF_CORPUS, f"model/copies/{epoch}")
    drawn = rng.random(len(weights))
    return [int(w) + int(d < w - int(w)) for w, d in zip(weights, drawn, strict=True)]


def plan_epoch(
    durations: Sequence[float],
    weights: Sequence[float],
    *,
    seed: int,
    epoch: int,
    seconds: float,
    buckets: Literal["lhotse", "plain"],
) -> list[list[int]]:
    """Batches of window indices, shuffled, of like lengths, each window as often as it weighs.

    Args:
        durations: Seconds of each window.
        weights: Expected occurrences of each window in an epoch, 0 or more.
        seed: Root seed.
        epoch: Number of the epoch.
        seconds: Most audio in a batch; a longer window is a batch of its own.
        buckets: How like lengths are found.

    Raises:
        ConfigurationError: If no window has weight.
    """
    if not any(weight > 0 for weight in weights):
        raise ConfigurationError("no window to train on: every weight is 0, or nothing was usable")
    rng = generator(seed, SESSION_OF_CORPUS, f"model/order/{epoch}")
    order = _shuffled(copies_of(weights, seed, epoch), rng)
    if buckets == "lhotse" and len(order) >= LEAST_BUCKETED:
        return _by_lhotse(durations, order, int(rng.integers(2**31)), seconds)
    batches = _by_sorting(durations, order, seconds)
    return [batches[place] for place in rng.permutation(len(batches))]


def shuffled_copies(weights: Sequence[float], seed: int, epoch: int) -> list[int]:
    """Indices of an epoch in random order, each as often as it weighs."""
    rng = generator(seed, SESSION_OF_CORPUS, f"model/order/{epoch}")
    return _shuffled(copies_of(weights, seed, epoch), rng)


def _shuffled(copies: Sequence[int], rng: np.random.Generator) -> list[int]:
    picked = [index for index, count in enumerate(copies) for _ in range(count)]
    return [picked[place] for place in rng.permutation(len(picked))]


def within(
    batches: Sequence[Sequence[int]], lengths: Sequence[int], tokens: int
) -> list[list[int]]:
    """Batches cut so that none has more positions than allowed, padding and all.

    Args:
        batches: Indices.
        lengths: Positions of each.
        tokens: Most positions; what is longer is a batch of its own.

    >>> within([[0, 1, 2], [3]], [10, 40, 12, 90], 50)
    [[0, 2], [1], [3]]
    """
    found: list[list[int]] = []
    for batch in batches:
        part: list[int] = []
        for index in sorted(batch, key=lambda i: lengths[i]):
            if part and (len(part) + 1) * lengths[index] > tokens:
                found.append(part)
                part = []
            part.append(index)
        found.append(part)
    return found


def _by_sorting(
    durations: Sequence[float], order: Sequence[int], seconds: float
) -> list[list[int]]:
    """Neighbours in order of length, pool by pool."""
    mean = sum(durations[i] for i in order) / max(1, len(order))
    pool = max(1, int(POOL * seconds / max(mean, 1e-6)))
    batches: list[list[int]] = []
    for begin in range(0, len(order), pool):
        batch: list[int] = []
        for index in sorted(order[begin : begin + pool], key=lambda i: durations[i]):
            if batch and (len(batch) + 1) * durations[index] > seconds:
                batches.append(batch)
                batch = []
            batch.append(index)
        batches.append(batch)
    return batches


def _by_lhotse(
    durations: Sequence[float], order: Sequence[int], seed: int, seconds: float
) -> list[list[int]]:
    """Lhotse's `DynamicBucketingSampler` over cuts that have a length and no audio."""
    from lhotse import CutSet, MonoCut
    from lhotse.dataset import DynamicBucketingSampler

    lengths = [round(float(durations[index]), 4) for index in order]
    cuts = CutSet(_Lazy(lambda n: MonoCut(f"{n}", 0.0, lengths[n], 0), len(order)))
    sampler = DynamicBucketingSampler(
        cuts,
        max_duration=max(seconds, max(durations[index] for index in order)),
        num_buckets=max(2, min(NUM_BUCKETS, len(order) // 2)),
        shuffle=True,
        drop_last=False,
        seed=seed,
        rank=0,
        world_size=1,
    )
    return [[order[int(cut.id)] for cut in batch] for batch in sampler]


class _Lazy:
    """Things made one at a time, as that sampler wants them."""

    def __init__(self, make: Callable[[int], Any], count: int) -> None:
        self.make, self.count = make, count

    def __iter__(self) -> Iterator[Any]:
        return (self.make(number) for number in range(self.count))
