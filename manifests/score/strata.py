"""Strata: the same figures for parts of a corpus, by overlap, speakers or any manifest field.

A field is a dotted path into a session, such as ``scene.room.id``, or one of the short names of
`ALIASES`. A field of the supervisions (``supervisions.gender``) belongs to a speaker: metrics that
know each reference speaker's share are split by speaker, the others by the session's values
together (``F+M``).
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence

import numpy as np
from pydantic import JsonValue

from talkover.manifests.schema import Session
from talkover.manifests.score.sides import Pair, Side
from talkover.manifests.score.spans import crowded_spans, total
from talkover.manifests.score.tally import Tally, add_tallies

Strata = dict[str, dict[str, dict[str, Tally]]]
"""Field, value, metric."""

ALIASES: dict[str, str] = {
    "language": "supervisions.language",
    "gender": "supervisions.gender",
    "snr": "noise.snr_db_measured",
    "t60": "scene.room.t60_measured",
    "split": "split",
}
"""Short names of fields."""

STEPS: dict[str, float] = {"snr": 5.0, "t60": 0.2}
"""Width of the bins: dB, seconds. Fixed, so that two corpora have the same strata."""

OVERLAP_EDGES = (0.05, 0.15, 0.30)
"""Shares of speech: meetings lie in the middle two (AMI about 0.15), long talks in the first."""

MAX_VALUES = 6
"""A numeric field with more values than this is split at its quartiles."""
UNKNOWN = "unknown"


def session_fields(session: Session, strata: Sequence[str]) -> dict[str, JsonValue]:
    """The values of a session's fields that the strata ask for."""
    if not strata:
        return {}
    data = session.model_dump(mode="json")
    return {name: _merge(_walk(data, _path(name))) for name in strata if not _is_computed(name)}


def speaker_fields(session: Session, strata: Sequence[str]) -> dict[str, dict[str, JsonValue]]:
    """The values per speaker of the supervision fields that the strata ask for."""
    names = [name for name in strata if _path(name)[0] == "supervisions"]
    if not names:
        return {}
    supervisions: dict[str, list[JsonValue]] = {}
    for supervision in session.supervisions:
        data = supervision.model_dump(mode="json")
        supervisions.setdefault(supervision.speaker, []).append(data)
    return {
        speaker: {name: _merge(_walk(data, _path(name)[1:])) for name in names}
        for speaker, data in supervisions.items()
    }


def stratify(
    pairs: Mapping[str, Pair],
    sessions: Mapping[str, Mapping[str, Tally]],
    strata: Sequence[str],
) -> Strata:
    """Sums of every metric per stratum.

    Args:
        pairs: Both sides per session.
        sessions: Tallies per session and metric.
        strata: Names of fields; ``overlap`` and ``speakers`` are worked out from the reference.
    """
    return {name: _one_field(name, pairs, sessions) for name in strata}


def _one_field(
    name: str, pairs: Mapping[str, Pair], sessions: Mapping[str, Mapping[str, Tally]]
) -> dict[str, dict[str, Tally]]:
    values = {session: _value(name, pair.reference) for session, pair in pairs.items()}
    labels = _labels(name, values)
    groups: dict[str, dict[str, list[Tally]]] = {}
    for session, tallies in sessions.items():
        speakers = pairs[session].reference.speaker_fields
        for metric, tally in tallies.items():
            if tally.speakers and any(name in fields for fields in speakers.values()):
                for label, part in _by_speaker(name, tally, speakers):
                    groups.setdefault(label, {}).setdefault(metric, []).append(part)
            else:
                groups.setdefault(labels[session], {}).setdefault(metric, []).append(tally)
    order = sorted(groups, key=lambda label: (_sort_key(label), label))
    return {
        label: {metric: add_tallies(tallies) for metric, tallies in groups[label].items()}
        for label in order
    }


def _by_speaker(
    name: str, tally: Tally, speakers: Mapping[str, Mapping[str, JsonValue]]
) -> Iterable[tuple[str, Tally]]:
    for speaker, (errors, length) in tally.speakers.items():
        value = speakers.get(speaker, {}).get(name)
        yield _text(value), Tally(errors=errors, length=length)


def _value(name: str, side: Side) -> JsonValue:
    if name == "speakers":
        return len({s.speaker for s in side.segments})
    if name == "overlap":
        speech = total(crowded_spans(side.activity, 1))
        return total(crowded_spans(side.activity, 2)) / speech if speech else 0.0
    return side.fields.get(name)


def _labels(name: str, values: Mapping[str, JsonValue]) -> dict[str, str]:
    if name == "overlap":
        return {session: _overlap_label(value) for session, value in values.items()}
    numbers = {
        session: float(value)
        for session, value in values.items()
        if isinstance(value, int | float) and not isinstance(value, bool)
    }
    labels = {session: _text(value) for session, value in values.items()}
    if name in STEPS:
        step = STEPS[name]
        edges = (
            np.arange(
                np.floor(min(numbers.values(), default=0.0) / step),
                np.floor(max(numbers.values(), default=0.0) / step) + 2,
            )
            * step
        )
    elif len(set(numbers.values())) > MAX_VALUES:
        edges = np.unique(np.quantile(list(numbers.values()), [0.0, 0.25, 0.5, 0.75, 1.0]))
        edges[-1] = np.nextafter(edges[-1], np.inf)
    else:
        return labels
    for session, number in numbers.items():
        index = int(np.searchsorted(edges, number, side="right")) - 1
        labels[session] = f"{edges[index]:.4g} to {edges[index + 1]:.4g}"
    return labels


def _overlap_label(value: JsonValue) -> str:
    share = float(value) if isinstance(value, int | float) else 0.0
    if share == 0:
        return "0 %"
    low = 0.0
    for edge in OVERLAP_EDGES:
        if share <= edge:
            return f"{100 * low:g} to {100 * edge:g} %"
        low = edge
    return f"{100 * low:g} to 100 %"


def _path(name: str) -> list[str]:
    return ALIASES.get(name, name).split(".")


def _is_computed(name: str) -> bool:
    return name in ("overlap", "speakers")


def _walk(data: JsonValue, path: Sequence[str]) -> list[JsonValue]:
    if isinstance(data, list):
        return [value for item in data for value in _walk(item, path)]
    if not path:
        return [] if data is None else [data]
    if isinstance(data, dict) and path[0] in data:
        return _walk(data[path[0]], path[1:])
    return []


def _merge(values: Sequence[JsonValue]) -> JsonValue:
    numbers = [v for v in values if isinstance(v, int | float) and not isinstance(v, bool)]
    if not values:
        return None
    if len(numbers) == len(values):
        mean = sum(numbers) / len(numbers)
        return int(mean) if mean == int(mean) else mean
    return "+".join(sorted({_text(value) for value in values}))


def _text(value: JsonValue) -> str:
    if value is None:
        return UNKNOWN
    return f"{value:.6g}" if isinstance(value, float) else str(value)


def _sort_key(label: str) -> float:
    try:
        return float(label.split(" ")[0])
    except ValueError:
        return float("inf")
