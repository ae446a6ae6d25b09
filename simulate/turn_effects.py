"""How strongly a session must depart from its model to have an asked overlap and silence.

One *overlap effect* x makes backchannels more frequent and
longer, interruptions likelier and overlaps longer;
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

from talkover.simulate.turn_sessions import Character
from talkover.simulate.turns import TurnModel, long_run

GRID = np.linspace(-6.0, 5.0, 89)
"""Overlap effects that are tabulated; e^-6 leaves nearly no overlap, e^5 saturates."""
NEWTON_STEPS = 4
WIDE = (-8.0, 5.0)
"""Silence effects that an asked ratio may need."""
NATURAL = (-2.0, 3.0)
"""Silence effects of sessions as they are: a quiet or busy session has other *kinds* of changes and
other units too, so its gaps are not stretched without bound."""


class Effects:
    """Ratios to effects, for one model, session and number of speakers.

    Args:
        model: The turn-taking model.
        character: Traits of the session; its ratios are not read.
        alone: There is one speaker, so all changes are holds.
        backchannel_scale: Factor on the rate of backchannels.
    """

    def __init__(
        self,
        model: TurnModel,
        character: Character,
        *,
        alone: bool = False,
        backchannel_scale: float = 1.0,
    ) -> None:
        """Tabulate the expected ratio of overlap over the effect."""
        self._response = response = model.sessions.response
        self._stretch = exp(character.pauses)
        hold, switch, interruption = long_run(tilted_rows(model, character))
        if alone:
            hold, switch, interruption = 1.0, 0.0, 0.0
        self._hold = hold
        self._gap = model.offset_gap_mean
        self._pivot = model.pause_pivot
        self._pause = max(1e-3, model.pauses.mean - self._pivot)
        units, tempo = model.units, exp(character.tempo)
        durations = model.coarse_units * tempo
        lengths = model.coarse_overlaps
        scaled = lengths * np.exp(response.overlaps * GRID[:, None])  # [X, V]
        fits = 1 - np.searchsorted(durations, scaled) / len(durations)
        length = (scaled * fits).sum(axis=1) / np.maximum(fits.sum(axis=1), 1e-9)
        odds = interruption / max(switch, 1e-9) * np.exp(response.interruptions * GRID)
        odds = odds * (fits.mean(axis=1) if len(lengths) else 0.0)  # what does not fit is redrawn
        changes = (1 - hold) * odds / (1 + odds)
        rate = model.backchannels.per_unit * backchannel_scale * tempo
        contained = (
            rate * units.backchannel.mean * np.exp((response.backchannels + response.inside) * GRID)
        )
        speech = tempo * (
            hold * units.hold.mean
            + (1 - hold - changes) * units.switch.mean
            + changes * units.beyond.mean
        )
        contained = speech * -np.expm1(-contained / speech)  # they may lie on each other
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
        gaps = self._switches[place] * self._gap
        pauses = self._hold * self._pause * self._stretch
        g, p = self._response.gaps, self._response.pauses
        effect = 0.0
        for _ in range(NEWTON_STEPS):  # on logarithms, where the curve is nearly a line
            a, b = gaps * exp(g * effect), pauses * exp(p * effect)
            effect -= log((a + b) / wanted) * (a + b) / (a * g + b * p)
            effect = min(limits[1], max(limits[0], effect))
        return effect


def tilted_rows(model: TurnModel, character: Character) -> list[tuple[float, float, float]]:
    """Chances of hold, switch and interruption after each of them, in a session of a character."""
    more_holds, more_cuts = exp(character.holds), exp(character.cuts)
    rows = []
    for hold, switch, cut in model.transitions.rows:
        held, interrupted = hold * more_holds, cut * more_cuts
        changed = (1 - hold) / max(switch + interrupted, 1e-9)  # holds aside, changes sum as before
        rest = max(held + 1 - hold, 1e-9)
        rows.append((held / rest, switch * changed / rest, interrupted * changed / rest))
    return rows
