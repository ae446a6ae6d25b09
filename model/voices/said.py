"""A word that was found in a recording, with its speaker."""

from __future__ import annotations

from dataclasses import dataclass

from talkover.model.onsets import Unit


@dataclass(frozen=True, kw_only=True)
class SaidWord:
    """A unit that was found, and who said it."""

    unit: Unit
    speaker: int
    """In order of arrival, from 0."""
