"""Sample from a fitted model, compare with the labels, mend the model: a few rounds.

What a walk produces differs a little from what it draws from: overlaps are drawn again when they do
not fit, sessions differ in tempo, steering bends the tails. Each round samples the model with the
same seeds and moves every estimate by what the sample lacks (indirect inference, Gourieroux,
Monfort and Renault 1993). Session ratios are compared with what each sampled session was meant to
have, which takes the luck of the draw out.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.seeds import generator
from talkover.simulate.floor import FloorWalk, walked
from talkover.simulate.turn_departures import DIGITS, Departures, departures, possible
from talkover.simulate.turn_estimates import (
    CLASS_EDGES,
    JOINED_RANGE,
    OUTERMOST,
    pauses_with_unit,
    transition_rows,
    transition_shares,
)
from talkover.simulate.turn_events import (
    CUT,
    HOLD,
    SWITCH,
    Changes,
    SessionEvents,
    changes_of,
    events_of,
)
from talkover.simulate.turn_sampling import draw_session
from talkover.simulate.turn_sessions import AXES
from talkover.simulate.turn_spread import Spread
from talkover.simulate.turns import PIVOT, Quantiles, Transitions, TurnModel, gap_mean

Array = NDArray[np.float64]

CALIBRATION_SEED = 1_000_003
"""Root seed of the samples: not one that a person is likely to judge the model by."""
LEAST_SAMPLED = 8
"""Sessions in a round."""
STEP = 0.8
"""Share of a difference that one round mends."""
SOFT = 0.05
"""Seconds added to both sides of a ratio of durations, so that those near 0 do not explode."""
LARGEST_FACTOR = 2.0
MOST_WIDENING = {"overlap": 1.5, "silence": 1.05}
"""Factors on the spread of a ratio: what a session is meant to have must stay believable. Silence
that is drawn wider than it is makes pauses of two sorts, short and long."""
MOST_SHIFT = 1.25
"""The same for its mean."""
RARE = 5e-4
"""Share of speech added to both sides of a ratio of shares, so that none does not explode."""
MANY_SESSIONS = 30
"""From which the spreads of traits are compared: those of fewer are not known well enough."""
SURE_TRAITS = ("tempo", "holds")
"""Traits of which each session shows enough."""
LEAST_COUNT = 30
"""Events of a class below which its own rate is not trusted."""
LEAST_OFFSETS = 4
"""Offsets of a session for a correlation of consecutive ones."""
MOST_MEMORY = 0.5


def calibrate(
    model: TurnModel, events: Sequence[SessionEvents], *, hours: float, rounds: int
) -> TurnModel:
    """Mend a model until its samples look like the labels.

    Args:
        model: As estimated.
        events: The walked sessions it was estimated on.
        hours: Timing sampled in each round.
        rounds: How often.
    """
    real = _Figures.of(events, model.origin.join)
    for _ in range(rounds):
        sampled, ratios = _sampled(model, hours)
        model = _mended(model, real, _Figures.of(sampled, model.origin.join), ratios)
    return model


@dataclass(frozen=True)
class _Figures:
    """What is compared."""

    changes: Changes
    contained: Array
    """Durations, seconds."""
    contained_counts: Array
    """By class of window."""
    exposure: Array
    """Seconds in windows of each class."""
    own: Departures
    """How sessions differ."""
    ratios: Array
    """Overlap and silence, shape ``[sessions, 2]``."""
    lengths: Array
    """Seconds of each session."""
    crowded: float
    """Share of speech with three or more speakers, mean over sessions."""
    with_unit: float
    """Correlation of a pause with the unit before it."""
    memory: float

    @classmethod
    def of(cls, events: Sequence[SessionEvents], join: float) -> _Figures:
        counts = np.zeros(len(CLASS_EDGES) - 1)
        exposure = np.zeros(len(CLASS_EDGES) - 1)
        correlations = []
        for e in events:
            windows = np.array([e.window(n) for n in range(len(e.floor))])
            classes = np.searchsorted(CLASS_EDGES, windows, side="right") - 1
            classes = np.clip(classes, 0, len(counts) - 1)
            np.add.at(exposure, classes, windows)
            np.add.at(counts, classes[[b.floor for b in e.contained]], 1)
            offsets = np.array([u.offset for u in e.floor[1:] if u.kind != "hold"])
            if len(offsets) >= LEAST_OFFSETS and min(offsets[1:].std(), offsets[:-1].std()) > 0:
                correlations.append(np.corrcoef(offsets[:-1], offsets[1:])[0, 1])
        changes = changes_of(events)
        return cls(
            changes=changes,
            own=departures(events, changes, join),
            contained=np.array([b.end - b.start for e in events for b in e.contained]),
            contained_counts=counts,
            exposure=exposure,
            ratios=np.array([(e.overlap, e.silence) for e in events]),
            lengths=np.array([e.length for e in events]),
            crowded=float(np.mean([e.crowded for e in events])),
            with_unit=pauses_with_unit(changes),
            memory=float(np.mean(correlations)) if correlations else 0.0,
        )


def _sampled(model: TurnModel, hours: float) -> tuple[list[SessionEvents], Array]:
    """Walked samples, and the overlap and silence that each was meant to have."""
    events, ratios = [], []
    total, number = 0.0, 0
    while total < hours * 3600 or number < LEAST_SAMPLED:
        drawn = draw_session(model, CALIBRATION_SEED, number)
        walk = FloorWalk(
            model,
            drawn.speakers,
            generator(CALIBRATION_SEED, number, "turns"),
            length=drawn.length,
            character=drawn.character,
        )
        found = events_of([(u.start, u.end, str(u.speaker)) for u in walked(walk)])
        if found.speakers > 1:
            events.append(found)
            ratios.append((walk.overlap_target, walk.silence_target))
        total += drawn.length
        number += 1
    return events, np.array(ratios)


def _mended(model: TurnModel, real: _Figures, got: _Figures, meant: Array) -> TurnModel:
    a, b = real.changes, got.changes
    units = model.units
    overlap, silence = (
        _spread(spread, real.ratios[:, n], got.ratios[:, n], meant[:, n], most)
        for n, (spread, most) in enumerate(
            (
                (model.sessions.overlap, MOST_WIDENING["overlap"]),
                (model.sessions.silence, MOST_WIDENING["silence"]),
            )
        )
    )
    memory = model.memory + STEP * (real.memory - got.memory)
    with_unit = model.pauses_with_unit + STEP * (real.with_unit - got.with_unit)
    offsets = _offsets(model.offsets, a, b)
    pauses = _stretched(model.pauses, a.offset[a.kind == HOLD], b.offset[b.kind == HOLD])
    offsets, pauses = _same_silence(model, offsets, pauses)
    return model.model_copy(
        update={
            "transitions": _transitions(model, a, b),
            "offsets": offsets,
            "memory": round(float(np.clip(memory, -MOST_MEMORY, MOST_MEMORY)), DIGITS),
            "pauses": pauses,
            "pauses_with_unit": round(float(np.clip(with_unit, -MOST_MEMORY, MOST_MEMORY)), DIGITS),
            "units": units.model_copy(
                update={
                    "hold": _stretched(
                        units.hold, a.duration[a.kind == HOLD], b.duration[b.kind == HOLD]
                    ),
                    "switch": _stretched(
                        units.switch, a.duration[a.kind == SWITCH], b.duration[b.kind == SWITCH]
                    ),
                    "beyond": _stretched(
                        units.beyond, a.beyond[a.kind == CUT], b.beyond[b.kind == CUT]
                    ),
                    "backchannel": _stretched(units.backchannel, real.contained, got.contained),
                }
            ),
            "backchannels": model.backchannels.model_copy(
                update={
                    "per_second": (rates := _rates(model, real, got)),
                    "per_unit": _per_unit(model, rates, got),
                    "joined": _joined(model, real, got),
                }
            ),
            "sessions": model.sessions.model_copy(
                update={
                    "overlap": overlap,
                    "silence": silence,
                    **_differences(model, real, got),
                }
            ),
        }
    )


def _spread(spread: Spread, real: Array, got: Array, meant: Array, most: float) -> Spread:
    """Moments of the ratio to draw, so that what comes out has the real ones."""
    bias = float(np.mean(got - meant))
    gain = float(np.std(got)) / max(1e-9, float(np.std(meant)))
    mean = spread.mean + STEP * (float(real.mean()) - bias - spread.mean)
    wanted = float(real.std()) / max(0.2, gain)
    deviation = spread.deviation + STEP * (wanted - spread.deviation)
    deviation = min(deviation, most * float(real.std()))
    mean = float(np.clip(mean, real.mean() / MOST_SHIFT, real.mean() * MOST_SHIFT))
    return spread.moved(float(np.clip(mean, 1e-3, 0.9)), deviation)


def _stretched(distribution: Quantiles, real: Array, got: Array) -> Quantiles:
    """A distribution of positive values, each quantile moved as the sample asks."""
    if min(len(real), len(got)) < LEAST_COUNT:
        return distribution
    ranks = np.clip(distribution.probabilities, OUTERMOST, 1 - OUTERMOST)
    factor = _factor(np.quantile(real, ranks), np.quantile(got, ranks))
    return _with_values(distribution, np.array(distribution.values) * factor)


def _offsets(distribution: Quantiles, real: Changes, got: Changes) -> Quantiles:
    """The same for overlaps and for gaps, each beside its own."""
    values = np.array(distribution.values)
    below = distribution.probability_below(0.0)
    ranks = np.array(distribution.probabilities)
    parts = (
        (ranks < below, ranks / max(below, 1e-9), CUT),
        (ranks >= below, (ranks - below) / max(1 - below, 1e-9), SWITCH),
    )
    for chosen, place, kind in parts:
        a, b = real.offset[real.kind == kind], got.offset[got.kind == kind]
        if min(len(a), len(b)) >= LEAST_COUNT and chosen.any():
            place = np.clip(place[chosen], OUTERMOST, 1 - OUTERMOST)
            factor = _factor(np.abs(np.quantile(a, place)), np.abs(np.quantile(b, place)))
            values[chosen] *= factor
    return _with_values(distribution, values)


def _same_silence(
    model: TurnModel, offsets: Quantiles, pauses: Quantiles
) -> tuple[Quantiles, Quantiles]:
    """Gaps and pauses of a new shape, and together as long as the model's.

    The silence effect undoes any common factor, so their level is left to the session's ratio.
    """
    hold, switch, _ = model.transitions.stationary
    pivot = pauses.at(PIVOT)
    before = switch * model.offset_gap_mean + hold * (model.pauses.mean - pivot)
    after = switch * gap_mean(offsets) + hold * (pauses.mean - pivot)
    scale = float(np.clip(before / max(1e-9, after), 1 / LARGEST_FACTOR, LARGEST_FACTOR))
    gaps, silent = np.array(offsets.values), np.array(pauses.values)
    gaps = np.where(gaps > 0, gaps * scale, gaps)
    silent = np.where(silent > pivot, pivot + (silent - pivot) * scale, silent)
    return _with_values(offsets, gaps), _with_values(pauses, silent)


def _factor(real: Array, got: Array) -> Array:
    ratio = (np.maximum(real, 0) + SOFT) / (np.maximum(got, 0) + SOFT)
    return np.clip(ratio**STEP, 1 / LARGEST_FACTOR, LARGEST_FACTOR)


def _with_values(distribution: Quantiles, values: Array) -> Quantiles:
    rising = np.maximum.accumulate(values)
    return Quantiles(
        probabilities=distribution.probabilities,
        values=tuple(round(float(v), DIGITS) for v in rising),
    )


def _transitions(model: TurnModel, real: Changes, got: Changes) -> Transitions:
    """Rows moved by real over sampled shares."""
    old = model.transitions
    rows = np.array([old.hold, old.switch, old.interruption])
    factor = transition_shares(real) / transition_shares(got)
    rows = rows * np.clip(factor**STEP, 1 / LARGEST_FACTOR, LARGEST_FACTOR)
    return transition_rows(rows)


def _rates(model: TurnModel, real: _Figures, got: _Figures) -> tuple[float, ...]:
    """Backchannels a second, by class of window."""
    pooled = (real.contained_counts.sum() / real.exposure.sum()) / max(
        1e-9, got.contained_counts.sum() / got.exposure.sum()
    )
    rates = []
    for n, rate in enumerate(model.backchannels.per_second):
        factor = pooled
        if min(real.contained_counts[n], got.contained_counts[n]) >= LEAST_COUNT:
            factor = (real.contained_counts[n] / real.exposure[n]) / (
                got.contained_counts[n] / got.exposure[n]
            )
        factor = float(np.clip(factor**STEP, 1 / LARGEST_FACTOR, LARGEST_FACTOR))
        rates.append(round(rate * factor, DIGITS))
    return tuple(rates)


def _differences(model: TurnModel, real: _Figures, got: _Figures) -> dict[str, object]:
    """What goes together between sessions, moved by the same estimate of the sample.

    These are the spreads of tempo and holds, their correlations with overlap and silence, and those
    of length with both.
    """
    sessions = model.sessions
    if len(real.ratios) < MANY_SESSIONS:
        return {}
    spreads = {}
    for name in SURE_TRAITS:
        wanted, found = getattr(real.own.spread, name), getattr(got.own.spread, name)
        factor = float(np.clip(wanted / max(found, 1e-9), 1 / LARGEST_FACTOR, LARGEST_FACTOR))
        spreads[name] = round(getattr(sessions.traits, name) * factor**STEP, DIGITS)
    matrix = sessions.matrix.copy()
    for first in SURE_TRAITS:
        for second in ("overlap", "silence"):
            i, j = AXES.index(second), AXES.index(first)
            pair = f"{second} {first}"
            moved = matrix[i, j] + STEP * (real.own.correlations[pair] - got.own.correlations[pair])
            matrix[i, j] = matrix[j, i] = np.clip(moved, -0.95, 0.95)
    for n, second in enumerate(("overlap", "silence")):
        i, j = AXES.index("length"), AXES.index(second)
        moved = matrix[i, j] + STEP * (_with_length(real, n) - _with_length(got, n))
        matrix[i, j] = matrix[j, i] = np.clip(moved, -0.95, 0.95)
    return {
        "traits": sessions.traits.model_copy(update=spreads),
        "correlations": possible(matrix),
    }


def _with_length(figures: _Figures, column: int) -> float:
    """Correlation of a ratio with length, as they are: what pooled events of a kind depend on."""
    lengths, ratios = figures.lengths, figures.ratios[:, column]
    if min(lengths.std(), ratios.std()) == 0:
        return 0.0
    return float(np.corrcoef(lengths, ratios)[0, 1])


def _per_unit(model: TurnModel, rates: tuple[float, ...], got: _Figures) -> float:
    """Backchannels a unit, moved as their rates are on the windows of the sample."""
    before = float(got.exposure @ np.array(model.backchannels.per_second))
    after = float(got.exposure @ np.array(rates))
    return round(model.backchannels.per_unit * after / max(before, 1e-9), DIGITS)


def _joined(model: TurnModel, real: _Figures, got: _Figures) -> float:
    """Factor on the rate of a third speaker, from the share of speech with three or more."""
    ratio = (real.crowded + RARE) / (got.crowded + RARE)
    factor = float(np.clip(ratio**STEP, 1 / LARGEST_FACTOR, LARGEST_FACTOR))
    return round(float(np.clip(model.backchannels.joined * factor, *JOINED_RANGE)), DIGITS)
