"""How strongly a session must depart from its model to have an asked overlap and silence.

One *overlap effect* x makes backchannels more frequent, interruptions likelier and overlaps longer;
one *silence effect* y makes gaps and pauses longer. Each part follows with its own fitted exponent
(`talkover.simulate.turns.Response`). At x = y = 0 the model is as fitted. Expected seconds per unit
that holds the floor turn a ratio into an effect::

    overlap = backchannels + P(interruption) × length      speech = mean new time of a unit
    silence = P(switch) × gap + P(hold) × pause            ratio = overlap / speech, …
"""

from __future__ import annotations

from bisect import bisect_left
from math import exp, log

import numpy as np

from talkover.simulate.turns import TurnModel

GRID = np.linspace(-6.0, 4.0, 81)
"""Overlap effects that are tabulated; e^-6 leaves nearly no overlap, e^4 saturates."""
COARSE = 20
"""Every so many points of a quantile table are enough for a mean."""
NEWTON_STEPS = 4
WIDE = (-8.0, 5.0)
"""Silence effects that an asked ratio may need."""
NATURAL = (-2.0, 3.0)
"""Silence effects of sessions as they are: a quiet or busy session has other *kinds* of changes and
other units too, so its gaps are not stretched without bound."""


class Effects:
    """Ratios to effects, for one model, tempo and number of speakers.

    Args:
        model: The turn-taking model.
        tempo: Factor on unit durations in this session.
        alone: There is one speaker, so all changes are holds.
    """

    def __init__(self, model: TurnModel, tempo: float = 1.0, *, alone: bool = False) -> None:
        """Tabulate the expected ratio of overlap over the effect."""
        self._response = model.sessions.response
        hold, switch, interruption = model.transitions.stationary
        if alone:
            hold, switch, interruption = 1.0, 0.0, 0.0
        self._hold = hold
        self._gap = model.offset_gap_mean
        self._pivot = model.pause_pivot
        self._pause = max(1e-3, model.pauses.mean - self._pivot)
        units = model.units
        durations = np.concatenate([units.hold.table[::COARSE], units.switch.table[::COARSE]])
        durations = np.sort(durations) * tempo
        lengths = -model.offsets.table[model.offsets.table < 0][::COARSE]
        x = GRID[:, None]
        scaled = lengths * np.exp(self._response.overlaps * x)  # [X, V]
        fits = 1 - np.searchsorted(durations, scaled) / len(durations)
        length = (scaled * fits).sum(axis=1) / np.maximum(fits.sum(axis=1), 1e-9)
        odds = interruption / max(switch, 1e-9) * np.exp(self._response.interruptions * GRID)
        odds = odds * (fits.mean(axis=1) if len(lengths) else 0.0)  # what does not fit is redrawn
        changes = (1 - hold) * odds / (1 + odds)
        contained = (model.backchannels.per_unit * units.backchannel.mean * tempo) * np.exp(
            self._response.backchannels * GRID
        )
        speech = tempo * (
            hold * units.hold.mean
            + (1 - hold - changes) * units.switch.mean
            + changes * units.beyond.mean
        )
        self._ratios: list[float] = ((contained + changes * length) / speech).tolist()
        self._switches: list[float] = (1 - hold - changes).tolist()
        self._speech: list[float] = speech.tolist()

    def of_overlap(self, ratio: float) -> float:
        """The overlap effect for a share of speech time."""
        place = bisect_left(self._ratios, ratio)
        if place <= 0:
            return float(GRID[0])
        if place >= len(self._ratios):
            return float(GRID[-1])
        low, high = self._ratios[place - 1], self._ratios[place]
        step = (ratio - low) / (high - low) if high > low else 0.0
        return -6.0 + 0.125 * (place - 1 + step)

    def of_silence(
        self, ratio: float, overlap_effect: float, limits: tuple[float, float] = WIDE
    ) -> float:
        """The silence effect for a share of time, next to an overlap effect."""
        place = min(len(self._speech) - 1, max(0, round((overlap_effect + 6.0) / 0.125)))
        ratio = min(0.98, max(1e-4, ratio))
        wanted = ratio / (1 - ratio) * self._speech[place] - self._hold * self._pivot
        wanted = max(1e-3 * self._speech[place], wanted)
        gaps, pauses = self._switches[place] * self._gap, self._hold * self._pause
        g, p = self._response.gaps, self._response.pauses
        effect = 0.0
        for _ in range(NEWTON_STEPS):  # on logarithms, where the curve is nearly a line
            a, b = gaps * exp(g * effect), pauses * exp(p * effect)
            effect -= log((a + b) / wanted) * (a + b) / (a * g + b * p)
            effect = min(limits[1], max(limits[0], effect))
        return effect
