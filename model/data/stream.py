"""Batches from sessions as they come: from shards, or made on the fly.

Sessions are read in order into a pool, whose windows are sorted by length into batches. What was
read before a stop is left out unread where the stream can do that (`Skipping`).
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import islice
from typing import Protocol, runtime_checkable

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.io import SessionAudio
from talkover.model.data.choice import Choice, Handed, Share, attempt, drawn_speed
from talkover.model.data.collate import Collator
from talkover.model.data.concatenate import Part, joined, plan_groups
from talkover.model.data.examples import Example, check_session, window_of, windows_of
from talkover.model.data.order import plan_epoch, within
from talkover.model.data.registration import Draw, asks

STREAM_POOL = 128
"""Sessions whose windows are sorted together."""

MOST_POOLS = 100003
"""Pools of an epoch that are numbered apart."""

Stream = Callable[[int, Share], Iterable[SessionAudio]]
"""From the number of an epoch and a share to that share's sessions, the same for the same."""


@runtime_checkable
class Skipping(Protocol):
    """Sessions of an epoch, the first of which can be left out without being made."""

    def skipping(self, count: int) -> Iterable[SessionAudio]:
        """All but the first ``count``."""
        ...


@dataclass(frozen=True)
class Startable:
    """Sessions that can begin at any number; ``make`` takes how many are left out."""

    make: Callable[[int], Iterable[SessionAudio]]

    def __iter__(self) -> Iterator[SessionAudio]:
        """All of them."""
        return iter(self.make(0))

    def skipping(self, count: int) -> Iterable[SessionAudio]:
        """All but the first ``count``."""
        return self.make(count)


def shared(sessions: Callable[[], Iterable[SessionAudio]]) -> Stream:
    """A stream of anything that can be started over; each process leaves out the others' part."""
    return lambda epoch, share: islice(sessions(), share.rank, None, share.world_size)


def after(sessions: Iterable[SessionAudio], count: int) -> Iterator[SessionAudio]:
    """All but the first ``count`` sessions."""
    if count and isinstance(sessions, Skipping):
        return iter(sessions.skipping(count))
    return islice(sessions, count, None)


