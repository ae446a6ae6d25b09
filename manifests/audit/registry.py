"""The table of checks, and how to add one.

A check is a function of the tables and the limits that gives a `Result`. Its scope says what it is
given: ``part`` (each part by itself, in parallel: what concerns one session) or ``corpus`` (all
parts merged: what sessions must not share). Other packages offer checks in the entry-point group
`ENTRY_POINTS`; an entry point is a `Check`.
"""

from __future__ import annotations

import importlib.metadata
from collections.abc import Callable, Mapping
from dataclasses import dataclass, field
from typing import Literal

import pandas as pd

from talkover.manifests.audit.columns import Frames
from talkover.manifests.audit.findings import Limits, Result, Severity
from talkover.manifests.audit.references import Reference
from talkover.manifests.errors import ConfigurationError

ENTRY_POINTS = "talkover.audit_checks"
"""Group under which other packages offer checks."""

Scope = Literal["part", "corpus"]
Need = Literal["audio", "voices", "reference", "splits"]
"""What a check cannot do without, and what it is called where it is missing: ``skipped``."""

NEEDS: Mapping[Need, str] = {
    "audio": "audio was not read",
    "voices": "no voice vectors were given",
    "reference": "no reference corpus was given",
    "splits": "no splits were given",
}


@dataclass(frozen=True, kw_only=True)
class Context:
    """What a check is given."""

    tables: Frames
    limits: Limits
    voices: pd.DataFrame | None = None
    """``speaker`` and ``vector``, see `talkover.manifests.audit.voices`."""
    reference: Reference | None = None


@dataclass(frozen=True, kw_only=True)
class Check:
    """One check."""

    number: int
    """Its number in the research table that the audit follows; others start at 100."""
    name: str
    severity: Severity
    scope: Scope
    owns: str
    """What it alone reports, in a few words."""
    run: Callable[[Context], Result]
    needs: tuple[Need, ...] = field(default=())


CHECKS: dict[str, Check] = {}
"""The built-in checks by name."""


def check(
    number: int,
    severity: Severity,
    owns: str,
    *,
    scope: Scope = "part",
    needs: tuple[Need, ...] = (),
) -> Callable[[Callable[[Context], Result]], Callable[[Context], Result]]:
    """Enter a function into `CHECKS` under its own name.

    Args:
        number: See `Check`.
        severity: Of its findings.
        owns: What it alone reports.
        scope: Part or corpus.
        needs: What it cannot do without.
    """

    def enter(function: Callable[[Context], Result]) -> Callable[[Context], Result]:
        name = function.__name__
        assert name not in CHECKS
        CHECKS[name] = Check(
            number=number,
            name=name,
            severity=severity,
            scope=scope,
            owns=owns,
            run=function,
            needs=needs,
        )
        return function

    return enter


def all_checks() -> dict[str, Check]:
    """The built-in checks by number, then those of other packages by name.

    Raises:
        ConfigurationError: If an entry point is no check, or takes a name that is taken.
    """
    from talkover.manifests.audit import (
        checks_audio,
        checks_corpus,
        checks_floor,
        checks_form,
        checks_scene,
        checks_text,
        checks_time,
    )

    assert checks_audio and checks_corpus and checks_floor and checks_form
    assert checks_scene and checks_text and checks_time
    found = {c.name: c for c in sorted(CHECKS.values(), key=lambda c: c.number)}
    for other in sorted(importlib.metadata.entry_points(group=ENTRY_POINTS), key=lambda e: e.name):
        loaded = other.load()
        if not isinstance(loaded, Check) or loaded.name in found:
            raise ConfigurationError(
                f"entry point {other.name!r} of {ENTRY_POINTS} must be a Check with a name of its "
                f"own, got {loaded!r}"
            )
        found[loaded.name] = loaded
    return found


def checks_markdown() -> str:
    """The built-in checks as Markdown, for the documents."""
    head = "| # | check | severity | reports alone | needs |\n| --- | --- | --- | --- | --- |"
    rows = [
        f"| {c.number} | `{c.name}` | {c.severity} | {c.owns} | {', '.join(c.needs)} |"
        for c in sorted(CHECKS.values(), key=lambda c: c.number)
    ]
    return "\n".join([head, *rows]).replace("|  |", "| |")
