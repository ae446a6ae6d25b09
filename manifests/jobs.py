"""Executors: the same function over many items, here, in processes or on a Ray cluster.

An executor decides where and when, never what: results carry the index of their item and every
item runs with one numeric thread (`talkover.manifests.attempts`). Nothing is queued ahead: an item
is pickled when a worker is free for it, so a million items cost no memory and a slow consumer slows
the workers down.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Iterator, Sequence
from typing import Protocol, TypeVar, cast

from talkover.manifests.attempts import run_here
from talkover.manifests.errors import ConfigurationError
from talkover.manifests.processes import ProcessExecutor
from talkover.manifests.ray_tasks import RayExecutor

T = TypeVar("T")
R = TypeVar("R")

ENTRY_POINTS = "talkover.executors"
"""Group under which other packages offer executors."""


class Executor(Protocol):
    """Runs a function over items somewhere."""

    def run(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[int, R]]:
        """Yield (index of item, result) in the order in which the work is done.

        Args:
            function: Importable by name (or a `functools.partial` of such), without side effects
                on its own process that other items could see.
            items: What it is called with; each can be pickled, and so can the results.

        Raises:
            TalkoverError: As the function raised it.
            RunError: If a worker died, with the item that it held.
            Exception: Whatever else the function raised, with a note that names the item.
        """
        ...


class SerialExecutor:
    """One item after the other in this process.

    Args:
        jobs: Taken so that all executors are made alike, and not used.
    """

    def __init__(self, jobs: int | None = None) -> None:
        """Make an executor; there is nothing to set up."""

    def run(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[int, R]]:
        """Yield (index, result) in the order of the items; see `Executor.run`."""
        return run_here(function, items)


EXECUTORS: dict[str, type[SerialExecutor] | type[ProcessExecutor] | type[RayExecutor]] = {
    "serial": SerialExecutor,
    "processes": ProcessExecutor,
    "ray": RayExecutor,
}
"""The built-in executors by name."""


def make_executor(executor: str | Executor = "processes", jobs: int | None = None) -> Executor:
    """An executor from its name, or the one given.

    Args:
        executor: A key of `EXECUTORS`, a name from the entry-point group `ENTRY_POINTS`, or an
            object, which is returned as it is.
        jobs: Most items at a time; all cores if None.

    Raises:
        ConfigurationError: If the name is unknown or `jobs` is below 1.
        MissingExtraError: If what it needs is not installed.
    """
    if not isinstance(executor, str):
        return executor
    if jobs is not None and jobs < 1:
        raise ConfigurationError(f"jobs must be 1 or more, got {jobs}")
    if executor in EXECUTORS:
        return EXECUTORS[executor](jobs)
    others = importlib.metadata.entry_points(group=ENTRY_POINTS)
    for other in others:
        if other.name == executor:
            return cast(Executor, other.load()(jobs))
    known = ", ".join(sorted({*EXECUTORS, *(other.name for other in others)}))
    raise ConfigurationError(f"unknown executor {executor!r}: choose one of {known}")


def select_shard(num_items: int, shard: str) -> range:
    """Indices that one job of an array works on: every n-th, so that all jobs get equal shares.

    Args:
        num_items: Number of items of all jobs together.
        shard: ``i/n``, job i of n, counted from 0.

    Raises:
        ConfigurationError: If the text is not of this form or i is not below n.

    >>> list(select_shard(7, "1/3"))
    [1, 4]
    """
    first, slash, count = shard.partition("/")
    is_number = all(part.isascii() and part.isdecimal() for part in (first, count))
    if not slash or not is_number or not int(first) < int(count):
        raise ConfigurationError(
            f"shard must be i/n with i from 0 to n-1, such as 0/4, got {shard!r}"
        )
    return range(int(first), num_items, int(count))
