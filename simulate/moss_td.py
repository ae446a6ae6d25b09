"""The timing of MOSS-Transcribe-Diarize's simulated training data (arXiv 2601.01554).

As published: 2 to 12 speakers with one utterance each; each utterance is cut into runs of words
(a number of segments, log-normal weights) at points of low energy; the segments of all speakers
alternate on one timeline with Gaussian gaps; a negative gap overlaps at most 80 % of the shorter
segment; cuts are cross-faded over 50 ms. The paper gives no values for the number of segments, the
spread of the weights and the gaps: those here are ours and say so.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import InfeasibleTarget
from talkover.manifests.schema import PAUSE_JOIN, Role
from talkover.manifests.seeds import generator
from talkover.simulate.config import SimulationConfig
from talkover.simulate.conversation import Conversation, SaidUnit, Scene, SessionSize
from talkover.simulate.slices import Slice
from talkover.simulate.source_cache import CachedUtterance, SourceCache
from talkover.simulate.turn_targets import Targets

SPEAKERS = (2, 12)
"""Least and most in a session, as published."""
MOST_OVERLAP = 0.8
"""Of the shorter of two segments, as published."""
FADE = 0.05
"""Seconds of a cross-fade, as published."""
SEGMENTS = (1, 6)
"""Least and most segments of an utterance; ours."""
WEIGHT_DEVIATION = 0.5
"""Of the logarithm of a segment's weight; ours."""
GAP_MEAN, GAP_DEVIATION = 0.2, 0.5
"""Seconds between segments; ours: a third of them overlap, as in meetings."""
LEAST_SEGMENT = 0.4
"""Seconds; a cut leaves no less on either side; ours: one word."""
SNAP = 0.25
"""Seconds on each side of a wanted cut in which the quietest place is looked for; ours."""
FRAME = 0.02
"""Seconds over which energy is measured."""
SELF_GAP = 0.05
"""Least seconds between two segments of one speaker; ours."""
NOMINAL_UTTERANCE = 8.0
"""Seconds; stands for an utterance where a length is asked for before the corpus is known."""


@dataclass(frozen=True, slots=True)
class _Segment:
    speaker: int
    slice: Slice


class MossTurnTaking:
    """Turn-taking as MOSS-Transcribe-Diarize's simulation has it. A session has no asked length."""

    identity = "moss_td@1"

    def draw_size(
        self, seed: int, index: int, config: SimulationConfig, most_speakers: int
    ) -> SessionSize:
        """A uniform number of speakers; the length follows from their utterances."""
        least, most = self._limits(config)
        most = min(most, most_speakers)
        rng = generator(seed, index, "num_speakers")
        return SessionSize(speakers=int(rng.integers(min(least, most), most + 1)), length=None)

    def _limits(self, config: SimulationConfig) -> tuple[int, int]:
        return config.session.speakers or SPEAKERS

    def least_speakers(self, config: SimulationConfig) -> int:
        """The asked number, or the two of the smallest published session."""
        return config.session.speakers[1] if config.session.speakers else SPEAKERS[0]

    def expected_length(self, seed: int, index: int, config: SimulationConfig) -> float:
        """A nominal length: `NOMINAL_UTTERANCE` a speaker."""
        most = self._limits(config)[1]
        return NOMINAL_UTTERANCE * self.draw_size(seed, index, config, most).speakers

    def longest(self, config: SimulationConfig) -> float | None:
        """Not known: a session is as long as its utterances."""
        return None

    def check(self, config: SimulationConfig, targets: Targets, cache: SourceCache) -> None:
        """Refuse targets: the recipe has none, its overlap follows from its gaps."""
        asked = {
            "turns.overlap": config.turns.overlap,
            "turns.silence": config.turns.silence,
            "turns.shares": config.turns.shares,
            "turns.dominance": config.turns.dominance,
            "session.length": config.session.length,
        }
        given = [name for name, value in asked.items() if value is not None]
        if given:
            raise InfeasibleTarget(
                f"moss_td takes no {' or '.join(given)}: a session is one utterance a speaker with "
                "published gaps; choose a fitted model (--turns ami) for targets"
            )
        if config.text.order not in ("random", "book"):
            raise InfeasibleTarget(
                f"moss_td says one utterance a speaker and cannot follow text.order "
                f"{config.text.order}: choose a fitted model (--turns ami)"
            )

    def shortfalls(self, config: SimulationConfig, cache: SourceCache) -> list[str]:
        """Nothing is made less of, but large sessions need many speakers."""
        return []

    def converse(self, scene: Scene) -> Conversation:
        """Cut one utterance of each speaker and put the parts on one timeline."""
        rng = scene.rng("moss_td")
        segments = [
            _cut(speaker, int(rng.choice(pool)), scene, rng)
            for speaker, pool in enumerate(scene.cast.pools)
        ]
        order = _alternating(segments, rng)
        starts = _timeline(order, scene, rng)
        rate = scene.config.sampling_rate
        turns = np.cumsum([True, *(a.speaker != b.speaker for a, b in pairwise(order))])
        durations = [segment.slice.speech_samples / rate for segment in order]
        return Conversation(
            units=[
                SaidUnit(segment.speaker, segment.slice, round(start * rate), role, int(turn), n)
                for n, (segment, start, role, turn) in enumerate(
                    zip(order, starts, _roles(order, starts, rate), turns, strict=True)
                )
            ],
            wanted=durations,
            placed=durations,
        )


