"""The executor of worker processes, and the life of such a worker.

It speaks to its workers over one pipe each instead of a shared queue: when a worker is killed the
executor knows which item it held, and no lock is left behind to hang on. The talk: the worker gets
the function when it starts and sends an empty outcome when it is ready; then it gets one item at a
time and sends one outcome for each. A closed pipe sends it home.
"""

from __future__ import annotations

import multiprocessing
import os
import pickle
import signal
import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import suppress
from dataclasses import dataclass
from multiprocessing.connection import Connection, wait
from multiprocessing.context import SpawnProcess
from typing import Any, NoReturn, TypeVar, cast

from talkover.manifests.attempts import (
    THREAD_VARIABLES,
    Outcome,
    attempt_limited,
    label,
    run_here,
    usable_cores,
)
from talkover.manifests.errors import RunError, WorkerDied

T = TypeVar("T")
R = TypeVar("R")

_FAREWELL = 5.0  # seconds that a worker gets to leave on its own


class ProcessExecutor:
    """Worker processes on this machine, started afresh (``spawn``) and with one thread each.

    Args:
        jobs: Number of workers; all cores that this process may use if None. With 1 the work is
            done in this process, by the same rules.
    """

    def __init__(self, jobs: int | None = None) -> None:
        """Remember the number of workers; they live as long as one `run`."""
        self.jobs = usable_cores() if jobs is None else jobs

    def run(self, function: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[int, R]]:
        """Yield (index, result) as workers finish; see `Executor.run`.

        Workers are gone when the iterator ends, is closed or raises.
        """
        if self.jobs == 1:
            yield from run_here(function, items)
            return
        packed = _pack_function(function)
        workers: list[_Worker] = []
        is_over = False
        try:
            for _ in range(min(self.jobs, len(items))):
                workers.append(_start_worker(packed))
            for index, result in _work(workers, items):
                yield index, cast(R, result)
            is_over = True
        finally:
            _dismiss(workers, at_once=not is_over)


@dataclass(kw_only=True)
class _Worker:
    process: SpawnProcess
    pipe: Connection
    holds: int | None = None
    """Index of its item; None until it has said that it is ready."""


def _pack_function(function: Callable[[T], R]) -> bytes:
    try:
        return pickle.dumps(function)
    except (pickle.PicklingError, AttributeError, TypeError) as error:
        raise ValueError(
            f"worker processes must find the function by its name, but {function!r} cannot be "
            f"pickled ({error}): define it at the top of a module, or use the serial executor"
        ) from error


def _start_worker(packed: bytes) -> _Worker:
    context = multiprocessing.get_context("spawn")
    ours, theirs = context.Pipe()
    process = context.Process(target=_serve, args=(theirs, packed), daemon=True)
    process.start()
    theirs.close()  # so that the worker's death closes the pipe
    return _Worker(process=process, pipe=ours)


def _work(workers: Sequence[_Worker], items: Sequence[T]) -> Iterator[tuple[int, Any]]:
    """Hand items out and results on; a worker gets its next item before its result is used."""
    waiting = iter(range(len(items)))
    busy = list(workers)
    while busy:
        heard = wait([end for worker in busy for end in (worker.pipe, worker.process.sentinel)])
        for worker in [w for w in busy if w.pipe in heard or w.process.sentinel in heard]:
            outcome = _receive(worker, items)
            done, worker.holds = worker.holds, next(waiting, None)
            if worker.holds is None or outcome.error is not None:
                busy.remove(worker)
                worker.pipe.close()
            else:
                _send(worker, items)
            if done is not None:
                yield done, outcome.result(done, items[done])
            elif outcome.error is not None:
                raise outcome.error


def _send(worker: _Worker, items: Sequence[T]) -> None:
    assert worker.holds is not None
    packed = pickle.dumps(items[worker.holds])
    try:
        worker.pipe.send_bytes(packed)
    except OSError:
        _mourn(worker, items)


def _receive(worker: _Worker, items: Sequence[T]) -> Outcome:
    try:
        if worker.pipe.poll():
            return cast(Outcome, pickle.loads(worker.pipe.recv_bytes()))
    except (EOFError, OSError):
        pass  # it died; a pipe that it closed says no more than one that it never wrote to
    _mourn(worker, items)


def _mourn(worker: _Worker, items: Sequence[T]) -> NoReturn:
    """Say which item a dead worker held and how it died."""
    worker.process.join(_FAREWELL)
    code = worker.process.exitcode
    how = f"ended with exit code {code}"
    if code is not None and code < 0:
        how = f"was killed by {signal.Signals(-code).name}"
        how += " (out of memory?)" if code == -signal.SIGKILL else ""
    if worker.holds is None:
        raise RunError(
            f"a worker process {how} before it could start: a script that uses several jobs needs "
            'the line `if __name__ == "__main__":` above its own work'
        )
    raise WorkerDied(
        f"a worker process {how} while working on {label(worker.holds, items[worker.holds])}"
    )


def _dismiss(workers: Sequence[_Worker], *, at_once: bool) -> None:
    """Close the pipes and wait for the workers; stop those that do not leave."""
    for worker in workers:
        worker.pipe.close()
        if at_once:
            worker.process.terminate()
    for worker in workers:
        worker.process.join(_FAREWELL)
        if worker.process.is_alive():
            worker.process.kill()
            worker.process.join()
        worker.process.close()


def _serve(pipe: Connection, packed: bytes) -> None:
    """Life of a worker process."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)  # Ctrl-C reaches all; the parent decides
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(1))  # so that temporaries are removed
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))  # before numpy is loaded
    try:
        function = pickle.loads(packed)
    except Exception as error:
        pipe.send_bytes(pickle.dumps(Outcome(error=RunError(f"no worker can start: {error!r}"))))
        return
    pipe.send_bytes(pickle.dumps(Outcome()))
    with suppress(EOFError, OSError):  # the parent has closed the pipe, or is gone
        while True:
            item = pipe.recv_bytes()
            pipe.send_bytes(_serve_item(function, item))


def _serve_item(function: Callable[[Any], object], packed: bytes) -> bytes:
    """Outcome of one item as bytes, whatever goes wrong on the way."""
    try:
        return pickle.dumps(attempt_limited(function, pickle.loads(packed)))
    except Exception as error:  # item or result does not survive pickling
        return pickle.dumps(Outcome(error=RunError(f"cannot be sent between processes: {error!r}")))
