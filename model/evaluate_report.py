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
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from statistics import median

from pydantic import JsonValue

from talkover.manifests.exports import write_labels
from talkover.manifests.markers import atomic_path
from talkover.manifests.schema import Session
from talkover.manifests.score import Tally, to_html, to_markdown
from talkover.manifests.score import to_json as score_json
from talkover.manifests.score.report import format_rate
from talkover.manifests.score.tally import RATE_DIGITS
from talkover.model.evaluate_page import to_page
from talkover.model.evaluate_types import Evaluation, System

COLUMNS = ("wer", "cpwer", "delta_cp_wer", "tcpwer", "orcwer", "cpcer", "der")
"""Rates of the table of systems, where they were asked for; more stand below it."""
SHOWN = 20
"""Ids that a list names."""


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

    ``boundary_error`` is the median of the shifts of starts and ends of matched segments, seconds.
    """
    data: dict[str, JsonValue] = _system(evaluation.model)
    data["checkpoint"] = dict(evaluation.settings)
    data["audio_seconds"] = round(evaluation.seconds, 3)
    data["skipped"] = dict(evaluation.skipped)
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


def boundary_error(tallies: Mapping[str, Tally]) -> float | None:
    """Median shift of starts and ends together, seconds; None if nothing matched."""
    tally = tallies.get("aas")
    values = [] if tally is None else [v for shifts in tally.samples.values() for v in shifts]
    return round(median(values), RATE_DIGITS) if values else None


def to_text(evaluation: Evaluation) -> str:
    """Markdown: the systems side by side, what went wrong, then all figures of each."""
    parts = ["# Evaluation", "", *systems_table(evaluation), "", *_remarks(evaluation), ""]
    for system in evaluation.systems:
        parts.append(to_markdown(system.result).replace("# Score", f"# {system.name}", 1))
    return "\n".join(parts)


def systems_table(evaluation: Evaluation) -> list[str]:
    """A row for all sessions and for each number of speakers, of every system."""
    known = [name for name in COLUMNS if name in evaluation.model.result.overall]
    head = ["system", "speakers", "sessions", *known, "boundary median", "speaker count", "failed"]
    lines = [head, ["---"] * len(head)]
    for system in evaluation.systems:
        for label, tallies in _groups(system):
            lines.append(
                [
                    system.name,
                    label,
                    _length(tallies),
                    *(format_rate(name, _rate(tallies, name)) for name in known),
                    _seconds(boundary_error(tallies)),
                    _right(tallies),
                    _errors(tallies, "fail_rate"),
                ]
            )
    return ["| " + " | ".join(line) + " |" for line in lines]


def _groups(system: System) -> Iterator[tuple[str, Mapping[str, Tally]]]:
    yield "all", system.result.overall
    yield from system.result.strata.get("speakers", {}).items()


def _rate(tallies: Mapping[str, Tally], name: str) -> float | None:
    return tallies[name].error_rate if name in tallies else None


def _length(tallies: Mapping[str, Tally]) -> str:
    """Sessions of a group: `fail_rate` and `speaker_count` have one each."""
    for name in ("fail_rate", "speaker_count"):
        if name in tallies:
            return f"{tallies[name].length:.0f}"
    return "–"


def _right(tallies: Mapping[str, Tally]) -> str:
    """Share of sessions with the right number of speakers."""
    rate = _rate(tallies, "speaker_count")
    return "–" if rate is None else f"{100 * (1 - rate):.1f} % right"


def _errors(tallies: Mapping[str, Tally], name: str) -> str:
    return f"{tallies[name].errors:.0f}" if name in tallies else "–"


def _seconds(value: float | None) -> str:
    return "–" if value is None else f"{value:.3f} s"


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
