"""What an annotated corpus holds: segments, what they cut, labels and how sure they are, failures.

Read from the manifests themselves, ``segments.jsonl`` and ``rejected.jsonl`` beside them. Lines
that cannot be read are passed over here; the checks tell of them.
"""

from __future__ import annotations

import json
from collections import Counter, defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd

from talkover.manifests.errors import ManifestError
from talkover.manifests.lines import read_lines
from talkover.manifests.segment_lines import SEGMENTS

NUM_BINS = 10
"""Of confidences from 0 to 1."""
PERCENTILES = (0, 5, 50, 95, 100)
BOUNDARY = "boundary of a segment"
KINDS = ("word", "turn", "sound", "music")
Json = dict[str, Any]


@dataclass
class _Sums:
    """What is added up over all lines."""

    recordings: int = 0
    seconds: float = 0.0
    in_segments: float = 0.0
    lengths: list[float] = field(default_factory=list)
    events: Counter[str] = field(default_factory=Counter)
    cut: dict[str, set[str]] = field(default_factory=lambda: defaultdict(set))
    steps: Counter[str] = field(default_factory=Counter)
    labels: dict[tuple[str, str], list[tuple[float, float]]] = field(
        default_factory=lambda: defaultdict(list)
    )
    """Kind and label: seconds and confidence (NaN if nobody says) of each."""
    boundaries: list[float] = field(default_factory=list)
    backends: Counter[tuple[str, ...]] = field(default_factory=Counter)
    quality: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    flags: Counter[str] = field(default_factory=Counter)
    warnings: Counter[str] = field(default_factory=Counter)
    licences: Counter[tuple[str, str]] = field(default_factory=Counter)
    rejected: Counter[tuple[str, str]] = field(default_factory=Counter)


def annotation_tables(sessions: pd.DataFrame) -> dict[str, pd.DataFrame]:
    """Tables of what was annotated, by title; empty if nothing was.

    Args:
        sessions: The audit's table, whose ``manifest`` and ``origin`` are read.
    """
    own = sessions[sessions["origin"] == "annotated"]
    sums = _Sums()
    for name in dict.fromkeys(own["manifest"]):
        manifest = Path(str(name))
        if not manifest.is_file():
            continue
        for session in _objects(manifest):
            _add_session(sums, session)
        for segment in _objects(manifest.parent / SEGMENTS):
            _add_segment(sums, segment)
        for row in _objects(manifest.parent / "rejected.jsonl"):
            sums.rejected[str(row.get("stage")), str(row.get("reason"))] += 1
    if not sums.recordings:
        return {}
    tables = {
        "Segments": _segments(sums),
        "Cut by segments, as the annotator says": _cuts(sums),
        "Given up for the length of a segment": _counted(sums.steps, "step"),
        "Labels": _labels(sums),
        "Confidence": _confidence(sums),
        "Backends": _rows(
            sums.backends, ("branch", "backend", "version", "licence", "non_commercial")
        ),
        "Licences": _rows(sums.licences, ("licence", "non_commercial")),
        "Quality": _quality(sums),
        "Flags": _counted(sums.flags, "flag"),
        "Warnings": _counted(sums.warnings, "warning"),
        "Rejected files": _rows(sums.rejected, ("stage", "reason")),
    }
    return {title: frame for title, frame in tables.items() if len(frame)}


def _objects(path: Path) -> Iterator[Json]:
    """Readable objects of a file of JSON lines; none where there is no file."""
    if not path.is_file():
        return
    try:
        for line in read_lines(path):
            try:
                value = json.loads(line.text)
            except ValueError:
                continue
            if isinstance(value, dict):
                yield value
    except ManifestError:
        return


def _ours(value: Json) -> Json:
    custom = value.get("custom")
    found = custom.get("talkover") if isinstance(custom, dict) else None
    return found if isinstance(found, dict) else {}


def _add_session(sums: _Sums, cut: Json) -> None:
    ours = _ours(cut)
    if ours.get("origin") != "annotated":
        return
    sums.recordings += 1
    sums.seconds += float(cut.get("duration") or 0.0)
    for row in cut.get("supervisions") or ():
        claim = _ours(row).get("claim") or {}
        words = (row.get("alignment") or {}).get("word") or ()
        sums.events["turn"] += 1
        sums.events["word"] += len(words)
        sums.labels["turn", "speech"].append((float(row["duration"]), _number(claim)))
    for event in ours.get("events") or ():
        claim = event.get("claim") or {}
        sums.events[str(event["kind"])] += 1
        sums.labels[str(event["kind"]), str(event["label"])].append(
            (float(event["duration"]), _number(claim))
        )
    annotation = ours.get("annotation") or {}
    for branch in annotation.get("branches") or ():
        claim = branch.get("claim") or {}
        forbidden = "yes" if claim.get("non_commercial") else ""
        names = [claim.get(key) or "" for key in ("backend", "version", "licence")]
        sums.backends[branch["kind"], *map(str, names), forbidden] += 1
    for name, value in (annotation.get("quality") or {}).items():
        if isinstance(value, int | float) and np.isfinite(value):
            sums.quality[name].append(float(value))
    sums.flags.update(map(str, annotation.get("flags") or ()))
    sums.warnings.update(map(str, annotation.get("warnings") or ()))
    licences = ours.get("licences") or {}
    forbidden = "yes" if licences.get("non_commercial") else ""
    sums.licences[" ".join(map(str, licences.get("spdx") or ())), forbidden] += 1


