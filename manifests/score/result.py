"""What scoring gives: figures overall, per session and per stratum, with all they depend on."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from pydantic import JsonValue

from talkover.manifests.score.bootstrap import Difference
from talkover.manifests.score.sides import Pair
from talkover.manifests.score.strata import Strata
from talkover.manifests.score.tally import Tally


@dataclass(frozen=True, kw_only=True)
class Comparison:
    """A second system on the same reference; differences are first minus second."""

    overall: Mapping[str, Tally]
    differences: Mapping[str, Difference]


@dataclass(frozen=True, kw_only=True)
class ScoreResult:
    """Figures of one hypothesis against one reference."""

    overall: Mapping[str, Tally]
    """Per metric: sums of errors over sums of lengths."""
    sessions: Mapping[str, Mapping[str, Tally]]
    """Session, metric."""
    settings: Mapping[str, JsonValue]
    """Normaliser with version, collars, conventions, seed: what the figures depend on."""
    strata: Strata = field(default_factory=dict)
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """95 % bootstrap interval per metric."""
    comparison: Comparison | None = None
    pairs: Mapping[str, Pair] = field(default_factory=dict, repr=False)
    """Both sides of every session, for the page of aligned errors."""
