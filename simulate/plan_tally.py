"""What planned sessions come to next to what was asked of them, for runs without audio."""

from __future__ import annotations

from collections.abc import Sequence

from talkover.manifests.schema import Supervision
from talkover.manifests.statistics import session_statistics
from talkover.simulate.config import SimulationConfig
from talkover.simulate.figures import Figure
from talkover.simulate.plan import SessionPlan
from talkover.simulate.plan_check import share_deviation
from talkover.simulate.summary import SHARE_TOLERANCE, TARGET_TOLERANCE


class PlanTally:
    """Collects the targets of planned sessions; held to the same tolerances as rendered ones.

    Args:
        config: Says which ratios a person asked for; drawn ones are no promise.
    """

    def __init__(self, config: SimulationConfig) -> None:
        """No session yet."""
        self._given = {"overlap": config.turns.overlap, "silence": config.turns.silence}
        self._pairs: dict[str, list[tuple[float, float]]] = {
            name: [] for name in ("overlap", "silence", "speakers", "most at one time", "shares")
        }

    def add(self, plan: SessionPlan, supervisions: Sequence[Supervision]) -> None:
        """Measure one session on its labels."""
        asked = plan.asked
        got = session_statistics(supervisions, plan.num_samples, plan.sampling_rate)
        ratios = {"overlap": got.overlap_of_speech, "silence": got.silence_of_time}
        for name, target in self._given.items():
            if target is not None:
                self._pairs[name].append((target, ratios[name]))
        if asked.num_speakers is not None:
            self._pairs["speakers"].append((asked.num_speakers, got.num_speakers))
        if asked.max_concurrent is not None:  # fewer at one time is what was asked, too
            most = max(asked.max_concurrent, got.max_concurrent)
            self._pairs["most at one time"].append((asked.max_concurrent, most))
        if asked.talk_shares:
            self._pairs["shares"].append((0.0, share_deviation(asked, got)))

    @property
    def figures(self) -> tuple[Figure, ...]:
        """Asked and got of each target that was asked."""
        rows = (
            ("overlap", "of speech", TARGET_TOLERANCE),
            ("silence", "of time", TARGET_TOLERANCE),
            ("speakers", "of a session", 0.0),
            ("most at one time", "speakers", 0.0),
            ("shares", "of all speech", SHARE_TOLERANCE),
        )
        return tuple(
            Figure(
                name=name,
                unit=unit,
                asked=tuple(a for a, _ in self._pairs[name]),
                got=tuple(g for _, g in self._pairs[name]),
                tolerance=tolerance,
                of_means=name in self._given,
            )
            for name, unit, tolerance in rows
            if self._pairs[name]
        )

    @property
    def breaches(self) -> list[str]:
        """One line for each target that was missed."""
        return [figure.breach for figure in self.figures if not figure.holds]