def _add_segment(sums: _Sums, cut: Json) -> None:
    ours = _ours(cut)
    duration = float(cut.get("duration") or 0.0)
    sums.lengths.append(duration)
    sums.in_segments += duration
    sums.steps.update(map(str, ours.get("steps") or ()))
    if isinstance(confidence := ours.get("boundary_confidence"), int | float):
        sums.boundaries.append(float(confidence))
    for event in ours.get("cut_events") or ():
        sums.cut[str(event.get("kind"))].add(f"{ours.get('session')}/{event.get('event_id')}")


def _segments(sums: _Sums) -> pd.DataFrame:
    rows = {
        "recordings": f"{sums.recordings:,}",
        "hours": f"{sums.seconds / 3600:.2f}",
        "segments": f"{len(sums.lengths):,}",
        "time in segments": f"{sums.in_segments / sums.seconds:.4%}" if sums.seconds else "–",
    }
    if sums.lengths:
        values = np.percentile(sums.lengths, PERCENTILES)
        for percentile, value in zip(PERCENTILES, values, strict=True):
            rows[f"length, percentile {percentile}"] = f"{value:.2f} s"
    return pd.DataFrame({"figure": list(rows), "value": list(rows.values())})


def _cuts(sums: _Sums) -> pd.DataFrame:
    rows = []
    for kind in KINDS:
        count, cut = sums.events[kind], len(sums.cut.get(kind, ()))
        if count:
            rows.append({"kind": kind, "events": count, "cut": cut, "share": f"{cut / count:.3%}"})
    return pd.DataFrame(rows)


def _labels(sums: _Sums) -> pd.DataFrame:
    rows = []
    for (kind, label), found in sorted(sums.labels.items()):
        seconds = sum(duration for duration, _ in found)
        sure = [confidence for _, confidence in found if np.isfinite(confidence)]
        rows.append(
            {
                "kind": kind,
                "label": label,
                "count": len(found),
                "hours": f"{seconds / 3600:.3f}",
                "mean confidence": f"{np.mean(sure):.2f}" if sure else "–",
            }
        )
    return pd.DataFrame(rows)


def _confidence(sums: _Sums) -> pd.DataFrame:
    """How many labels of each kind are how sure: a histogram, a row a kind."""
    by_kind: dict[str, list[float]] = {}
    for (kind, _), found in sums.labels.items():
        by_kind.setdefault(kind, []).extend(c for _, c in found if np.isfinite(c))
    by_kind[BOUNDARY] = sums.boundaries
    edges = np.linspace(0.0, 1.0, NUM_BINS + 1)
    rows = [
        {"of": kind}
        | {
            f"{low:.1f}–{high:.1f}": int(count)
            for low, high, count in zip(
                edges[:-1], edges[1:], np.histogram(values, edges)[0], strict=True
            )
        }
        for kind, values in sorted(by_kind.items())
        if values
    ]
    return pd.DataFrame(rows)


def _quality(sums: _Sums) -> pd.DataFrame:
    rows = []
    for name, values in sorted(sums.quality.items()):
        low, middle, high = np.percentile(values, (5, 50, 95))
        figures = {"5 %": f"{low:.4g}", "median": f"{middle:.4g}", "95 %": f"{high:.4g}"}
        rows.append({"figure": name, "recordings": len(values), **figures})
    return pd.DataFrame(rows)


def _counted(counts: Counter[str], name: str) -> pd.DataFrame:
    return pd.DataFrame([{name: key, "count": counts[key]} for key in sorted(counts)])


def _rows(counts: Mapping[Any, int], names: tuple[str, ...]) -> pd.DataFrame:
    return pd.DataFrame(
        [{**dict(zip(names, key, strict=True)), "count": counts[key]} for key in sorted(counts)]
    )


def _number(claim: Json) -> float:
    value = claim.get("confidence")
    return float(value) if isinstance(value, int | float) else float("nan")
