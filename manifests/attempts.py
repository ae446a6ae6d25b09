"""One call on one item, as every executor makes it: with one numeric thread, and an outcome.

The number of threads of a BLAS decides how sums are split and so the last bits of a result: with
one thread everywhere, the bytes depend on no executor and on no number of workers.
"""

from __future__ import annotations

import os
import pickle
import reprlib
import sys
import traceback
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any, TypeVar

from threadpoolctl import threadpool_limits  # type: ignore[import-untyped]

from talkover.manifests.errors import RunError, TalkoverError

T = TypeVar("T")
R = TypeVar("R")

THREAD_VARIABLES = (
    "OMP_NUM_THREADS",
    "OPENBLAS_NUM_THREADS",
    "MKL_NUM_THREADS",
    "NUMEXPR_NUM_THREADS",
    "VECLIB_MAXIMUM_THREADS",
)
"""Environment variables that numeric libraries read once, when they are loaded."""

_names = reprlib.Repr()
_names.maxother = _names.maxstring = 80  # characters


def usable_cores() -> int:
    """Number of cores that this process may run on."""
    if sys.platform == "linux":
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


@contextmanager
def one_numeric_thread() -> Iterator[None]:
    """Hold BLAS, OpenMP and PyTorch to one thread, those that load inside the block included.

    PyTorch is limited if it is imported already, and never imported for this.
    """
    before = {name: os.environ.get(name) for name in THREAD_VARIABLES}
    os.environ.update(dict.fromkeys(THREAD_VARIABLES, "1"))
    torch = sys.modules.get("torch")
    torch_threads = torch.get_num_threads() if torch else 0
    try:
        with threadpool_limits(limits=1):
            if torch:
                torch.set_num_threads(1)
            yield
    finally:
        if torch:
            torch.set_num_threads(torch_threads)
        for name, value in before.items():
            if value is None:
                os.environ.pop(name, None)
            else:
                os.environ[name] = value


@dataclass(frozen=True, kw_only=True)
class Outcome:
    """What became of one call."""

    value: Any = None
    error: Exception | None = None

    def result(self, index: int, item: object) -> Any:
        """Return the value, or raise the error with the item it belongs to."""
        if self.error is None:
            return self.value
        if not isinstance(self.error, TalkoverError):
            self.error.add_note(f"while working on {label(index, item)}")
        raise self.error


def run_here(function: Callable[[T], R], items: Sequence[T]) -> Iterator[tuple[int, R]]:
    """Yield (index, result) of one item after the other, worked on in this process."""
    for index, item in enumerate(items):
        with one_numeric_thread():  # around the call only: the caller's own work is not ours
            outcome = _attempt(function, item)
        yield index, outcome.result(index, item)


def attempt_limited(function: Callable[[T], object], item: T) -> Outcome:
    """Call with one thread, in another process than the caller's, and let nothing escape.

    An error that is not ours takes its traceback along as a note, which pickling keeps.
    """
    with one_numeric_thread():
        outcome = _attempt(function, item)
    if outcome.error is None:
        return outcome
    if not isinstance(outcome.error, TalkoverError):
        trace = "".join(traceback.format_exception(outcome.error))
        outcome.error.add_note(f"in the worker:\n{trace}")
    return Outcome(error=_portable(outcome.error))


def label(index: int, item: object) -> str:
    """How messages call an item."""
    return f"item {index} ({_names.repr(item)})"


def _attempt(function: Callable[[T], object], item: T) -> Outcome:
    try:
        return Outcome(value=function(item))
    except Exception as error:  # raised again by `Outcome.result`, in the caller's process
        return Outcome(error=error)


def _portable(error: Exception) -> Exception:
    """The error if pickling keeps it, else a RunError that says the same."""
    with suppress(Exception):
        if type(pickle.loads(pickle.dumps(error))) is type(error):
            return error
    return RunError(f"{type(error).__name__}: {error}")
