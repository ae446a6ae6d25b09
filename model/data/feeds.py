"""Where batches come from: windows of manifests, or any stream of sessions.

A feed hands out the batches of one process. From manifests, the batch with a given number is known
before anything is read; from a stream (shards, simulation on the fly) sessions are read in order
into a pool, whose windows are sorted by length into batches.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, Protocol

from torch.utils.data import DataLoader, Dataset

from talkover.manifests.audio import read_audio
from talkover.manifests.errors import AudioError, ConfigurationError
from talkover.manifests.io import SessionAudio, read_sessions
from talkover.manifests.lines import cuts_file
from talkover.manifests.schema import Session
from talkover.manifests.seeds import generator
from talkover.model.batch import Batch
from talkover.model.codec import UnknownCharacter
from talkover.model.data.collate import Collator
from talkover.model.data.examples import (
    Example,
    Skips,
    Unusable,
    Window,
    check_session,
    example_of,
    window_of,
    windows_of,
)
from talkover.model.data.order import plan_epoch

STREAM_POOL = 128
"""Sessions whose windows are sorted together when they come as a stream."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """Which batches are this process's."""

    rank: int = 0
    world_size: int = 1


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a stage of training draws from the data."""

    talkers: Mapping[str, float] | None = None
    """Weight of sessions by number of speakers, such as ``{"1": 1, "2": 0.5}``; numbers that are
    not named are left out. None takes all."""
    weights: tuple[float, ...] = ()
    """Weight of each manifest, in the order in which they were given; none is 1 each."""
    speeds: tuple[float, ...] = (1.0,)
    """Factors of speed, one drawn for each presentation."""
    seconds: float = 60.0
    """Most audio in a batch."""
    salt: int = 0
    """Added to the seed, so that stages draw differently."""


@dataclass(kw_only=True)
class Handed:
    """A batch, or None where nothing in it could be used, and what was left out of it."""

    batch: Batch | None
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """(id, reason)."""


Stream = Callable[[int, Share], Iterable[SessionAudio]]
"""From the number of an epoch and a share to that share's sessions, the same for the same."""


def shared(sessions: Callable[[], Iterable[SessionAudio]]) -> Stream:
    """A stream of anything that can be started over; each process leaves out the others' part."""
    return lambda epoch, share: islice(sessions(), share.rank, None, share.world_size)


class Feed(Protocol):
    """Endless batches of one process, for one stage."""

    def batches(self, choice: Choice, start: int) -> Iterator[Handed]:
        """Batches from number ``start`` of this process on."""
        ...


@dataclass(frozen=True, kw_only=True)
class Entry:
    """A window of a manifest."""

    session: Session
    folder: Path
    window: Window
    manifest: int

    @property
    def duration(self) -> float:
        """Seconds."""
        return self.window.num_samples / self.session.audio.sampling_rate

    @property
    def talkers(self) -> int:
        """Speakers of the whole session."""
        return len({row.speaker for row in self.session.supervisions})

    def load(self) -> SessionAudio:
        """Read the window."""
        audio = self.session.audio
        samples = read_audio(
            self.folder / audio.path,
            start_sample=self.window.start_sample,
            num_samples=self.window.num_samples,
            channel=0,
        )
        whole = SessionAudio(
            session=self.session, samples=samples[None], sampling_rate=audio.sampling_rate
        )
        return _cut_labels(whole, self.window)


def _cut_labels(item: SessionAudio, window: Window) -> SessionAudio:
    """Labels of the window for samples that are the window's already."""
    shown = window_of(item, window)
    return SessionAudio(
        session=shown.session, samples=item.samples, sampling_rate=item.sampling_rate
    )


def read_entries(manifests: Sequence[Path | str], longest: float, skips: Skips) -> list[Entry]:
    """Windows of all sessions of some manifests; sessions that cannot be used are counted.

    Raises:
        ConfigurationError: If no session can be used.
    """
    entries: list[Entry] = []
    for number, manifest in enumerate(manifests):
        folder = cuts_file(manifest).parent
        for session in read_sessions(manifest):
            fault = check_session(session)
            if fault is not None:
                skips.add(session.id, fault)
                continue
            for window in windows_of(session, longest):
                entries.append(
                    Entry(session=session, folder=folder, window=window, manifest=number)
                )
    if not entries:
        why = "; ".join(skips.lines()) or "they are empty"
        raise ConfigurationError(f"no session in the manifests can be used: {why}")
    return entries


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

    def batches(self, choice: Choice, start: int) -> Iterator[Handed]:
        """Batches from number ``start`` of this process on."""
        sampler = self._plans(choice, start * self.share.world_size + self.share.rank)
        dataset = _Planned(self, choice)
        loader: DataLoader[Handed] = DataLoader(
            dataset, batch_size=None, sampler=sampler, num_workers=self.num_workers
        )
        yield from loader

    def _plans(self, choice: Choice, first: int) -> Plans:
        return Plans(self, choice, first)

    def epoch(self, choice: Choice, epoch: int) -> list[list[int]]:
        """All batches of an epoch, of all processes."""
        return plan_epoch(
            [entry.duration for entry in self.entries],
            [weight_of(entry, choice) for entry in self.entries],
            seed=self.seed + choice.salt,
            epoch=epoch,
            seconds=choice.seconds,
            buckets=self.buckets,
        )


