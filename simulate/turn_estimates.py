"""The estimates of a turn-taking model from walked sessions.

Each session departs from the corpus by an overlap effect, a silence effect and a tempo. These are
found from its ratios first and divided out, so the model's distributions are those of a typical
session, and the pooled ones come back when sessions are drawn with their effects. An overlap longer
than the unit it interrupts cannot be seen, so each overlap counts by the inverse of its chance to
fit (Horvitz and Thompson 1952).
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from dataclasses import replace
from itertools import groupby, pairwise

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtri
from scipy.stats import rankdata

from talkover.simulate.turn_departures import DIGITS, LEAST_OF_A_KIND, Departures, departures
from talkover.simulate.turn_effects import NATURAL, Effects
from talkover.simulate.turn_events import CUT, HOLD, SWITCH, Changes, SessionEvents, changes_of
from talkover.simulate.turn_targets import MAX_SPEAKERS
from talkover.simulate.turns import (
    PIVOT,
    Backchannels,
    Origin,
    Quantiles,
    Sessions,
    Speakers,
    Spread,
    Transitions,
    TurnModel,
    Units,
)

Array = NDArray[np.float64]

ALPHA = 1.0
"""Weight of the pooled shares in each row of the transitions, in events (add-α smoothing)."""
LARGEST_WEIGHT = 20.0
"""Of an overlap that seldom fits."""
ROUNDS = 2
"""Effects depend on the distributions and these on the effects; they settle in two rounds."""
FEW_PAUSES = 100
"""Pauses at which their correlation with the unit before is believed by half."""
JOINED_RANGE = (0.1, 8.0)
"""Bounds of the factor on the rate of a third speaker."""
CLASS_EDGES = (0.0, 0.5, 1.0, 2.0, 3.0, 5.0, 8.0, 13.0, 21.0, 34.0, 55.0, 600.0)
"""Seconds; classes of a unit's window in which backchannels have one rate."""
_TAIL = (0.002, 0.005, 0.01, 0.02, 0.035)
PROBABILITIES = (
    0.0,
    *_TAIL,
    *(round(0.05 * n, 2) for n in range(1, 20)),
    *(round(1 - p, 3) for p in reversed(_TAIL)),
    1.0,
)
OUTERMOST = 0.0005
"""Probability taken for both ends, so that the model does not hold a session's single value."""


def estimate(events: Sequence[SessionEvents], name: str, origin: Origin) -> TurnModel:
    """Fit the model of some walked sessions; two rounds, see the head of the module."""
    changes = changes_of(events)
    own = departures(events, changes, origin.join)
    model = _model(events, changes, own, name, origin)
    for _ in range(ROUNDS):
        effects = [Effects(model, own.character(n)) for n in range(len(events))]
        x = [f.of_overlap(e.overlap) for f, e in zip(effects, events, strict=True)]
        y = [
            f.of_silence(e.silence, v, NATURAL) for f, e, v in zip(effects, events, x, strict=True)
        ]
        own = replace(own, overlap=np.array(x), silence=np.array(y))
        model = _model(events, changes, own, name, origin)
    return model


def quantiles(values: Array, weights: Array | None = None) -> Quantiles:
    """A smoothed quantile function of values, each with a weight."""
    order = np.argsort(values, kind="stable")
    weight = np.ones(len(values)) if weights is None else weights[order]
    middle = (np.cumsum(weight) - weight / 2) / weight.sum()
    wanted = np.clip(PROBABILITIES, OUTERMOST, 1 - OUTERMOST)
    points = np.interp(wanted, middle, values[order])
    return Quantiles(
        probabilities=PROBABILITIES,
        values=tuple(_rounded(v) for v in np.maximum.accumulate(points)),
    )


