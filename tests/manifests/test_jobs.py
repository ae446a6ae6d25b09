from __future__ import annotations

import functools
import importlib
import itertools
import math
import multiprocessing
import operator
import os
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from threadpoolctl import threadpool_info

from talkover.manifests import jobs as module
from talkover.manifests.attempts import THREAD_VARIABLES, one_numeric_thread
from talkover.manifests.audio import probe
from talkover.manifests.errors import (
    AudioError,
    ConfigurationError,
    MissingExtraError,
    RunError,
)
from talkover.manifests.jobs import EXECUTORS, Executor, make_executor, select_shard

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

# Worker processes import the function by name, so these tests use functions of the standard
# library, and a module in a temporary folder where nothing there will do.

WORKER_FUNCTIONS = """
import os, signal, time
from pathlib import Path

class Unportable(Exception):
    def __init__(self, one, two):
        super().__init__("two arguments in, one out")

def raise_unportable(item):
    raise Unportable(1, 2)

def give_lambda(item):
    return lambda: item

def die(item):
    if item == "die":
        os.kill(os.getpid(), signal.SIGKILL)
    if item == "leave":
        os._exit(3)
    time.sleep(0.05)
    return item

def touch_then_wait(path):
    Path(path).write_text(str(os.getpid()))
    time.sleep(60)

def product(seed):
    import numpy as np
    rng = np.random.default_rng(seed)
    return (rng.normal(size=(300, 300)) @ rng.normal(size=(300, 300))).tobytes()
"""


@pytest.fixture
def functions(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Any:
    (tmp_path / "worker_functions.py").write_text(WORKER_FUNCTIONS)
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "worker_functions", raising=False)
    import worker_functions  # type: ignore[import-not-found]

    yield worker_functions
    sys.modules.pop("worker_functions", None)


def _no_children_left() -> bool:
    return not multiprocessing.active_children()


@pytest.mark.parametrize(("name", "jobs"), [("serial", 1), ("processes", 1), ("processes", 3)])
def test_every_item_gives_one_result_under_its_index(name: str, jobs: int) -> None:
    items = list(range(20))
    found = dict(make_executor(name, jobs).run(operator.neg, items))
    assert found == {index: -index for index in items}
    assert _no_children_left()


@pytest.mark.parametrize(("name", "jobs"), [("serial", 1), ("processes", 1), ("processes", 2)])
def test_nothing_to_do_gives_nothing(name: str, jobs: int) -> None:
    assert list(make_executor(name, jobs).run(operator.neg, [])) == []


