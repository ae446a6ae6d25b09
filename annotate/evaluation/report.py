"""The figures of an evaluation in one table, each beside its bar, as text and as JSON."""

from __future__ import annotations

import json
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, field

from pydantic import JsonValue

from talkover.annotate.evaluation.figures import Scored
from talkover.annotate.evaluation.music import Tempo
from talkover.annotate.evaluation.real import Exposure
from talkover.annotate.evaluation.voices import Recognition
from talkover.manifests.schema import Claim
from talkover.manifests.score.tally import Tally, add_tallies

DIGITS = 4

AT_MOST: Mapping[str, float] = {
    "cut_words": 0.005,
    "cut_turns": 0.02,
    "cut_sounds": 0.02,
    "accepted_unknown": 0.05,
    "real_der": 0.30,
}
AT_LEAST: Mapping[str, float] = {"coverage": 0.995, "overlap_f1": 0.6, "event_f1": 0.5}
"""Bars of the default models on held-out simulated sessions, and of their DER on real ones."""

F1S = frozenset(
    "overlap_f1 event_f1 event_segment_f1 event_f1_strict event_f1_any_label music_f1 "
    "speech_boundary_f1".split()
)
"""Figures whose tally is 1 - F1; the table has F1."""


@dataclass(frozen=True, kw_only=True)
class RealScored:
    """Figures of recordings that people labelled."""

    name: str
    sessions: Mapping[str, Mapping[str, Tally]]
    exposure: Mapping[str, Exposure]
    """By branch."""

    @property
    def overall(self) -> dict[str, Tally]:
        """Sums over the recordings: a pooled DER."""
        names = next(iter(self.sessions.values()), {})
        return {n: add_tallies(t[n] for t in self.sessions.values()) for n in names}


@dataclass(frozen=True, kw_only=True)
class Evaluation:
    """All that was found out about an annotator."""

    claims: Mapping[str, Claim]
    """Who spoke for each branch."""
    simulated: Scored | None = None
    intervals: Mapping[str, tuple[float, float]] = field(default_factory=dict)
    """95 % intervals of the rates on simulated sessions, drawn by session."""
    declared_cuts: Mapping[str, int] = field(default_factory=dict)
    """Events that the annotator says it had to cut, by kind."""
    segment_lengths: Sequence[float] = ()
    """Seconds."""
    voices: Recognition | None = None
    tempos: Sequence[Tempo] = ()
    real: Sequence[RealScored] = ()


@dataclass(frozen=True, kw_only=True)
class Row:
    """One figure and its bar."""

    figure: str
    value: float | None
    """None where there is nothing to measure it on."""
    count: float
    """Of what it is a share: words, seconds, speakers, pieces."""
    bar: str = ""
    holds: bool | None = None
    """None where there is no bar, or nothing to measure."""


def rows_of(evaluation: Evaluation) -> list[Row]:
    """All figures, in the order in which they are printed."""
    return [
        *_simulated_rows(evaluation.simulated),
        *_voice_rows(evaluation.voices),
        *_tempo_rows(evaluation.tempos),
        *(row for one in evaluation.real for row in _real_rows(one)),
    ]


def to_json(evaluation: Evaluation) -> str:
    """Everything, with the figures of each session."""
    scored = evaluation.simulated
    data: dict[str, JsonValue] = {
        "backends": {
            kind: claim.model_dump(mode="json", exclude_none=True)
            for kind, claim in evaluation.claims.items()
        },
        "figures": [asdict(row) for row in rows_of(evaluation)],
        "declared_cuts": dict(evaluation.declared_cuts),
        "tempos": [asdict(tempo) | {"is_right": tempo.is_right} for tempo in evaluation.tempos],
        "voices": None if evaluation.voices is None else asdict(evaluation.voices),
        "intervals": {name: list(pair) for name, pair in evaluation.intervals.items()},
        "real": {
            one.name: {
                "exposure": dict(one.exposure),
                "overall": _tallies(one.overall),
                "sessions": {name: _tallies(own) for name, own in one.sessions.items()},
            }
            for one in evaluation.real
        },
    }
    if scored is not None:
        data["simulated"] = {
            "seconds": round(scored.seconds, 3),
            "lost": {reason: round(value, 3) for reason, value in scored.lost.items()},
            "overall": _tallies(scored.overall),
            "folders": {name: _tallies(own) for name, own in scored.folders.items()},
            "events": _tallies(scored.events),
            "sessions": {name: _tallies(own) for name, own in scored.sessions.items()},
        }
    return json.dumps(data, indent=1, ensure_ascii=False) + "\n"


def to_markdown(evaluation: Evaluation) -> str:
    """Tables for a person."""
    lines = ["# Annotation against known truth", "", *_table(rows_of(evaluation))]
    if scored := evaluation.simulated:
        lines += ["", "## By folder", "", *_folder_table(scored)]
        lines += ["", "## By sound", "", *_event_table(scored)]
        lines += _voices_text(evaluation)
        lines += ["", f"{scored.seconds / 3600:.2f} h in {len(scored.sessions)} sessions. "]
        lines[-1] += _lost_text(scored)
        cuts = ", ".join(f"{n} {kind}" for kind, n in evaluation.declared_cuts.items())
        lines.append(f"Cuts that the annotator itself lists: {cuts or 'none'}.")
    for one in evaluation.real:
        lines += ["", f"## {one.name}", "", *_real_table(one)]
    lines += ["", "## Who spoke", "", "| branch | backend | version | licence |"]
    lines += ["| --- | --- | --- | --- |"]
    lines += [
        f"| {kind} | {c.backend} | {c.version} | {c.licence or '–'} |"
        for kind, c in evaluation.claims.items()
    ]
    return "\n".join(lines) + "\n"


