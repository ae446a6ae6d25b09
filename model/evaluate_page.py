"""The page of an evaluation: timelines of reference against hypothesis, worst sessions first.

Every speaker has a lane: above those of the reference, below those of the hypothesis, paired with
the reference's as cpWER pairs them (same colour). Words stand where they were said; without word
times they share their turn by length. One file, no script, no network; every text is escaped.
"""

from __future__ import annotations

import html
import re
from collections.abc import Iterator, Mapping, Sequence

from talkover.manifests.schema import Session, Supervision
from talkover.manifests.score import ScoreResult
from talkover.manifests.score.report import format_rate
from talkover.manifests.score.sides import proportional_times
from talkover.model.evaluate_table import cells_of, table_of
from talkover.model.evaluate_types import Evaluation, System

MOST = 300
"""Sessions with a timeline: more make the page too heavy for a browser. The JSON has all."""

SCALE = 90.0
"""Pixels a second: a word of 0.4 s has room for five letters."""
LANE = 26
"""Pixels of a lane's height."""
MARGIN = 110
"""Pixels for the names of lanes."""
LETTER = 6.4
"""Pixels of a letter of 11 px, at most, for fitting words into their time."""
COLOURS = ("#3b6ea8", "#c1762b", "#4c8a4a", "#9a4f96", "#a84343", "#5b6770", "#8a7a24", "#2b8a8a")
LONELY = "#b8b8b8"
"""Of a hypothesis speaker that has no partner."""
SESSION_METRICS = ("cpwer", "wer", "tcpwer", "der")

