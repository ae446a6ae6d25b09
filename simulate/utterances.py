"""Which utterance a speaker says next, and how much of it.

A turn-taking model asks for a unit of some duration; a corpus has what it has. The unit is drawn
from the utterances whose speech is nearest in duration, fresh ones first. An utterance that is too
long may be cut into a run of *atoms*: between atoms lies a gap between words, or, where no word
times are known, a measured pause. Speech is never cut anywhere else. Where a corpus has only short
utterances (single words, digits), several of one speaker are said in a row.
"""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.schema import PAUSE_JOIN
from talkover.simulate.config import UtterancesConfig
from talkover.simulate.source_cache import CachedUtterance, SourceCache

USE_PENALTY = 1.0
"""Cost of one earlier use in the session, in nepers of duration: as bad as a factor of e."""
CHOICE_WIDTH = 0.25
"""Nepers; candidates within this of the best are drawn with equal chance (about ± 28 %)."""
SPLIT_ADVANTAGE = 0.4
"""Nepers; an utterance is cut only where a whole one would miss the wanted duration by more."""

FILLED = 0.7
"""A unit is long enough at this share of the wanted duration; below, another utterance follows."""
MOST_JOINED = 24
"""Utterances in a row that make one unit: enough for 15 s of single words."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Slice:
    """A part of one utterance, in samples of the utterance's clock."""

    utterance: int
    source_start: int
    num_samples: int
    speech_start: int
    speech_end: int
    pauses: int
    """Samples of the pauses between its regions, in which nobody hears the speaker."""
    whole: bool

    @property
    def speech_samples(self) -> int:
        """From the first to the last sample of speech."""
        return self.speech_end - self.speech_start


def atoms(utterance: CachedUtterance, min_word_gap: int) -> NDArray[np.int64]:
    """The stretches of an utterance that must stay whole.

    Args:
        utterance: With words, an atom is a run of words with gaps under `min_word_gap`; without,
            it is a measured speech region.
        min_word_gap: Samples.

    Returns:
        Start and end of each atom in samples, shape ``[N, 2]``, in time order.
    """
    if utterance.words is None:
        return np.asarray(utterance.regions, dtype=np.int64).reshape(-1, 2)
    runs: list[list[int]] = []
    for _, start, length in utterance.words:
        if runs and start - runs[-1][1] < max(1, min_word_gap):
            runs[-1][1] = max(runs[-1][1], start + length)
        else:
            runs.append([start, start + length])
    return np.array(runs, dtype=np.int64).reshape(-1, 2)


@dataclass(frozen=True, slots=True)
class Piece:
    """A slice within a unit: its speech starts `offset` samples after the unit's."""

    slice: Slice
    offset: int


