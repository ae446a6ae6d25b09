"""How many of a model's backchannels a corpus can say.

Backchannels are short, and a corpus of read sentences without word times has nothing short. The
share of the model's backchannel durations that the speakers can say is worked out once, from corpus
and configuration; the walk's rate is scaled by it, so that fewer are placed instead of long ones.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property

import numpy as np
from numpy.typing import NDArray

from talkover.simulate.config import UtterancesConfig
from talkover.simulate.slices import atoms
from talkover.simulate.source_cache import SourceCache
from talkover.simulate.turns import TurnModel

PROBABILITIES = (np.arange(100) + 0.5) / 100
"""Where the distribution of backchannel durations is looked at."""
TOLERANCE = 0.2
"""Nepers; an utterance stands for a duration that it misses by no more (± 20 %)."""
SUFFICIENT = 0.95
"""Share from which on a corpus counts as having what it takes."""
NEAR = 0.05
"""Nepers; between two of the durations that are looked at, a wanted one counts as covered."""
MOST_SPEAKERS, MOST_UTTERANCES = 200, 64
"""Speakers, and utterances of each to cut, that are looked at in a large corpus."""


@dataclass(frozen=True, kw_only=True, slots=True)
class BackchannelSupply:
    """Backchannels of a model and of a corpus; shares of all units."""

    model: float
    corpus: float
    scale: float
    """Factor on the rate of backchannels, 0 to 1."""

    @property
    def suffices(self) -> bool:
        """Whether nothing is reduced."""
        return self.scale >= 1

    def line(self) -> str:
        """For a person."""
        return (
            f"backchannel share: model {100 * self.model:.1f} %, "
            f"corpus allows {100 * self.corpus:.1f} % (too few short utterances)"
        )


class BackchannelSource:
    """Which of a model's backchannel durations each speaker of a corpus can say.

    Args:
        model: The fitted model.
        config: How utterances are cut.
        cache: The corpus.
    """

    def __init__(self, model: TurnModel, config: UtterancesConfig, cache: SourceCache) -> None:
        """Look at the model's durations; speakers are looked at when they are asked for."""
        wanted = np.array([model.units.backchannel.at(float(p)) for p in PROBABILITIES])
        self._wanted = np.maximum(wanted, 1 / cache.sampling_rate)
        self._rate = model.backchannels.per_unit
        self._config, self._cache = config, cache
        self._known: dict[int, NDArray[np.float64]] = {}

    @cached_property
    def supply(self) -> BackchannelSupply:
        """What the corpus allows; the same corpus and configuration give the same figure."""
        speakers = np.arange(len(self._cache.speakers))
        if len(speakers) > MOST_SPEAKERS:
            speakers = speakers[np.linspace(0, len(speakers) - 1, MOST_SPEAKERS).astype(int)]
        scale = float(np.mean([len(self.durations(int(n))) for n in speakers]) / len(self._wanted))
        if scale >= SUFFICIENT:
            scale = 1.0
        rate = self._rate
        return BackchannelSupply(
            model=rate / (1 + rate), corpus=scale * rate / (1 + scale * rate), scale=scale
        )

    def durations(self, speaker: int) -> NDArray[np.float64]:
        """Those of the model's durations, evenly spread, that a speaker can say; seconds, rising.

        Args:
            speaker: Number in the corpus.
        """
        if speaker not in self._known:
            available = _short_durations(
                speaker, float(self._wanted[-1]), self._config, self._cache
            )
            self._known[speaker] = self._wanted[_is_covered(self._wanted, available)]
        return self._known[speaker]

    def wanted(
        self, speaker: int, duration: float, longest: float | None, rng: np.random.Generator
    ) -> float | None:
        """A duration that a speaker can say: the wanted one, or another of the model's.

        Args:
            speaker: Number in the corpus.
            duration: As the model wants it, seconds.
            longest: Seconds that fit.
            rng: Draws the other one.

        Returns:
            None if the speaker can say none.
        """
        if self.supply.suffices:
            return duration
        known = self.durations(speaker)
        if longest is not None:
            known = known[known <= longest]
        if len(known) == 0:
            return None
        if np.abs(np.log(known / duration)).min() <= NEAR:
            return duration
        return float(rng.choice(known))


def _is_covered(wanted: NDArray[np.float64], available: NDArray[np.float64]) -> NDArray[np.bool_]:
    """Whether something available stands for each wanted duration."""
    if len(available) == 0:
        return np.zeros(len(wanted), dtype=bool)
    place = np.searchsorted(available, wanted)
    below = available[np.maximum(place - 1, 0)]
    above = available[np.minimum(place, len(available) - 1)]
    miss = np.minimum(np.abs(np.log(below / wanted)), np.abs(np.log(above / wanted)))
    return np.asarray(miss <= TOLERANCE)


def _short_durations(
    speaker: int, longest: float, config: UtterancesConfig, cache: SourceCache
) -> NDArray[np.float64]:
    """Sorted seconds of what a speaker can say in about `longest` or less."""
    bound = longest * np.exp(TOLERANCE)
    pool = cache.utterances_of(speaker)
    whole = np.asarray(cache.speech_duration[pool], dtype=np.float64)
    found = [whole[whole <= bound]]
    if config.split:
        cut = pool[whole > bound]
        for number in cut[:: max(1, len(cut) // MOST_UTTERANCES)][:MOST_UTTERANCES]:
            rate = cache.sampling_rate
            parts = atoms(cache.utterance(int(number)), round(config.min_word_gap * rate))
            lengths = (parts[None, :, 1] - parts[:, None, 0]) / rate  # [first atom, last atom]
            runs = lengths[np.triu_indices(len(parts))]
            found.append(runs[runs <= bound])
    durations = np.sort(np.concatenate(found))
    return np.asarray(durations[durations > 0], dtype=np.float64)
