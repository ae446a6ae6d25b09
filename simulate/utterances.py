"""Which utterance a speaker says next, and how much of it.

A turn-taking model asks for a unit of some duration; a corpus has what it has. The unit is drawn
from the utterances whose speech is nearest in duration, fresh ones first. An utterance that is too
long may be cut into a run of *atoms*: between atoms lies a gap between words, or, where no word
times are known, a measured pause. Speech is never cut anywhere else. Where a corpus has only short
utterances (single words, digits), several of one speaker are said in a row. Pauses inside an
utterance are shortened, as it is the turn-taking model that decides where a speaker pauses.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.schema import PAUSE_JOIN
from talkover.simulate.config import UtterancesConfig
from talkover.simulate.slices import (
    Piece,
    Slice,
    atoms,
    slice_of,
    split_at_pauses,
    without_pauses,
)
from talkover.simulate.source_cache import CachedUtterance, SourceCache

USE_PENALTY = 1.0
"""Cost of one earlier use in the session, in nepers of duration: as bad as a factor of e."""
CHOICE_WIDTH = 0.25
"""Nepers; candidates within this of the best are drawn with equal chance (about ± 28 %)."""
SPLIT_ADVANTAGE = 0.4
"""Nepers; an utterance is cut only where a whole one would miss the wanted duration by more."""
WORDS_ADVANTAGE = 0.1
"""The same where word times are known: a cut loses no text then, and read sentences, most of them
12 to 17 s, would make units 5 % too long on the average."""

FILLED = 0.95
"""A unit is long enough at this share of the wanted duration; below, another utterance follows if
the speaker's shortest one brings it nearer."""
MOST_JOINED = 24
"""Utterances in a row that make one unit: enough for 15 s of single words."""


