"""The page at the end of a run: asked against got, offline, the same bytes for the same run."""

from __future__ import annotations

from collections.abc import Sequence
from html import escape
from pathlib import Path

import numpy as np

from talkover.manifests.markers import atomic_path
from talkover.simulate.report_acoustics import acoustic_plots, acoustic_tables
from talkover.simulate.report_html import counts as _counts
from talkover.simulate.report_html import histogram as _histogram
from talkover.simulate.report_html import table as _table
from talkover.simulate.summary import Figure, Summary

STYLE = """
body{font:15px/1.45 system-ui,sans-serif;max-width:70rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}
td,th{padding:.2rem .9rem .2rem 0;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left}
.bad{color:#b00020;font-weight:600}.plots{display:flex;flex-wrap:wrap;gap:1.5rem}
figure{margin:0}figcaption{font-size:.85rem;color:#555}svg{background:#f7f7f7}
"""


def write_report(path: Path, summary: Summary) -> None:
    """Write the report of a run, atomically.

    Args:
        path: The HTML file.
        summary: Figures of the run.
    """
    with atomic_path(path) as temporary:
        temporary.write_text(report_html(summary), encoding="utf8")


def report_html(summary: Summary) -> str:
    """The report as one self-contained page; needs no network and no script."""
    plots = [
        _histogram("overlap, % of speech, one value a session", [100 * v for v in summary.overlap]),
        _histogram("silence, % of time, one value a session", [100 * v for v in summary.silence]),
        *acoustic_plots(summary),
    ]
    totals = {
        "sessions": f"{summary.sessions:,}",
        "hours": f"{summary.hours:.2f}",
        "speakers": f"{summary.speakers:,}",
        "turns": f"{summary.turns:,}",
        "supervisions": f"{summary.supervisions:,}",
        "… of them without text": f"{summary.without_text:,}",
        "words": f"{summary.words:,}",
        "clipped samples": f"{summary.clipped_samples:,}",
    }
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            "<title>talkover simulate: report</title>",
            f"<style>{STYLE}</style></head><body>",
            "<h1>Simulated conversations: asked and got</h1>",
            _table("Totals", ("what", "value"), totals.items()),
            _targets(summary.figures),
            _lines("Reduced, as the corpus does not allow it", summary.shortfalls),
            _script(summary),
            '<div class="plots">',
            *plots,
            "</div>",
            *acoustic_tables(summary.acoustics),
            _counts("Speakers in a session", "speakers", "sessions", summary.speakers_per_session),
            _counts(
                "Reuse of utterances", "sessions that use it", "utterances", summary.utterance_uses
            ),
            _counts("Reuse of speakers", "sessions", "speakers", summary.speaker_sessions),
            _counts("Roles", "role", "supervisions", summary.roles),
            _counts("Rejected utterances", "reason", "utterances", summary.rejected),
            "</body></html>",
            "",
        ]
    )


def _lines(title: str, lines: Sequence[str]) -> str:
    """A list under a title; nothing where there is nothing to say."""
    if not lines:
        return ""
    items = "".join(f"<li>{escape(line)}</li>" for line in lines)
    return f'<h2>{escape(title)}</h2><ul class="bad">{items}</ul>'


def _script(summary: Summary) -> str:
    said, unmatched = summary.script_lines
    if not said and not unmatched:
        return ""
    counts = {"utterances said": f"{said:,}", "lines without an utterance": f"{unmatched:,}"}
    return _table("Script", ("what", "number"), counts.items()) + _lines(
        "Lines that were not said, the first of them", summary.unmatched_lines
    )


def _targets(figures: Sequence[Figure]) -> str:
    rows = []
    for figure in figures:
        if not figure.asked:
            empty = "<td>–</td>" * 3
            rows.append(f"<tr><td>{escape(figure.name)}</td>{empty}<td>not asked</td></tr>")
            continue
        verdict = "holds" if figure.holds else '<span class="bad">missed</span>'
        if figure.is_drawn:
            verdict = "drawn from the model, not asked"
        rows.append(
            f"<tr><td>{escape(figure.name)}, {escape(figure.unit)}</td>"
            f"<td>{np.mean(figure.asked):.3f}</td><td>{np.mean(figure.got):.3f}</td>"
            f"<td>{figure.deviation:.3f}</td><td>{verdict}</td></tr>"
        )
    names = ("target", "asked (mean)", "got (mean)", "deviation", "")
    head = "".join(f"<th>{name}</th>" for name in names)
    return f"<h2>Targets</h2><table><tr>{head}</tr>{''.join(rows)}</table>"
