"""The turn-taking model: a small readable file that says when people speak.

A conversation is a walk of the *floor*. Whoever holds it speaks one inter-pausal unit; then the
same speaker goes on after a pause (hold), another starts after a gap (switch) or before the end
(interruption). Short units of others lie inside (backchannels). Kinds are those of Yamashita et al.
(2022); the offset of a change of speaker is one signed quantity, negative in overlap, as in Heldner
and Edlund (2010). A model holds smoothed quantile functions and rates, and no session.
"""

from __future__ import annotations

import json
from functools import cached_property
from itertools import pairwise
from pathlib import Path
from typing import Annotated, Literal, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, ValidationError, model_validator
from scipy.interpolate import PchipInterpolator
from scipy.special import betaincinv, ndtr, ndtri

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.markers import atomic_path

TURN_MODEL_VERSION = "1.0"
MAX_MODEL_BYTES = 100_000
TABLE_SIZE = 2000
"""Points of an expanded quantile function; a draw is one look-up between two of them."""
PIVOT = 0.05
"""Share of pauses that no silence effect changes: what a breath takes, or what labels can show."""

_FOLDER = Path(__file__).parent / "data" / "turns"
PRESETS: dict[str, Path] = {
    name: _FOLDER / f"{name}.json"
    for name in ("ami", "ami_natural_pauses", "alimeeting", "aishell4", "voxconverse")
}
"""Models that come with talkover, by name; their source and licence are inside."""

Kind = Literal["hold", "switch", "interruption", "backchannel"]
Share = Annotated[float, Field(ge=0, le=1)]
Correlation = Annotated[float, Field(ge=-1, le=1)]
Positive = Annotated[float, Field(gt=0)]


class Frozen(BaseModel):
    """Base of the model's parts: immutable, no unknown key, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)


class Quantiles(Frozen):
    """A distribution as its quantile function: values at rising probabilities from 0 to 1.

    Between the points it is a monotone cubic (PCHIP; Fritsch and Carlson 1980), so the density is
    continuous, also through an offset of zero.
    """

    probabilities: Annotated[tuple[Share, ...], Field(min_length=2)]
    values: tuple[float, ...]

    @model_validator(mode="after")
    def _is_a_quantile_function(self) -> Self:
        p, v = self.probabilities, self.values
        if len(p) != len(v):
            raise ValueError(f"{len(p)} probabilities but {len(v)} values")
        if p[0] != 0 or p[-1] != 1 or any(b <= a for a, b in pairwise(p)):
            raise ValueError("probabilities must rise from 0 to 1")
        if any(b < a for a, b in pairwise(v)):
            raise ValueError("values must not fall")
        return self

    @cached_property
    def table(self) -> NDArray[np.float64]:
        """Values at `TABLE_SIZE` + 1 evenly spaced probabilities."""
        curve = PchipInterpolator(self.probabilities, self.values)
        grid = np.asarray(curve(np.linspace(0, 1, TABLE_SIZE + 1)), dtype=np.float64)
        return np.maximum.accumulate(grid)

    @cached_property
    def points(self) -> list[float]:
        """`table` as Python floats: the inner loop of the walk reads single values."""
        points: list[float] = self.table.tolist()
        return points

    @cached_property
    def mean(self) -> float:
        """Expected value."""
        return float((self.table[1:] + self.table[:-1]).mean() / 2)

    def at(self, probability: float) -> float:
        """The quantile at a probability."""
        return float(np.interp(probability, np.linspace(0, 1, TABLE_SIZE + 1), self.table))

    def probability_below(self, value: float) -> float:
        """Share of the distribution below a value."""
        grid = np.linspace(0, 1, TABLE_SIZE + 1)
        return float(grid[np.searchsorted(self.table, value)]) if value <= self.table[-1] else 1.0


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
        matrix = np.array([self.hold, self.switch, self.interruption])
        shares = np.full(3, 1 / 3)
        for _ in range(200):
            shares = shares @ matrix
        hold, switch, interruption = (float(v) for v in shares / shares.sum())
        return hold, switch, interruption


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

    @model_validator(mode="after")
    def _one_more_edge(self) -> Self:
        if len(self.edges) != len(self.per_second) + 1:
            raise ValueError("edges must have one value more than per_second")
        return self


class Speakers(Frozen):
    """How many speak, how much, and who is next."""

    counts: dict[int, Share]
    """Share of sessions by number of speakers, 2 to 8."""
    evenness: Positive
    """Concentration of the Dirichlet distribution of talk shares; large is even."""
    returns: Share
    """Chance beyond their share that the floor goes back to the holder before."""


class Spread(Frozen):
    """A ratio that differs between sessions: a Beta distribution by its first two moments."""

    mean: Annotated[float, Field(gt=0, lt=1)]
    deviation: Annotated[float, Field(ge=0)]

    def quantile(self, probability: float) -> float:
        """The ratio at a probability; the mean if there is no spread."""
        m = self.mean
        variance = min(self.deviation**2, 0.95 * m * (1 - m))
        if variance <= 1e-12:
            return m
        total = m * (1 - m) / variance - 1
        return float(betaincinv(m * total, (1 - m) * total, probability))


class Response(Frozen):
    """How strongly each part follows a session's overlap or silence: exponents of one effect."""

    backchannels: Positive
    """Their rate, with the overlap effect."""
    interruptions: Positive
    """Their odds against switches, with the overlap effect."""
    overlaps: Positive
    """Their length, with the overlap effect."""
    gaps: Positive
    """Their length, with the silence effect."""
    pauses: Positive
    """Their length, with the silence effect."""


