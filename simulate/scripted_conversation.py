"""Lines of a script, timed by the fitted floor.

Speakers, their order and their utterances are the script's; pauses and floor-transfer offsets are
the model's, with its correlation of consecutive offsets. Asked overlap and silence are reached
exactly where they can be: one shift of all offsets' scores, then one factor on all gaps.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from math import sqrt

import numpy as np
from numpy.typing import NDArray
from scipy.special import ndtr

from talkover.manifests.errors import InfeasibleTarget
from talkover.manifests.schema import Role
from talkover.simulate.conversation import Conversation, SaidUnit, Scene
from talkover.simulate.slices import whole_slice
from talkover.simulate.turns import TurnModel

LARGEST_SHIFT = 6.0
"""Standard deviations; beyond, every offset of the model is its most extreme one."""
LARGEST_STRETCH = 50.0
"""Factor on gaps."""
STEPS = 40
"""Of each bisection: down to a 10⁻¹² of its range."""
MOST_OF_A_UNIT = 0.8
"""Largest overlap, as share of the shorter of the two units: the order of the lines stays."""


@dataclass(frozen=True, slots=True)
class _Draws:
    """What is random about the timing of a script."""

    speakers: NDArray[np.int64]
    durations: NDArray[np.float64]
    """Seconds from the first to the last speech of each line."""
    silent: NDArray[np.float64]
    """Seconds of pauses inside each line."""
    scores: NDArray[np.float64]
    """Normal score of the offset before each line after the first…"""
    pauses: NDArray[np.float64]
    """…and the pause, where it is a hold."""
    max_concurrent: int
    join: float
    lead_in: float


def speak_lines(scene: Scene, model: TurnModel) -> Conversation:
    """Time the lines of a script.

    Raises:
        InfeasibleTarget: If not one line of a script was matched.
    """
    lines = scene.cast.lines
    if not lines:
        raise InfeasibleTarget(
            f"session {scene.index}: no line of the script has an utterance in the corpus: lower "
            "text.least_similarity or write lines that the corpus has"
        )
    rate = scene.config.sampling_rate
    slices = [whole_slice(scene.cache, line.utterance, scene.config.utterances) for line in lines]
    draws = _Draws(
        speakers=np.array([line.speaker for line in lines]),
        durations=np.array([piece.speech_samples / rate for piece in slices]),
        silent=np.array([piece.pauses / rate for piece in slices]),
        scores=_scores(scene.rng("turns"), len(lines), model.memory),
        pauses=_pauses(scene.rng("pauses"), len(lines), model),
        max_concurrent=scene.config.turns.max_concurrent,
        join=model.origin.join,
        lead_in=scene.silence("lead_in"),
    )
    starts = _steered(draws, model, scene)
    roles = _roles(draws, starts)
    turns = np.cumsum([True, *(draws.speakers[1:] != draws.speakers[:-1])])
    return Conversation(
        units=[
            SaidUnit(line.speaker, piece, round(float(start) * rate), role, int(turn), n)
            for n, (line, piece, start, role, turn) in enumerate(
                zip(lines, slices, starts, roles, turns, strict=True)
            )
        ],
        overlap=scene.targets.overlap,
        silence=scene.targets.silence,
        wanted=draws.durations.tolist(),
        placed=draws.durations.tolist(),
    )


def _scores(rng: np.random.Generator, count: int, memory: float) -> NDArray[np.float64]:
    innovations = rng.standard_normal(count)
    scores = innovations.copy()
    for n in range(1, count):
        scores[n] = memory * scores[n - 1] + sqrt(1 - memory**2) * innovations[n]
    return scores


def _pauses(rng: np.random.Generator, count: int, model: TurnModel) -> NDArray[np.float64]:
    return np.array([max(model.origin.join, model.pauses.at(float(u))) for u in rng.random(count)])


def _steered(draws: _Draws, model: TurnModel, scene: Scene) -> NDArray[np.float64]:
    """Starts that meet an asked overlap, then an asked silence; the model's own otherwise."""
    shift, stretch = 0.0, 1.0
    overlap, silence = scene.targets.overlap, scene.targets.silence
    lead_out = scene.silence("lead_out")

    def overlap_at(x: float) -> float:
        return -_ratios(draws, _starts(draws, model, x, stretch), lead_out)[0]

    def silence_at(x: float) -> float:
        return _ratios(draws, _starts(draws, model, shift, x), lead_out)[1]

    for _ in range(2 if overlap is not None and silence is not None else 1):
        if overlap is not None:  # more overlap at a lower score
            shift = _bisect(overlap_at, -overlap, (-LARGEST_SHIFT, LARGEST_SHIFT))
        if silence is not None:
            stretch = _bisect(silence_at, silence, (0.0, LARGEST_STRETCH))
    return _starts(draws, model, shift, stretch)


def _bisect(function: Callable[[float], float], value: float, bounds: tuple[float, float]) -> float:
    """Where a rising function reaches a value, or the nearer bound."""
    low, high = bounds
    for _ in range(STEPS):
        middle = (low + high) / 2
        if function(middle) < value:
            low = middle
        else:
            high = middle
    return (low + high) / 2


def _starts(draws: _Draws, model: TurnModel, shift: float, stretch: float) -> NDArray[np.float64]:
    """Start of each line: the end of the floor plus an offset or a pause."""
    offsets = np.interp(
        ndtr(draws.scores + shift), np.linspace(0, 1, len(model.offsets.table)), model.offsets.table
    )
    starts = np.empty(len(draws.durations))
    ends: dict[int, float] = {}
    floor = last = draws.lead_in
    for n, (speaker, duration) in enumerate(zip(draws.speakers, draws.durations, strict=True)):
        if n == 0:
            start = draws.lead_in
        elif speaker == draws.speakers[n - 1]:
            start = floor + max(draws.join, draws.pauses[n] * stretch)
        else:
            offset = offsets[n] * (stretch if offsets[n] > 0 else 1)
            most = MOST_OF_A_UNIT * min(duration, draws.durations[n - 1])
            start = max(last, floor + max(offset, -most))
        start = max(start, ends.get(int(speaker), -np.inf) + draws.join)
        active = sorted((end for end in ends.values() if end > start), reverse=True)
        if len(active) >= draws.max_concurrent:
            start = active[draws.max_concurrent - 1]
        starts[n] = last = start
        ends[int(speaker)] = start + duration
        floor = max(floor, start + duration)
    return starts


def _ratios(draws: _Draws, starts: NDArray[np.float64], lead_out: float) -> tuple[float, float]:
    """Overlap as share of speech time, and silence as share of the session."""
    ends = starts + draws.durations
    edges = np.concatenate([starts, ends])
    steps = np.repeat([1, -1], len(starts))
    order = np.lexsort((steps, edges))
    active = np.cumsum(steps[order])[:-1]
    widths = np.diff(edges[order])
    speech = float(widths[active > 0].sum())
    overlap = float(widths[active > 1].sum())
    total = float(ends.max()) + lead_out
    silence = total - speech + float(draws.silent.sum())
    return overlap / max(speech, 1e-9), silence / total


def _roles(draws: _Draws, starts: NDArray[np.float64]) -> list[Role]:
    """Interruption where a line begins before another speaker's end and outlasts it."""
    roles: list[Role] = []
    floor = -np.inf
    speaker = -1
    for who, start, duration in zip(draws.speakers, starts, draws.durations, strict=True):
        inside = start + duration <= floor
        if who == speaker or start >= floor:
            roles.append("turn")
        else:
            roles.append("backchannel" if inside else "interruption")
        if not inside:
            floor, speaker = float(start + duration), int(who)
    return roles
