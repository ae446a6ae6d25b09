"""The cheapest way through a recording: dynamic programming that decides as it goes.

With cuts 0 = t₀ < … < tₙ = T, it minimises the cost of the cuts plus λ log²(length / preferred) of
the segments, with lengths between `shortest` and `longest` and dearer ones up to `oversize`. A
boundary is committed as soon as all ways that may still win agree on it, or after `lag` for the
cheapest of them; when this is looked at depends on time alone, so the result does not depend on the
sizes in which a recording comes, and memory depends on `lag`, not on its length.
"""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.segmentation.config import OVERSIZE, SegmentationConfig
from talkover.annotate.segmentation.cost import Cuts

LOOK_EVERY = 5.0
"""Seconds between two looks for boundaries that all ways agree on."""
BEYOND = OVERSIZE * 30.0**4
"""Cost of a segment over `oversize`: only where all else is a word."""


class CheapestPath:
    """Takes possible cuts in order of time and gives the chosen ones.

    Args:
        config: Lengths and their cost.
        sampling_rate: Hz.
    """

    def __init__(self, config: SegmentationConfig, sampling_rate: int) -> None:
        """Begin at sample 0."""
        self._config = config
        self._rate = sampling_rate
        size = 1024
        self._time = np.zeros(size, dtype=np.int64)
        self._value = np.full(size, math.inf)
        self._back = np.full(size, -1, dtype=np.int64)
        self._value[0] = 0.0
        self._count = 1
        self._next_look = self._samples(LOOK_EVERY)

    def push(self, cuts: Cuts) -> list[int]:
        """Consider further cuts; returns the samples of boundaries that are now final."""
        final: list[int] = []
        for sample, cost in zip(
            cuts.samples.tolist(), (cuts.hard + cuts.soft).tolist(), strict=True
        ):
            if sample <= self._time[self._count - 1]:
                continue  # the beginning of the recording is a boundary already
            if sample >= self._next_look:
                final += self._look(sample)
                self._next_look += self._samples(LOOK_EVERY)
            if math.isfinite(cost):
                self._append(sample, cost)
        return final

    def finish(self, num_samples: int) -> list[int]:
        """Boundaries up to the end of the recording, which is the last of them."""
        if num_samples <= self._time[self._count - 1]:
            self._count = int(np.searchsorted(self._time[: self._count], num_samples))
        self._append(num_samples, 0.0, is_end=True)
        return self._trace(self._count - 1)

    @property
    def memory(self) -> int:
        """Cuts that are held."""
        return self._count

    def _samples(self, seconds: float) -> int:
        return round(seconds * self._rate)

    def _append(self, sample: int, cost: float, *, is_end: bool = False) -> None:
        """Best way to one more cut."""
        self._grow()
        j = self._count
        config = self._config
        first = int(np.searchsorted(self._time[:j], sample - self._samples(config.oversize)))
        shortest = 0 if is_end else self._samples(config.shortest)
        last = int(np.searchsorted(self._time[:j], sample - shortest, side="right"))
        self._time[j] = sample
        self._value[j], self._back[j] = math.inf, -1
        self._count += 1
        if first < last:
            lengths = (sample - self._time[first:last]) / self._rate
            totals = self._value[first:last] + self._length_cost(lengths)
            best = int(np.argmin(totals))
            if math.isfinite(totals[best]):
                self._value[j], self._back[j] = totals[best] + cost, first + best
                return
        reachable = np.flatnonzero(np.isfinite(self._value[:first]))
        if len(reachable):  # nothing but words for longer than `oversize`
            i = int(reachable[-1])
            length = (sample - self._time[i]) / self._rate
            self._value[j] = self._value[i] + cost + BEYOND * length / config.oversize
            self._back[j] = i

    def _length_cost(self, lengths: NDArray[np.float64]) -> NDArray[np.float64]:
        config = self._config
        cost = config.length_cost * np.log(lengths / config.preferred) ** 2
        over = np.maximum(lengths - config.longest, 0.0)
        cost += np.where(over > 0, OVERSIZE * (1.0 + over / config.longest), 0.0)
        short = np.maximum(config.shortest - lengths, 0.0)  # the end of a recording alone
        return np.asarray(cost + np.where(short > 0, OVERSIZE * (1.0 + short), 0.0))

    def _look(self, now: int) -> list[int]:
        """Boundaries that all ways share which a later cut may go on from."""
        live = self._live(now)
        if len(live) == 0:
            return []
        common = live
        while len(common) > 1:
            smallest = common[0]
            common = np.unique(np.where(common > smallest, self._back[common], common))
        node = int(common[0])
        if (
            now - self._time[0] > self._samples(self._config.lag)
            and self._time[node] == self._time[0]
        ):
            cheapest = int(live[np.argmin(self._value[live])])
            while self._back[cheapest] > 0:
                cheapest = int(self._back[cheapest])
            node = cheapest
        return self._commit(node)

    def _live(self, now: int) -> NDArray[np.int64]:
        """Cuts that a later one may follow."""
        begin = int(
            np.searchsorted(self._time[: self._count], now - self._samples(self._config.oversize))
        )
        live = begin + np.flatnonzero(np.isfinite(self._value[begin : self._count]))
        if len(live) == 0:  # nothing but words: whoever is last
            live = np.flatnonzero(np.isfinite(self._value[: self._count]))[-1:]
        return live

    def _commit(self, node: int) -> list[int]:
        """Make a cut the new beginning; ways that do not pass through it are dead."""
        if node == 0:
            return []
        final = self._trace(node)
        count = self._count
        alive = np.zeros(count, dtype=np.bool_)
        alive[node] = True
        for i in range(node + 1, count):
            alive[i] = self._back[i] >= node and alive[self._back[i]]
        self._value[:count] = np.where(alive, self._value[:count], math.inf)
        kept = count - node
        for array in (self._time, self._value, self._back):
            array[:kept] = array[node:count].copy()
        self._back[:kept] -= node
        self._back[0] = -1
        self._value[:kept] -= self._value[0]
        self._count = kept
        return final

    def _trace(self, node: int) -> list[int]:
        """Boundaries from the beginning, which is left out, up to a cut."""
        found = []
        while node > 0:
            found.append(int(self._time[node]))
            node = int(self._back[node])
        return found[::-1]

    def _grow(self) -> None:
        if self._count < len(self._time):
            return
        self._time = np.concatenate([self._time, np.zeros_like(self._time)])
        self._value = np.concatenate([self._value, np.full_like(self._value, math.inf)])
        self._back = np.concatenate([self._back, np.full_like(self._back, -1)])
