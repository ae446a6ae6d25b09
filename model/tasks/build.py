"""Instruction rows from sessions: a pure function of labels, configuration and seed."""

from __future__ import annotations

import math
from collections.abc import Iterable, Iterator
from dataclasses import dataclass

import numpy as np

from talkover.manifests.instructions.answers import CaptionAnswer, StampsAnswer, Statement
from talkover.manifests.instructions.rows import QUESTIONS, TASKS, InstructionRow, Task
from talkover.manifests.instructions.stamps import write_stamps
from talkover.manifests.instructions.statements import write_statements
from talkover.manifests.schema import Session, span_fields
from talkover.manifests.seeds import SESSION_OF_CORPUS, content_id, generator
from talkover.model.data.examples import window_session, windows_of
from talkover.model.data.windows import Window
from talkover.model.tasks.facts import Facts, facts_of
from talkover.model.tasks.questions import MAKERS, Asked

LONGEST_ID = 160
"""Characters of a session's id that a row's id keeps; beyond, a hash tells sessions apart."""

WORDS = (
    "Transcribe the audio with the start and end time of every word.",
    "Write every word between its start and end time.",
)
SENTENCES = (
    "Transcribe the audio with the start and end time of every sentence.",
    "Write every sentence between its start and end time.",
)
CAPTION = (
    "Describe the audio: who and what is heard, and when.",
    "Write a caption of the audio with times.",
)


@dataclass(frozen=True, kw_only=True)
class InstructConfig:
    """Which rows are made of a session."""

    tasks: tuple[Task, ...] = TASKS
    questions: int = 1
    """Questions of each kind about a window."""
    longest: float = 30.0
    """Seconds; longer sessions are cut into windows between turns, as for training."""
    digits: int = 1
    """Digits after the point of a written time."""

    def __post_init__(self) -> None:
        """Check names and numbers."""
        unknown = sorted(set(self.tasks) - set(TASKS))
        if unknown or not self.tasks:
            raise ValueError(f"tasks must be of {', '.join(TASKS)}, got {list(self.tasks)}")
        if self.questions < 1 or not 0 <= self.digits <= 3:
            raise ValueError("questions must be 1 or more, and digits 0 to 3")
        if not (self.longest >= 1 and math.isfinite(self.longest)):
            raise ValueError(f"longest must be 1 s or more, got {self.longest}")


def build_rows(
    sessions: Iterable[Session], config: InstructConfig | None = None, *, seed: int = 0
) -> Iterator[InstructionRow]:
    """The rows of some sessions; one session's rows depend on no other session.

    Args:
        sessions: With labels on their clock.
        config: Which rows.
        seed: Root seed.
    """
    for session in sessions:
        yield from rows_of(session, config or InstructConfig(), seed=seed)


def rows_of(session: Session, config: InstructConfig, *, seed: int = 0) -> Iterator[InstructionRow]:
    """The rows of one session, by window and task; what its labels cannot answer is not asked."""
    windows = windows_of(session, max(config.longest, 1.0))
    for window in windows:
        facts = facts_of(window_session(session, window), config.digits)
        for task in config.tasks:
            count = config.questions if task in QUESTIONS else 1
            asked: set[str] = set()
            for number in range(count):
                name = f"instructions/{session.id}/{window.start_sample}/{task}/{number}"
                made = ask(facts, task, generator(seed, SESSION_OF_CORPUS, name))
                if made is not None and made.instruction not in asked:
                    asked.add(made.instruction)
                    yield _row(session, window, task, number, made)


def ask(facts: Facts, task: Task, rng: np.random.Generator) -> Asked | None:
    """What is asked and answered for a task, or None where the facts do not say."""
    if task in MAKERS:
        return MAKERS[task](facts, rng)
    if task == "caption":
        return _caption(facts, rng)
    items = facts.words if task == "words" else tuple(turn for _, turn in facts.turns)
    items = tuple(item for item in items if item.text.strip())
    if not items:
        return None
    wordings = WORDS if task == "words" else SENTENCES
    return Asked(
        instruction=wordings[int(rng.integers(len(wordings)))],
        target=write_stamps(items, facts.digits),
        answer=StampsAnswer(items=items),
    )


def _caption(facts: Facts, rng: np.random.Generator) -> Asked:
    """A template: how many speak, then where each speaker and sound is heard."""
    statements = (*_joined(facts.regions), *facts.sounds)
    number = len(facts.speakers)
    opening = {0: "No speakers.", 1: "1 speaker."}.get(number, f"{number} speakers.")
    text = f"{opening} {write_statements(statements, facts.digits)}".rstrip()
    # In the order in which they are read back: by label, as they are written.
    order = list(dict.fromkeys(s.label for s in statements))
    return Asked(
        instruction=CAPTION[int(rng.integers(len(CAPTION)))],
        target=text,
        answer=CaptionAnswer(
            num_speakers=number,
            statements=tuple(sorted(statements, key=lambda s: order.index(s.label))),
        ),
    )


def _joined(regions: tuple[Statement, ...]) -> list[Statement]:
    """Regions of a speaker that touch at the resolution of the text, as one."""
    found: list[Statement] = []
    for region in regions:
        last = found[-1] if found else None
        if last is not None and last.label == region.label and region.start <= last.end:
            end = max(last.end, region.end)
            found[-1] = Statement(label=last.label, start=last.start, end=end)
        else:
            found.append(region)
    return found


def _row(session: Session, window: Window, task: Task, number: int, asked: Asked) -> InstructionRow:
    name = session.id
    if len(name) > LONGEST_ID:
        name = f"{name[:LONGEST_ID]}-{content_id(session.id)}"
    rate = session.audio.sampling_rate
    span = span_fields(window.start_sample, window.num_samples, rate)
    return InstructionRow.model_validate(
        {
            **span,
            "id": f"{name}-{window.start_sample}-{task}-{number}",
            "session": session.id,
            "task": task,
            "instruction": asked.instruction,
            "target": asked.target,
            "answer": asked.answer,
        }
    )
