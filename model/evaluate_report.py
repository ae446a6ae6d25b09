"""An evaluation on disk: ``result.json``, ``result.md``, ``index.html`` and the hypotheses.

::

    OUT/result.json           every figure: overall, per session, per stratum, of each system
        result.md             tables for a person
        index.html            timelines of reference against hypothesis, worst sessions first
        errors.html           every word of every session with its errors marked
        model/labels.*        what the model wrote, as RTTM, STM, SegLST (and cascade/labels.*)
        reference/labels.*    what it was scored against, so that `talkover score` can be run again
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from pathlib import Path

from pydantic import JsonValue

from talkover.manifests.exports import write_labels
from talkover.manifests.markers import atomic_path
from talkover.manifests.schema import Session
from talkover.manifests.score import to_html, to_markdown
from talkover.manifests.score import to_json as score_json
from talkover.model.evaluate_page import to_page
from talkover.model.evaluate_table import boundary_error, cells_of, rows_to_json, table_of
from talkover.model.evaluate_types import Evaluation, System

SHOWN = 20
"""Ids that a list names."""
INTERVALS = "In brackets the 95 % interval over resampled sessions."


def write_report(evaluation: Evaluation, references: Sequence[Session], out: Path) -> None:
    """Write all files of an evaluation; the same evaluation is the same bytes."""
    _write(out / "result.json", to_json(evaluation))
    _write(out / "result.md", to_text(evaluation))
    _write(out / "index.html", to_page(evaluation, references))
    _write(out / "errors.html", to_html(evaluation.model.result))
    write_labels(out / "reference", references)
    for system in evaluation.systems:
        write_labels(out / system.name, system.hypothesis)


def to_json(evaluation: Evaluation) -> str:
    """The JSON of `talkover score` for the model, with ``cascade`` the same way beside it.

    ``table`` has the figures by system and number of speakers, each with its interval.
    ``boundary_error`` is the median of the shifts of starts and ends of matched segments, seconds.
    """
    data: dict[str, JsonValue] = _system(evaluation.model)
    data["checkpoint"] = dict(evaluation.settings)
    data["audio_seconds"] = round(evaluation.seconds, 3)
    data["skipped"] = dict(evaluation.skipped)
    data["table"] = rows_to_json(table_of(evaluation))
    if evaluation.cascade is not None:
        data["cascade"] = _system(evaluation.cascade)
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def _system(system: System) -> dict[str, JsonValue]:
    result = system.result
    data: dict[str, JsonValue] = json.loads(score_json(result))
    data["boundary_error"] = {"overall": boundary_error(result.overall)} | {
        field: {value: boundary_error(tallies) for value, tallies in groups.items()}
        for field, groups in result.strata.items()
    }
    data["failed"] = dict(system.failed)
    data["partial"] = dict(system.partial)
    data["truncated"] = list(system.truncated)
    return data


def to_text(evaluation: Evaluation) -> str:
    """Markdown: the systems side by side, what went wrong, then all figures of each."""
    parts = [
        "# Evaluation",
        "",
        *systems_table(evaluation),
        "",
        INTERVALS,
        "",
        *_remarks(evaluation),
        "",
    ]
    for system in evaluation.systems:
        parts.append(to_markdown(system.result).replace("# Score", f"# {system.name}", 1))
    return "\n".join(parts)


def systems_table(evaluation: Evaluation) -> list[str]:
    """A row for all sessions and for each number of speakers, of every system."""
    head, *rows = cells_of(table_of(evaluation))
    lines = [head, ["---"] * len(head), *rows]
    return ["| " + " | ".join(line) + " |" for line in lines]


def _remarks(evaluation: Evaluation) -> list[str]:
    lines = [f"{evaluation.seconds:.0f} s of audio were heard."]
    for system in evaluation.systems:
        for what, found in (
            ("nothing usable, counted as all missed", system.failed),
            ("some stretch not usable, counted as missed there", system.partial),
            ("answer ended with its budget", dict.fromkeys(system.truncated, "")),
        ):
            lines += _named(f"{system.name}: {what}", found)
    return ["* " + line for line in [*lines, *_named("not scored", evaluation.skipped)]]


def _named(what: str, found: Mapping[str, str]) -> list[str]:
    if not found:
        return []
    shown = [f"{id} ({reason})" if reason else id for id, reason in sorted(found.items())]
    rest = f" and {len(shown) - SHOWN} more" if len(shown) > SHOWN else ""
    return [f"{what}: {len(found)}: {', '.join(shown[:SHOWN])}{rest}"]


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf8", newline="\n")
