"""What a cut costs, and where one may be made.

::

    words      ▂▂▂ ▂▂      ▂▂▂▂           forbidden inside
    turns      ██████   ██████████        dear inside, less at long pauses between words
    music            ░░░░░░░░░░░░░░░░░    dear inside, less at bars and where little changes
    possible   · ·  ·|· · · | · · ·  ·    grid, edges of events, middles of short gaps;
    chosen       ·     ·    ·     ·       the cheapest of each cell

Everything is a function of absolute time and of events within `HORIZON`, and sums over events are
made of integers, so the result does not depend on how a recording was handed over.

Legend: ``N`` possible cut, ``E`` event.
"""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.events import EVENT_KINDS, Curve, Event, EventKind
from talkover.annotate.segmentation.config import SegmentationConfig

HORIZON = 2.0
"""Seconds: events further away than this do not change the cost of a cut."""
SHORT_GAP = 0.2
"""Seconds: shorter gaps get a possible cut in their middle, since the grid may miss it."""
UNITS = 1 << 10
"""Parts of a cost unit in which weights are summed, as integers."""
PAUSE_SCALE = 0.3
"""Seconds: a pause this long between two words of a turn halves the surcharge for cutting it; the
median pause inside the turns of AliMeeting is 0.4 s."""
BAR_TOLERANCE = 0.06
"""Seconds from a bar line at which a cut of music is as good as on it: what beat trackers are
allowed in MIREX (70 ms)."""


@dataclass(frozen=True, slots=True)
class Cuts:
    """The cheapest possible cut of each cell, by time."""

    samples: NDArray[np.int64]  # [N]
    hard: NDArray[np.float64]  # [N]
    """Cost of the events that are cut; infinite inside words."""
    soft: NDArray[np.float64]  # [N]
    """Cost of being near to events, in speech, or where nothing changes."""


def possible_cuts(
    events: Sequence[Event],
    first: int,
    last: int,
    *,
    sampling_rate: int,
    config: SegmentationConfig,
    speech: Curve | None = None,
    novelty: Curve | None = None,
) -> Cuts:
    """The cheapest possible cut of each cell from one sample to another.

    Args:
        events: At least all within `HORIZON` of the stretch, by start.
        first: First sample, where a cell begins.
        last: First sample after the stretch.
        sampling_rate: Hz.
        config: Weights, slack, grid and cell.
        speech: Probability of speech.
        novelty: How much the scene changes, from 0 to 1.
    """
    table = _Table(events, sampling_rate)
    samples = _places(table, first, last, sampling_rate, config)
    hard = _hard(table, samples, config, novelty)
    soft = _soft(table, samples, sampling_rate, config, speech, novelty)
    cell = samples // round(config.cell * sampling_rate)
    order = np.lexsort((samples, soft, hard, cell))
    chosen = order[np.unique(cell[order], return_index=True)[1]]
    return Cuts(samples[chosen], hard[chosen], soft[chosen])


class _Table:
    """Events as arrays, by kind."""

    def __init__(self, events: Sequence[Event], sampling_rate: int) -> None:
        self.rate = sampling_rate
        self.events = list(events)
        self.by_kind: dict[EventKind, list[Event]] = {kind: [] for kind in EVENT_KINDS}
        for event in events:
            self.by_kind[event.kind].append(event)
        self.starts = np.array([e.start for e in events], dtype=np.int64)
        self.ends = np.array([e.end for e in events], dtype=np.int64)
        self.edges = np.unique(np.concatenate([self.starts, self.ends]))

    def spans(self, kind: EventKind) -> tuple[NDArray[np.int64], NDArray[np.int64]]:
        """Starts and ends of one kind, each shape ``[E]``."""
        own = self.by_kind[kind]
        return (
            np.array([e.start for e in own], dtype=np.int64),
            np.array([e.end for e in own], dtype=np.int64),
        )


