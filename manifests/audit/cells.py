"""Single values of a line, looked at cheaply, and rows of lists."""

from __future__ import annotations

from typing import Any

from talkover.manifests.audit.columns import TABLES, Lists

NAN = float("nan")

Json = dict[str, Any]


def empty_lists() -> Lists:
    """No row of any table."""
    return {name: {column.name: [] for column in columns} for name, columns in TABLES.items()}


def add_row(lists: Lists, table: str, row: Json) -> None:
    """One row; what is not given is not known."""
    columns = lists[table]
    for column in TABLES[table]:
        value = row.get(column.name)
        if value is None and column.dtype == "float64":
            value = NAN
        columns[column.name].append(value)


def number_of(value: object) -> float:
    """A finite number, or TypeError or ValueError."""
    number = float(value)  # type: ignore[arg-type]
    if number - number != 0:
        raise ValueError(f"must be finite, got {value!r}")
    return number


def maybe(value: object) -> float:
    """A finite number, or NaN for None."""
    return NAN if value is None else number_of(value)


def as_text(value: object) -> str | None:
    """Text, or None for None."""
    return None if value is None else str(value)