@dataclass(frozen=True)
class Plans:
    """An endless sampler: (epoch, windows) of every batch of a process from a number on."""

    feed: ManifestFeed
    choice: Choice
    first: int

    def __iter__(self) -> Iterator[tuple[int, list[int]]]:
        """Every ``world_size``-th batch of the epochs in a row."""
        number, epoch, begun = self.first, 0, 0
        while True:
            batches = self.feed.epoch(self.choice, epoch)
            while number - begun < len(batches):
                yield epoch, batches[number - begun]
                number += self.feed.share.world_size
            begun += len(batches)
            epoch += 1


class _Planned(Dataset[Handed]):
    """Makes the batch that a plan names; runs in workers."""

    def __init__(self, feed: ManifestFeed, choice: Choice) -> None:
        self.feed, self.choice = feed, choice

    def __getitem__(self, plan: tuple[int, list[int]]) -> Handed:
        epoch, windows = plan
        handed = Handed(batch=None)
        examples = []
        for place, index in enumerate(windows):
            entry = self.feed.entries[index]
            factor = drawn_speed(
                self.choice, self.feed.seed + self.choice.salt, index, f"{epoch}/{place}"
            )
            found = attempt(entry.session.id, entry.load, self.feed.collator, factor, handed)
            examples += found
        if examples:
            handed.batch = self.feed.collator(examples)
        return handed


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
        share: Share | None = None,
        pool: int = STREAM_POOL,
    ) -> None:
        """Take a function to the sessions of an epoch.

        Args:
            make: See `Stream`.
            collator: Makes batches.
            seed: Root seed.
            longest: Seconds of a window.
            share: Which part is this process's.
            pool: Sessions sorted together.
        """
        self.make, self.collator, self.seed, self.longest = make, collator, seed, longest
        self.share = share or Share()
        self.pool = pool

    def batches(self, choice: Choice, start: int) -> Iterator[Handed]:
        """Batches from number ``start`` on; those before are read again and left out."""
        yield from islice(self._all(choice), start, None)

    def _all(self, choice: Choice) -> Iterator[Handed]:
        epoch = 0
        while True:
            sessions = iter(self.make(epoch, self.share))
            number = given = 0
            while pool := list(islice(sessions, self.pool)):
                for handed in self._of_pool(pool, choice, epoch, number):
                    given += handed.batch is not None
                    yield handed
                number += 1
            if not given:
                raise ConfigurationError("the stream gives no session that can be used")
            epoch += 1

    def _of_pool(
        self, pool: Sequence[SessionAudio], choice: Choice, epoch: int, number: int
    ) -> Iterator[Handed]:
        handed = Handed(batch=None)
        examples: list[Example] = []
        for place, item in enumerate(pool):
            examples += self._of_session(item, choice, f"{epoch}/{number}/{place}", handed)
        if not examples:
            yield handed
            return
        plan = plan_epoch(
            [example.duration for example in examples],
            [1.0] * len(examples),
            seed=self.seed + choice.salt,
            epoch=epoch * 100003 + number,
            seconds=choice.seconds,
            buckets="plain",
        )
        for batch in plan:
            handed.batch = self.collator([examples[index] for index in batch])
            yield handed
            handed = Handed(batch=None)

    def _of_session(
        self, item: SessionAudio, choice: Choice, name: str, handed: Handed
    ) -> list[Example]:
        talkers = str(len({row.speaker for row in item.session.supervisions}))
        if choice.talkers is not None and not choice.talkers.get(talkers, 0.0):
            return []
        fault = check_session(item.session)
        if fault is not None:
            handed.skipped.append((item.session.id, fault))
            return []
        factor = drawn_speed(choice, self.seed + choice.salt, 0, name)
        found: list[Example] = []
        for window in windows_of(item.session, self.longest):
            part = window_of(item, window)
            found += attempt(item.session.id, lambda p=part: p, self.collator, factor, handed)  # type: ignore[misc]
        return found


def attempt(
    id: str,
    load: Callable[[], SessionAudio],
    collator: Collator,
    factor: float,
    handed: Handed,
) -> list[Example]:
    """The example, or none and a note of why."""
    rate = collator.model.parts.features.sampling_rate
    try:
        example = example_of(load(), collator.codec, rate, factor=factor)
        collator.plan(example)
    except (Unusable, UnknownCharacter) as error:
        handed.skipped.append((id, str(error)))
    except AudioError as error:
        handed.skipped.append((id, error.reason))
    else:
        return [example]
    return []


def weight_of(entry: Entry, choice: Choice) -> float:
    """Expected occurrences in an epoch."""
    weight = choice.weights[entry.manifest] if choice.weights else 1.0
    if choice.talkers is not None:
        weight *= choice.talkers.get(str(entry.talkers), 0.0)
    return weight


def drawn_speed(choice: Choice, seed: int, index: int, name: str) -> float:
    """One of the speeds, by chance."""
    if len(choice.speeds) == 1:
        return choice.speeds[0]
    rng = generator(seed, index, f"model/speed/{name}")
    return float(choice.speeds[int(rng.integers(len(choice.speeds)))])
