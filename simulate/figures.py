"""One target of a run: what was asked, what came out, and whether that is near enough."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np


@dataclass(frozen=True, kw_only=True)
class Figure:
    """One target as it was asked and as it came out, over the sessions that asked for it."""

    name: str
    unit: str
    asked: tuple[float, ...]
    got: tuple[float, ...]
    tolerance: float
    of_means: bool
    """Compare the means over sessions; otherwise every session must hold."""
    is_drawn: bool = False
    """Nobody asked: each value was drawn from the turn-taking model, and is no promise."""

    @property
    def holds(self) -> bool:
        """True if the deviation is within the tolerance, or nobody asked."""
        return self.is_drawn or self.deviation <= self.tolerance

    @property
    def deviation(self) -> float:
        """Of the means, or the largest over the sessions; 0 where nothing was asked."""
        if not self.asked:
            return 0.0
        difference = np.array(self.got) - np.array(self.asked)
        return float(abs(difference.mean()) if self.of_means else np.abs(difference).max())

    @property
    def breach(self) -> str:
        """The miss, in words."""
        return f"{self.name}: off by {self.deviation:.3f} {self.unit}, tolerance {self.tolerance}"
