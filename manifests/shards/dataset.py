"""A torch dataset over shards: each session once an epoch, for any number of ranks and workers."""

from __future__ import annotations

import copy
import os
from bisect import bisect_right
from collections.abc import Iterator, Mapping
from itertools import accumulate
from pathlib import Path
from typing import Any, Self

import numpy as np
import torch
from torch.utils.data import IterableDataset, get_worker_info

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.io import SessionAudio
from talkover.manifests.shards.index import Index, read_index
from talkover.manifests.shards.order import Position, Reader, Tail, epoch_order, share
from talkover.manifests.shards.reading import read_entry

DEFAULT_BUFFER = 1024
"""Sessions; they are read by range, so a larger buffer costs locality and no memory."""

State = dict[str, int | str | bool]
_STATE_VERSION = 1


class ShardDataset(IterableDataset[SessionAudio]):
    """Sessions with audio out of shards, shuffled anew each epoch, the same for the same seed.

    Iterated in one process (or by a `DataLoader` without workers) it knows how far it got:
    `state_dict` between two sessions, `load_state_dict` later, and the rest of the epoch follows;
    after its last session it stands at the next epoch. Workers of a `DataLoader` read from copies,
    so there use `talkover.manifests.shards.loader.ShardLoader`, or `set_epoch` before each epoch.

    Args:
        where: Path or URL of the folder of the index, of either format.
        seed: Root seed of the shuffle.
        shuffle: False gives the order of the corpus.
        buffer: Sessions over which those of different shards are mixed; 0 for none.
        rank: This process among those that share an epoch; None for that of `torch.distributed` if
            that is set up by now, else of the environment (``RANK``), else 0.
        world_size: How many share an epoch; likewise (``WORLD_SIZE``), else 1.
        tail: ``keep`` gives each session once, so some ranks may give one more than others;
            ``drop`` leaves up to ``world_size - 1`` out, so that all give equally many.
        storage_options: For fsspec's file system.

    Raises:
        ManifestError: If there is no index.
        ConfigurationError: If rank and world size are not both or neither given, or cannot be.
    """

    def __init__(
        self,
        where: Path | str,
        *,
        seed: int = 0,
        shuffle: bool = True,
        buffer: int = DEFAULT_BUFFER,
        rank: int | None = None,
        world_size: int | None = None,
        tail: Tail = "keep",
        storage_options: Mapping[str, Any] | None = None,
    ) -> None:
        """Read the index; files of shards are opened when sessions are asked for."""
        super().__init__()
        index, self._place, self._index_sha256 = read_index(where, storage_options=storage_options)
        self.seed, self.shuffle, self.buffer = seed, shuffle, buffer
        self.tail: Tail = tail
        self.rank, self.world_size = _of_process(rank, world_size)
        self.num_sessions = index.num_sessions
        """Of all ranks together."""
        self.position = Position()
        """Where the next iteration begins."""
        self._batch_size = 1
        self._keep(index)

    def __iter__(self) -> Iterator[SessionAudio]:
        """Sessions of this rank (and worker) from the position to the end of the epoch."""
        info = get_worker_info()
        worker, num_workers = (0, 1) if info is None else (info.id, info.num_workers)
        begin = self.position
        order = epoch_order(
            self._sizes,
            seed=self.seed,
            epoch=begin.epoch,
            shuffle=self.shuffle,
            buffer=self.buffer,
        )
        for done, number in enumerate(order[self._share(worker, num_workers)].tolist(), start=1):
            item = self._read(number)
            if info is None:
                self.position = self.after(begin, done)
            yield item
        if info is None:
            self.position = Position(epoch=begin.epoch + 1)

    def __len__(self) -> int:
        """Sessions that this rank still gives in this epoch, by all its workers."""
        return len(self._share(0, 1))

    def set_epoch(self, epoch: int) -> None:
        """Go to the beginning of an epoch."""
        self.position = Position(epoch=epoch)

    def after(self, begin: Position, given: int) -> Position:
        """Where all ranks are when each has given so many sessions since `begin`."""
        start = begin.start + given * self.world_size
        return Position(epoch=begin.epoch, start=min(start, self.num_sessions))

    def at(self, position: Position, batch_size: int) -> Self:
        """A copy that begins at a position, and whose workers take turns batch by batch."""
        other = copy.copy(self)
        other.position, other._batch_size = position, batch_size
        return other

    def state_dict(self) -> State:
        """The position, and what must be the same for it to mean the same.

        Between two sessions of every rank; the numbers of ranks and workers may change.
        """
        return self.state_at(self.position)

    def state_at(self, position: Position) -> State:
        """The state of a position."""
        return {
            "version": _STATE_VERSION,
            "epoch": position.epoch,
            "start": position.start,
            **self._order_settings(),
        }

    def load_state_dict(self, state: Mapping[str, int | str | bool]) -> None:
        """Go to the position of a state.

        Raises:
            ConfigurationError: If the state is of other shards, or of another order of them.
        """
        wanted = {"version": _STATE_VERSION, **self._order_settings()}
        for name, value in wanted.items():
            if state.get(name) != value:
                raise ConfigurationError(
                    f"state has {name} {state.get(name)!r}, this dataset has {value!r}: "
                    "it can go on only with the shards and the order of that state"
                )
        self.position = Position(epoch=int(state["epoch"]), start=int(state["start"]))

    def _order_settings(self) -> State:
        return {
            "index_sha256": self._index_sha256,
            "seed": self.seed,
            "shuffle": self.shuffle,
            "buffer": self.buffer,
        }

    def _share(self, worker: int, num_workers: int) -> np.ndarray[Any, np.dtype[np.int64]]:
        reader = Reader(
            rank=self.rank,
            world_size=self.world_size,
            worker=worker,
            num_workers=num_workers,
            batch_size=self._batch_size,
        )
        return share(self.num_sessions, self.position.start, reader, self.tail)

    def _keep(self, index: Index) -> None:
        """Keep of the index what reading needs, small enough for millions of sessions."""
        self._sizes = [len(shard.sessions) for shard in index.shards]
        self._ends = list(accumulate(self._sizes))
        self._files = [(shard.labels.path, shard.audio.path) for shard in index.shards]
        entries = [entry for shard in index.shards for entry in shard.sessions]
        self._ids = [entry.id for entry in entries]
        self._spans = np.array([(*entry.labels, *entry.audio) for entry in entries], np.int64)

    def _read(self, number: int) -> SessionAudio:
        labels_path, audio_path = self._files[bisect_right(self._ends, number)]
        start, size, audio_start, audio_size = self._spans[number].tolist()
        return read_entry(
            self._place,
            self._ids[number],
            labels_path,
            (start, size),
            audio_path,
            (audio_start, audio_size),
        )


def _of_process(rank: int | None, world_size: int | None) -> tuple[int, int]:
    """Rank and world size as given, or as this process has them."""
    if (rank is None) != (world_size is None):
        raise ConfigurationError(
            f"give both rank and world_size or neither, got {rank} and {world_size}"
        )
    if rank is None or world_size is None:
        distributed = torch.distributed
        if distributed.is_available() and distributed.is_initialized():
            rank, world_size = distributed.get_rank(), distributed.get_world_size()
        else:
            rank, world_size = _number("RANK", 0), _number("WORLD_SIZE", 1)
    if not 0 <= rank < world_size:
        raise ConfigurationError(f"rank must be from 0 to {world_size - 1}, got {rank}")
    return rank, world_size


def _number(variable: str, default: int) -> int:
    text = os.environ.get(variable, "")
    if text and not text.isdecimal():
        raise ConfigurationError(f"environment variable {variable} must be a number, got {text!r}")
    return int(text) if text else default