class UtteranceChooser:
    """Draws units for the speakers of one session and remembers what was said.

    Args:
        cache: The corpus.
        config: How near and how long.
        sampling_rate: Of the cache, Hz.
        rng: Decides between equally good candidates.
        pools: For each speaker of the session, the numbers of the utterances they may say.
    """

    def __init__(
        self,
        cache: SourceCache,
        config: UtterancesConfig,
        sampling_rate: int,
        rng: np.random.Generator,
        pools: list[NDArray[np.int64]],
    ) -> None:
        """Sort each speaker's pool by duration of speech."""
        self._cache, self._config, self._rng = cache, config, rng
        self._rate = sampling_rate
        self._min_gap = round(config.min_word_gap * sampling_rate)
        self._margin = round(config.margin * sampling_rate)
        self._pools: list[NDArray[np.int64]] = []
        self._durations: list[NDArray[np.float64]] = []
        self._uses: list[NDArray[np.int64]] = []
        for pool in pools:
            durations = np.asarray(cache.speech_duration[pool], dtype=np.float64)
            order = np.argsort(durations, kind="stable")
            self._pools.append(np.asarray(pool)[order])
            self._durations.append(np.maximum(durations[order], 1 / sampling_rate))
            self._uses.append(np.zeros(len(pool), dtype=np.int64))
        self._runs_used: Counter[tuple[int, int, int]] = Counter()

    def unit(
        self, speaker: int, duration: float, *, longest: float | None = None
    ) -> tuple[Piece, ...]:
        """A unit of about the wanted duration: one slice, or several short ones in a row.

        Args:
            speaker: Index into the pools.
            duration: Wanted seconds of speech, pauses inside counted.
            longest: Seconds that the unit must not exceed, for a backchannel inside a turn.

        Returns:
            Slices in order; none if `longest` leaves nothing.
        """
        first = self.choose(speaker, duration, longest=longest)
        if first is None:
            return ()
        pieces = [Piece(first, 0)]
        end = first.speech_samples
        gaps = self._config.join_gap
        while (
            gaps is not None and end < FILLED * duration * self._rate and len(pieces) < MOST_JOINED
        ):
            gap = round(self._rng.uniform(*gaps) * self._rate)
            left = duration - (end + gap) / self._rate
            room = None if longest is None else longest - (end + gap) / self._rate
            if left <= 0 or (room is not None and room <= 0):
                break
            following = self.choose(speaker, left, longest=room)
            if following is None:
                break
            pieces.append(Piece(following, end + gap))
            end += gap + following.speech_samples
        return tuple(pieces)

    def choose(
        self, speaker: int, duration: float, *, longest: float | None = None
    ) -> Slice | None:
        """A unit of about the wanted duration, marked as used.

        Args:
            speaker: Index into the pools.
            duration: Wanted seconds of speech, pauses inside counted.
            longest: Seconds that the unit must not exceed, for a backchannel inside a turn.

        Returns:
            None if `longest` leaves nothing.
        """
        whole = self._nearest_whole(speaker, duration, longest)
        if whole is not None and (
            not self._config.split or self._miss(speaker, whole, duration) <= SPLIT_ADVANTAGE
        ):
            return self._take_whole(speaker, whole)
        if self._config.split:
            run = self._nearest_run(speaker, duration, longest)
            if run is not None and (
                whole is None
                or abs(np.log(run.speech_samples / self._rate / duration))
                < self._miss(speaker, whole, duration)
            ):
                return run
        return None if whole is None else self._take_whole(speaker, whole)

    def unused(self, speaker: int) -> NDArray[np.int64]:
        """Utterances of a speaker's pool of which nothing was said, shortest first."""
        return np.asarray(self._pools[speaker][self._uses[speaker] == 0], dtype=np.int64)

    def _miss(self, speaker: int, place: int, duration: float) -> float:
        return float(abs(np.log(self._durations[speaker][place] / duration)))

    def _nearest_whole(self, speaker: int, duration: float, longest: float | None) -> int | None:
        durations = self._durations[speaker]
        end = len(durations)
        if longest is not None:
            end = int(np.searchsorted(durations, longest, side="right"))
        if end == 0:
            return None
        cost = np.abs(np.log(durations[:end] / duration)) + USE_PENALTY * self._uses[speaker][:end]
        return self._draw(cost)

    def _draw(self, cost: NDArray[np.float64]) -> int:
        """An index of low cost: among the cheapest few that are about as good as the best."""
        count = min(self._config.candidates, len(cost))
        if count < len(cost):
            cheapest = np.argpartition(cost, count - 1)[:count]
        else:
            cheapest = np.arange(len(cost))
        cheapest = cheapest[np.lexsort((cheapest, cost[cheapest]))]
        good = cheapest[cost[cheapest] <= cost[cheapest[0]] + CHOICE_WIDTH]
        return int(good[self._rng.integers(len(good))])

    def _take_whole(self, speaker: int, place: int) -> Slice:
        number = int(self._pools[speaker][place])
        self._uses[speaker][place] += 1
        utterance = self._cache.utterance(number)
        parts = atoms(utterance, self._min_gap)
        return self._slice(number, utterance, parts, 0, len(parts) - 1)

    def _nearest_run(self, speaker: int, duration: float, longest: float | None) -> Slice | None:
        """A run of atoms of a longer utterance, or None where none can be cut."""
        longer = np.flatnonzero(self._durations[speaker] > duration)
        if len(longer) == 0:
            return None
        few = self._rng.permutation(longer)[: self._config.candidates]
        few = few[np.argsort(self._uses[speaker][few], kind="stable")]
        best: tuple[float, int, int, int] | None = None
        limit = np.inf if longest is None else longest * self._rate
        for place in few:
            number = int(self._pools[speaker][place])
            parts = atoms(self._cache.utterance(number), self._min_gap)
            lengths = parts[None, :, 1] - parts[:, None, 0]  # [first atom, last atom]
            fits = (np.arange(len(parts))[None, :] >= np.arange(len(parts))[:, None]) & (
                lengths <= limit
            )
            if not fits.any():
                continue
            cost = np.where(
                fits, np.abs(np.log(np.maximum(lengths, 1) / (duration * self._rate))), np.inf
            )
            for (used, first, last), times in self._runs_used.items():
                if used == number:  # an atom that was said makes every run over it less fresh
                    cost[: last + 1, first:] += USE_PENALTY * times
            first, last = divmod(int(np.argmin(cost)), len(parts))
            if best is None or cost[first, last] < best[0]:
                best = (float(cost[first, last]), int(place), int(first), int(last))
            if best[0] <= CHOICE_WIDTH:
                break
        if best is None:
            return None
        _, place, first, last = best
        number = int(self._pools[speaker][place])
        self._uses[speaker][place] += 1
        self._runs_used[number, first, last] += 1
        utterance = self._cache.utterance(number)
        return self._slice(number, utterance, atoms(utterance, self._min_gap), first, last)

    def _slice(
        self,
        number: int,
        utterance: CachedUtterance,
        parts: NDArray[np.int64],
        first: int,
        last: int,
    ) -> Slice:
        """Speech from the first to the last atom, with quiet margins that touch no other atom."""
        speech_start, speech_end = int(parts[first, 0]), int(parts[last, 1])
        gaps = parts[first + 1 : last + 1, 0] - parts[first:last, 1]
        before = 0 if first == 0 else int(parts[first - 1, 1])
        after = utterance.num_samples if last == len(parts) - 1 else int(parts[last + 1, 0])
        lead = speech_start - before if first == 0 else (speech_start - before) // 2
        trail = after - speech_end if last == len(parts) - 1 else (after - speech_end) // 2
        start = speech_start - min(self._margin, max(0, lead))
        end = speech_end + min(self._margin, max(0, trail))
        return Slice(
            utterance=number,
            source_start=start,
            num_samples=end - start,
            speech_start=speech_start,
            speech_end=speech_end,
            pauses=int(gaps[gaps >= round(PAUSE_JOIN * self._rate)].sum()),
            whole=first == 0 and last == len(parts) - 1,
        )
