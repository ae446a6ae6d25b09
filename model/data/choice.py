"""What a stage of training draws from the data, and what it is handed."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from typing import Protocol

from talkover.manifests.errors import AudioError
from talkover.manifests.instructions import InstructionRow
from talkover.manifests.io import SessionAudio
from talkover.manifests.schema import Session
from talkover.manifests.seeds import generator
from talkover.model.batch import Batch
from talkover.model.codec import UnknownCharacter
from talkover.model.data.collate import Collator
from talkover.model.data.concatenate import Concatenation
from talkover.model.data.examples import Example, Unusable, example_of
from talkover.model.data.given import Vectors
from talkover.model.data.registration import check_choice

TRANSCRIBE = "transcribe"
"""The task of every session; the other tasks are those of instruction rows."""


@dataclass(frozen=True, kw_only=True)
class Share:
    """Which batches are this process's."""

    rank: int = 0
    world_size: int = 1


@dataclass(frozen=True, kw_only=True)
class Choice:
    """What a stage of training draws from the data."""

    talkers: Mapping[str, float] | None = None
    """Weight of sessions by number of speakers, such as ``{"1": 1, "2": 0.5}``; numbers that are
    not named are left out. None takes all."""
    weights: tuple[float, ...] = ()
    """Weight of each manifest, in the order in which they were given; none is 1 each."""
    tasks: Mapping[str, float] | None = None
    """Weight of each task, such as ``{"transcribe": 1, "caption": 0.5}``; those that are not named
    are left out. None transcribes, and leaves out instruction rows."""
    untranscribed: bool = False
    """Also draw sessions with speech whose words are not known. They count for losses that look at
    who speaks when, and for no others."""
    speeds: tuple[float, ...] = (1.0,)
    """Factors of speed, one drawn for each presentation."""
    seconds: float = 60.0
    """Most audio in a batch."""
    tokens: int | None = None
    """Most positions of the language model in a batch, padding and all; without the names of
    registered speakers. None sets no bound."""
    windows: tuple[float, float] | None = None
    """Seconds of the shortest and longest window of a long session; the last of a session may be
    shorter. None cuts as the whole training does."""
    concatenate: Concatenation | None = None
    """Join sessions to longer ones with more speakers."""
    registration: Mapping[str, float] = field(default_factory=dict)
    """Weight of each mode of registration; see `talkover.model.data.registration`. None named
    registers nobody."""
    distractors: tuple[int, int] = (1, 50)
    """Fewest and most people who are registered and not there."""
    salt: int = 0
    """Added to the seed, so that stages draw differently."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not self.seconds > 0 or not self.speeds or min(self.speeds) <= 0:
            raise ValueError("seconds and speeds must be above 0")
        if self.tokens is not None and self.tokens < 1:
            raise ValueError(f"tokens must be 1 or more, got {self.tokens}")
        if self.windows is not None and not 0 < self.windows[0] <= self.windows[1]:
            raise ValueError(f"windows must be 0 < shortest <= longest s, got {self.windows}")
        check_choice(self)


@dataclass(kw_only=True)
class Handed:
    """A batch, or None where nothing in it could be used, and what was left out of it."""

    batch: Batch | None
    skipped: list[tuple[str, str]] = field(default_factory=list)
    """(id, reason)."""


class Feed(Protocol):
    """Endless batches of one process, for one stage."""

    def batches(
        self, choice: Choice, start: int, mark: Mapping[str, int] | None = None
    ) -> Iterator[Handed]:
        """Batches from number ``start`` of this process on.

        Args:
            choice: Of the stage.
            start: Batches that were handed out before.
            mark: What `mark` said some batches ago, to find the place sooner.
        """
        ...

    def mark(self) -> dict[str, int] | None:
        """How to find the place of the last batch again; None if its number is enough."""
        ...


def attempt(
    id: str,
    load: Callable[[], SessionAudio],
    collator: Collator,
    factor: float,
    handed: Handed,
    *,
    whole: Session | None = None,
    row: InstructionRow | None = None,
    untranscribed: bool = False,
    vectors: Callable[[int], Vectors] | None = None,
) -> list[Example]:
    """The example, or none and a note of why.

    Args:
        id: Of the session.
        load: Reads it.
        collator: Says whether it fits the model.
        factor: Speed at which it is played.
        handed: Where the note goes.
        whole: The session that a window is of.
        row: What is asked of it instead of a transcript.
        untranscribed: Whether speech without text is taken.
        vectors: From a number of samples to given vectors, for a model that takes them.
    """
    rate = collator.model.parts.features.sampling_rate
    try:
        example = example_of(
            load(),
            collator.codec,
            rate,
            factor=factor,
            whole=whole,
            untranscribed=untranscribed,
        )
        if row is not None:
            example = replace(example, id=row.id, instruction=row.instruction, target=row.target)
        if vectors is not None:
            example = replace(example, vectors=vectors(len(example.samples)))
        collator.plan(example)
    except (Unusable, UnknownCharacter) as error:
        handed.skipped.append((id, str(error)))
    except AudioError as error:
        handed.skipped.append((id, error.reason))
    else:
        return [example]
    return []


def drawn_speed(choice: Choice, seed: int, index: int, name: str) -> float:
    """One of the speeds, by chance."""
    if len(choice.speeds) == 1:
        return choice.speeds[0]
    rng = generator(seed, index, f"model/speed/{name}")
    return float(choice.speeds[int(rng.integers(len(choice.speeds)))])
