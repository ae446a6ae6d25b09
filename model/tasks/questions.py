"""Time-aware questions with one right answer each, drawn from the facts of a stretch.

A question is only asked where its answer is clear: a time is `MARGIN` away from every boundary of
speech, two things that are compared begin that far apart, and a turn or sound that is asked for is
the only one of its text or name.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np

from talkover.manifests.instructions.answers import (
    Answer,
    LabelsAnswer,
    NumberAnswer,
    SpanAnswer,
    Stamp,
    Statement,
    TimeAnswer,
)
from talkover.manifests.instructions.rows import Task
from talkover.manifests.serialize.transcript import time_text
from talkover.model.tasks.facts import Facts

MARGIN = 0.2
"""Seconds between a time and what would change the answer: the collar of event scoring (DCASE)."""

TOLERANCE = 0.5
"""Seconds by which an answered time may be off: the wider of the two collars of boundary F1."""

LONGEST_QUOTE = 60
"""Characters of a turn that a question quotes."""


@dataclass(frozen=True, kw_only=True)
class Asked:
    """A question or order, and its answer in words and as data."""

    instruction: str
    target: str
    answer: Answer


Rng = np.random.Generator
Thing = TypeVar("Thing")


def who(facts: Facts, rng: Rng) -> Asked | None:
    """Who speaks at a time: one person, several, or nobody, each as often where there are such."""
    clear: dict[int, list[float]] = {}
    for tick in range(int(facts.duration / facts.step) + 1):
        time = tick * facts.step
        if all(min(abs(r.start - time), abs(r.end - time)) >= MARGIN for r in facts.regions):
            clear.setdefault(len(_heard(facts, time)), []).append(time)
    if not facts.regions or not clear:
        return None
    times = clear[_pick(sorted(clear), rng)]
    time = _pick(times, rng)
    heard = _heard(facts, time)
    shown = time_text(time, facts.digits)
    return Asked(
        instruction=_pick((f"Who speaks at {shown} s?", f"Who is heard at {shown} seconds?"), rng),
        target=" and ".join(heard) or "Nobody",
        answer=LabelsAnswer(labels=heard, choices=facts.speakers),
    )


def when(facts: Facts, rng: Rng) -> Asked | None:
    """When somebody or something is first heard, or a turn begins."""
    firsts = _first_starts((*facts.regions, *facts.sounds))
    options = [(f"{name} is first heard", start) for name, start in firsts.items()]
    options += [(f"{name} begins to say “{t.text}”", t.start) for name, t in _quotable(facts)]
    if not options:
        return None
    what, start = _pick(options, rng)
    return Asked(
        instruction=_pick((f"When is the time that {what}?", f"Give the time when {what}."), rng),
        target=f"At {time_text(start, facts.digits)} s",
        answer=TimeAnswer(seconds=start, tolerance=TOLERANCE),
    )


def span(facts: Facts, rng: Rng) -> Asked | None:
    """From when to when a turn is said or a sound is heard."""
    sounds = Counter(sound.label for sound in facts.sounds)
    options = [(f"does {name} say “{t.text}”", t.start, t.end) for name, t in _quotable(facts)]
    options += [
        (f"is {s.label} heard", s.start, s.end) for s in facts.sounds if sounds[s.label] == 1
    ]
    options = [option for option in options if option[2] > option[1]]
    if not options:
        return None
    what, start, end = _pick(options, rng)
    shown = [time_text(time, facts.digits) for time in (start, end)]
    return Asked(
        instruction=_pick((f"From when to when {what}?", f"In which stretch of time {what}?"), rng),
        target=f"From {shown[0]} to {shown[1]} s",
        answer=SpanAnswer(start=start, end=end),
    )


def count(facts: Facts, rng: Rng) -> Asked | None:
    """How many speakers there are, turns somebody takes, times a sound is heard."""
    options = [("How many speakers are there?", len(facts.speakers))]
    turns = Counter(name for name, _ in facts.turns)
    options += [(f"How many turns does {name} take?", number) for name, number in turns.items()]
    sounds = Counter(sound.label for sound in facts.sounds)
    options += [(f"How often is {name} heard?", number) for name, number in sounds.items()]
    question, number = _pick(options, rng)
    return Asked(instruction=question, target=str(number), answer=NumberAnswer(value=number))


def first(facts: Facts, rng: Rng) -> Asked | None:
    """Which of two speakers or sounds begins first."""
    starts = _first_starts((*facts.regions, *facts.sounds))
    pairs = [
        (a, b)
        for a in starts
        for b in starts
        if a != b and starts[b] - starts[a] >= MARGIN and not _is_within(a, b)
    ]
    if not pairs:
        return None
    earlier, later = _pick(pairs, rng)
    shown = [earlier, later] if rng.random() < 0.5 else [later, earlier]
    between = f"{shown[0]} or {shown[1]}"
    return Asked(
        instruction=_pick(
            (f"Which is heard first, {between}?", f"What comes first: {between}?"), rng
        ),
        target=earlier,
        answer=LabelsAnswer(labels=(earlier,), choices=tuple(sorted((earlier, later)))),
    )


MAKERS: Mapping[Task, Callable[[Facts, Rng], Asked | None]] = {
    "who": who,
    "when": when,
    "span": span,
    "count": count,
    "first": first,
}


def _heard(facts: Facts, time: float) -> tuple[str, ...]:
    return tuple(sorted({r.label for r in facts.regions if r.start <= time < r.end}))


def _first_starts(statements: Sequence[Statement]) -> dict[str, float]:
    starts: dict[str, float] = {}
    for statement in statements:
        starts[statement.label] = min(statement.start, starts.get(statement.label, np.inf))
    return starts


def _quotable(facts: Facts) -> list[tuple[str, Stamp]]:
    """Turns whose text nobody says again, short enough to be quoted."""
    texts = Counter(turn.text for _, turn in facts.turns)
    return [
        (name, turn)
        for name, turn in facts.turns
        if texts[turn.text] == 1 and 0 < len(turn.text) <= LONGEST_QUOTE and "\n" not in turn.text
    ]


def _is_within(a: str, b: str) -> bool:
    """Whether one name is a part of the other, so that an answer could not be told apart."""
    return a.casefold() in b.casefold() or b.casefold() in a.casefold()


def _pick(options: Sequence[Thing], rng: Rng) -> Thing:
    return options[int(rng.integers(len(options)))]
