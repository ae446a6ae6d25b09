"""Simulated turn-taking beside real: the table, the bars and the histograms, as text and page."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from html import escape

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.charts import svg_histogram, text_histogram
from talkover.manifests.turn_taking import (
    POOLS,
    Comparison,
    Pool,
    Spoken,
    TurnTakingSummary,
    pooled,
    session_figures,
)

TITLES: dict[Pool, str] = {
    "fto": "floor-transfer offsets",
    "pauses": "pauses",
    "turns": "turn lengths",
}
BOUNDS: dict[Pool, tuple[float, float]] = {
    "fto": (-4.0, 4.0),
    "pauses": (0.0, 6.0),
    "turns": (0.0, 30.0),
}
"""Seconds that the histograms show."""

Samples = dict[Pool, NDArray[np.float64]]

STYLE = """
body{font:15px/1.45 system-ui,sans-serif;max-width:62rem;margin:2rem auto;padding:0 1rem;color:#222}
table{border-collapse:collapse;margin:.5rem 0 1.5rem}
td,th{padding:.2rem .9rem .2rem 0;text-align:right;border-bottom:1px solid #ddd}
td:first-child,th:first-child{text-align:left}
.bad{color:#b00020;font-weight:600}.plots{display:flex;flex-wrap:wrap;gap:1.5rem}
figure{margin:0}figcaption{font-size:.85rem;color:#555}svg{background:#f7f7f7}
"""


def samples_of(sessions: Mapping[str, Sequence[Spoken]]) -> Samples:
    """Offsets, pauses and turn lengths of a corpus, pooled over its sessions; seconds."""
    rows = [row for segments in sessions.values() if (row := session_figures(segments))]
    return {key: pooled(rows, key) for key in POOLS}


def figure_rows(result: Comparison) -> list[tuple[str, str, str]]:
    """Name, real and simulated value of each figure, as text."""
    real, simulated = result.real, result.simulated
    return [
        (name, first, second)
        for (name, first), (_, second) in zip(_figures(real), _figures(simulated), strict=True)
    ]


def distance_rows(result: Comparison) -> list[tuple[str, str, str]]:
    """Name, Wasserstein-1 distance and noise floor of each distribution, as text."""
    return [
        (f"W1 of {TITLES[key]}", f"{result.w1[key]:.3f} s", f"{result.noise_floor[key]:.3f} s")
        for key in POOLS
    ]


def verdict(result: Comparison) -> str:
    """How many bars hold."""
    return f"{sum(result.bars.values())} of {len(result.bars)} bars hold"


def text_histograms(real: Samples, simulated: Samples) -> list[str]:
    """Each distribution of both sides, one above the other."""
    lines: list[str] = []
    for key in POOLS:
        for side, samples in (("real", real), ("simulated", simulated)):
            lines += ["", f"{TITLES[key]}, {side}: {len(samples[key]):,}"]
            lines += text_histogram(samples[key], BOUNDS[key], zero=key == "fto")
    return lines


def comparison_html(result: Comparison, real: Samples, simulated: Samples) -> str:
    """The comparison as one self-contained page; needs no network and no script."""
    bars = "".join(
        f"<tr><td>{escape(name)}</td>"
        + ("<td>holds</td>" if holds else '<td class="bad">short</td>')
        + "</tr>"
        for name, holds in result.bars.items()
    )
    plots = [
        svg_histogram({"real": real[key], "simulated": simulated[key]}, BOUNDS[key], TITLES[key])
        for key in POOLS
    ]
    return "\n".join(
        [
            '<!doctype html><html lang="en"><head><meta charset="utf-8">',
            f"<title>talkover turns compare</title><style>{STYLE}</style></head><body>",
            f"<h1>Simulated turn-taking beside real: {verdict(result)}</h1>",
            _table(("figure", "real", "simulated"), figure_rows(result)),
            _table(("distance", "simulated", "noise floor"), distance_rows(result)),
            f"<table><tr><th>bar</th><th></th></tr>{bars}</table>",
            '<div class="plots">',
            *plots,
            "</div></body></html>",
            "",
        ]
    )


def _table(head: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    cells = "".join(f"<th>{escape(name)}</th>" for name in head)
    body = "".join(
        "<tr>" + "".join(f"<td>{escape(cell)}</td>" for cell in row) + "</tr>" for row in rows
    )
    return f"<table><tr>{cells}</tr>{body}</table>"


def _figures(summary: TurnTakingSummary) -> list[tuple[str, str]]:
    def percent(value: float) -> str:
        return f"{100 * value:.1f}"

    def triple(values: Sequence[float]) -> str:
        return " / ".join(f"{value:.2f}" for value in values) or "none"

    lag = "none" if summary.fto_lag1 is None else f"{summary.fto_lag1:.2f}"
    return [
        ("sessions", f"{summary.sessions:,}"),
        ("hours", f"{summary.hours:.1f}"),
        ("speakers in a session", f"{summary.speakers:.2f}"),
        ("overlap, % of speech", percent(summary.overlap)),
        ("… its spread", percent(summary.overlap_sd)),
        ("three or more, % of speech", percent(summary.three)),
        ("silence, % of time", percent(summary.silence)),
        ("… its spread", percent(summary.silence_sd)),
        ("changes of speaker a minute", f"{summary.changes_per_min:.2f}"),
        ("hold / switch / interruption / contained, %", " / ".join(map(percent, summary.types))),
        ("offsets, s (10 / 50 / 90 %)", triple(summary.fto_q)),
        ("pauses, s", triple(summary.pause_q)),
        ("turn lengths, s", triple(summary.turn_q)),
        ("correlation of consecutive offsets", lag),
    ]
