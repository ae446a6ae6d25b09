"""Who says which unit when: what every turn-taking model gives the planner.

A turn-taking model is a plug-in (`TurnTaking`). It decides how long a session is, how many speak,
and which slice of which utterance is said when; rooms, noise and levels are the planner's. The
built-in ones are the fitted floor (`talkover.simulate.floor_conversation`) and the published recipe
`moss_td` (`talkover.simulate.moss_td`); other packages offer theirs under `ENTRY_POINTS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from importlib.metadata import EntryPoint, entry_points
from typing import Protocol, cast

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.schema import Role
from talkover.manifests.seeds import generator
from talkover.simulate.config import SimulationConfig
from talkover.simulate.slices import Slice
from talkover.simulate.source_cache import SourceCache
from talkover.simulate.turn_sessions import Character
from talkover.simulate.turn_targets import Targets

ENTRY_POINTS = "talkover.turn_taking"
"""Group under which other packages offer turn-taking models."""

SCRIPTED = ("script", "dialogue")
"""Text orders that say given lines."""
ROLES: dict[str, Role] = {
    "hold": "turn",
    "switch": "turn",
    "interruption": "interruption",
    "backchannel": "backchannel",
}
"""Role of a unit by the kind of change of the floor that it makes."""


@dataclass(frozen=True, slots=True)
class SaidUnit:
    """One placed slice: who, which, the sample at which its speech is emitted, and as what."""

    speaker: int
    """Number in the session, 0 to K-1."""
    slice: Slice
    start: int
    role: Role
    turn: int
    """Number of the turn; what one speaker says in a row shares it."""
    saying: int
    """Number of the saying; slices of one utterance with shortened pauses share it."""


@dataclass(frozen=True, slots=True)
class ScriptedLine:
    """A line of a script that an utterance was found for."""

    speaker: int
    utterance: int
    """Number in the source cache."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Cast:
    """Who meets, what each may say, and what the text order wants of it."""

    people: NDArray[np.int64]
    """Numbers of the corpus' speakers, ``[K]``."""
    pools: list[NDArray[np.int64]]
    """For each of them, the numbers of the utterances that they may say."""
    rank: Mapping[int, int] | None = None
    """Place of each utterance in the text; None where any may follow any."""
    lines: tuple[ScriptedLine, ...] | None = None
    """The session word for word; None where the turn-taking model asks for units."""
    unmatched: tuple[str, ...] = ()
    """Lines of the script for which the corpus has no utterance; they are left out."""


@dataclass(frozen=True, kw_only=True, slots=True)
class SessionSize:
    """How large a session is to be."""

    speakers: int
    length: float | None
    """Seconds; None where the length follows from what is said."""
    rank: float | None = None
    """Share of the model's sessions that are shorter, where the length is the model's own."""
    character: Character | None = None
    """What the session has of its own beside its size, where the model draws them together."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Scene:
    """One session to be spoken: all that a turn-taking model may look at."""

    config: SimulationConfig
    cache: SourceCache
    cast: Cast
    size: SessionSize
    targets: Targets
    seed: int
    index: int
    attempt: str
    """Part of the name of each decision: another attempt draws anew."""

    def rng(self, decision: str) -> np.random.Generator:
        """The generator of one named decision of this attempt."""
        return generator(self.seed, self.index, decision + self.attempt)

    def silence(self, end: str) -> float:
        """Seconds of silence before the first (``lead_in``) or after the last word."""
        least, most = getattr(self.config.session, end)
        return float(generator(self.seed, self.index, end).uniform(least, most))


@dataclass(frozen=True, kw_only=True, slots=True)
class Conversation:
    """What is said when, and what it was meant to come to."""

    units: list[SaidUnit]
    overlap: float | None = None
    """Wanted share of speech time, asked or drawn."""
    silence: float | None = None
    """Wanted share of session time."""
    wanted: list[float] = field(default_factory=list)
    """Seconds that the model wanted of each unit…"""
    placed: list[float] = field(default_factory=list)
    """…and seconds of what was said in its place."""


class TurnTaking(Protocol):
    """A turn-taking model."""

    @property
    def identity(self) -> str:
        """Name and, where a file decides, its hash: the same text for the same decisions."""
        ...

    def draw_size(
        self, seed: int, index: int, config: SimulationConfig, most_speakers: int
    ) -> SessionSize:
        """Length and number of speakers of a session; at most `most_speakers`."""
        ...

    def least_speakers(self, config: SimulationConfig) -> int:
        """Fewest speakers that a corpus must have for these sessions."""
        ...

    def expected_length(self, seed: int, index: int, config: SimulationConfig) -> float:
        """Seconds of a session, as far as it is known before a plan."""
        ...

    def longest(self, config: SimulationConfig) -> float | None:
        """Seconds of the longest session; None where the length follows from what is said."""
        ...

    def check(self, config: SimulationConfig, targets: Targets, cache: SourceCache) -> None:
        """Refuse what no session can meet.

        Raises:
            InfeasibleTarget: With the reason, the numbers and what would work.
        """
        ...

    def shortfalls(self, config: SimulationConfig, cache: SourceCache) -> list[str]:
        """What this corpus does not allow and is made less of, one line each."""
        ...

    def converse(self, scene: Scene) -> Conversation:
        """Decide what is said when.

        Raises:
            InfeasibleTarget: If somebody has nothing to say.
        """
        ...


TURN_TAKING: dict[str, EntryPoint] = {
    "moss_td": EntryPoint("moss_td", "talkover.simulate.moss_td:MossTurnTaking", ENTRY_POINTS),
}
"""Models that are code, by name; every other name is a preset or file of the fitted floor."""


def open_turn_taking(name: str) -> TurnTaking:
    """The turn-taking model of a name: a plug-in, a preset, or a file that `turns fit` made.

    Raises:
        ConfigurationError: If there is no such model.
    """
    found = TURN_TAKING.get(name)
    if found is None:
        found = next((e for e in entry_points(group=ENTRY_POINTS) if e.name == name), None)
    if found is not None:
        return cast(TurnTaking, found.load()())
    from talkover.simulate.floor_conversation import FloorTurnTaking

    try:
        return FloorTurnTaking(name)
    except ConfigurationError as error:
        names = ", ".join(plug_in_names())
        raise ConfigurationError(f"{error}; other models are {names}") from error


def plug_in_names() -> list[str]:
    """Names of the models that are code."""
    return sorted({*TURN_TAKING, *(e.name for e in entry_points(group=ENTRY_POINTS))})


def everybody_speaks(units: Sequence[SaidUnit], count: int) -> bool:
    """Whether each of the session's speakers says something."""
    return {unit.speaker for unit in units} == set(range(count))
