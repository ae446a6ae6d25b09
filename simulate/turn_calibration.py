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
from talkover.simulate.turn_departures import DIGITS
from talkover.simulate.turn_estimates import (
    CLASS_EDGES,
    OUTERMOST,
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
    session_events,
)
from talkover.simulate.turn_sampling import draw_session
from talkover.simulate.turns import PIVOT, Quantiles, Spread, Transitions, TurnModel, gap_mean

Array = NDArray[np.float64]

STEP = 0.8
"""Share of a difference that one round mends."""
SOFT = 0.05
"""Seconds added to both sides of a ratio of durations, so that those near 0 do not explode."""
LARGEST_FACTOR = 2.0
MOST_WIDENING = 1.5
"""Factor on the spread of a ratio: what a session is meant to have must stay believable."""
MOST_SHIFT = 1.25
"""The same for its mean."""
SEEDS = 24
"""Seeds among which the calibration takes the most typical one."""
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
    real = _Figures.of(events)
    seed = _typical_seed(model, hours)
    for _ in range(rounds):
        sampled, ratios = _sampled(model, hours, seed)
        model = _mended(model, real, _Figures.of(sampled), ratios)
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
    ratios: Array
    """Overlap and silence, shape ``[sessions, 2]``."""
    memory: float

    @classmethod
    def of(cls, events: Sequence[SessionEvents]) -> _Figures:
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
        return cls(
            changes=changes_of(events),
            contained=np.array([b.end - b.start for e in events for b in e.contained]),
            contained_counts=counts,
            exposure=exposure,
            ratios=np.array([(e.overlap, e.silence) for e in events]),
            memory=float(np.mean(correlations)) if correlations else 0.0,
        )


def _typical_seed(model: TurnModel, hours: float) -> int:
    """The seed whose sessions are least lucky: their drawn ratios are most like the model's.

    Pooled distributions follow the silence of the sampled sessions, and that of 40 sessions is off
    by a tenth with most seeds.
    """
    spreads = (model.sessions.overlap, model.sessions.silence)
    wanted = np.array([(s.mean, s.deviation) for s in spreads]).T
    scale = np.maximum(1e-6, wanted[1])
    misses = []
    for seed in range(SEEDS):
        drawn = []
        total, number = 0.0, 0
        while total < hours * 3600:
            _, length, rank = draw_session(model, seed, number)
            drawn.append(model.draw_ratios(generator(seed, number, "turns"), rank))
            total += length
            number += 1
        got = np.array([np.mean(drawn, axis=0), np.std(drawn, axis=0)])
        misses.append(float(np.abs((got - wanted) / scale).sum()))
    return int(np.argmin(misses))


def _sampled(model: TurnModel, hours: float, seed: int) -> tuple[list[SessionEvents], Array]:
    """Walked samples, and the overlap and silence that each was meant to have."""
    events, ratios = [], []
    total, number = 0.0, 0
    while total < hours * 3600:
        count, length, rank = draw_session(model, seed, number)
        rng = generator(seed, number, "turns")
        walk = FloorWalk(model, count, rng, length=length, length_rank=rank)
        found = session_events(walked(walk), model.origin.join)
        if found is not None and found.speakers > 1:
            events.append(found)
            ratios.append((walk.overlap_target, walk.silence_target))
        total += length
        number += 1
    return events, np.array(ratios)


def _mended(model: TurnModel, real: _Figures, got: _Figures, meant: Array) -> TurnModel:
    a, b = real.changes, got.changes
    units = model.units
    overlap, silence = (
        _spread(spread, real.ratios[:, n], got.ratios[:, n], meant[:, n])
        for n, spread in enumerate((model.sessions.overlap, model.sessions.silence))
    )
    memory = model.memory + STEP * (real.memory - got.memory)
    offsets = _offsets(model.offsets, a, b)
    pauses = _stretched(model.pauses, a.offset[a.kind == HOLD], b.offset[b.kind == HOLD])
    offsets, pauses = _same_silence(model, offsets, pauses)
    return model.model_copy(
        update={
            "transitions": _transitions(model, a, b),
            "offsets": offsets,
            "memory": round(float(np.clip(memory, -MOST_MEMORY, MOST_MEMORY)), DIGITS),
            "pauses": pauses,
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
                update={"per_second": _rates(model, real, got)}
            ),
            "sessions": model.sessions.model_copy(update={"overlap": overlap, "silence": silence}),
        }
    )


def _spread(spread: Spread, real: Array, got: Array, meant: Array) -> Spread:
    """Moments of the ratio to draw, so that what comes out has the real ones."""
    bias = float(np.mean(got - meant))
    gain = float(np.std(got)) / max(1e-9, float(np.std(meant)))
    mean = spread.mean + STEP * (float(real.mean()) - bias - spread.mean)
    wanted = float(real.std()) / max(0.2, gain)
    deviation = spread.deviation + STEP * (wanted - spread.deviation)
    deviation = min(deviation, MOST_WIDENING * float(real.std()))
    mean = float(np.clip(mean, real.mean() / MOST_SHIFT, real.mean() * MOST_SHIFT))
    return Spread(
        mean=round(float(np.clip(mean, 1e-3, 0.9)), DIGITS), deviation=round(deviation, DIGITS)
    )


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
