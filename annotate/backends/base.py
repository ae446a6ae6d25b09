"""The protocol of backends, and what they give.

A backend says what it is before anything heavy is imported (`Backend.info`, `Backend.available`),
loads once (`Backend.load`) and then runs over one recording at a time. It hands back a
`BranchResult`; a `BackendError` degrades its branch of that recording, and nothing else.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Literal, Protocol, cast

from pydantic import JsonValue

from talkover.annotate.events import Curve, Event
from talkover.annotate.media import DecodedAudio
from talkover.manifests.errors import ConfigurationError, TalkoverError

Kind = Literal[
    "activity", "vad", "diarizer", "embedder", "music", "events", "quality", "asr", "captioner"
]
KINDS: tuple[Kind, ...] = (
    "activity",
    "vad",
    "diarizer",
    "embedder",
    "music",
    "events",
    "quality",
    "asr",
    "captioner",
)


class BackendError(TalkoverError):
    """A backend could not do its work on a recording."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BackendInfo:
    """Who speaks for a label."""

    name: str
    version: str
    """Of the code and its weights; part of every stage's key."""
    licence: str
    """SPDX id of the weights, or of the code where there are none."""
    weights_sha256: str | None = None
    non_commercial: bool = False
    """The weights' licence forbids commercial use; goes through to the manifest."""


def is_non_commercial(licence: str) -> bool:
    """Whether the name of a licence says NC.

    >>> is_non_commercial("CC-BY-NC-4.0"), is_non_commercial("MIT")
    (True, False)
    """
    return "NC" in licence.upper().replace(" ", "-").split("-")


@dataclass(frozen=True, kw_only=True, slots=True)
class BranchResult:
    """All that one backend says about one recording."""

    backend: BackendInfo
    events: tuple[Event, ...] = ()
    curves: Mapping[str, Curve] = field(default_factory=dict)
    figures: Mapping[str, JsonValue] = field(default_factory=dict)
    """Scores of the recording as a whole, by name, with the unit in the name."""
    warnings: tuple[str, ...] = ()


class Backend(Protocol):
    """Something that listens to recordings.

    Implementations take their options as keyword arguments of the constructor, import nothing heavy
    there, and give the same result for the same recording on any worker.
    """

    def info(self) -> BackendInfo:
        """Name, version and licence; cheap."""
        ...

    def available(self) -> tuple[bool, str]:
        """Whether it can be loaded, and if not, what is missing and how to get it."""
        ...

    def load(self) -> None:
        """Load weights; called once in each process before the first `run`."""
        ...

    def run(self, audio: DecodedAudio, upstream: Mapping[Kind, BranchResult]) -> BranchResult:
        """Listen to a recording.

        Args:
            audio: One channel at `talkover.annotate.media.RATE`.
            upstream: What the branches before this one said.

        Raises:
            BackendError: If this recording cannot be done.
        """
        ...


def entry_points_of(kind: Kind) -> str:
    """Group under which other packages offer backends of a kind.

    >>> entry_points_of("vad")
    'talkover.annotate.vad'
    """
    return f"talkover.annotate.{kind}"


def make_backend(
    kind: Kind,
    backend: str | Backend,
    table: Mapping[str, type[Any]],
    options: Mapping[str, Any] | None = None,
) -> Backend:
    """A backend from its name, or the one given.

    Args:
        kind: What it is for.
        backend: A key of the table, a name of the kind's entry-point group, or an object.
        table: The built-in backends of the kind.
        options: Keyword arguments for the constructor.

    Raises:
        ConfigurationError: If there is no such backend, or it has no such option.
    """
    if not isinstance(backend, str):
        return backend
    others = {e.name: e for e in importlib.metadata.entry_points(group=entry_points_of(kind))}
    if backend in table:
        made = table[backend]
    elif backend in others:
        made = others[backend].load()
    else:
        known = ", ".join(sorted({*table, *others}))
        raise ConfigurationError(f"unknown {kind} backend {backend!r}: choose one of {known}")
    try:
        return cast(Backend, made(**(options or {})))
    except TypeError as error:
        raise ConfigurationError(f"{kind} backend {backend}: {error}") from error