class Sessions(Frozen):
    """What differs between sessions."""

    length: Quantiles
    overlap: Spread
    silence: Spread
    correlation: Correlation
    """Of overlap and silence (Gaussian copula)."""
    with_length: tuple[Correlation, Correlation] = (0.0, 0.0)
    """Of overlap and of silence with the length of the session."""
    tempo_deviation: Annotated[float, Field(ge=0)]
    """Of the logarithm of a session's unit durations."""
    response: Response


class TurnModel(Frozen):
    """Everything that the walk of the floor draws from.

    >>> TurnModel.load("ami").origin.licence
    'CC-BY-4.0'
    """

    format: Literal["talkover-turns"] = "talkover-turns"
    version: Literal["1.0"] = "1.0"
    name: str
    origin: Origin
    transitions: Transitions
    offsets: Quantiles
    """Floor-transfer offsets in seconds at no session effect: negative is overlap."""
    memory: Annotated[float, Field(gt=-1, lt=1)]
    """Correlation of consecutive offsets (normal scores)."""
    pauses: Quantiles
    """Seconds at no session effect."""
    units: Units
    backchannels: Backchannels
    speakers: Speakers
    sessions: Sessions
    observed: dict[str, float | tuple[float, ...]] = {}
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

    def draw_speakers(self, rng: np.random.Generator, limits: tuple[int, int] | None = None) -> int:
        """The number of speakers of a session.

        Args:
            rng: Decides.
            limits: Least and most. Counts that the model has not seen within them get no share,
                unless it has seen none: then all are equal.
        """
        least, most = limits or (1, max(self.speakers.counts))
        counts = [n for n in range(least, most + 1) if self.speakers.counts.get(n, 0) > 0]
        if not counts:
            return int(rng.integers(least, most + 1))
        shares = np.array([self.speakers.counts[n] for n in counts])
        return int(rng.choice(counts, p=shares / shares.sum()))

    def draw_ratios(
        self, rng: np.random.Generator, length_rank: float | None = None
    ) -> tuple[float, float]:
        """Overlap (share of speech time) and silence (share of time) of a session.

        Args:
            rng: Decides.
            length_rank: Share of the model's sessions that are shorter, for a session whose length
                comes from the model; None for a length that was asked.
        """
        first, second = rng.standard_normal(2)
        rho = self.sessions.correlation
        scores = np.array([first, rho * first + np.sqrt(1 - rho**2) * second])
        if length_rank is not None:
            scores = self._given_length(scores, length_rank)
        overlap, silence = (float(v) for v in ndtr(scores))
        return self.sessions.overlap.quantile(overlap), self.sessions.silence.quantile(silence)

    def _given_length(self, scores: NDArray[np.float64], rank: float) -> NDArray[np.float64]:
        """Scores of ratios moved towards what goes with a length; their spread stays 1."""
        with_length = np.array(self.sessions.with_length)
        length = ndtri(np.clip(rank, 0.005, 0.995))
        moved = with_length * length + np.sqrt(1 - with_length**2) * scores
        return np.asarray(moved, dtype=np.float64)

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


def gap_mean(offsets: Quantiles) -> float:
    """Mean of the offsets above 0, seconds."""
    gaps = offsets.table[offsets.table > 0]
    return float(gaps.mean()) if len(gaps) else 1e-3


def sparkline(distribution: Quantiles, width: int = 40) -> str:
    """The density of a distribution between its 1 % and 99 % quantiles, as one line of blocks."""
    low, high = distribution.at(0.01), distribution.at(0.99)
    if high - low < 1e-9:
        return f"{low:.2f}"
    counts, _ = np.histogram(distribution.table, bins=width, range=(low, high))
    blocks = " ▁▂▃▄▅▆▇█"
    bars = "".join(blocks[int(np.ceil(8 * c / counts.max()))] for c in counts)
    return f"{low:.2f} {bars} {high:.2f}"


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
