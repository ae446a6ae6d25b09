"""A data loader that can stop anywhere in an epoch and go on exactly there.

What its workers have read ahead does not count: the loader counts what it has handed out.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Any, Generic, TypeVar

from torch.utils.data import DataLoader

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.io import SessionAudio
from talkover.manifests.shards.dataset import ShardDataset, State
from talkover.manifests.shards.order import Position

B = TypeVar("B")

_OURS = ("dataset", "shuffle", "sampler", "batch_sampler", "persistent_workers", "in_order")


class ShardLoader(Generic[B]):
    """Batches of sessions; iterate once an epoch.

    An iteration begins where the one before ended: at the next epoch, or, if that was broken off or
    a state was loaded, in the midst of one. Each rank has its loader. The batches of a rank and
    their order do not depend on the number of workers.

    Args:
        dataset: The shards; the loader begins at its position and leaves it as it is.
        batch_size: Sessions in a batch; the last one of an epoch may have fewer.
        collate: Makes a batch of a list of sessions, in the worker; None leaves it a list.
        num_workers: Processes that read ahead; 0 reads here.
        options: More for `torch.utils.data.DataLoader`, such as ``pin_memory``, ``prefetch_factor``
            and ``drop_last``.

    Raises:
        ConfigurationError: If `options` has what would break the order.
    """

    def __init__(
        self,
        dataset: ShardDataset,
        *,
        batch_size: int = 1,
        collate: Callable[[Sequence[SessionAudio]], B] | None = None,
        num_workers: int = 0,
        **options: Any,
    ) -> None:
        """Make a loader; workers start with each iteration."""
        if batch_size < 1:
            raise ConfigurationError(f"batch_size must be 1 or more, got {batch_size}")
        for name in _OURS:
            if name in options:
                raise ConfigurationError(f"{name} is not an option of ShardLoader: it decides that")
        self.dataset, self.position = dataset, dataset.position
        self._batch_size, self._num_workers = batch_size, num_workers
        self._collate: Callable[[Any], Any] = list if collate is None else collate
        self._options = options

    def __iter__(self) -> Iterator[B]:
        """Batches of this rank from the position to the end of the epoch."""
        begin, given = self.position, 0
        dataset = self.dataset.at(begin, self._batch_size)
        total = len(dataset)
        loader: DataLoader[SessionAudio] = DataLoader(
            dataset,
            batch_size=self._batch_size,
            num_workers=self._num_workers,
            collate_fn=self._collate,
            **self._options,
        )
        for batch in loader:
            given = min(given + self._batch_size, total)
            self.position = self.dataset.after(begin, given)
            yield batch
        self.position = Position(epoch=begin.epoch + 1)

    def __len__(self) -> int:
        """Batches that this rank still gives in this epoch."""
        sessions = len(self.dataset.at(self.position, self._batch_size))
        if self._options.get("drop_last", False):
            return sessions // self._batch_size
        return -(-sessions // self._batch_size)

    def state_dict(self) -> State:
        """Where the epoch is after the batches handed out; the same on all ranks in step.

        Save it when every rank has been given equally many batches, as after a training step.
        """
        return self.dataset.state_at(self.position)

    def load_state_dict(self, state: Mapping[str, int | str | bool]) -> None:
        """Go to the position of a state, with any number of ranks, workers and batch size.

        Raises:
            ConfigurationError: If the state is of other shards, or of another order of them.
        """
        dataset = self.dataset.at(self.position, self._batch_size)
        dataset.load_state_dict(state)
        self.position = dataset.position
