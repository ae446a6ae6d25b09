"""A distribution in a small file: its smoothed quantile function."""

from __future__ import annotations

from collections.abc import Mapping
from functools import cached_property
from itertools import pairwise
from typing import Annotated, Any, Self

import numpy as np
from numpy.typing import NDArray
from pydantic import BaseModel, ConfigDict, Field, model_validator
from scipy.interpolate import PchipInterpolator

TABLE_SIZE = 2000
"""Points of an expanded quantile function; a draw is one look-up between two of them."""

Share = Annotated[float, Field(ge=0, le=1)]
Correlation = Annotated[float, Field(ge=-1, le=1)]
Positive = Annotated[float, Field(gt=0)]


class Frozen(BaseModel):
    """Base of the model's parts: immutable, no unknown key, no NaN."""

    model_config = ConfigDict(extra="forbid", frozen=True, allow_inf_nan=False)

    def __eq__(self, other: object) -> bool:
        """Whether all fields are equal; cached arrays are not compared."""
        return type(self) is type(other) and all(
            getattr(self, name) == getattr(other, name) for name in type(self).model_fields
        )

    __hash__ = None  # type: ignore[assignment]  # parts hold dictionaries

    def model_copy(self, *, update: Mapping[str, Any] | None = None, deep: bool = False) -> Self:
        """A checked copy with some fields replaced; pydantic's own would keep cached properties."""
        whole = super().model_copy(deep=True) if deep else self
        fields = {name: getattr(whole, name) for name in type(self).model_fields}
        return type(self).model_validate(fields | dict(update or {}))


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
        return look_up(self.points, probability)

    def probability_below(self, value: float) -> float:
        """Share of the distribution below a value."""
        grid = np.linspace(0, 1, TABLE_SIZE + 1)
        return float(grid[np.searchsorted(self.table, value)]) if value <= self.table[-1] else 1.0


def look_up(points: list[float], probability: float) -> float:
    """A quantile table at a probability, linear between its points."""
    place = probability * TABLE_SIZE
    index = int(place)
    if index >= TABLE_SIZE:
        return points[TABLE_SIZE]
    low = points[index]
    return low + (points[index + 1] - low) * (place - index)


def sparkline(distribution: Quantiles, width: int = 40) -> str:
    """The density of a distribution between its 1 % and 99 % quantiles, as one line of blocks."""
    low, high = distribution.at(0.01), distribution.at(0.99)
    if high - low < 1e-9:
        return f"{low:.2f}"
    counts, _ = np.histogram(distribution.table, bins=width, range=(low, high))
    blocks = " ▁▂▃▄▅▆▇█"
    bars = "".join(blocks[int(np.ceil(8 * c / counts.max()))] for c in counts)
    return f"{low:.2f} {bars} {high:.2f}"
