"""What a rule finds."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from dataclasses import dataclass

from talkover.manifests.schema import Session


@dataclass(frozen=True, slots=True)
class Fault:
    """What a rule found: where, what was got, and what is right."""

    field: str
    value: object
    message: str


Rule = Callable[[Session], Iterator[Fault]]
