"""The executor of a Ray cluster: one task of one core for each item."""

from __future__ import annotations

import os
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from types import ModuleType
from typing import Any, TypeVar, cast

from talkover.manifests.attempts import Outcome, attempt_limited, label, usable_cores
from talkover.manifests.errors import MissingExtraError, RunError, WorkerDied

T = TypeVar("T")
R = TypeVar("R")

_RETRIES = 3  # of a task whose worker died: Ray's own default, for preempted nodes
_PATIENCE = "60000"  # ms for Ray's agents to come up; on a busy machine its own limit is too short


class RayExecutor:
    """Tasks of one core each on a Ray cluster: the running one if there is one, else a local one.

    Workers of the cluster need talkover installed and see the same folders.

    Args:
        jobs: Most tasks at a time, and cores of a local cluster; all cores if None.
    """

    def __init__(self, jobs: int | None = None) -> None:
        """Check that Ray is there; the cluster is reached when work begins.

        Raises:
            MissingExtraError: If Ray is not installed.
        """
        self.jobs = jobs
        self._ray = _import_ray()

    def run(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[int, R]]:
        """Yield (index, result) as tasks finish; see `Executor.run`."""
        ray = self._ray
        with _ray_cluster(ray, self.jobs):
            most = self.jobs or max(1, int(ray.cluster_resources().get("CPU", 1)))
            task = ray.remote(num_cpus=1, max_retries=_RETRIES)(attempt_limited)
            shared = ray.put(function)
            waiting = iter(enumerate(items))
            running: dict[Any, int] = {}
            try:
                while True:
                    while len(running) < most and (turn := next(waiting, None)) is not None:
                        running[task.remote(shared, turn[1])] = turn[0]
                    if not running:
                        return
                    (done, *_), _ = ray.wait(list(running), num_returns=1)
                    index = running.pop(done)
                    outcome = _ray_outcome(ray, done, index, items[index])
                    yield index, cast(R, outcome.result(index, items[index]))
            finally:
                with suppress(ray.exceptions.RayError):
                    for left in running:
                        ray.cancel(left, force=True)


def _import_ray() -> ModuleType:
    os.environ.setdefault("RAY_USAGE_STATS_ENABLED", "0")  # Ray reports usage unless told not to
    os.environ.setdefault("RAY_agent_register_timeout_ms", _PATIENCE)
    try:
        import ray
    except ImportError as error:
        raise MissingExtraError("ray", "ray", "the executor ray") from error
    return ray


@contextmanager
def _ray_cluster(ray: ModuleType, jobs: int | None) -> Iterator[None]:
    """Reach the cluster that this process uses, else one that runs here, else start one."""
    if ray.is_initialized():
        yield
        return
    try:
        try:
            ray.init(address="auto", logging_level="ERROR", log_to_driver=False)
        except ConnectionError:  # none runs here
            ray.init(
                num_cpus=jobs or usable_cores(),
                include_dashboard=False,
                logging_level="ERROR",
                log_to_driver=False,
            )
    except Exception as error:  # Ray raises bare Exceptions when its processes do not come up
        ray.shutdown()
        reason = str(error).strip().partition("\n")[0]
        raise RunError(f"Ray does not start: {reason}; try --executor processes") from error
    try:
        yield
    finally:
        ray.shutdown()


def _ray_outcome(ray: ModuleType, reference: object, index: int, item: object) -> Outcome:
    try:
        return cast(Outcome, ray.get(reference))
    except ray.exceptions.RayError as error:  # the task raises nothing itself, so its worker died
        reason = str(error).strip().partition("\n")[0]
        raise WorkerDied(f"Ray lost a worker on {label(index, item)}: {reason}") from error
