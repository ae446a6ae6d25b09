"""What an evaluation gives: the systems that were heard, and how good each is."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path

from pydantic import JsonValue

from talkover.manifests.schema import Session
from talkover.manifests.score import ScoreResult


@dataclass(frozen=True, kw_only=True)
class Item:
    """A session and where its audio lies."""

    session: Session
    folder: Path


@dataclass(frozen=True, kw_only=True)
class System:
    """What one system says of all sessions, and how good that is."""

    name: str
    hypothesis: tuple[Session, ...]
    """Of the sessions of which something is known."""
    failed: Mapping[str, str]
    """Reason, of the others."""
    result: ScoreResult
    partial: Mapping[str, str] = field(default_factory=dict)
    """Reason, of sessions of which some stretch is not known."""
    truncated: tuple[str, ...] = ()
    """Sessions of which an answer ended with its budget."""


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """A checkpoint on labelled sessions, and the baseline where there is one."""

    model: System
    cascade: System | None
    skipped: Mapping[str, str]
    """Reason, of sessions that cannot be scored."""
    seconds: float
    """Of the audio that was heard."""
    settings: Mapping[str, JsonValue]

    @property
    def systems(self) -> list[System]:
        """The model first."""
        return [self.model] if self.cascade is None else [self.model, self.cascade]
