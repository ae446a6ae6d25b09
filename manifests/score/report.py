"""A result as JSON and as Markdown: the same result is the same bytes."""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence
from statistics import median

from pydantic import JsonValue

from talkover.manifests.score.registry import METRICS
from talkover.manifests.score.result import ScoreResult
from talkover.manifests.score.tally import RATE_DIGITS, Tally


def to_json(result: ScoreResult) -> str:
    """The result file: ``overall``, ``sessions``, ``settings``, and what else was asked for."""
    data: dict[str, JsonValue] = {
        "overall": {
            name: tally.to_json() | _interval(result, name)
            for name, tally in result.overall.items()
        },
        "sessions": {name: _tallies(tallies) for name, tallies in result.sessions.items()},
        "settings": dict(result.settings),
    }
    if result.strata:
        data["strata"] = {
            field: {value: _tallies(tallies) for value, tallies in groups.items()}
            for field, groups in result.strata.items()
        }
    if result.comparison is not None:
        data["comparison"] = {
            "overall": _tallies(result.comparison.overall),
            "differences": {
                name: {
                    "difference": round(d.difference, RATE_DIGITS),
                    "interval": [round(d.low, RATE_DIGITS), round(d.high, RATE_DIGITS)],
                    "p_value": round(d.p_value, RATE_DIGITS),
                }
                for name, d in result.comparison.differences.items()
            },
        }
    return json.dumps(data, indent=2, sort_keys=True, ensure_ascii=False) + "\n"


def to_markdown(result: ScoreResult) -> str:
    """Tables for a person: overall, comparison, strata, and how it was scored."""
    parts = ["# Score", "", *_overall_table(result)]
    if result.comparison is not None:
        parts += ["", "## Comparison", "", *_comparison_table(result)]
    for field, groups in result.strata.items():
        parts += ["", f"## By {_cell(field)}", "", *_strata_table(result, groups)]
    parts += ["", "## Settings", ""]
    parts += [
        f"* {name}: {_cell(str(value))}"
        for name, value in result.settings.items()
        if name != "metrics"
    ]
    return "\n".join(parts) + "\n"


def format_rate(metric: str, rate: float | None) -> str:
    """A rate as people read it: percent, or seconds where the metric is in seconds.

    >>> format_rate("cpwer", 0.12345)
    '12.35 %'
    """
    if rate is None:
        return "–"
    unit = METRICS[metric].unit if metric in METRICS else ""
    return f"{rate:.3f} {unit}" if unit else f"{100 * rate:.2f} %"


def _overall_table(result: ScoreResult) -> list[str]:
    meanings = result.settings.get("metrics")
    rows = []
    for name, tally in result.overall.items():
        low_high = result.intervals.get(name)
        interval = (
            f"{format_rate(name, low_high[0])} to {format_rate(name, low_high[1])}"
            if low_high
            else "–"
        )
        meaning = meanings.get(name, "") if isinstance(meanings, Mapping) else ""
        medians = [f"{k} median {median(v):.3f} s" for k, v in tally.samples.items() if v]
        rows.append(
            [
                name,
                format_rate(name, tally.error_rate),
                interval,
                _number(tally.errors),
                _number(tally.length),
                "; ".join([str(meaning), *medians]),
            ]
        )
    return _table(["metric", "rate", "95 % interval", "errors", "length", "counts"], rows)


def _comparison_table(result: ScoreResult) -> list[str]:
    comparison = result.comparison
    if comparison is None:
        return []
    rows = [
        [
            name,
            format_rate(name, result.overall[name].error_rate),
            format_rate(name, comparison.overall[name].error_rate),
            format_rate(name, d.difference),
            f"{format_rate(name, d.low)} to {format_rate(name, d.high)}",
            f"{d.p_value:.3g}",
        ]
        for name, d in comparison.differences.items()
    ]
    header = ["metric", "first", "second", "first - second", "95 % interval", "p"]
    return _table(header, rows)


def _strata_table(result: ScoreResult, groups: Mapping[str, Mapping[str, Tally]]) -> list[str]:
    names = list(result.overall)
    rows = [
        [value, *(format_rate(n, tallies[n].error_rate) if n in tallies else "–" for n in names)]
        for value, tallies in groups.items()
    ]
    return _table(["", *names], rows)


def _table(header: Sequence[str], rows: Sequence[Sequence[str]]) -> list[str]:
    lines = [header, ["---"] * len(header), *rows]
    return ["| " + " | ".join(_cell(cell) for cell in line) + " |" for line in lines]


def _cell(text: str) -> str:
    """Text that cannot end a cell of a table or start markup."""
    for mark in "\\|<>`*[]":
        text = text.replace(mark, "\\" + mark)
    return " ".join(text.split())


def _number(value: float) -> str:
    return f"{value:.0f}" if value == int(value) else f"{value:.3f}"


def _interval(result: ScoreResult, name: str) -> dict[str, JsonValue]:
    if name not in result.intervals:
        return {}
    low, high = result.intervals[name]
    return {"interval": [round(low, RATE_DIGITS), round(high, RATE_DIGITS)]}


def _tallies(tallies: Mapping[str, Tally]) -> dict[str, JsonValue]:
    return {name: tally.to_json() for name, tally in tallies.items()}
