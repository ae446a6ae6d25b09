"""The turn-taking model: a small readable file that says when people speak.

A conversation is a walk of the *floor*. Whoever holds it speaks one inter-pausal unit; then the
same speaker goes on after a pause (hold), another starts after a gap (switch) or before the end
(interruption). Short units of others lie inside (backchannels). Kinds are those of Yamashita et al.
(2022); the offset of a change of speaker is one signed quantity, negative in overlap, as in Heldner
and Edlund (2010). A model holds smoothed quantile functions and rates, and no session.
"""

from __future__ import annotations

import json
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import Field, ValidationError, model_validator
from scipy.special import ndtr

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.markers import atomic_path
from talkover.simulate.turn_quantiles import (
    TABLE_SIZE,
    Correlation,
    Frozen,
    Positive,
    Quantiles,
    Share,
    sparkline,
)
from talkover.simulate.turn_sessions import (
    AXES,
    Character,
    Response,
    Sessions,
    Traits,
    score,
)
from talkover.simulate.turn_spread import Spread

__all__ = [
    "Backchannels",
    "Kind",
    "Origin",
    "Quantiles",
    "Response",
    "Sessions",
    "Speakers",
    "Spread",
    "Traits",
    "Transitions",
    "TurnModel",
    "Units",
]

TURN_MODEL_VERSION = "2.0"
MAX_MODEL_BYTES = 100_000
PIVOT = 0.05
"""Share of pauses that no silence effect changes: what a breath takes, or what labels can show."""

COARSE = 20
"""Every so many points of a quantile table are enough for a mean."""
MANY_STEPS = 64
"""After which a chain of kinds has forgotten where it began."""

_FOLDER = Path(__file__).parent / "data" / "turns"
PRESETS: dict[str, Path] = {
    name: _FOLDER / f"{name}.json"
    for name in ("ami", "ami_natural_pauses", "alimeeting", "aishell4", "voxconverse", "telephone")
}
"""Models that come with talkover, by name; their source and licence are inside."""

Kind = Literal["hold", "switch", "interruption", "backchannel"]


class Origin(Frozen):
    """Where a model comes from."""

    source: str
    licence: str
    attribution: str
    url: str = ""
    sessions: Annotated[int, Field(ge=0)]
    """Sessions with two or more speakers that were used."""
    hours: Annotated[float, Field(ge=0)]
    join: Positive
    """Silences of one speaker shorter than this (seconds) were joined into one unit."""
    resolution: Annotated[float, Field(ge=0)]
    """Seconds; 2 % of one speaker's silences in the labels are shorter: what they can show."""
    pauses: str
    """Name of the model whose pauses these are."""
    warnings: tuple[str, ...] = ()


class Transitions(Frozen):
    """Chances of the next change of the floor, given the one before; each row sums to 1."""

    hold: tuple[Share, Share, Share]
    """After a hold: of hold, switch, interruption."""
    switch: tuple[Share, Share, Share]
    interruption: tuple[Share, Share, Share]

    @model_validator(mode="after")
    def _rows_sum_to_one(self) -> Self:
        for name in type(self).model_fields:
            total = sum(getattr(self, name))
            if abs(total - 1) > 1e-3:
                raise ValueError(f"{name} must sum to 1, got {total}")
        return self

    @property
    def stationary(self) -> tuple[float, float, float]:
        """Long-run shares of hold, switch and interruption."""
        return long_run(self.rows)

    @property
    def rows(self) -> tuple[tuple[float, float, float], ...]:
        """After a hold, a switch, an interruption."""
        return self.hold, self.switch, self.interruption


class Units(Frozen):
    """Durations of inter-pausal units in seconds, at a session tempo of 1."""

    hold: Quantiles
    switch: Quantiles
    beyond: Quantiles
    """How long an interruption goes on after the interrupted unit has ended."""
    backchannel: Quantiles


class Backchannels(Frozen):
    """Units that begin and end inside somebody else's unit."""

    edges: tuple[float, ...]
    """Seconds; bounds of the classes of window, one more than `per_second` has values."""
    per_second: tuple[Annotated[float, Field(ge=0)], ...]
    """Rate in a window of each class; a window is a unit up to its end or its interruption."""
    per_unit: Annotated[float, Field(ge=0)]
    """Mean number in a unit that holds the floor."""
    onset: Quantiles
    """Where in the window they begin, 0 to 1."""
    joined: Annotated[float, Field(ge=0)] = 1.0
    """Factor on their rate while two speak already: how readily a third one joins in."""

    def rate(self, window: float) -> float:
        """Backchannels a second in a window of some seconds."""
        place = bisect_right(self.edges, window) - 1
        return self.per_second[min(max(place, 0), len(self.per_second) - 1)]

    @model_validator(mode="after")
    def _one_more_edge(self) -> Self:
        if len(self.edges) != len(self.per_second) + 1:
            raise ValueError("edges must have one value more than per_second")
        return self


