"""The torch dataset: once an epoch for any ranks and workers, resumed exactly, without Lhotse."""

from __future__ import annotations

import json
import multiprocessing
import os
import pickle
import subprocess
import sys
from collections.abc import Sequence
from itertools import chain
from pathlib import Path

import pytest
import torch
from torch.utils.data import DataLoader

from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.io import SessionAudio
from talkover.manifests.shards.dataset import ShardDataset
from talkover.manifests.shards.loader import ShardLoader

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

ALL = [f"s{n:03d}" for n in range(23)]


def ids(items: Sequence[SessionAudio]) -> list[str]:
    """A batch as the ids in it; importable, so that workers can use it."""
    return [item.session.id for item in items]


@pytest.fixture(autouse=True)
def alone(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv("RANK", raising=False)
    monkeypatch.delenv("WORLD_SIZE", raising=False)


def test_an_epoch_gives_each_session_once_and_the_next_another_order(shards: Path) -> None:
    dataset = ShardDataset(shards, seed=1)
    assert len(dataset) == 23
    first, second = ids(list(dataset)), ids(list(dataset))
    assert sorted(first) == sorted(second) == ALL
    assert first != second
    dataset.set_epoch(0)
    assert ids(list(dataset)) == first
    assert ids(list(ShardDataset(shards, shuffle=False))) == ALL


@pytest.mark.parametrize("num_workers", [1, 2])
def test_a_plain_data_loader_gives_each_session_once(shards: Path, num_workers: int) -> None:
    dataset = ShardDataset(shards, seed=1)
    loader = DataLoader(dataset, batch_size=None, num_workers=num_workers)
    given = [item.session.id for item in loader]
    assert given == ids(list(dataset))
    assert sorted(given) == ALL


def test_more_readers_than_sessions_leave_nothing_out(shards: Path) -> None:
    given = [ids(list(ShardDataset(shards, rank=rank, world_size=30))) for rank in range(30)]
    assert sorted(chain.from_iterable(given)) == ALL


def test_drop_gives_all_ranks_equally_many(shards: Path) -> None:
    given = [
        ids(list(ShardDataset(shards, rank=rank, world_size=4, tail="drop"))) for rank in range(4)
    ]
    assert [len(one) for one in given] == [5, 5, 5, 5]
    assert len(set(chain.from_iterable(given))) == 20


def test_the_dataset_goes_on_after_any_session(shards: Path) -> None:
    whole = ids(list(ShardDataset(shards, seed=2)))
    for stop in (1, 8, 22, 23):
        dataset, other = ShardDataset(shards, seed=2), ShardDataset(shards, seed=2)
        items = iter(dataset)
        first = [next(items).session.id for _ in range(stop)]
        other.load_state_dict(json.loads(json.dumps(dataset.state_dict())))
        assert len(other) == 23 - stop
        assert first + ids(list(other)) == whole
        assert other.position.epoch == 1


def test_batches_do_not_depend_on_workers(shards: Path) -> None:
    every = []
    for num_workers in (0, 1, 2):
        loader = ShardLoader(
            ShardDataset(shards, seed=4), batch_size=4, collate=ids, num_workers=num_workers
        )
        assert len(loader) == 6
        every.append(list(loader))
    assert [len(batch) for batch in every[0]] == [4, 4, 4, 4, 4, 3]
    assert every[1:] == every[:1] * 2


def test_an_epoch_goes_on_exactly_with_other_workers_ranks_and_batches(shards: Path) -> None:
    """Two ranks with two workers each stop after three batches; three ranks with one go on."""
    given: list[str] = []
    states = []
    for rank in range(2):
        dataset = ShardDataset(shards, seed=5, rank=rank, world_size=2)
        loader = ShardLoader(dataset, batch_size=2, collate=ids, num_workers=2)
        batches = iter(loader)
        given += chain.from_iterable(next(batches) for _ in range(3))
        states.append(loader.state_dict())
        del batches
    assert states[0] == states[1]
    assert states[0]["start"] == 12
    for rank in range(3):
        dataset = ShardDataset(shards, seed=5, rank=rank, world_size=3)
        loader = ShardLoader(dataset, batch_size=3, collate=ids, num_workers=1)
        loader.load_state_dict(states[0])
        assert len(loader) == (1 if rank == 2 else 2)
        given += chain.from_iterable(loader)
        assert loader.state_dict()["epoch"] == 1
    assert sorted(given) == ALL


def test_a_loader_that_was_broken_off_goes_on(shards: Path) -> None:
    whole = list(ShardLoader(ShardDataset(shards), batch_size=4, collate=ids))
    loader = ShardLoader(ShardDataset(shards), batch_size=4, collate=ids)
    given = []
    for batch in loader:
        given.append(batch)
        if len(given) == 2:
            break
    assert given + list(loader) == whole
    assert list(loader) != whole  # the next epoch


def test_drop_last_leaves_one_batch_out_whatever_the_workers(shards: Path) -> None:
    loader = ShardLoader(
        ShardDataset(shards), batch_size=4, collate=ids, num_workers=2, drop_last=True
    )
    batches = list(loader)
    assert [len(batch) for batch in batches] == [4] * 5
    assert loader.state_dict()["epoch"] == 1
    assert len(loader) == 5


def test_a_state_of_other_shards_or_another_order_is_refused(shards: Path) -> None:
    state = ShardDataset(shards, seed=1).state_dict()
    for name, value in (("index_sha256", "0"), ("seed", 2), ("buffer", 1), ("version", 2)):
        with pytest.raises(ConfigurationError, match=f"state has {name}"):
            ShardDataset(shards, seed=1).load_state_dict({**state, name: value})


@pytest.mark.parametrize("name", ["shuffle", "sampler", "persistent_workers", "in_order"])
def test_what_would_break_the_order_is_refused(shards: Path, name: str) -> None:
    with pytest.raises(ConfigurationError, match=f"{name} is not an option"):
        ShardLoader(ShardDataset(shards), **{name: True})


def test_rank_comes_from_arguments_or_environment(
    shards: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("RANK", "1")
    monkeypatch.setenv("WORLD_SIZE", "2")
    dataset = ShardDataset(shards)
    assert (dataset.rank, dataset.world_size, len(dataset)) == (1, 2, 11)
    assert ShardDataset(shards, rank=0, world_size=1).world_size == 1
    for arguments in ({"rank": 1}, {"rank": 2, "world_size": 2}):
        with pytest.raises(ConfigurationError, match="rank"):
            ShardDataset(shards, **arguments)
    monkeypatch.setenv("WORLD_SIZE", "two")
    with pytest.raises(ConfigurationError, match="WORLD_SIZE must be a number"):
        ShardDataset(shards)


def test_a_dataset_can_go_to_another_process(shards: Path) -> None:
    dataset = ShardDataset(shards, seed=9)
    list(zip(range(3), dataset, strict=False))
    other = pickle.loads(pickle.dumps(dataset))
    assert other.state_dict() == dataset.state_dict()
    assert ids(list(other)) == ids(list(dataset))


def _train(shards: Path, folder: Path, rank: int, name: str, stop: int | None) -> None:
    """One rank of two: a process group, two workers, a checkpoint, what was given."""
    os.environ.update(RANK=str(rank), WORLD_SIZE="2", GLOO_SOCKET_IFNAME="lo")
    torch.set_num_threads(1)
    torch.distributed.init_process_group(
        "gloo", init_method=f"file://{folder}/{name}", rank=rank, world_size=2
    )
    os.environ.update(RANK="7", WORLD_SIZE="9")  # the process group counts, not these
    loader = ShardLoader(ShardDataset(shards, seed=6), batch_size=2, collate=ids, num_workers=2)
    state = folder / "state.json"
    if state.exists():
        loader.load_state_dict(json.loads(state.read_text()))
    given: list[str] = []
    for step, batch in enumerate(loader, start=1):
        given += batch
        if step == stop:
            break
    (folder / f"{name}-{rank}.json").write_text(json.dumps(given))
    torch.distributed.barrier()
    if rank == 0:
        state.write_text(json.dumps(loader.state_dict()))
    torch.distributed.destroy_process_group()


@pytest.mark.medium
def test_two_processes_with_two_workers_and_a_resume_give_each_session_once(
    shards: Path, tmp_path: Path
) -> None:
    context = multiprocessing.get_context("fork")
    given = {}
    for name, stop in (("first", 3), ("second", None), ("third", None)):
        processes = [
            context.Process(target=_train, args=(shards, tmp_path, rank, name, stop))
            for rank in range(2)
        ]
        for process in processes:
            process.start()
        for process in processes:
            process.join(60)
        assert [process.exitcode for process in processes] == [0, 0]
        given[name] = [json.loads((tmp_path / f"{name}-{r}.json").read_text()) for r in range(2)]
    assert [len(one) for one in given["first"]] == [6, 6]
    assert [len(one) for one in given["second"]] == [6, 5]
    assert sorted(chain.from_iterable(given["first"] + given["second"])) == ALL
    assert sorted(chain.from_iterable(given["third"])) == ALL  # the epoch after
    assert json.loads((tmp_path / "state.json").read_text())["epoch"] == 2


@pytest.mark.medium
def test_reading_needs_no_lhotse_and_no_torch_but_for_the_dataset(shards: Path) -> None:
    script = """
import sys
sys.modules["lhotse"] = None
sys.modules["torch"] = None
from talkover.manifests.shards import read_sharded
print(sum(1 for _ in read_sharded(sys.argv[1])))
del sys.modules["torch"]
from talkover.manifests.shards.dataset import ShardDataset
print(sum(one.samples.shape[1] for one in ShardDataset(sys.argv[1])))
"""
    done = subprocess.run(
        [sys.executable, "-c", script, str(shards)],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
    )
    assert done.returncode == 0, done.stderr
    assert done.stdout.split() == ["23", str(sum(1600 + 160 * n for n in range(23)))]


def test_an_index_that_is_not_there_or_not_one_is_named(tmp_path: Path) -> None:
    with pytest.raises(ManifestError, match=r"index\.json: missing"):
        ShardDataset(tmp_path)
    (tmp_path / "index.json").write_text('{"version": 1}')
    with pytest.raises(ManifestError, match="not an index"):
        ShardDataset(tmp_path)
