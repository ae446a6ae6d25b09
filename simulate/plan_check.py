"""What a plan comes to, measured on its labels, against what was asked; no audio is needed."""

from __future__ import annotations

from dataclasses import dataclass

from talkover.manifests.schema import Asked, Statistics
from talkover.manifests.statistics import session_statistics
from talkover.simulate.config import SimulationConfig
from talkover.simulate.labels import supervisions_of
from talkover.simulate.plan import SessionPlan
from talkover.simulate.source_cache import SourceCache

OVERLAP_TOLERANCE = 0.03
"""Of speech, in one session; the mean over sessions is held to less (`Summary`)."""
SILENCE_TOLERANCE = 0.03
"""Of time, in one session."""
SHARE_TOLERANCE = 0.04
"""Of all speech: the largest deviation of one speaker in one session."""


@dataclass(frozen=True)
class PlanCheck:
    """Holds plans against the targets that a person asked for; drawn ones are no promise."""

    config: SimulationConfig

    @property
    def is_needed(self) -> bool:
        """Whether anything that can be missed was asked."""
        turns = self.config.turns
        asked = (turns.overlap, turns.silence, turns.shares, turns.dominance)
        return any(value is not None for value in asked)

    def miss(self, plan: SessionPlan, cache: SourceCache) -> float:
        """The largest deviation as a multiple of its tolerance: 1 or less is a hit."""
        if not self.is_needed:
            return 0.0
        figures = session_statistics(
            supervisions_of(plan, cache), plan.num_samples, plan.sampling_rate
        )
        turns = self.config.turns
        asked = plan.asked
        misses = [0.0]
        if turns.overlap is not None:
            misses.append(abs(figures.overlap_of_speech - turns.overlap) / OVERLAP_TOLERANCE)
        if turns.silence is not None:
            misses.append(abs(figures.silence_of_time - turns.silence) / SILENCE_TOLERANCE)
        if asked.talk_shares is not None:
            misses.append(share_deviation(asked, figures) / SHARE_TOLERANCE)
        if figures.max_concurrent > turns.max_concurrent:
            misses.append(float("inf"))
        return max(misses)


def share_deviation(asked: Asked, figures: Statistics) -> float:
    """Largest |got - asked| of a speaker's share of all speech."""
    return max(
        abs(figures.talk_shares.get(name, 0.0) - share)
        for name, share in (asked.talk_shares or {}).items()
    )