class Speakers(Frozen):
    """How many speak, how much, and who is next."""

    counts: dict[int, Share]
    """Share of sessions by number of speakers, from 2 on."""
    evenness: Positive
    """Concentration of the Dirichlet distribution of talk shares; large is even."""
    returns: Share
    """Chance beyond their share that the floor goes back to the holder before."""


class TurnModel(Frozen):
    """Everything that the walk of the floor draws from.

    >>> TurnModel.load("ami").origin.licence
    'CC-BY-4.0'
    """

    format: Literal["talkover-turns"] = "talkover-turns"
    version: Literal["2.0"] = "2.0"
    name: str
    origin: Origin
    transitions: Transitions
    offsets: Quantiles
    """Floor-transfer offsets in seconds at no session effect: negative is overlap."""
    memory: Annotated[float, Field(gt=-1, lt=1)]
    """Correlation of consecutive offsets (normal scores)."""
    pauses: Quantiles
    """Seconds at no session effect."""
    pauses_with_unit: Correlation = 0.0
    """Of a pause with the duration of the unit before it (normal scores)."""
    units: Units
    backchannels: Backchannels
    speakers: Speakers
    sessions: Sessions
    observed: dict[str, float | tuple[float, ...]] = Field(default_factory=dict)
    """Figures of the labels that the model was fitted on, for comparison; not used in drawing."""

    @property
    def warnings(self) -> tuple[str, ...]:
        """What to know before use."""
        return self.origin.warnings

    @cached_property
    def pause_pivot(self) -> float:
        """Seconds; pauses are stretched from here, the shortest ones stay as they are."""
        return self.pauses.at(PIVOT)

    @cached_property
    def offset_gap_mean(self) -> float:
        """Mean of the offsets that are gaps, seconds."""
        return gap_mean(self.offsets)

    @classmethod
    def load(cls, source: Path | str) -> Self:
        """Read a preset by name, or a file.

        Raises:
            ConfigurationError: If there is no such preset or file, or its content is wrong.
        """
        path = PRESETS.get(str(source), Path(source))
        try:
            if path.stat().st_size > MAX_MODEL_BYTES:
                raise ConfigurationError(
                    f"{path}: larger than {MAX_MODEL_BYTES} bytes: not a turn-taking model"
                )
            text = path.read_text(encoding="utf8")
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(
                f"{source}: neither a turn-taking preset ({', '.join(PRESETS)}) nor a readable file"
            ) from error
        try:
            return cls.model_validate_json(text)
        except ValidationError as error:
            first = error.errors()[0]
            where = ".".join(str(part) for part in first["loc"]) or "the file"
            raise ConfigurationError(f"{path}: {where}: {first['msg']}") from error

    def save(self, path: Path | str) -> None:
        """Write the model as readable JSON, atomically; the same model gives the same bytes."""
        text = self.text()
        with atomic_path(Path(path)) as temporary:
            temporary.write_text(text, encoding="utf8")

    def text(self) -> str:
        """The JSON of the model: one line for each list of numbers.

        Raises:
            ConfigurationError: If it is larger than `MAX_MODEL_BYTES`.
        """
        text = _readable(self.model_dump(mode="json")) + "\n"
        if len(text.encode()) > MAX_MODEL_BYTES:
            raise ConfigurationError(f"{self.name}: the model exceeds {MAX_MODEL_BYTES} bytes")
        return text

    def draw_length(self, rng: np.random.Generator) -> float:
        """The length of a session in seconds."""
        return self.sessions.length.at(float(rng.random()))

    def draw_speakers(
        self,
        rng: np.random.Generator,
        limits: tuple[int, int] | None = None,
        *,
        length_rank: float | None = None,
    ) -> int:
        """The number of speakers of a session.

        Args:
            rng: Decides.
            limits: Least and most. Counts that the model has not seen within them get no share,
                unless it has seen none: then all are equal.
            length_rank: Share of the model's sessions that are shorter, where the length comes
                from the model; None for a length that was asked.
        """
        known = {} if length_rank is None else {"length": score(length_rank)}
        noise = rng.standard_normal(len(AXES))
        place = float(ndtr(self.sessions.scores(noise, known)["speakers"]))
        return self.number_of_speakers(place, limits)

    def draw_character(
        self,
        noise: NDArray[np.float64],
        *,
        speakers: int | None = None,
        length_rank: float | None = None,
        overlap: float | None = None,
        silence: float | None = None,
    ) -> Character:
        """What a session has of its own, next to what is given.

        Args:
            noise: A standard normal number for each of `AXES`; decides.
            speakers: Their number.
            length_rank: Share of the model's sessions that are shorter, for a session whose length
                comes from the model; None for a length that was asked.
            overlap: Share of speech time, if asked.
            silence: Share of time, if asked.
        """
        sessions = self.sessions
        known = {}
        if speakers is not None:
            known["speakers"] = self._speakers_score(speakers)
        if length_rank is not None:
            known["length"] = score(length_rank)
        if overlap is not None:
            known["overlap"] = score(sessions.overlap.probability_below(overlap))
        if silence is not None:
            known["silence"] = score(sessions.silence.probability_below(silence))
        drawn = self.character(sessions.scores(noise, known))
        return replace(
            drawn,
            overlap=drawn.overlap if overlap is None else overlap,
            silence=drawn.silence if silence is None else silence,
        )

    def character(self, scores: Mapping[str, float]) -> Character:
        """What a session of some normal scores has of its own."""
        sessions, traits = self.sessions, self.sessions.traits
        return Character(
            overlap=sessions.overlap.quantile(float(ndtr(scores["overlap"]))),
            silence=sessions.silence.quantile(float(ndtr(scores["silence"]))),
            tempo=traits.tempo * scores["tempo"],
            holds=traits.holds * scores["holds"],
            cuts=traits.cuts * scores["cuts"],
            pauses=traits.pauses * scores["pauses"],
        )

    def number_of_speakers(self, place: float, limits: tuple[int, int] | None = None) -> int:
        """The number of speakers at a probability.

        Args:
            place: From 0 to 1.
            limits: Least and most. Counts that the model has not seen within them get no share,
                unless it has seen none: then all are equal.
        """
        least, most = limits or (1, max(self.speakers.counts))
        counts = [n for n in range(least, most + 1) if self.speakers.counts.get(n, 0) > 0]
        shares = np.array([self.speakers.counts[n] for n in counts])
        if not counts:
            counts, shares = [*range(least, most + 1)], np.ones(most + 1 - least)
        return counts[int(np.searchsorted(np.cumsum(shares / shares.sum())[:-1], place))]

    def _speakers_score(self, number: int) -> float:
        """Normal score of a number of speakers: of the middle of its share of the sessions."""
        fewer = sum(share for n, share in self.speakers.counts.items() if n < number)
        return score(fewer + self.speakers.counts.get(number, 0.0) / 2)

    @cached_property
    def coarse_units(self) -> NDArray[np.float64]:
        """Some durations of units after a hold or a switch, in order."""
        units = [self.units.hold.table[::COARSE], self.units.switch.table[::COARSE]]
        return np.sort(np.concatenate(units))

    @cached_property
    def coarse_overlaps(self) -> NDArray[np.float64]:
        """Some lengths of overlaps, longest first."""
        table = self.offsets.table
        return np.asarray(-table[table < 0][::COARSE])

    @cached_property
    def unit_points(self) -> list[float]:
        """Quantile table of the units that hold the floor, seconds."""
        kinds = (self.units.hold, self.units.switch, self.units.beyond)
        values = np.concatenate([kind.table for kind in kinds])
        weights = np.repeat(self.transitions.stationary, TABLE_SIZE + 1)
        order = np.argsort(values, kind="stable")
        places = np.cumsum(weights[order]) / weights.sum()
        points: list[float] = np.interp(
            np.linspace(0, 1, TABLE_SIZE + 1), places, values[order]
        ).tolist()
        return points

    def summary(self) -> dict[str, object]:
        """What a person wants to see: origin, means, shares, and a drawing of each distribution."""
        hold, switch, interruption = self.transitions.stationary
        drawn = {
            "offset": self.offsets,
            "pause": self.pauses,
            "unit after a hold": self.units.hold,
            "unit after a switch": self.units.switch,
            "interruption beyond the end": self.units.beyond,
            "backchannel": self.units.backchannel,
        }
        return {
            "name": self.name,
            "origin": self.origin.model_dump(mode="json"),
            "changes": {
                "hold": round(hold, 3),
                "switch": round(switch, 3),
                "interruption": round(interruption, 3),
            },
            "backchannels a unit": round(self.backchannels.per_unit, 3),
            "overlap": self.sessions.overlap.model_dump(),
            "silence": self.sessions.silence.model_dump(),
            "speakers": self.speakers.model_dump(),
            "session length": [round(self.sessions.length.at(p), 1) for p in (0.1, 0.5, 0.9)],
            "seconds (10, 50, 90 %)": {
                name: [round(q.at(p), 2) for p in (0.1, 0.5, 0.9)] for name, q in drawn.items()
            },
            "drawings": {name: sparkline(q) for name, q in drawn.items()},
            "observed": self.observed,
        }


def long_run(rows: Sequence[Sequence[float]]) -> tuple[float, float, float]:
    """Stationary shares of a chain of three kinds, given its rows."""
    matrix = np.linalg.matrix_power(np.array(rows), MANY_STEPS)
    hold, switch, interruption = (float(v) for v in matrix[0] / matrix[0].sum())
    return hold, switch, interruption


def gap_mean(offsets: Quantiles) -> float:
    """Mean of the offsets above 0, seconds."""
    gaps = offsets.table[offsets.table > 0]
    return float(gaps.mean()) if len(gaps) else 1e-3


def _readable(value: object, indent: int = 0) -> str:
    """JSON with an indented line for each key, and lists of numbers on one line."""
    if not isinstance(value, dict):
        return json.dumps(value, ensure_ascii=False)
    pad = " " * (indent + 1)
    rows = [
        f"{pad}{json.dumps(str(key), ensure_ascii=False)}: {_readable(inner, indent + 1)}"
        for key, inner in value.items()
    ]
    return "{\n" + ",\n".join(rows) + "\n" + " " * indent + "}"