def _model(
    events: Sequence[SessionEvents], c: Changes, own: Departures, name: str, origin: Origin
) -> TurnModel:
    """All estimates, given how the sessions depart."""
    response, join = own.response, origin.join
    pace = np.exp(own.traits["tempo"])[c.session]
    hold, switch, cut = (c.kind == n for n in range(3))
    gaps = c.offset[switch] / np.exp(response.gaps * own.silence[c.session[switch]])
    overlaps = c.offset[cut] / np.exp(response.overlaps * own.overlap[c.session[cut]])
    fits = _chance_to_fit(-c.offset[cut], c.previous)
    seen = np.minimum(1 / np.maximum(fits, 1e-6), LARGEST_WEIGHT)
    weights = np.ones(len(c.kind))
    weights[cut] = seen
    pauses = c.offset[hold]
    pivot = float(np.quantile(pauses, PIVOT)) if len(pauses) else join
    stretch = np.exp((response.pauses * own.silence + own.traits["pauses"])[c.session[hold]])
    pauses = np.where(pauses > pivot, pivot + (pauses - pivot) / stretch, pauses)
    own_pace = c.duration / pace
    longer = np.exp(response.inside * own.overlap)
    contained = np.array(
        [(b.end - b.start) / k for e, k in zip(events, longer, strict=True) for b in e.contained]
    )
    return TurnModel(
        name=name,
        origin=origin,
        transitions=_transitions(c, weights, own),
        offsets=quantiles(
            np.concatenate([overlaps, gaps]), np.concatenate([seen, np.ones(len(gaps))])
        ),
        memory=_rounded(_memory(c, overlaps, gaps, own)),
        pauses_with_unit=_rounded(pauses_with_unit(c)),
        pauses=quantiles(np.maximum(join, pauses) if len(pauses) else np.array([join])),
        units=Units(
            hold=quantiles(_or_all(own_pace[hold], own_pace)),
            switch=quantiles(_or_all(own_pace[switch], own_pace)),
            beyond=quantiles(_or_all((c.beyond / pace)[cut], own_pace)),
            backchannel=quantiles(_or_all(contained, own_pace)),
        ),
        backchannels=_backchannels(events, own),
        speakers=_speakers(events),
        sessions=_sessions(events, own),
        observed=_observed(events, c),
    )


def _or_all(some: Array, everything: Array) -> Array:
    """Durations of a kind, or of all units where the labels do not have the kind."""
    return some if len(some) else everything


def _chance_to_fit(overlaps: Array, durations: Array) -> Array:
    """Share of the units before a change that are longer than each overlap."""
    return 1 - np.searchsorted(np.sort(durations), overlaps) / len(durations)


def _transitions(c: Changes, weights: Array, own: Departures) -> Transitions:
    """Rows of chances of a session without effects, by dividing each one's odds out."""
    cuts = own.response.interruptions * own.overlap + own.traits["cuts"]
    for tilt, more, less in (
        (cuts, (CUT,), (SWITCH,)),
        (own.traits["holds"], (HOLD,), (CUT, SWITCH)),
    ):
        factor = np.exp(tilt / 2)[c.session]
        weights = np.where(np.isin(c.kind, more), weights / factor, weights)
        weights = np.where(np.isin(c.kind, less), weights * factor, weights)
    return transition_rows(transition_shares(c, weights))


def transition_shares(c: Changes, weights: Array | None = None) -> Array:
    """Shares of the next kind (columns) after each (rows), add-α smoothed, shape ``[3, 3]``."""
    counts = np.zeros((3, 3))
    np.add.at(counts, (c.before, c.kind), 1.0 if weights is None else weights)
    rows = counts + ALPHA * counts.sum(axis=0) / counts.sum()
    return np.asarray(rows / rows.sum(axis=1, keepdims=True))


def transition_rows(rows: Array) -> Transitions:
    """Rows of weights as rounded chances that sum to 1."""
    shares = rows / rows.sum(axis=1, keepdims=True)
    hold, switch, cut = (
        (_rounded(row[0]), _rounded(row[1]), _rounded(1 - _rounded(row[0]) - _rounded(row[1])))
        for row in shares
    )
    return Transitions(hold=hold, switch=switch, interruption=cut)


