"""What a segmentation is asked for: lengths, what each kind of event is worth, and slack."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field

from talkover.annotate.events import EVENT_KINDS, EventKind
from talkover.manifests.errors import ConfigurationError

ESCALATION = 30.0
"""Each step of the escalation costs this many times the step before, so that a step is taken only
where the ones before it do not suffice; more than `longest` / `shortest` cuts fit in between."""
OVERSIZE = 100.0
"""Cost of a segment over `longest` (once, and again for every `longest` more): the first step. The
soft costs of a boundary stay under 5."""


def escalating_weights() -> dict[EventKind, float]:
    """Cost of a cut through an event: oversize, then music, then sounds, then turns; no word."""
    return {
        "music": OVERSIZE * ESCALATION,
        "sound": OVERSIZE * ESCALATION**2,
        "turn": OVERSIZE * ESCALATION**3,
        "overlap": 0.0,  # two turns are counted there already
        "word": math.inf,
    }


def usual_slack() -> dict[EventKind, float]:
    """Seconds around an event at which a cut is too near to be sure."""
    return {"word": 0.02, "turn": 0.05, "overlap": 0.05, "sound": 0.05, "music": 0.05}


@dataclass(frozen=True, kw_only=True)
class SegmentationConfig:
    """Lengths in seconds, costs without unit.

    Raises:
        ConfigurationError: If lengths are not in order, or a kind is unknown or negative.
    """

    shortest: float = 5.0
    """No segment is shorter, but the last of a recording."""
    preferred: float = 20.0
    """The length that costs nothing."""
    longest: float = 60.0
    """Segments are longer only where they would cut an event."""
    oversize: float = 120.0
    """Segments are longer than this only where they would cut a word."""
    weights: Mapping[EventKind, float] = field(default_factory=escalating_weights)
    """Cost of a cut through an event of a kind, times the confidence of the event."""
    slack: Mapping[EventKind, float] = field(default_factory=usual_slack)
    """Seconds; a cut nearer to an event than this costs up to `nearness`."""
    nearness: float = 1.0
    length_cost: float = 0.5
    """Times the squared natural logarithm of length / `preferred`."""
    speech_cost: float = 1.0
    """Times the probability of speech at the cut (curve ``speech``)."""
    closeness_cost: float = 0.3
    """Times 1 / (1 + seconds to the nearest event): cuts go to the middle of silences."""
    novelty_reward: float = 0.3
    """Times 1 - the novelty at the cut (curve ``novelty``): cuts go where the scene changes."""
    grid: float = 0.05
    """Seconds between possible cuts, besides the edges of events and the middles of short gaps."""
    cell: float = 0.25
    """Seconds; the cheapest possible cut of each cell is considered."""

    def __post_init__(self) -> None:
        """Check the values."""
        if not 0 < self.shortest <= self.preferred <= self.longest <= self.oversize:
            raise ConfigurationError(
                "segmentation needs 0 < shortest <= preferred <= longest <= oversize, got "
                f"{self.shortest}, {self.preferred}, {self.longest}, {self.oversize} s"
            )
        if not 0 < self.grid <= self.cell <= self.shortest:
            raise ConfigurationError(
                f"segmentation needs 0 < grid <= cell <= shortest, got {self.grid}, {self.cell} s"
            )
        for name in ("weights", "slack"):
            values: Mapping[str, float] = getattr(self, name)
            if set(values) != set(EVENT_KINDS):
                raise ConfigurationError(
                    f"segmentation.{name} needs a value for each of {', '.join(EVENT_KINDS)}"
                )
            for kind, value in values.items():
                if not value >= 0.0:
                    raise ConfigurationError(
                        f"segmentation.{name}.{kind} must not be negative, got {value}"
                    )

    @property
    def lag(self) -> float:
        """Seconds after which a boundary is decided at the latest."""
        return 2 * self.oversize
