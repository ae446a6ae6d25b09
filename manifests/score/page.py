"""A page of aligned errors: what each speaker said, with every error marked, session by session.

One file that needs no network and runs no script; every text is escaped. Words are aligned as for
tcpWER, or as for cpWER where no tcp metric was asked for.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from html import escape

from pydantic import JsonValue

from talkover.manifests.score.concatenated import Pairing, best_text_pairing
from talkover.manifests.score.edit import Step, align
from talkover.manifests.score.report import format_rate
from talkover.manifests.score.result import ScoreResult
from talkover.manifests.score.sides import Pair, TokenSegment, joined
from talkover.manifests.score.timed import hypothesis_stream, reference_stream, timed_steps

_STYLE = """
body{font:16px/1.5 system-ui,sans-serif;max-width:60rem;margin:2rem auto;padding:0 1rem}
table{border-collapse:collapse}td,th{padding:.2rem .8rem;text-align:right}
td:first-child,th:first-child{text-align:left}tr{border-bottom:1px solid #ddd}
del{color:#a40000;background:#fdeaea}ins{color:#00591f;background:#e6f6ea}
mark{background:#fff2cc}summary{cursor:pointer;font-weight:600;margin-top:1rem}
.time{color:#666;font-variant-numeric:tabular-nums;margin-right:.6rem}p{margin:.2rem 0}
"""


def to_html(result: ScoreResult) -> str:
    """The page, as text."""
    timed = any(name.startswith("tcp") for name in result.overall)
    collar = result.settings.get("tcp_collar")
    width = float(collar) if timed and isinstance(collar, int | float) else None
    body = "".join(_session(result, name, pair, width) for name, pair in result.pairs.items())
    settings = ", ".join(
        f"{name}: {value}" for name, value in result.settings.items() if name != "metrics"
    )
    return (
        '<!doctype html><html lang="en"><head><meta charset="utf-8">'
        '<meta http-equiv="Content-Security-Policy" '
        "content=\"default-src 'none'; style-src 'unsafe-inline'\">"
        f"<title>Aligned errors</title><style>{_STYLE}</style></head><body>"
        "<h1>Aligned errors</h1><p><del>missed</del> <ins>inserted</ins> "
        "<mark><del>reference</del> <ins>hypothesis</ins></mark> substituted</p>"
        f"{_overview(result)}<p>{escape(settings)}</p>{body}</body></html>\n"
    )


def _overview(result: ScoreResult) -> str:
    names = list(result.overall)
    head = "".join(f"<th>{escape(name)}</th>" for name in ["session", *names])
    rows = [("all", result.overall), *result.sessions.items()]
    lines = "".join(
        f"<tr><td>{escape(label)}</td>"
        + "".join(f"<td>{format_rate(n, tallies[n].error_rate)}</td>" for n in names)
        + "</tr>"
        for label, tallies in rows
    )
    return f"<table><tr>{head}</tr>{lines}</table>"


def _session(result: ScoreResult, name: str, pair: Pair, collar: float | None) -> str:
    reference = pair.streams("reference", "word")
    hypothesis = pair.streams("hypothesis", "word")
    parts = [f"<details><summary>{escape(name)}</summary>"]
    if pair.hypothesis.failed:
        parts.append("<p>No usable hypothesis: everything counts as missed.</p>")
    for speaker, other in _pairing(result, pair, collar is not None):
        ours = reference[speaker] if speaker is not None else []
        theirs = hypothesis[other] if other is not None else []
        title = f"{speaker or 'nobody'} ← {other or 'nobody'}"
        parts.append(f"<h3>{escape(title)}</h3>")
        parts.extend(_lines(ours, theirs, _steps(ours, theirs, collar)))
    pair.release()
    return "".join(parts) + "</details>"


def _pairing(result: ScoreResult, pair: Pair, timed: bool) -> Pairing:
    tally = result.sessions[pair.session].get("tcpwer" if timed else "cpwer")
    assignment = tally.detail.get("assignment") if tally else None
    if isinstance(assignment, list):
        pairs = [item for item in assignment if isinstance(item, list)]
        return [(_name(first), _name(second)) for first, second in pairs]
    reference = {k: joined(s) for k, s in pair.streams("reference", "word").items()}
    hypothesis = {k: joined(s) for k, s in pair.streams("hypothesis", "word").items()}
    return best_text_pairing(reference, hypothesis)


def _name(value: JsonValue) -> str | None:
    return value if isinstance(value, str) else None


def _steps(
    ours: Sequence[TokenSegment], theirs: Sequence[TokenSegment], collar: float | None
) -> list[Step]:
    if collar is None:
        return align(joined(ours), joined(theirs))
    return timed_steps(reference_stream(ours), hypothesis_stream(theirs), collar)


def _lines(
    ours: Sequence[TokenSegment], theirs: Sequence[TokenSegment], steps: Sequence[Step]
) -> Iterator[str]:
    """A paragraph per segment; an insertion stands where it comes in the alignment."""
    reference = [(token, s) for s in ours for token in s.tokens]
    hypothesis = [(token, s) for s in theirs for token in s.tokens]
    words: list[str] = []
    current: TokenSegment | None = None
    for i, j in steps:
        owner = reference[i][1] if i is not None else None
        if owner is None and not ours and j is not None:
            owner = hypothesis[j][1]
        if owner is not None and owner is not current:
            if words:
                yield _paragraph(current, words)
            current, words = owner, []
        first = escape(reference[i][0]) if i is not None else None
        second = escape(hypothesis[j][0]) if j is not None else None
        words.append(_word(first, second))
    if words:
        yield _paragraph(current, words)


def _word(first: str | None, second: str | None) -> str:
    if first is None:
        return f"<ins>{second}</ins>"
    if second is None:
        return f"<del>{first}</del>"
    if first == second:
        return first
    return f"<mark><del>{first}</del> <ins>{second}</ins></mark>"


def _paragraph(segment: TokenSegment | None, words: Sequence[str]) -> str:
    start = f"{segment.start:.2f}" if segment is not None else ""
    return f'<p><span class="time">{start}</span>{" ".join(words)}</p>'
