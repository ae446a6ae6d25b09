"""Order and shares: each session once, whoever reads, wherever one stopped."""

from __future__ import annotations

from itertools import chain

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.shards.order import Position, Reader, epoch_order, share

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

sizes = st.lists(st.integers(0, 12), min_size=1, max_size=8)


def readers(world_size: int, num_workers: int, batch_size: int) -> list[Reader]:
    return [
        Reader(
            rank=rank,
            world_size=world_size,
            worker=worker,
            num_workers=num_workers,
            batch_size=batch_size,
        )
        for rank in range(world_size)
        for worker in range(num_workers)
    ]


@settings(max_examples=60, deadline=None)
@given(sizes, st.integers(0, 5), st.integers(0, 40), st.booleans())
def test_an_order_holds_each_session_once(
    shards: list[int], epoch: int, buffer: int, shuffle: bool
) -> None:
    order = epoch_order(shards, seed=3, epoch=epoch, shuffle=shuffle, buffer=buffer)
    assert sorted(order.tolist()) == list(range(sum(shards)))
    again = epoch_order(shards, seed=3, epoch=epoch, shuffle=shuffle, buffer=buffer)
    assert order.tolist() == again.tolist()


@settings(max_examples=100, deadline=None)
@given(
    st.integers(0, 60), st.integers(1, 5), st.integers(1, 4), st.integers(1, 5), st.integers(0, 60)
)
def test_shares_hold_each_place_once(
    total: int, world_size: int, num_workers: int, batch_size: int, start: int
) -> None:
    every = [
        share(total, start, reader, "keep").tolist()
        for reader in readers(world_size, num_workers, batch_size)
    ]
    assert sorted(chain.from_iterable(every)) == list(range(start, total))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(1, 5), st.integers(0, 60))
def test_with_drop_all_ranks_get_equally_many(total: int, world_size: int, start: int) -> None:
    every = [share(total, start, one, "drop").tolist() for one in readers(world_size, 1, 1)]
    assert {len(one) for one in every} == {max(0, total - start) // world_size}
    assert len(set(chain.from_iterable(every))) == sum(map(len, every))


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(1, 3), st.integers(1, 4), st.integers(1, 5))
def test_batches_of_a_rank_do_not_depend_on_its_workers(
    total: int, world_size: int, num_workers: int, batch_size: int
) -> None:
    """What a loader does: batches of the workers in turns, until all have run out."""
    for rank in range(world_size):
        alone = share(total, 0, Reader(rank=rank, world_size=world_size), "keep").tolist()
        queues = [
            share(total, 0, reader, "keep").tolist()
            for reader in readers(world_size, num_workers, batch_size)
            if reader.rank == rank
        ]
        merged = []
        while any(queues):
            for queue in queues:
                merged += queue[:batch_size]
                del queue[:batch_size]
        assert merged == alone


@settings(max_examples=60, deadline=None)
@given(st.integers(0, 60), st.integers(1, 4), st.integers(1, 4), st.integers(0, 20))
def test_an_epoch_that_stopped_goes_on_with_other_ranks(
    total: int, before: int, after: int, given_each: int
) -> None:
    first = [
        share(total, 0, reader, "keep")[:given_each].tolist() for reader in readers(before, 1, 1)
    ]
    start = min(total, given_each * before)
    second = [share(total, start, reader, "keep").tolist() for reader in readers(after, 2, 3)]
    assert sorted(chain.from_iterable(first + second)) == list(range(total))


def test_epochs_differ_and_seeds_differ_and_the_plain_order_is_the_corpus() -> None:
    orders = {
        tuple(epoch_order([30, 30], seed=seed, epoch=epoch, shuffle=True, buffer=8).tolist())
        for seed in (0, 1)
        for epoch in (0, 1)
    }
    assert len(orders) == 4
    plain = epoch_order([30, 30], seed=0, epoch=1, shuffle=False, buffer=8)
    assert plain.tolist() == list(range(60))


def test_the_order_of_a_seed_is_pinned() -> None:
    order = epoch_order([3, 4, 2], seed=7, epoch=1, shuffle=True, buffer=4)
    assert order.tolist() == [4, 6, 1, 0, 8, 3, 5, 7, 2]


def test_the_buffer_mixes_shards_and_without_it_they_stay_whole() -> None:
    shard_of = np.repeat(np.arange(20), 50)
    apart = shard_of[epoch_order([50] * 20, seed=0, epoch=0, shuffle=True, buffer=0)]
    assert np.count_nonzero(np.diff(apart)) == 19
    mixed = shard_of[epoch_order([50] * 20, seed=0, epoch=0, shuffle=True, buffer=200)]
    assert np.count_nonzero(np.diff(mixed)) > 500


@pytest.mark.parametrize(
    "arguments", [{"rank": 2, "world_size": 2}, {"worker": -1}, {"batch_size": 0}]
)
def test_a_reader_that_cannot_be_is_refused(arguments: dict[str, int]) -> None:
    with pytest.raises(ValueError, match="must be"):
        Reader(**arguments)


def test_a_position_before_the_first_is_refused() -> None:
    with pytest.raises(ValueError, match="0 or more"):
        Position(start=-1)