@pytest.mark.parametrize(("name", "jobs"), [("serial", 1), ("processes", 2)])
def test_numeric_libraries_get_one_thread_and_the_caller_keeps_its_own(
    name: str, jobs: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv(THREAD_VARIABLES[0], "7")
    monkeypatch.delenv(THREAD_VARIABLES[1], raising=False)
    found = make_executor(name, jobs).run(os.getenv, THREAD_VARIABLES)
    assert [value for _, value in found] == ["1"] * len(THREAD_VARIABLES)
    assert os.environ[THREAD_VARIABLES[0]] == "7"
    assert THREAD_VARIABLES[1] not in os.environ


class FakeTorch:
    threads = 7

    def get_num_threads(self) -> int:
        return self.threads

    def set_num_threads(self, threads: int) -> None:
        self.threads = threads


def test_one_numeric_thread_reaches_loaded_libraries_and_torch(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    importlib.import_module("numpy")
    torch = FakeTorch()
    monkeypatch.setitem(sys.modules, "torch", torch)  # type: ignore[arg-type]
    before = [pool["num_threads"] for pool in threadpool_info()]
    with one_numeric_thread():
        pools = [pool["num_threads"] for pool in threadpool_info()]
        assert pools and set(pools) == {1}
        assert torch.threads == 1
    assert torch.threads == FakeTorch.threads
    assert [pool["num_threads"] for pool in threadpool_info()] == before


def test_processes_give_the_same_bytes_for_any_number_of_jobs(functions: Any) -> None:
    alone = dict(make_executor("processes", 1).run(functions.product, range(4)))
    assert dict(make_executor("processes", 2).run(functions.product, range(4))) == alone


@pytest.mark.parametrize(("name", "jobs"), [("serial", 1), ("processes", 2)])
def test_errors_of_ours_arrive_as_they_were(name: str, jobs: int, tmp_path: Path) -> None:
    with pytest.raises(AudioError) as caught:
        list(make_executor(name, jobs).run(probe, [tmp_path / "missing.wav"]))
    assert str(caught.value) == f"{tmp_path / 'missing.wav'}: missing"
    assert not getattr(caught.value, "__notes__", [])
    assert _no_children_left()


@pytest.mark.parametrize(("name", "jobs"), [("serial", 1), ("processes", 2)])
def test_other_errors_name_their_item(name: str, jobs: int) -> None:
    with pytest.raises(ValueError, match=r"math domain error|nonnegative") as caught:
        list(make_executor(name, jobs).run(math.sqrt, [4.0, -9.0]))
    assert any("item 1 (-9.0)" in note for note in caught.value.__notes__)


def test_an_error_from_a_worker_shows_where_it_was_raised(functions: Any) -> None:
    missing = functools.partial(Path.read_text)
    with pytest.raises(FileNotFoundError) as caught:
        list(make_executor("processes", 2).run(missing, [Path("/no/such/file")]))
    text = "".join(traceback.format_exception(caught.value))
    assert "in the worker" in text and "pathlib" in text


def test_what_cannot_be_pickled_is_reported_and_hangs_nothing(functions: Any) -> None:
    executor = make_executor("processes", 2)
    with pytest.raises(RunError, match="Unportable: two arguments in"):
        list(executor.run(functions.raise_unportable, ["x"]))
    with pytest.raises(RunError, match="cannot be sent between processes"):
        list(executor.run(functions.give_lambda, ["x"]))
    with pytest.raises(ValueError, match="top of a module"):
        list(executor.run(lambda item: item, ["x"]))
    with pytest.raises((AttributeError, TypeError), match="pickle"):
        list(executor.run(str, [lambda: None]))
    assert _no_children_left()


@pytest.mark.parametrize(
    ("item", "how"), [("die", r"killed by SIGKILL \(out of memory\?\)"), ("leave", "exit code 3")]
)
def test_a_dead_worker_is_reported_with_the_item_it_held(
    functions: Any, item: str, how: str
) -> None:
    items = ["a", "b", item, "c"]
    with pytest.raises(RunError, match=rf"{how} while working on item 2 \('{item}'\)"):
        list(make_executor("processes", 2).run(functions.die, items))
    assert _no_children_left()


def test_closing_the_results_early_ends_the_workers(functions: Any) -> None:
    results = make_executor("processes", 2).run(functions.die, ["x"] * 100)
    assert next(iter(results))[1] == "x"
    results.close()  # type: ignore[attr-defined]
    assert _no_children_left()


def test_items_are_taken_only_when_a_worker_is_free() -> None:
    taken: list[int] = []

    class Watched(Sequence[int]):
        def __len__(self) -> int:
            return 1_000_000

        def __getitem__(self, index: Any) -> Any:
            taken.append(index)
            return index

    results = make_executor("processes", 2).run(operator.neg, Watched())
    list(itertools.islice(results, 10))
    results.close()  # type: ignore[attr-defined]
    assert max(taken) < 20


def test_an_interrupt_leaves_no_worker_behind(functions: Any, tmp_path: Path) -> None:
    script = (
        "import signal, sys, worker_functions\n"
        # What runs in the background inherits that interrupts are ignored; a terminal's does not.
        "signal.signal(signal.SIGINT, signal.default_int_handler)\n"
        "from talkover.manifests.jobs import make_executor\n"
        "list(make_executor('processes', 2).run(worker_functions.touch_then_wait, sys.argv[1:]))\n"
    )
    paths = [tmp_path / "a", tmp_path / "b"]
    parent = subprocess.Popen(
        [sys.executable, "-c", script, *map(str, paths)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        stderr=subprocess.PIPE,
        start_new_session=True,
    )
    workers = [int(_wait_for_text(path)) for path in paths]
    os.killpg(parent.pid, signal.SIGINT)  # as a terminal does: parent and workers
    _, errors = parent.communicate(timeout=30)
    assert errors.decode().rstrip().endswith("KeyboardInterrupt")
    assert errors.decode().count("Traceback") == 1
    for worker in workers:
        with pytest.raises(ProcessLookupError):
            os.kill(worker, 0)


def _wait_for_text(path: Path) -> str:
    for _ in range(600):
        if path.exists() and (text := path.read_text()):
            return text
        time.sleep(0.05)
    raise AssertionError(f"{path} was not written")


def test_a_script_without_a_main_guard_is_told_so(tmp_path: Path) -> None:
    script = tmp_path / "script.py"
    script.write_text(
        "import operator\n"
        "from talkover.manifests.jobs import make_executor\n"
        "print(list(make_executor('processes', 2).run(operator.neg, [1, 2])))\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, sys.path))},
        capture_output=True,
        text=True,
        timeout=60,
        check=False,
    )
    assert done.returncode == 1
    assert "__main__" in done.stderr.splitlines()[-1]


def test_executors_are_chosen_by_name_or_given() -> None:
    given = EXECUTORS["serial"]()
    assert make_executor(given) is given
    with pytest.raises(ConfigurationError, match=r"'sereal'.*processes, ray, serial"):
        make_executor("sereal")
    with pytest.raises(ConfigurationError, match="jobs must be 1 or more, got 0"):
        make_executor("serial", 0)


def test_other_packages_offer_executors_by_entry_point(monkeypatch: pytest.MonkeyPatch) -> None:
    from importlib.metadata import EntryPoint

    point = EntryPoint(
        name="elsewhere",
        value="talkover.manifests.jobs:SerialExecutor",
        group=module.ENTRY_POINTS,
    )
    monkeypatch.setattr(module.importlib.metadata, "entry_points", lambda *, group: [point])
    found = make_executor("elsewhere", 2)
    assert list(found.run(operator.neg, [1])) == [(0, -1)]


def test_a_missing_ray_names_its_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setitem(sys.modules, "ray", None)
    with pytest.raises(MissingExtraError, match=r'-e "\.\[ray\]"'):
        make_executor("ray", 2)


@settings(deadline=None)
@given(num_items=st.integers(0, 200), jobs=st.integers(1, 30))
def test_shards_cover_every_item_once_and_are_even(num_items: int, jobs: int) -> None:
    shards = [select_shard(num_items, f"{job}/{jobs}") for job in range(jobs)]
    assert sorted(itertools.chain(*shards)) == list(range(num_items))
    sizes = [len(shard) for shard in shards]
    assert max(sizes) - min(sizes) <= 1


@pytest.mark.parametrize("shard", ["", "1", "4/4", "0/0", "-1/4", "1/4/2", "a/b", "1.0/4", "²/4"])
def test_a_shard_that_is_none_is_refused(shard: str) -> None:
    with pytest.raises(ConfigurationError, match="i/n with i from 0 to n-1"):
        select_shard(10, shard)


@pytest.fixture
def ray_executor() -> Executor:
    pytest.importorskip("ray")
    return make_executor("ray", 2)


@pytest.mark.slow
def test_ray_gives_the_same_results_errors_and_reports(
    ray_executor: Executor, functions: Any, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))
    ray = pytest.importorskip("ray")
    ray.init(num_cpus=2, include_dashboard=False, log_to_driver=False)
    try:
        alone = dict(make_executor("processes", 1).run(functions.product, range(4)))
        assert dict(ray_executor.run(functions.product, range(4))) == alone
        with pytest.raises(AudioError, match="missing"):
            list(ray_executor.run(probe, [tmp_path / "missing.wav"]))
        with pytest.raises(ValueError) as caught:
            list(ray_executor.run(math.sqrt, [4.0, -9.0]))
        assert any("item 1 (-9.0)" in note for note in caught.value.__notes__)
        with pytest.raises(RunError, match=r"item 1 \('die'\)"):
            list(ray_executor.run(functions.die, ["a", "die"]))
        assert ray.is_initialized()  # the caller's cluster stays
    finally:
        ray.shutdown()


@pytest.mark.slow
def test_ray_starts_a_local_cluster_and_stops_it(ray_executor: Executor) -> None:
    ray = pytest.importorskip("ray")
    assert dict(ray_executor.run(operator.neg, range(5))) == {n: -n for n in range(5)}
    assert not ray.is_initialized()