def figure_of(name: str, tally: Tally) -> float | None:
    """A tally as people read it: F1 for an F1, else the rate of errors."""
    rate = tally.error_rate
    return rate if rate is None or name not in F1S else 1.0 - rate


def _row(name: str, value: float | None, count: float, bar: str | None = None) -> Row:
    key = bar or name
    if key in AT_MOST:
        holds = None if value is None else value <= AT_MOST[key]
        return Row(figure=name, value=value, count=count, bar=f"≤ {AT_MOST[key]:g}", holds=holds)
    if key in AT_LEAST:
        holds = None if value is None else value >= AT_LEAST[key]
        return Row(figure=name, value=value, count=count, bar=f"≥ {AT_LEAST[key]:g}", holds=holds)
    return Row(figure=name, value=value, count=count)


def _simulated_rows(scored: Scored | None) -> Iterator[Row]:
    if scored is None:
        return
    yield _row("coverage", scored.coverage, scored.seconds)
    for name, tally in scored.overall.items():
        yield _row(name, figure_of(name, tally), tally.length)


def _voice_rows(voices: Recognition | None) -> Iterator[Row]:
    if voices is None:
        return
    yield _row("accepted_unknown", voices.accepted_share, voices.unknown)
    yield _row("recognised_known", voices.right_share, voices.known)
    wrong = voices.wrong / voices.known if voices.known else None
    yield _row("confused_known", wrong, voices.known)


def _tempo_rows(found: Sequence[Tempo]) -> Iterator[Row]:
    if not found:
        return
    said = [tempo for tempo in found if tempo.said is not None]
    right = sum(tempo.is_right for tempo in found)
    yield _row("tempo_right", right / len(found), len(found))
    of_said = right / len(said) if said else None
    yield _row("tempo_right_of_said", of_said, len(said))


def _real_rows(one: RealScored) -> Iterator[Row]:
    mark = ", ".join(f"{kind} {how}" for kind, how in one.exposure.items())
    for name, tally in one.overall.items():
        bar = "real_der" if name == "der" and one.name == "ami" else "none"
        label = f"{one.name}: {name}" + (f" ({mark})" if name == "der" and mark else "")
        yield _row(label, figure_of(name, tally), tally.length, bar)


def _table(rows: Sequence[Row]) -> list[str]:
    lines = ["| figure | value | of | bar | |", "| --- | --- | --- | --- | --- |"]
    verdicts = {True: "holds", False: "**missed**", None: ""}
    for row in rows:
        verdict = verdicts[row.holds] if row.value is not None else "nothing to measure it on"
        lines.append(
            f"| {row.figure} | {_text(row.value)} | {row.count:,.0f} | {row.bar} | {verdict} |"
        )
    return lines


def _folder_table(scored: Scored) -> list[str]:
    shown = ("cut_turns", "cut_sounds", "der", "overlap_f1", "event_f1", "music_f1")
    lines = [f"| folder | {' | '.join(shown)} |", "| --- |" + " --- |" * len(shown)]
    for folder, tallies in scored.folders.items():
        cells = " | ".join(_text(figure_of(name, tallies[name])) for name in shown)
        lines.append(f"| {folder} | {cells} |")
    return lines


def _event_table(scored: Scored) -> list[str]:
    lines = ["| sound | F1 | found | missed | extra |", "| --- | --- | --- | --- | --- |"]
    for label, tally in scored.events.items():
        rate = tally.error_rate
        cells = [tally.parts[p] for p in ("true_positives", "false_negatives", "false_positives")]
        counts = " | ".join(f"{cell:.0f}" for cell in cells)
        lines.append(f"| {label} | {_text(None if rate is None else 1 - rate)} | {counts} |")
    return lines


def _real_table(one: RealScored) -> list[str]:
    lines = ["| recording | DER | miss | false alarm | confusion | overlap F1 | speakers off by |"]
    lines += ["| --- |" + " --- |" * 6]
    for name, own in {**one.sessions, "pooled": one.overall}.items():
        der, length = own["der"], max(own["der"].length, 1e-9)
        parts = [der.parts[part] / length for part in ("miss", "false_alarm", "confusion")]
        overlap = figure_of("overlap_f1", own["overlap_f1"])
        cells = [der.error_rate, *parts, overlap]
        bias = own["speaker_count"].parts["bias"]
        lines.append(f"| {name} | {' | '.join(map(_text, cells))} | {bias:+.0f} |")
    return lines


def _voices_text(evaluation: Evaluation) -> list[str]:
    """What stands behind the share of strangers who got a name."""
    voices = evaluation.voices
    if voices is None:
        return []
    text = (
        f"Strangers: {voices.accepted} of {voices.unknown} trials got a name; "
        f"{len(voices.strangers)} people, {voices.groups} groups of {voices.enrolled} voices in all"
    )
    if interval := evaluation.intervals.get("accepted_unknown"):
        low, high = interval
        text += f"; 95 % interval of the share by person {low:.3f} to {high:.3f}"
    return ["", text + "."]


def _lost_text(scored: Scored) -> str:
    if not scored.lost:
        return "Every second is in a segment."
    parts = [f"{seconds:.1f} s {reason}" for reason, seconds in scored.lost.items()]
    return f"Lost: {'; '.join(parts)}."


def _text(value: float | None) -> str:
    return "–" if value is None else f"{value:.{DIGITS}f}"


def _tallies(tallies: Mapping[str, Tally]) -> dict[str, JsonValue]:
    return {name: tally.to_json() for name, tally in tallies.items()}