def _cut(speaker: int, number: int, scene: Scene, rng: np.random.Generator) -> list[_Segment]:
    """The segments of one utterance, in order."""
    utterance = scene.cache.utterance(number)
    rate = scene.config.sampling_rate
    begin, end = utterance.regions[0][0], utterance.regions[-1][1]
    if utterance.words:
        begin = utterance.words[0][1]
        end = max(at + length for _, at, length in utterance.words)
    fits = max(1, int((end - begin) / rate / (2 * LEAST_SEGMENT)))
    count = int(rng.integers(SEGMENTS[0], min(SEGMENTS[1], fits) + 1))
    weights = rng.lognormal(0.0, WEIGHT_DEVIATION, size=count)
    wanted = begin + (end - begin) * np.cumsum(weights)[:-1] / weights.sum()
    places = _places(utterance, rate)
    energy = _energy(np.asarray(scene.cache.samples(number)), places, rate)
    cuts = _chosen(wanted, places, energy, (begin, end), rate)
    bounds = [begin, *cuts, end]
    margin = round(scene.config.utterances.margin * rate)
    pieces = [
        _slice(number, utterance, (first, last), (begin, end), margin, rate)
        for first, last in pairwise(bounds)
    ]
    return [_Segment(speaker, piece) for piece in pieces]


