"""What all commands share: their common options, printing for people and machines, a bar."""

from __future__ import annotations

import json
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Annotated, Any

import typer

from talkover.manifests.errors import ConfigurationError

Advance = Callable[..., None]
"""Told of seconds that are done, and of all seconds once they are known."""

Json = Annotated[bool, typer.Option("--json", help="Print JSON for machines.")]


def channel_of(text: str) -> Any:
    """``--channel``: a number or ``mean``.

    Raises:
        ConfigurationError: If it is neither.
    """
    if text == "mean":
        return text
    try:
        return int(text)
    except ValueError:
        raise ConfigurationError(f"--channel takes a number or mean, got {text!r}") from None


def choice_of(option: str, value: str, allowed: tuple[str, ...]) -> Any:
    """One of a few words.

    Raises:
        ConfigurationError: If it is none of them; names the option.
    """
    if value not in allowed:
        raise ConfigurationError(f"{option} takes {' or '.join(allowed)}, got {value!r}")
    return value


def range_of(option: str, text: str | None) -> tuple[int, int] | None:
    """``3`` or ``2-4`` as (least, most); None stays None.

    Raises:
        ConfigurationError: If it is neither; names the option.
    """
    if text is None:
        return None
    least, dash, most = text.partition("-")
    try:
        return int(least), int(most if dash else least)
    except ValueError:
        raise ConfigurationError(f"{option} takes N or MIN-MAX, got {text!r}") from None


def print_values(values: Any, as_json: bool) -> None:
    """A mapping for a person or a machine."""
    if as_json:
        print(json.dumps(values, ensure_ascii=False))
        return
    for line in _lines(values):
        print(line)


def _lines(values: Any, indent: str = "") -> list[str]:
    lines = []
    for key, value in values.items():
        if isinstance(value, dict):
            lines.append(f"{indent}{key}:")
            lines += _lines(value, indent + "  ")
        elif isinstance(value, float):
            lines.append(f"{indent}{key}: {value:.4g}")
        else:
            lines.append(f"{indent}{key}: {value}")
    return lines


@contextmanager
def progress_bar(what: str, total: float | None, *, quiet: bool) -> Iterator[Advance]:
    """A bar with × real time and time left; silent where stderr is not a terminal.

    Args:
        what: Shown before the bar.
        total: Seconds of all work; None until it is known.
        quiet: Show nothing.
    """
    if quiet or not sys.stderr.isatty():
        yield lambda seconds, total=None: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, Progress, TextColumn, TimeRemainingColumn

    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.fields[speed]}"),
        TimeRemainingColumn(),
        console=Console(stderr=True),
    )
    task = bar.add_task(what, total=total, speed="")
    begun, done = time.monotonic(), 0.0

    def advance(seconds: float, total: float | None = None) -> None:
        nonlocal done
        done += seconds
        speed = done / max(1e-9, time.monotonic() - begun)
        bar.update(task, advance=seconds, total=total, speed=f"{speed:,.0f} × real time")

    with bar:
        yield advance
