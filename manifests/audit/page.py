"""The page of an audit: one file that opens anywhere, without network, script or other file."""

from __future__ import annotations

from collections.abc import Iterator
from html import escape
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pandas as pd

from talkover.manifests.audit.columns import rows_of
from talkover.manifests.audit.players import MOST_PLAYERS, snippet, worst_places
from talkover.manifests.audit.plots import svg
from talkover.manifests.markers import atomic_path

if TYPE_CHECKING:
    from talkover.manifests.audit.audit import Audit

MOST_EXAMPLES = 20
"""Findings of one check that a page lists; the table has all."""
MOST_TIMELINES = 3
_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse;font-size:.9rem;display:block;overflow-x:auto}
td,th{padding:.15rem .6rem;text-align:left;vertical-align:top}tr{border-bottom:1px solid #ddd}
figure{margin:1rem 0}figure svg{max-width:100%;height:auto}summary{cursor:pointer;margin:.4rem 0}
.error,.failed{color:#a40000;font-weight:600}.warning{color:#8a5a00;font-weight:600}
.passed{color:#00591f}.number{text-align:right;font-variant-numeric:tabular-nums}
"""
_POLICY = "default-src 'none'; style-src 'unsafe-inline'; media-src data:; img-src data:"


def write_page(audit: Audit, path: Path, *, audio: bool) -> Path:
    """Write the page; the same corpus gives the same bytes."""
    body = "".join(_sections(audit, audio=audio))
    text = (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        f'<meta http-equiv="Content-Security-Policy" content="{_POLICY}">'
        '<link rel="icon" href="data:,">'
        f"<title>Audit</title><style>{_STYLE}</style></head><body><h1>Audit</h1>{body}"
        "</body></html>\n"
    )
    path.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf8")
    return path


def card(audit: Audit) -> str:
    """What a notebook shows of an audit."""
    counts = audit.checks["status"].value_counts()
    states = ", ".join(f"{count} {name}" for name, count in sorted(counts.items()))
    return f"<h3>Audit</h3>{_overview(audit)}<p>Checks: {escape(states)}</p>{_summary(audit)}"


def _sections(audit: Audit, *, audio: bool) -> Iterator[str]:
    yield _overview(audit)
    yield "<h2>Findings</h2>"
    yield _summary(audit)
    yield from _examples(audit)
    if audio:
        yield from _players(audit)
    yield "<h2>Checks</h2>"
    columns = ["number", "check", "status", "examined", "findings", "owns", "reason"]
    yield _table(audit.checks[columns], classes="status")
    if len(audit.splits):
        yield "<h2>Splits</h2>" + _table(audit.splits)
    if annotated := audit.annotation:
        yield "<h2>Annotation</h2>"
        for title, frame in annotated.items():
            yield f"<h3>{escape(title)}</h3>{_table(frame)}"
    yield "<h2>Pictures</h2>"
    for title, figure in _pictures(audit):
        yield f"<figure><figcaption>{escape(title)}</figcaption>{svg(figure)}</figure>"


def _overview(audit: Audit) -> str:
    sessions, turns = audit.sessions, audit.turns
    rows = {
        "sessions": f"{len(sessions):,}",
        "hours": f"{sessions['duration'].sum() / 3600:,.2f}",
        "speakers": f"{turns['speaker'].nunique():,}",
        "turns": f"{sessions['num_turns'].sum():,}",
        "overlap of speech, mean": f"{sessions['overlap_of_speech'].mean():.1%}",
        "silence of time, mean": f"{sessions['silence_of_time'].mean():.1%}",
    }
    cells = "".join(
        f"<tr><td>{escape(name)}</td><td class=number>{escape(value)}</td></tr>"
        for name, value in rows.items()
    )
    return f"<table>{cells}</table>"


def _summary(audit: Audit) -> str:
    failed = audit.checks[audit.checks["status"] == "failed"]
    if not len(failed):
        return "<p class=passed>Nothing was found.</p>"
    return _table(failed[["check", "severity", "findings", "owns"]], classes="severity")


def _examples(audit: Audit) -> Iterator[str]:
    for name, own in audit.findings.groupby("check", sort=False):
        shown = own.head(MOST_EXAMPLES)[["session", "locus", "value", "limit", "hint"]]
        title = f"{name}: {len(own)}"
        if len(own) > MOST_EXAMPLES:
            title += f", the first {MOST_EXAMPLES}"
        yield f"<details><summary>{escape(title)}</summary>{_table(shown)}</details>"


def _players(audit: Audit) -> Iterator[str]:
    parts = []
    for row, path in worst_places(audit.findings, audit.sessions):
        finding: Any = audit.findings.loc[row]
        sound = snippet(path, float(finding["time"]))
        if sound is None:
            continue
        text = f"{finding['check']}: {finding['session']} at {finding['time']:.2f} s"
        parts.append(f'<p>{escape(text)}<br><audio controls src="{sound}"></audio></p>')
        if len(parts) == MOST_PLAYERS:
            break
    if parts:
        yield "<h2>To listen to</h2>" + "".join(parts)


def _pictures(audit: Audit) -> Iterator[tuple[str, Any]]:
    plot = audit.plot
    for name in _sessions_to_show(audit):
        yield f"Who speaks when in {name}; overlap is shaded", plot.timeline(name)
    yield "Floor transfers", plot.floor_transfer()
    yield "Talk shares", plot.talk_shares()
    yield "Asked against measured", plot.asked_measured()
    if audit.sessions["split"].notna().any():
        yield "What splits share (off the diagonal: leaks)", plot.leaks()
    yield "Length, SNR and T60 of sessions", plot.ecdf()


def _sessions_to_show(audit: Audit) -> list[str]:
    """Sessions with findings first, then from the start; only such as are told apart by id."""
    found = audit.findings["session"].dropna()
    known = audit.sessions.loc[audit.sessions["num_speakers"] > 0, "session"]
    present = set(known)
    names = [name for name in [*dict.fromkeys(found), *dict.fromkeys(known)] if name in present]
    return list(dict.fromkeys(names))[:MOST_TIMELINES]


def _table(frame: pd.DataFrame, classes: str | None = None) -> str:
    """A table; the column ``classes`` also names the style of its cells."""
    head = "".join(f"<th>{escape(str(name))}</th>" for name in frame)
    lines = []
    for values in rows_of(frame):
        cells = []
        for name, value in zip(frame, values, strict=True):
            text = (
                ""
                if pd.isna(value)
                else f"{value:,.2f}"
                if isinstance(value, float)
                else str(value)
            )
            style = f' class="{escape(text)}"' if name == classes else ""
            cells.append(f"<td{style}>{escape(text)}</td>")
        lines.append(f"<tr>{''.join(cells)}</tr>")
    return f"<table><tr>{head}</tr>{''.join(lines)}</table>"
