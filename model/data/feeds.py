"""Batches from manifests: the one with a given number is known before anything is read.

What a stage of training draws is in `talkover.model.data.choice`, which windows form which batch in
`talkover.model.data.rows`, batches from shards and simulation in `talkover.model.data.stream`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from torch.utils.data import DataLoader, Dataset

from talkover.model.data.choice import Choice, Feed, Handed, Share, attempt, drawn_speed
from talkover.model.data.collate import Collator
from talkover.model.data.concatenate import Group
from talkover.model.data.entries import Entry, read_entries, recut, weight_of
from talkover.model.data.registration import asks
from talkover.model.data.rows import Planned, Rows
from talkover.model.data.stream import Stream, StreamFeed, shared


class ManifestFeed:
    """Batches from windows that are known beforehand."""

    def __init__(
        self,
        entries: Sequence[Entry],
        collator: Collator,
        *,
        seed: int,
        buckets: Any,
        share: Share | None = None,
        num_workers: int = 0,
    ) -> None:
        """Take what decides the batches; see `read_entries`."""
        self.entries, self.collator = entries, collator
        self.seed, self.buckets = seed, buckets
        self.share = share or Share()
        self.num_workers = num_workers

    def mark(self) -> None:
        """The number of a batch is enough to find its place."""

    def batches(
        self, choice: Choice, start: int, mark: Mapping[str, int] | None = None
    ) -> Iterator[Handed]:
        """Batches from number ``start`` of this process on."""
        if asks(choice):
            pairs = ((entry.session, entry.folder) for entry in self.entries)
            self.collator.enrol(pairs)
        rows = self._rows(choice)
        first = start * self.share.world_size + self.share.rank
        loader: DataLoader[Handed] = DataLoader(
            _Planned(rows),
            batch_size=None,
            sampler=Plans(rows, first, self.share.world_size),
            num_workers=self.num_workers,
        )
        yield from loader

    def epoch(self, choice: Choice, epoch: int) -> list[list[Group]]:
        """All batches of an epoch, of all processes."""
        return self._rows(choice).epoch(epoch)

    def _rows(self, choice: Choice) -> Rows:
        return Rows(self.entries, self.collator, choice, seed=self.seed, buckets=self.buckets)


@dataclass(frozen=True)
class Plans:
    """An endless sampler: every batch of a process from a number (over all processes) on."""

    rows: Rows
    first: int
    step: int
    """Processes that take turns."""

    def __iter__(self) -> Iterator[Planned]:
        """Every ``step``-th batch of the epochs in a row."""
        number, epoch, begun = self.first, 0, 0
        while True:
            batches = self.rows.epoch(epoch)
            while number - begun < len(batches):
                yield number, epoch, batches[number - begun]
                number += self.step
            begun += len(batches)
            epoch += 1


class _Planned(Dataset[Handed]):
    """Makes the batch that a plan names; runs in workers."""

    def __init__(self, rows: Rows) -> None:
        self.rows = rows

    def __getitem__(self, planned: Planned) -> Handed:
        return self.rows.handed(planned)


__all__ = [
    "Choice",
    "Entry",
    "Feed",
    "Handed",
    "ManifestFeed",
    "Plans",
    "Rows",
    "Share",
    "Stream",
    "StreamFeed",
    "attempt",
    "drawn_speed",
    "read_entries",
    "recut",
    "shared",
    "weight_of",
]