def _memory(c: Changes, overlaps: Array, gaps: Array, own: Departures) -> float:
    """Correlation of the normal scores of consecutive offsets of one session."""
    changes = c.kind != HOLD
    kind, before, session = c.kind[changes], c.before[changes], c.session[changes]
    chance = np.array(
        [np.mean(kind[before == n] == CUT) if (before == n).any() else 0.5 for n in range(3)]
    )[before]
    tilt = np.exp(own.response.interruptions * own.overlap + own.traits["cuts"])[session]
    odds = chance / np.maximum(1 - chance, 1e-6) * tilt
    chance = np.clip(odds / (1 + odds), 0.01, 0.99)
    place = np.empty(len(kind))
    cut = kind == CUT
    place[cut] = chance[cut] * (rankdata(overlaps) - 0.5) / max(1, len(overlaps))
    place[~cut] = chance[~cut] + (1 - chance[~cut]) * (rankdata(gaps) - 0.5) / max(1, len(gaps))
    scores = ndtri(np.clip(place, 1e-4, 1 - 1e-4))
    pairs = session[1:] == session[:-1]
    first, second = scores[:-1][pairs], scores[1:][pairs]
    if len(first) < LEAST_OF_A_KIND or first.std() == 0 or second.std() == 0:
        return 0.0
    return float(np.clip(np.corrcoef(first, second)[0, 1], -0.9, 0.9))


def pauses_with_unit(c: Changes) -> float:
    """Rank correlation of a pause with the unit before it, within sessions, drawn to 0."""
    pairs: list[tuple[Array, Array]] = []
    for number in np.unique(c.session):
        chosen = (c.session == number) & (c.kind == HOLD)
        size = int(chosen.sum())
        if size >= LEAST_OF_A_KIND:
            pause, unit = (rankdata(v[chosen]) for v in (c.offset, c.previous))
            pairs.append((ndtri(pause / (size + 1)), ndtri(unit / (size + 1))))
    if not pairs:
        return 0.0
    pauses, units = (np.concatenate(column) for column in zip(*pairs, strict=True))
    spread = float(np.sqrt((pauses @ pauses) * (units @ units)))
    trust = len(pauses) / (len(pauses) + FEW_PAUSES)
    return float(np.clip(trust * float(pauses @ units) / max(spread, 1e-9), -0.9, 0.9))


def _backchannels(events: Sequence[SessionEvents], own: Departures) -> Backchannels:
    """Rate by class of window, and place in the window."""
    factor = np.exp(own.response.backchannels * own.overlap)
    exposure = np.zeros(len(CLASS_EDGES) - 1)
    counts = np.zeros(len(CLASS_EDGES) - 1)
    onsets = []
    expected = 0.0
    for e, more in zip(events, factor, strict=True):
        windows = [e.window(n) for n in range(len(e.floor))]
        classes = np.searchsorted(CLASS_EDGES, windows, side="right") - 1
        classes = np.clip(classes, 0, len(exposure) - 1)
        np.add.at(exposure, classes, np.array(windows) * more)
        expected += more * len(e.floor)
        for b in e.contained:
            unit = e.floor[b.floor]
            counts[classes[b.floor]] += 1
            room = min(windows[b.floor], unit.end - unit.start - (b.end - b.start))
            onsets.append((b.start - unit.start) / room if room > 0 else 0.0)
    pooled = counts.sum() / exposure.sum()
    rates = (counts + ALPHA * pooled) / (exposure + ALPHA)
    return Backchannels(
        edges=CLASS_EDGES,
        per_second=tuple(_rounded(v) for v in rates),
        per_unit=_rounded(counts.sum() / expected),
        onset=quantiles(np.clip(np.array(onsets), 0, 1)) if onsets else _UNIFORM,
        joined=_joined(events),
    )