_UNSEEN = re.compile("[^\t\n\r\x20-\ud7ff\ue000-\ufffd\U00010000-\U0010ffff]")
"""Characters that XML 1.0 forbids (section 2.2); an untrained model writes them."""

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:75rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:right}
td:first-child,th:first-child{text-align:left}tr{border-bottom:1px solid #ddd}
section{margin:1.6rem 0}h2{font-size:1rem;margin:.2rem 0}
.figures{color:#555;font-size:.9rem}.scroll{overflow-x:auto}
.fault{color:#a40000}svg text{font:11px system-ui,sans-serif}
"""


def to_page(evaluation: Evaluation, references: Sequence[Session]) -> str:
    """The page, as text."""
    known = {session.id: session for session in references}
    order = worst_first(evaluation.model.result)
    sections = "".join(_section(evaluation, known[id]) for id in order[:MOST])
    left_out = (
        f"<p>The worst {MOST} of {len(order)} sessions; all are in result.json.</p>"
        if len(order) > MOST
        else ""
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta name="viewport" content="width=device-width">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Reference against hypothesis</title><style>{_STYLE}</style></head><body>"
        "<h1>Reference against hypothesis</h1>"
        "<p>Lanes above the line are the reference's, those below the hypothesis'. A colour is a "
        'pair of speakers as cpWER pairs them; grey has no partner. <a href="errors.html">Every '
        "error, word by word</a>.</p>"
        f"{_overview(evaluation)}{left_out}{sections}</body></html>\n"
    )


def worst_first(result: ScoreResult) -> list[str]:
    """Sessions by rate of errors, then by number of errors, then by id."""
    name = "cpwer" if "cpwer" in result.overall else next(iter(result.overall))

    def badness(id: str) -> tuple[float, float, str]:
        tally = result.sessions[id][name]
        rate = tally.error_rate
        return -(rate if rate is not None else tally.errors), -tally.errors, id

    return sorted(result.sessions, key=badness)


def _overview(evaluation: Evaluation) -> str:
    """The table of systems by number of speakers, then every metric over all sessions."""
    by_speakers = cells_of(table_of(evaluation))
    names = list(evaluation.model.result.overall)
    every = [["", *(s.name for s in evaluation.systems)]]
    every += [[name, *(_figure(s.result, name) for s in evaluation.systems)] for name in names]
    return (
        f"<div class='scroll'>{_table(by_speakers)}</div><p>In brackets the 95 % interval over "
        f"resampled sessions.</p><details><summary>Every metric</summary>{_table(every)}</details>"
    )


def _table(rows: Sequence[Sequence[str]]) -> str:
    """Cells as HTML; the first row is the head."""
    lines = []
    for place, row in enumerate(rows):
        kind = "td" if place else "th"
        lines.append("".join(f"<{kind}>{escape(cell)}</{kind}>" for cell in row))
    return "<table>" + "".join(f"<tr>{line}</tr>" for line in lines) + "</table>"


def _figure(result: ScoreResult, name: str) -> str:
    text = format_rate(name, result.overall[name].error_rate)
    if name in result.intervals:
        low, high = (format_rate(name, value) for value in result.intervals[name])
        text += f" ({low} to {high})"
    return text


def _section(evaluation: Evaluation, reference: Session) -> str:
    tallies = evaluation.model.result.sessions[reference.id]
    figures = ", ".join(
        f"{name} {format_rate(name, tallies[name].error_rate)}"
        for name in SESSION_METRICS
        if name in tallies
    )
    drawn = "".join(
        _system(system, reference, place > 0) for place, system in enumerate(evaluation.systems)
    )
    return (
        f'<section id="{escape(reference.id)}"><h2>{escape(reference.id)}</h2>'
        f'<p class="figures">{escape(figures)}</p>{drawn}</section>'
    )


def _system(system: System, reference: Session, is_named: bool) -> str:
    hypothesis = next((s for s in system.hypothesis if s.id == reference.id), None)
    faults = [m[reference.id] for m in (system.failed, system.partial) if reference.id in m]
    told = "".join(f'<p class="fault">{escape(system.name)}: {escape(f)}</p>' for f in faults)
    pairs = partners(system.result, reference.id)
    title = f"{system.name}: timeline of {reference.id}"
    rows = () if hypothesis is None else hypothesis.supervisions
    if is_named:
        told = f'<p class="figures">{escape(system.name)}</p>{told}'
    return (
        f"{told}<div class='scroll'>"
        f"{timeline(title, reference.supervisions, rows, reference.audio.duration, pairs)}</div>"
    )


def partners(result: ScoreResult, id: str) -> dict[str, str]:
    """The reference speaker of each hypothesis speaker that has one, as cpWER pairs them."""
    for name in ("cpwer", "tcpwer", "cpcer"):
        tally = result.sessions[id].get(name)
        assignment = None if tally is None else tally.detail.get("assignment")
        if isinstance(assignment, list):
            pairs = [pair for pair in assignment if isinstance(pair, list)]
            return {str(b): str(a) for a, b in pairs if a is not None and b is not None}
    return {}


def timeline(
    title: str,
    reference: Sequence[Supervision],
    hypothesis: Sequence[Supervision],
    duration: float,
    pairs: Mapping[str, str],
) -> str:
    """Lanes of both sides over one axis, as SVG.

    Args:
        title: For readers that cannot see.
        reference: Supervisions.
        hypothesis: Supervisions.
        duration: Seconds of the axis.
        pairs: Hypothesis speaker to reference speaker.
    """
    ours = list(dict.fromkeys(row.speaker for row in reference))
    colours = {name: COLOURS[place % len(COLOURS)] for place, name in enumerate(ours)}
    theirs = sorted(
        dict.fromkeys(row.speaker for row in hypothesis),
        key=lambda name: ours.index(pairs[name]) if pairs.get(name) in ours else len(ours),
    )
    border = LANE * max(1, len(ours))
    height = border + LANE * max(1, len(theirs)) + 22
    width = MARGIN + SCALE * duration + 10
    parts = [f"<title>{escape(title)}</title>", *_axis(duration, height)]
    for place, name in enumerate(ours):
        rows = [row for row in reference if row.speaker == name]
        parts += _lane(name, rows, place * LANE, colours[name])
    parts.append(_line(0, border, width, border, "#222"))
    for place, name in enumerate(theirs):
        rows = [row for row in hypothesis if row.speaker == name]
        parts += _lane(name, rows, border + place * LANE, colours.get(pairs.get(name, ""), LONELY))
    return (
        f'<svg xmlns="http://www.w3.org/2000/svg" role="img" width="{width:.0f}" '
        f'height="{height}" viewBox="0 0 {width:.0f} {height}">{"".join(parts)}</svg>'
    )


def _axis(duration: float, height: int) -> Iterator[str]:
    """A faint line with its number at every second."""
    for second in range(int(duration) + 1):
        x = MARGIN + SCALE * second
        yield _line(x, 0, x, height - 18, "#eee")
        yield f'<text x="{x:.0f}" y="{height - 5}" fill="#777">{second} s</text>'


def _lane(name: str, rows: Sequence[Supervision], top: int, colour: str) -> Iterator[str]:
    yield f'<text x="2" y="{top + 17}">{escape(name[-16:])}</text>'
    for row in rows:
        for region in row.regions:
            yield (
                f'<rect x="{MARGIN + SCALE * region.start:.1f}" y="{top + 3}" rx="3" '
                f'width="{max(1.0, SCALE * region.duration):.1f}" height="{LANE - 6}" '
                f'fill="{colour}" fill-opacity="0.22" stroke="{colour}"/>'
            )
        for word, start, end in _words(row):
            yield _word(word, start, end, top)


def _words(row: Supervision) -> Iterator[tuple[str, float, float]]:
    if row.words:
        yield from ((word.symbol, word.start, word.end) for word in row.words)
        return
    words = (row.text or "").split()
    times = proportional_times(words, row.start, row.end)
    yield from ((word, *time) for word, time in zip(words, times, strict=True))


def _word(word: str, start: float, end: float, top: int) -> str:
    """A word in the middle of its time, pressed together where it is too long for it."""
    room = max(4.0, SCALE * (end - start) - 2)
    fitted = f' textLength="{room:.0f}" lengthAdjust="spacingAndGlyphs"'
    is_long = LETTER * len(word) > room
    x = MARGIN + SCALE * (start + end) / 2
    return (
        f'<text x="{x:.1f}" y="{top + 17}" text-anchor="middle"{fitted if is_long else ""}>'
        f"<title>{escape(word)} ({start:.2f} to {end:.2f} s)</title>{escape(word)}</text>"
    )


def escape(text: str) -> str:
    r"""A text as a page can show it.

    >>> escape("a<b\x06")
    'a&lt;b\ufffd'
    """
    return html.escape(_UNSEEN.sub("\ufffd", text))


def _line(x1: float, y1: float, x2: float, y2: float, colour: str) -> str:
    return f'<line x1="{x1:.0f}" y1="{y1:.0f}" x2="{x2:.0f}" y2="{y2:.0f}" stroke="{colour}"/>'
