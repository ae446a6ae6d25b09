"""All answers to some instruction rows as figures: overall, per task, with intervals."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from pydantic import JsonValue

from talkover.manifests.errors import ManifestError
from talkover.manifests.instructions.rows import TASKS, InstructionRow
from talkover.manifests.score.answers import ANSWER_METRICS, score_answer
from talkover.manifests.score.bootstrap import CONFIDENCE, bootstrap_intervals
from talkover.manifests.score.normalize import Normalizer, get_normalizer
from talkover.manifests.score.tally import RATE_DIGITS, Tally, add_tallies

SHOWN = 3
"""Ids in a message."""


@dataclass(frozen=True, kw_only=True)
class AnswerResult:
    """Figures of the answers to some rows."""

    overall: Mapping[str, Tally]
    tasks: Mapping[str, Mapping[str, Tally]]
    rows: Mapping[str, Mapping[str, Tally]]
    intervals: Mapping[str, tuple[float, float]]
    """95 % bootstrap interval over sessions, per metric."""
    settings: Mapping[str, JsonValue]


def score_answers(
    rows: Sequence[InstructionRow],
    answers: Mapping[str, str],
    *,
    normalizer: str | Normalizer = "default",
    bootstrap: int = 1000,
    seed: int = 0,
) -> AnswerResult:
    """Score answers; a row without one counts as answered wrongly.

    Args:
        rows: What was asked.
        answers: Text by the row's id.
        normalizer: Of the words of stamps.
        bootstrap: Number of resampled corpora for the intervals, 0 for none.
        seed: Root seed of the resampling.

    Raises:
        ManifestError: If there is no row, or an answer is of none.
    """
    if not rows:
        raise ManifestError("there is no instruction row: nothing can be scored")
    if extra := sorted(set(answers) - {row.id for row in rows}):
        shown = ", ".join(extra[:SHOWN])
        raise ManifestError(f"{len(extra)} answer(s) to rows that there are not: {shown}")
    chosen = get_normalizer(normalizer)
    scored = {row.id: score_answer(row, answers.get(row.id), chosen) for row in rows}
    sessions: dict[str, list[Mapping[str, Tally]]] = {}
    for row in rows:
        sessions.setdefault(row.session, []).append(scored[row.id])
    by_session = {name: _added(tallies) for name, tallies in sessions.items()}
    return AnswerResult(
        overall=_added(list(scored.values())),
        tasks={
            task: _added(found)
            for task in TASKS
            if (found := [scored[row.id] for row in rows if row.task == task])
        },
        rows=scored,
        intervals=bootstrap_intervals(by_session, bootstrap, seed),
        settings={
            "normalizer": chosen.id,
            "bootstrap": bootstrap,
            "confidence": CONFIDENCE,
            "seed": seed,
            "rows": len(rows),
            "answered": len(answers),
            "metrics": dict(ANSWER_METRICS),
        },
    )


def _added(scored: Sequence[Mapping[str, Tally]]) -> dict[str, Tally]:
    """Sums by metric, in the order of the table."""
    return {
        name: add_tallies(found)
        for name in ANSWER_METRICS
        if (found := [tallies[name] for tallies in scored if name in tallies])
    }


def answers_json(result: AnswerResult) -> str:
    """The result file; the same result is the same bytes."""
    data: dict[str, JsonValue] = {
        "overall": {
            name: tally.to_json() | _interval(result, name)
            for name, tally in result.overall.items()
        },
        "tasks": {task: _plain(tallies) for task, tallies in result.tasks.items()},
        "rows": {id: _plain(tallies) for id, tallies in result.rows.items()},
        "settings": dict(result.settings),
    }
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def answers_table(result: AnswerResult) -> list[str]:
    """Lines of a Markdown table: a row a metric, a column a task."""
    tasks = list(result.tasks)
    lines = [
        "| metric | all | " + " | ".join(tasks) + " |",
        "|---|" + "---:|" * (len(tasks) + 1),
    ]
    for name in result.overall:
        tallies = [result.overall[name], *(result.tasks[task].get(name) for task in tasks)]
        cells = [
            "-" if t is None or t.error_rate is None else f"{t.error_rate:.3f}" for t in tallies
        ]
        lines.append(f"| {name} | " + " | ".join(cells) + " |")
    return lines


def _plain(tallies: Mapping[str, Tally]) -> dict[str, JsonValue]:
    return {name: tally.to_json() for name, tally in tallies.items()}


def _interval(result: AnswerResult, name: str) -> dict[str, JsonValue]:
    if name not in result.intervals:
        return {}
    low, high = result.intervals[name]
    return {"interval": [round(low, RATE_DIGITS), round(high, RATE_DIGITS)]}