def _places(
    table: _Table, first: int, last: int, rate: int, config: SegmentationConfig
) -> NDArray[np.int64]:
    """Samples at which a cut is possible, sorted."""
    hop = round(config.grid * rate)
    grid = np.arange(-(-first // hop) * hop, last, hop, dtype=np.int64)
    gaps = np.diff(table.edges)
    middles = (table.edges[:-1] + gaps // 2)[gaps < SHORT_GAP * rate]
    places = np.unique(np.concatenate([grid, table.edges, middles]))
    return places[(places >= first) & (places < last)]


def _hard(
    table: _Table,
    samples: NDArray[np.int64],
    config: SegmentationConfig,
    novelty: Curve | None,
) -> NDArray[np.float64]:
    """Cost of the events that contain each sample; their edges are outside."""
    total = np.zeros(len(samples), dtype=np.float64)
    for kind, own in table.by_kind.items():
        weight = config.weights[kind]
        if not own or weight == 0.0:
            continue
        inside = _count_inside(own, samples)
        if math.isinf(weight):
            total[inside > 0] = math.inf
            continue
        units = _count_inside(own, samples, round(weight * UNITS)) / UNITS
        if kind == "turn":
            units = units * (1.0 + _pause_surcharge(table, samples))
        elif kind == "music":
            units = units * (1.0 + _music_surcharge(own, samples, table.rate, novelty))
        total += units
    return total


def _count_inside(
    events: Sequence[Event], samples: NDArray[np.int64], units: int = 1
) -> NDArray[np.int64]:
    """Sum of units × confidence of the events that strictly contain each sample."""
    parts = np.array([round(units * e.confidence) if units > 1 else 1 for e in events])
    starts = np.array([e.start for e in events], dtype=np.int64)
    ends = np.array([e.end for e in events], dtype=np.int64)
    by_start, by_end = np.argsort(starts), np.argsort(ends)
    begun = np.concatenate([[0], np.cumsum(parts[by_start])])
    ended = np.concatenate([[0], np.cumsum(parts[by_end])])
    after_start = np.searchsorted(starts[by_start], samples, side="left")
    after_end = np.searchsorted(ends[by_end], samples, side="right")
    return np.asarray(begun[after_start] - ended[after_end], dtype=np.int64)


def _pause_surcharge(table: _Table, samples: NDArray[np.int64]) -> NDArray[np.float64]:
    """1 between words without a pause, falling towards 0 with the length of the pause."""
    starts, ends = table.spans("word")
    if len(starts) == 0:  # as where all words are further away than the horizon
        return np.full(len(samples), 1.0 / (1.0 + HORIZON / PAUSE_SCALE))
    starts.sort()
    ends.sort()
    before = np.searchsorted(ends, samples, side="right") - 1
    after = np.searchsorted(starts, samples, side="left")
    horizon = round(HORIZON * table.rate)
    begin = np.where(before >= 0, ends[np.maximum(before, 0)], samples - horizon)
    end = np.where(after < len(starts), starts[np.minimum(after, len(starts) - 1)], samples)
    end = np.where(after < len(starts), end, samples + horizon)
    pause = np.clip((end - begin) / table.rate, 0.0, HORIZON)
    return 1.0 / (1.0 + pause / PAUSE_SCALE)


def _music_surcharge(
    pieces: Sequence[Event], samples: NDArray[np.int64], rate: int, novelty: Curve | None
) -> NDArray[np.float64]:
    """0 on a bar line; elsewhere 1, or with a novelty curve as much as the music changes."""
    surcharge = np.ones(len(samples)) if novelty is None else novelty.at(samples)
    bars = np.unique(np.array([bar for piece in pieces for bar in piece.bars], dtype=np.int64))
    if len(bars):
        surcharge[_distance(bars, samples) <= BAR_TOLERANCE * rate] = 0.0
    return surcharge


def _soft(
    table: _Table,
    samples: NDArray[np.int64],
    rate: int,
    config: SegmentationConfig,
    speech: Curve | None,
    novelty: Curve | None,
) -> NDArray[np.float64]:
    """Cost of a cut that goes through nothing."""
    nearest = np.minimum(_distance(table.edges, samples) / rate, HORIZON)
    total = config.closeness_cost / (1.0 + nearest)
    near = np.zeros(len(samples))
    for kind in table.by_kind:
        slack = config.slack[kind]
        starts, ends = table.spans(kind)
        if slack > 0 and len(starts):
            edges = np.unique(np.concatenate([starts, ends]))
            distance = _distance(edges, samples) / rate
            near = np.maximum(near, np.clip(1.0 - distance / slack, 0.0, 1.0))
    total += config.nearness * near
    if speech is not None:
        total += config.speech_cost * speech.at(samples)
    if novelty is not None:
        total += config.novelty_reward * (1.0 - novelty.at(samples))
    return np.asarray(total, dtype=np.float64)


def _distance(edges: NDArray[np.int64], samples: NDArray[np.int64]) -> NDArray[np.float64]:
    """Samples to the nearest edge; infinite where there is none."""
    if len(edges) == 0:
        return np.full(len(samples), math.inf)
    after = np.searchsorted(edges, samples, side="left")
    left = edges[np.maximum(after - 1, 0)]
    right = edges[np.minimum(after, len(edges) - 1)]
    nearest = np.minimum(np.abs(samples - left), np.abs(right - samples))
    return np.asarray(nearest, dtype=np.float64)
