"""In which order an epoch gives its sessions, and who reads which: integers alone, no file.

Every process works out the whole order and takes its share, so nothing has to be agreed on. The
order does not depend on how many read it: ranks take turns, session by session, and the workers of
a rank take turns, batch by batch. How far an epoch got is therefore one number, and it can be
resumed with other numbers of ranks and workers.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.seeds import generator

Tail = Literal["keep", "drop"]
Numbers = NDArray[np.int64]


@dataclass(frozen=True, kw_only=True)
class Position:
    """How far reading got."""

    epoch: int = 0
    start: int = 0
    """Sessions of the epoch's order that all ranks together are done with."""

    def __post_init__(self) -> None:
        """Refuse what lies before the first session."""
        if self.epoch < 0 or self.start < 0:
            raise ValueError(
                f"epoch and start must be 0 or more, got {self.epoch} and {self.start}"
            )


@dataclass(frozen=True, kw_only=True)
class Reader:
    """One of those who share an epoch."""

    rank: int = 0
    world_size: int = 1
    worker: int = 0
    num_workers: int = 1
    batch_size: int = 1
    """Sessions that a worker gives at a time."""

    def __post_init__(self) -> None:
        """Refuse a rank or worker that is not one of them."""
        for name, number, count in (
            ("rank", self.rank, self.world_size),
            ("worker", self.worker, self.num_workers),
        ):
            if not 0 <= number < count:
                raise ValueError(f"{name} must be from 0 to {count - 1}, got {number}")
        if self.batch_size < 1:
            raise ValueError(f"batch_size must be 1 or more, got {self.batch_size}")


def epoch_order(
    sizes: Sequence[int], *, seed: int, epoch: int, shuffle: bool, buffer: int
) -> Numbers:
    """All sessions of an epoch, by their number in the corpus, in the order they are given.

    Shuffled: shards change places, sessions change places in their shard, and then all pass through
    a buffer out of which a random one comes next, so that neighbours of a shard part but stay near.

    Args:
        sizes: Sessions of each shard.
        seed: Root seed.
        epoch: From 0.
        shuffle: False gives the order of the corpus in every epoch.
        buffer: Sessions that the buffer holds; it holds numbers, not audio. 0 or 1 for none.

    Returns:
        ``[N]``, each number below N once.
    """
    total = sum(sizes)
    if not shuffle:
        return np.arange(total, dtype=np.int64)
    rng = generator(seed, epoch, "shards/order")
    starts = np.cumsum([0, *sizes])
    parts = [starts[shard] + rng.permutation(sizes[shard]) for shard in rng.permutation(len(sizes))]
    stream = np.concatenate([np.empty(0, np.int64), *parts]).astype(np.int64)
    return _buffered(stream, buffer, rng)


def share(total: int, start: int, reader: Reader, tail: Tail) -> Numbers:
    """Places in an epoch's order that one reader gives.

    Args:
        total: Length of the order.
        start: Places that are done with.
        reader: Who asks.
        tail: ``drop`` leaves out the last few, so that all ranks get equally many; ``keep`` gives
            each session once, and to some ranks one more than to others.
    """
    end = total
    if tail == "drop":
        end = start + max(0, total - start) // reader.world_size * reader.world_size
    mine = np.arange(start + reader.rank, end, reader.world_size, dtype=np.int64)
    batch = np.arange(len(mine)) // reader.batch_size
    chosen: Numbers = mine[batch % reader.num_workers == reader.worker]
    return chosen


def _buffered(stream: Numbers, buffer: int, rng: np.random.Generator) -> Numbers:
    held = stream[:buffer].tolist()
    if len(held) < 2:
        return stream
    result = []
    choices = rng.integers(len(held), size=len(stream) - len(held)).tolist()
    for number, choice in zip(stream[len(held) :].tolist(), choices, strict=True):
        result.append(held[choice])
        held[choice] = number
    last = [held[n] for n in rng.permutation(len(held))]
    return np.array(result + last, dtype=np.int64)