def _places(utterance: CachedUtterance, rate: int) -> NDArray[np.int64]:
    """Samples at which an utterance may be cut: between words, or anywhere if none are known."""
    if utterance.words:
        ends = [at + length for _, at, length in utterance.words[:-1]]
        starts = [at for _, at, _ in utterance.words[1:]]
        return np.array(
            [(a + b) // 2 for a, b in zip(ends, starts, strict=True) if b >= a], dtype=np.int64
        )
    step = round(FRAME * rate / 2)
    return np.arange(utterance.regions[0][0], utterance.regions[-1][1], step, dtype=np.int64)


def _energy(
    samples: NDArray[np.int16], places: NDArray[np.int64], rate: int
) -> NDArray[np.float64]:
    """Mean square around each place."""
    half = round(FRAME * rate / 2)
    total = np.concatenate([[0.0], np.cumsum(np.square(samples, dtype=np.float64))])
    first = np.clip(places - half, 0, len(samples))
    last = np.clip(places + half, 0, len(samples))
    return np.asarray((total[last] - total[first]) / np.maximum(1, last - first))


def _chosen(
    wanted: NDArray[np.float64],
    places: NDArray[np.int64],
    energy: NDArray[np.float64],
    bounds: tuple[int, int],
    rate: int,
) -> list[int]:
    """The quietest place near each wanted cut; a cut without one is left out."""
    least = round(LEAST_SEGMENT * rate)
    cuts: list[int] = []
    for cut in wanted:
        low = (cuts[-1] if cuts else bounds[0]) + least
        near = np.flatnonzero(
            (places >= max(low, cut - SNAP * rate))
            & (places <= min(bounds[1] - least, cut + SNAP * rate))
        )
        if len(near):
            cuts.append(int(places[near[np.argmin(energy[near])]]))
    return cuts


def _slice(
    number: int,
    utterance: CachedUtterance,
    bounds: tuple[int, int],
    whole: tuple[int, int],
    margin: int,
    rate: int,
) -> Slice:
    """A segment, half a fade longer than its speech at a cut, with a quiet margin elsewhere."""
    first, last = bounds
    half = round(FADE * rate) // 2
    start = max(0, first - (margin if first == whole[0] else half))
    end = min(utterance.num_samples, last + (margin if last == whole[1] else half))
    speech = _speech_within(utterance, first, last)
    joined = round(PAUSE_JOIN * rate)
    pauses = sum(
        b - a for a, b in zip(speech[:-1, 1], speech[1:, 0], strict=True) if b - a >= joined
    )
    return Slice(
        utterance=number,
        source_start=start,
        num_samples=end - start,
        speech_start=int(speech[0, 0]),
        speech_end=int(speech[-1, 1]),
        pauses=int(pauses),
        whole=bounds == whole,
        fade=None if bounds == whole else 2 * half,
    )


def _speech_within(utterance: CachedUtterance, first: int, last: int) -> NDArray[np.int64]:
    """Words or regions between two cuts, cut off there; the stretch itself if there are none."""
    if utterance.words:
        spans = [(at, at + length) for _, at, length in utterance.words]
    else:
        spans = list(utterance.regions)
    inside = [(max(a, first), min(b, last)) for a, b in spans if b > first and a < last]
    return np.array(inside or [(first, last)], dtype=np.int64)


def _alternating(
    segments: Sequence[Sequence[_Segment]], rng: np.random.Generator
) -> list[_Segment]:
    """All segments, each speaker's in order; another speaker next wherever one has any left."""
    left = [list(own) for own in segments]
    order: list[_Segment] = []
    last = -1
    while any(left):
        weights = np.array([len(own) for own in left], dtype=float)
        if last >= 0 and weights.sum() > weights[last]:
            weights[last] = 0
        last = int(rng.choice(len(left), p=weights / weights.sum()))
        order.append(left[last].pop(0))
    return order


def _timeline(order: Sequence[_Segment], scene: Scene, rng: np.random.Generator) -> list[float]:
    """Starts in seconds: Gaussian gaps, overlap bounded, nobody over themselves."""
    rate = scene.config.sampling_rate
    durations = [segment.slice.speech_samples / rate for segment in order]
    ends: dict[int, float] = {}
    starts: list[float] = []
    floor = scene.silence("lead_in")
    for n, (segment, duration) in enumerate(zip(order, durations, strict=True)):
        start = floor + (float(rng.normal(GAP_MEAN, GAP_DEVIATION)) if n else 0.0)
        for other, length in zip(starts, durations, strict=False):  # those already placed
            start = max(start, other + length - MOST_OVERLAP * min(length, duration))
        start = max(start, ends.get(segment.speaker, -SELF_GAP) + SELF_GAP)
        active = sorted((end for end in ends.values() if end > start), reverse=True)
        most = scene.config.turns.max_concurrent
        if len(active) >= most:
            start = active[most - 1]
        starts.append(start)
        floor = ends[segment.speaker] = start + duration
    return starts


def _roles(order: Sequence[_Segment], starts: Sequence[float], rate: int) -> list[Role]:
    """Interruption where a segment begins before the end of another speaker's."""
    roles: list[Role] = []
    floor = -np.inf
    for segment, start in zip(order, starts, strict=True):
        end = start + segment.slice.speech_samples / rate
        if start >= floor:
            roles.append("turn")
        else:
            roles.append("interruption" if end > floor else "backchannel")
        floor = max(floor, end)
    return roles
