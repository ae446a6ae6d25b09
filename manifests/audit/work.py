"""One part of an audit: its tables, made or found in the cache, and the checks of its sessions."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

import pandas as pd

from talkover.manifests.audit.findings import Limits, Result, finished
from talkover.manifests.audit.inputs import Part
from talkover.manifests.audit.registry import Check, Context, all_checks
from talkover.manifests.audit.tables import Tables, extract, part_key, save
from talkover.manifests.markers import atomic_path

_DONE = "part.json"


@dataclass(frozen=True, kw_only=True)
class Ran:
    """What a check came to, on a part or on all."""

    check: str
    examined: int
    findings: pd.DataFrame


@dataclass(frozen=True, kw_only=True)
class PartDone:
    """A part with its tables on the disk."""

    folder: Path
    lines: int
    """Of its manifest."""
    ran: tuple[Ran, ...]


@dataclass(frozen=True, kw_only=True)
class PartWork:
    """What is done with each part. Can be pickled.

    Args:
        cache: Folder of the parts' tables.
        limits: Of the checks.
        checks: Names of the checks to run.
    """

    cache: Path
    limits: Limits
    checks: tuple[str, ...]

    def __call__(self, part: Part) -> PartDone:
        """Make or find the tables, then run the checks that look at one session at a time."""
        folder = self.cache / part_key(part)
        done = folder / _DONE
        if done.is_file():
            lines = int(json.loads(done.read_text(encoding="utf8"))["lines"])
        else:
            tables, lines = extract(part)
            save(tables, folder)
            with atomic_path(done) as temporary:
                temporary.write_text(json.dumps({"lines": lines}), encoding="utf8")
        return PartDone(folder=folder, lines=lines, ran=self._run(folder))

    def _run(self, folder: Path) -> tuple[Ran, ...]:
        known = all_checks()
        context = Context(tables=Tables([folder]), limits=self.limits)
        chosen = [known[name] for name in self.checks if known[name].scope == "part"]
        return tuple(run_check(one, context) for one in chosen)


def run_check(check: Check, context: Context) -> Ran:
    """Run a check and name its findings."""
    result: Result = check.run(context)
    findings = finished(result.findings, check.name, check.severity)
    return Ran(check=check.name, examined=result.examined, findings=findings)


def table_of_checks(
    checks: Sequence[Check], ran: Mapping[str, Sequence[Ran]], missing: Mapping[str, str]
) -> pd.DataFrame:
    """How each check came out.

    A check that lacks what it needs is ``skipped``, one that found nothing to look at is ``not
    applicable``; only one that looked is ``passed`` or ``failed``.

    Args:
        checks: All that were chosen.
        ran: Results by name.
        missing: Why a check was not run, by name.
    """
    rows = []
    for check in checks:
        examined = sum(one.examined for one in ran.get(check.name, ()))
        count = sum(len(one.findings) for one in ran.get(check.name, ()))
        if check.name in missing:
            status = "skipped"
        elif examined == 0 and count == 0:
            status = "not applicable"
        else:
            status = "failed" if count else "passed"
        rows.append(
            {
                "number": check.number,
                "check": check.name,
                "severity": check.severity,
                "status": status,
                "examined": examined,
                "findings": count,
                "owns": check.owns,
                "reason": missing.get(check.name, ""),
            }
        )
    return pd.DataFrame(rows)