class StreamFeed:
    """Batches from sessions as they come; ``make`` starts the stream over.

    A stream may end (an epoch), and is then begun again with the next number.
    """

    def __init__(
        self,
        make: Stream,
        collator: Collator,
        *,
        seed: int,
        longest: float,
        shortest: float = 1.0,
        share: Share | None = None,
        pool: int = STREAM_POOL,
    ) -> None:
        """Take a function to the sessions of an epoch.

        Args:
            make: See `Stream`.
            collator: Makes batches.
            seed: Root seed.
            longest: Seconds of a window.
            shortest: Seconds of a window that is not the last.
            share: Which part is this process's.
            pool: Sessions sorted together.
        """
        self.make, self.collator, self.seed = make, collator, seed
        self.windows = (shortest, longest)
        self.share = share or Share()
        self.pool = pool
        self._mark: dict[str, int] | None = None

    def mark(self) -> dict[str, int] | None:
        """The pool of the last batch, and how many batches came before that pool."""
        return self._mark

    def batches(
        self, choice: Choice, start: int, mark: Mapping[str, int] | None = None
    ) -> Iterator[Handed]:
        """Batches from number ``start`` on; what lies before the mark is not made again."""
        if asks(choice) and self.collator.registrar is None:
            raise ConfigurationError(
                "registration needs the clips of manifests, and a stream (shards, simulation on "
                "the fly) has none: train from manifests, or leave out the stage's registration"
            )
        if self.collator.given is not None:
            raise ConfigurationError(
                "this model takes given vectors, which lie beside manifests, and a stream (shards, "
                "simulation on the fly) has none: train from manifests"
            )
        mark = dict(mark or {"batch": 0, "epoch": 0, "pool": 0})
        if not 0 <= mark["batch"] <= start:
            raise ValueError(f"the mark is of batch {mark['batch']}, the start is {start}")
        yield from islice(self._all(choice, mark), start - mark["batch"], None)

    def _all(self, choice: Choice, mark: Mapping[str, int]) -> Iterator[Handed]:
        batch, epoch, number = mark["batch"], mark["epoch"], mark["pool"]
        while True:
            sessions = after(self.make(epoch, self.share), number * self.pool)
            given, is_whole = 0, number == 0
            while pool := list(islice(sessions, self.pool)):
                self._mark = {"batch": batch, "epoch": epoch, "pool": number}
                for handed in self._of_pool(pool, choice, epoch, number, batch):
                    given += handed.batch is not None
                    batch += 1
                    yield handed
                number += 1
            if is_whole and not given:
                raise ConfigurationError("the stream gives no session that can be used")
            epoch, number = epoch + 1, 0

    def _of_pool(
        self, pool: Sequence[SessionAudio], choice: Choice, epoch: int, number: int, batch: int
    ) -> Iterator[Handed]:
        handed = Handed(batch=None)
        examples: list[Example] = []
        epoch_number = epoch * MOST_POOLS + number
        for name, item in self._items(pool, choice, epoch_number, handed):
            factor = drawn_speed(choice, self.seed + choice.salt, 0, f"{epoch}/{number}/{name}")
            examples += attempt(
                item.session.id,
                lambda i=item: i,  # type: ignore[misc]
                self.collator,
                factor,
                handed,
                untranscribed=choice.untranscribed,
            )
        if not examples:
            yield handed
            return
        plan = plan_epoch(
            [example.duration for example in examples],
            [1.0] * len(examples),
            seed=self.seed + choice.salt,
            epoch=epoch_number,
            seconds=choice.seconds,
            buckets="plain",
        )
        if choice.tokens is not None:
            lengths = [len(self.collator.plan(example)) for example in examples]
            plan = within(plan, lengths, choice.tokens)
        for place, chosen in enumerate(plan):
            draw = Draw(
                choice=choice,
                seed=self.seed + choice.salt,
                number=(batch + place) * self.share.world_size + self.share.rank,
            )
            handed.batch = self.collator([examples[index] for index in chosen], draw=draw)
            yield handed
            handed = Handed(batch=None)

    def _items(
        self, pool: Sequence[SessionAudio], choice: Choice, number: int, handed: Handed
    ) -> Iterator[tuple[str, SessionAudio]]:
        """Windows of the sessions of a pool, joined if the stage says so; each with a name."""
        found: list[tuple[str, SessionAudio]] = []
        for place, item in enumerate(pool):
            found += [(f"{place}", part) for part in self._windows(item, choice, handed)]
        if choice.concatenate is None or not found:
            yield from found
            return
        parts = [_part(item, pool[int(name)].session.id) for name, item in found]
        groups = plan_groups(
            parts,
            list(range(len(parts))),
            choice.concatenate,
            seed=self.seed + choice.salt,
            epoch=number,
        )
        for group in groups:
            name = "+".join(str(index) for index in group.parts)
            yield name, joined([found[index][1] for index in group.parts], group.pauses)

    def _windows(
        self, item: SessionAudio, choice: Choice, handed: Handed
    ) -> Iterator[SessionAudio]:
        talkers = str(len({row.speaker for row in item.session.supervisions}))
        if choice.talkers is not None and not choice.talkers.get(talkers, 0.0):
            return
        fault = check_session(item.session, untranscribed=choice.untranscribed)
        if fault is not None:
            handed.skipped.append((item.session.id, fault))
            return
        shortest, longest = choice.windows or self.windows
        for window in windows_of(item.session, longest, shortest):
            yield window_of(item, window)


def _part(item: SessionAudio, name: str) -> Part:
    return Part(
        name=name,
        duration=item.samples.shape[1] / item.sampling_rate,
        speakers={row.speaker for row in item.session.supervisions},
        sampling_rate=item.sampling_rate,
    )