def _joined(events: Sequence[SessionEvents]) -> float:
    """Rate of backchannels while two or more speak, over their rate while one speaks."""
    among = alone = busy = free = ALPHA
    for e in events:
        ends = {n: unit.start for n, unit in enumerate(e.floor)}  # until when two or more speak
        for n, (last, unit) in enumerate(pairwise(e.floor), start=1):
            ends[n] = max(unit.start, min(last.end, unit.end))
            busy += ends[n] - unit.start
        for b in e.contained:
            if b.start < ends[b.floor]:
                among += 1
            else:
                alone += 1
            busy += max(0.0, b.end - max(b.start, ends[b.floor]))
            ends[b.floor] = max(ends[b.floor], b.end)
        free += sum(e.window(n) for n in range(len(e.floor)))
    free = max(ALPHA, free - busy)
    return _rounded(float(np.clip((among / busy) / (alone / free), *JOINED_RANGE)))


_UNIFORM = Quantiles(probabilities=(0.0, 1.0), values=(0.0, 1.0))


def _speakers(events: Sequence[SessionEvents]) -> Speakers:
    numbers = [min(MAX_SPEAKERS, e.speakers) for e in events]
    counts = {n: round(numbers.count(n) / len(numbers), DIGITS) for n in sorted(set(numbers))}
    spread, returned, expected, total = 0.0, 0.0, 0.0, 0
    for e in events:
        holders = [unit.speaker for unit in e.floor]
        shares = {name: number / len(holders) for name, number in Counter(holders).items()}
        spread += sum((share - 1 / e.speakers) ** 2 for share in shares.values())
        spread += (e.speakers - len(shares)) / e.speakers**2
        turns = [holder for holder, _ in groupby(holders)]
        for first, second, third in zip(turns, turns[1:], turns[2:], strict=False):
            if e.speakers > 2:
                returned += first == third
                expected += shares[first] / max(1e-6, 1 - shares[second])
                total += 1
    chance = expected / max(1, total)
    returns = (returned / max(1, total) - chance) / max(1e-6, 1 - chance)
    return Speakers(
        counts=counts,
        evenness=_rounded(_evenness(spread, [e.speakers for e in events])),
        returns=_rounded(float(np.clip(returns, 0, 0.95))),
    )


def _evenness(spread: float, speakers: Sequence[int]) -> float:
    """Dirichlet concentration whose shares differ by a sum of squares, over sessions."""
    k = np.array(speakers, dtype=np.float64)[:, None]
    grid = np.geomspace(0.2, 50, 200)
    squares = ((1 - 1 / k) / (k * grid + 1)).sum(axis=0)
    return float(grid[np.argmin(np.abs(squares - spread))])


def _sessions(events: Sequence[SessionEvents], own: Departures) -> Sessions:
    return Sessions(
        length=quantiles(np.array([e.length for e in events])),
        overlap=Spread.fitted(np.array([e.overlap for e in events])),
        silence=Spread.fitted(np.array([e.silence for e in events])),
        traits=own.spread,
        correlations=own.correlations,
        response=own.response,
    )


def _observed(events: Sequence[SessionEvents], c: Changes) -> dict[str, float | tuple[float, ...]]:
    """Figures of the labels; means are over sessions, types and quantiles are pooled."""
    number = np.array([*np.bincount(c.kind, minlength=3), sum(len(e.contained) for e in events)])
    per_minute = [60 * sum(u.kind != "hold" for u in e.floor[1:]) / e.length for e in events]
    ranks = (0.1, 0.5, 0.9)
    changed = c.kind != HOLD
    return {
        "overlap": _rounded(float(np.mean([e.overlap for e in events]))),
        "three_or_more": _rounded(float(np.mean([e.crowded for e in events]))),
        "silence": _rounded(float(np.mean([e.silence for e in events]))),
        "changes_per_minute": _rounded(float(np.mean(per_minute))),
        "type_shares": tuple(_rounded(v) for v in number / number.sum()),
        "offset_quantiles": tuple(_rounded(v) for v in np.quantile(c.offset[changed], ranks)),
        "pause_quantiles": tuple(
            _rounded(v)
            for v in (np.quantile(c.offset[~changed], ranks) if (~changed).any() else ())
        ),
    }


def _rounded(value: float) -> float:
    return round(float(value), DIGITS)