class UtteranceChooser:
    """Draws units for the speakers of one session and remembers what was said.

    Args:
        cache: The corpus.
        config: How near and how long.
        sampling_rate: Of the cache, Hz.
        rng: Decides between equally good candidates.
        pools: For each speaker of the session, the numbers of the utterances they may say.
        rank: Place of each utterance in a text that the session follows, or None.
        window: The next utterance of a text is one of this many that follow what was said last.
    """

    def __init__(
        self,
        cache: SourceCache,
        config: UtterancesConfig,
        sampling_rate: int,
        rng: np.random.Generator,
        pools: list[NDArray[np.int64]],
        *,
        rank: Mapping[int, int] | None = None,
        window: int = 8,
    ) -> None:
        """Sort each speaker's pool by duration of speech."""
        self._cache, self._config, self._rng = cache, config, rng
        self._rate = sampling_rate
        self._shortens = config.shorten_pauses and config.join_gap is not None
        self._gap = round(sum(config.join_gap or (0.0, 0.0)) / 2 * sampling_rate)
        self._pause = round(PAUSE_JOIN * sampling_rate)
        self._min_gap = round(config.min_word_gap * sampling_rate)
        self._margin = round(config.margin * sampling_rate)
        self._pools: list[NDArray[np.int64]] = []
        self._durations: list[NDArray[np.float64]] = []
        self._uses: list[NDArray[np.int64]] = []
        for pool in pools:
            durations = self._seconds(np.asarray(pool))
            order = np.argsort(durations, kind="stable")
            self._pools.append(np.asarray(pool)[order])
            self._durations.append(np.maximum(durations[order], 1 / sampling_rate))
            self._uses.append(np.zeros(len(pool), dtype=np.int64))
        self._text = None if rank is None else _TextPosition(self._pools, rank, window)
        self._runs_used: Counter[tuple[int, int, int]] = Counter()

    def _seconds(self, pool: NDArray[np.int64]) -> NDArray[np.float64]:
        """How long each utterance takes, with its pauses shortened where they are to be."""
        if not self._shortens:
            return np.asarray(self._cache.speech_duration[pool], dtype=np.float64)
        pauses = self._cache.num_regions[pool] - 1
        return self._cache.region_duration[pool] + pauses * self._gap / self._rate

    def unit(
        self,
        speaker: int,
        duration: float,
        *,
        longest: float | None = None,
        is_backchannel: bool = False,
    ) -> tuple[Piece, ...]:
        """A unit of about the wanted duration: one slice, or several short ones in a row.

        Args:
            speaker: Index into the pools.
            duration: Wanted seconds of speech, pauses inside counted.
            longest: Seconds that the unit must not exceed, for a backchannel inside a turn.
            is_backchannel: It tells nothing of the text that the session may follow.

        Returns:
            Slices in order; none if `longest` leaves nothing.
        """
        first = self._say(speaker, duration, longest, is_backchannel)
        if first is None:
            return ()
        pieces = self._pieces(first, 0, 0, longest)
        sayings = 1
        gaps = self._config.join_gap
        while gaps is not None and sayings < MOST_JOINED:
            end = pieces[-1].offset + pieces[-1].slice.speech_samples
            gap = round(self._rng.uniform(*gaps) * self._rate)
            left = duration - (end + gap) / self._rate
            room = None if longest is None else longest - (end + gap) / self._rate
            if end >= FILLED * duration * self._rate or left <= 0 or (room or 1.0) <= 0:
                break
            nearest = (end + gap) / self._rate + float(self._durations[speaker][0])
            if nearest * end > duration**2 * self._rate:  # further above than it is below, as ratio
                break
            following = self._say(speaker, left, room, is_backchannel)
            if following is None:
                break
            pieces += self._pieces(following, end + gap, sayings, room)
            sayings += 1
        return tuple(pieces)

    def _pieces(self, said: Slice, offset: int, saying: int, longest: float | None) -> list[Piece]:
        """A slice as it is said: whole, or in inter-pausal units with shorter pauses."""
        if not self._shortens or said.pauses == 0:
            return [Piece(said, offset, saying)]
        utterance = self._cache.utterance(said.utterance)
        parts = atoms(utterance, self._min_gap)
        units = split_at_pauses(said, utterance, parts, self._margin, self._rate)
        least, most = self._config.join_gap or (0.0, 0.0)
        gaps = np.round(self._rng.uniform(least, most, size=len(units) - 1) * self._rate)
        spoken = sum(unit.speech_samples for unit in units)
        if longest is not None and spoken + gaps.sum() > longest * self._rate:
            gaps[:] = min(self._gap, round(least * self._rate))
        pieces = []
        for unit, gap in zip(units, [*gaps, 0], strict=True):
            pieces.append(Piece(unit, offset, saying))
            offset += unit.speech_samples + int(gap)
        return pieces

    def _say(
        self, speaker: int, duration: float, longest: float | None, is_backchannel: bool
    ) -> Slice | None:
        """Choose, out of what comes next in the text where the session follows one."""
        if self._text is None or is_backchannel:
            return self.choose(speaker, duration, longest=longest)
        places = self._text.next_places(speaker, self._uses[speaker])
        said = self.choose(speaker, duration, longest=longest, places=places)
        if said is None:  # nothing of the next few is short enough
            return self.choose(speaker, duration, longest=longest)
        self._text.said(speaker, said.utterance)
        return said

    def choose(
        self,
        speaker: int,
        duration: float,
        *,
        longest: float | None = None,
        places: NDArray[np.int64] | None = None,
    ) -> Slice | None:
        """A unit of about the wanted duration, marked as used.

        Args:
            speaker: Index into the pools.
            duration: Wanted seconds of speech, pauses inside counted.
            longest: Seconds that the unit must not exceed, for a backchannel inside a turn.
            places: Of the speaker's pool by duration, those that may be said; None is all.

        Returns:
            None if `longest` leaves nothing.
        """
        if places is None:
            places = np.arange(len(self._pools[speaker]))
        whole = self._nearest_whole(speaker, duration, longest, places)
        if whole is not None and (
            not self._config.split
            or self._miss(speaker, whole, duration) <= self._split_advantage(speaker, whole)
        ):
            return self._take_whole(speaker, whole)
        if self._config.split:
            run = self._nearest_run(speaker, duration, longest, places)
            if run is not None and (
                whole is None
                or abs(np.log(self._samples(run) / self._rate / duration))
                < self._miss(speaker, whole, duration)
            ):
                return run
        return None if whole is None else self._take_whole(speaker, whole)

    def _samples(self, run: Slice) -> int:
        """How long a run takes, with its pauses shortened where they are to be."""
        if not self._shortens or run.pauses == 0:
            return run.speech_samples
        parts = atoms(self._cache.utterance(run.utterance), self._min_gap)
        first = int(np.searchsorted(parts[:, 0], run.speech_start))
        last = int(np.searchsorted(parts[:, 1], run.speech_end))
        said = without_pauses(parts[first : last + 1], self._pause, self._gap)
        return int(said[-1, 1] - said[0, 0])

    def _split_advantage(self, speaker: int, place: int) -> float:
        is_timed = self._cache.utterance(int(self._pools[speaker][place])).words is not None
        return WORDS_ADVANTAGE if is_timed else SPLIT_ADVANTAGE

    def _miss(self, speaker: int, place: int, duration: float) -> float:
        return float(abs(np.log(self._durations[speaker][place] / duration)))

    def _nearest_whole(
        self, speaker: int, duration: float, longest: float | None, places: NDArray[np.int64]
    ) -> int | None:
        durations = self._durations[speaker][places]
        end = len(durations)
        if longest is not None:
            end = int(np.searchsorted(durations, longest, side="right"))
        if end == 0:
            return None
        uses = self._uses[speaker][places[:end]]
        cost = np.abs(np.log(durations[:end] / duration)) + USE_PENALTY * uses
        return int(places[self._draw(cost)])

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

    def _nearest_run(
        self, speaker: int, duration: float, longest: float | None, places: NDArray[np.int64]
    ) -> Slice | None:
        """A run of atoms of a longer utterance, or None where none can be cut."""
        longer = places[self._durations[speaker][places] > duration]
        if len(longer) == 0:
            return None
        few = self._rng.permutation(longer)[: self._config.candidates]
        few = few[np.argsort(self._uses[speaker][few], kind="stable")]
        best: tuple[float, int, int, int] | None = None
        limit = np.inf if longest is None else longest * self._rate
        for place in few:
            number = int(self._pools[speaker][place])
            parts = atoms(self._cache.utterance(number), self._min_gap)
            said = without_pauses(parts, self._pause, self._gap) if self._shortens else parts
            lengths = said[None, :, 1] - said[:, None, 0]  # [first atom, last atom]
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
        return slice_of(number, utterance, parts, first, last, self._margin, self._rate)


class _TextPosition:
    """Where a session is in a text, and what each speaker may say next of it."""

    def __init__(
        self, pools: list[NDArray[np.int64]], rank: Mapping[int, int], window: int
    ) -> None:
        self._ranks = [np.array([rank[int(n)] for n in pool], dtype=np.int64) for pool in pools]
        self._rank, self._window = rank, window
        self._positions = [-1] * len(pools)

    def next_places(self, speaker: int, uses: NDArray[np.int64]) -> NDArray[np.int64]:
        """The next few of a speaker's unsaid utterances; from the start again after the last."""
        ranks = self._ranks[speaker]
        for allowed in ((uses == 0) & (ranks > self._positions[speaker]), uses == 0):
            places = np.flatnonzero(allowed)
            if len(places):
                nearest = places[np.argsort(ranks[places], kind="stable")][: self._window]
                return np.sort(nearest)
        return np.arange(len(ranks))

    def said(self, speaker: int, utterance: int) -> None:
        """Move on to what follows an utterance in the speaker's text."""
        self._positions[speaker] = self._rank[utterance]
