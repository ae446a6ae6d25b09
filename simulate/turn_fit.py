"""Labels of real conversations → a turn-taking model: reading, checks, origin, borrowed pauses.

The estimates themselves are in `talkover.simulate.turn_estimates`.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path

import numpy as np

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.labels import read_labels
from talkover.manifests.turn_taking import Spoken
from talkover.simulate.turn_calibration import calibrate
from talkover.simulate.turn_estimates import estimate
from talkover.simulate.turn_events import SessionEvents, session_events
from talkover.simulate.turn_targets import MAX_SPEAKERS
from talkover.simulate.turns import Origin, TurnModel

JOIN = 0.2
"""Seconds; the pause below which the field and the contract see one unit."""
LEAST_LENGTH = 20.0
"""Seconds; shorter sessions have no turn-taking to speak of."""
LEAST_SESSIONS = 3
LEAST_CHANGES = 100
"""Changes of speaker; below, the tails of the offsets are a handful of values."""
LEAST_HOLDS = 30
COARSE_PAUSES = 0.5
"""Seconds; labels that show almost no shorter silence of one speaker cannot show pauses."""
CALIBRATION_HOURS = 30.0
CALIBRATION_ROUNDS = 10
RESOLUTION_SHARE = 0.02
_PAUSE_WARNING = "pauses are an artefact of the labels"


def fit(
    label_paths: Sequence[Path | str],
    *,
    name: str,
    source: str,
    licence: str,
    attribution: str,
    url: str = "",
    join: float = JOIN,
    pauses_from: TurnModel | None = None,
    calibration_hours: float = CALIBRATION_HOURS,
) -> TurnModel:
    """Fit a model on label files.

    Args:
        label_paths: RTTM, STM, CTM, SegLST, Lhotse or word TSV, plain or .gz.
        name: Of the model.
        source: Corpus of the labels.
        licence: Of the labels, best as SPDX.
        attribution: Whom to name.
        url: Where the labels are.
        join: Silences of one speaker shorter than this are part of a unit, seconds.
        pauses_from: Take the pauses of this model, where the labels cannot show them.
        calibration_hours: Timing sampled in each round of `turn_calibration`; 0 leaves it out.

    Raises:
        ManifestError: If a file cannot be read as labels.
        ConfigurationError: If there is too little to fit on; names the files.
    """
    sessions: dict[str, list[Spoken]] = {}
    for path in label_paths:
        for session, segments in read_labels(Path(path), regions=True).items():
            sessions.setdefault(session, []).extend(segments)
    return fit_sessions(
        sessions,
        name=name,
        source=source,
        licence=licence,
        attribution=attribution,
        url=url,
        join=join,
        pauses_from=pauses_from,
        calibration_hours=calibration_hours,
        where=", ".join(str(path) for path in label_paths),
    )


def fit_sessions(
    sessions: Mapping[str, Iterable[Spoken]],
    *,
    name: str,
    source: str,
    licence: str,
    attribution: str,
    url: str = "",
    join: float = JOIN,
    pauses_from: TurnModel | None = None,
    calibration_hours: float = CALIBRATION_HOURS,
    where: str = "the labels",
) -> TurnModel:
    """Fit a model on labels in memory; arguments as for `fit`, `where` is what an error names.

    Raises:
        ConfigurationError: If there is too little to fit on.
    """
    walked = [session_events(sessions[key], join) for key in sorted(sessions)]
    events = [e for e in walked if e is not None and e.speakers > 1 and e.length >= LEAST_LENGTH]
    _check_enough(events, where, with_holds=pauses_from is None)
    gaps = np.array([gap for e in events for gap in e.gaps])
    resolution = float(np.quantile(gaps, RESOLUTION_SHARE)) if len(gaps) else 0.0
    origin = Origin(
        source=source,
        licence=licence,
        attribution=attribution,
        url=url,
        sessions=len(events),
        hours=round(sum(e.length for e in events) / 3600, 2),
        join=join,
        resolution=round(resolution, 3),
        pauses=name,
        warnings=_warnings(events, resolution),
    )
    model = estimate(events, name, origin)
    if calibration_hours > 0:
        model = calibrate(model, events, hours=calibration_hours, rounds=CALIBRATION_ROUNDS)
    return model if pauses_from is None else with_pauses_of(model, pauses_from)


def with_pauses_of(model: TurnModel, other: TurnModel) -> TurnModel:
    """The model with another corpus' pauses, and as much less or more silence as these bring.

    Origin, licence and attribution name both corpora.
    """
    hold, switch, _ = model.transitions.stationary
    gaps = switch * model.offset_gap_mean
    ratio = (gaps + hold * other.pauses.mean) / (gaps + hold * model.pauses.mean)
    mean, spread = model.sessions.silence.mean, model.sessions.silence.deviation
    odds = mean / (1 - mean) * ratio
    silence = model.sessions.silence.moved(odds / (1 + odds), spread * odds / (1 + odds) / mean)
    first, second = model.origin, other.origin
    licences = dict.fromkeys((first.licence, second.licence))
    origin = first.model_copy(
        update={
            "source": f"{first.source}; pauses: {second.source}",
            "licence": " AND ".join(licences),
            "attribution": f"{first.attribution}; pauses: {second.attribution}",
            "pauses": other.origin.pauses,
            "warnings": (
                *(w for w in first.warnings if not w.startswith(_PAUSE_WARNING)),
                f"pauses are those of {other.name}, not of {model.name}: silence is "
                f"{silence.mean:.1%} where the labels of {model.name} have {mean:.1%}",
            ),
        }
    )
    response = model.sessions.response.model_copy(update={"pauses": other.sessions.response.pauses})
    return model.model_copy(
        update={
            "pauses": other.pauses,
            "origin": origin,
            "sessions": model.sessions.model_copy(
                update={"silence": silence, "response": response}
            ),
        }
    )


def _warnings(events: Sequence[SessionEvents], resolution: float) -> tuple[str, ...]:
    found = []
    if resolution > COARSE_PAUSES:
        found.append(
            f"{_PAUSE_WARNING}: 98 % of one speaker's silences are longer than "
            f"{resolution:.2f} s, so shorter ones were not labelled: take pauses from another model"
        )
    many = sum(1 for e in events if e.speakers > MAX_SPEAKERS)
    if many:
        found.append(
            f"{many} of {len(events)} sessions have more than {MAX_SPEAKERS} speakers and count "
            f"as sessions of {MAX_SPEAKERS}"
        )
    return tuple(found)


def _check_enough(events: Sequence[SessionEvents], where: str, *, with_holds: bool) -> None:
    if len(events) < LEAST_SESSIONS:
        raise ConfigurationError(
            f"{where}: {len(events)} sessions with two or more speakers and {LEAST_LENGTH:g} s, "
            f"but a fit needs {LEAST_SESSIONS}: give more label files"
        )
    kinds = [unit.kind for e in events for unit in e.floor[1:]]
    changes = sum(1 for kind in kinds if kind != "hold")
    if changes < LEAST_CHANGES:
        raise ConfigurationError(
            f"{where}: {changes} changes of speaker, but a fit needs {LEAST_CHANGES}: "
            "give more label files"
        )
    holds = len(kinds) - changes
    if with_holds and holds < LEAST_HOLDS:
        raise ConfigurationError(
            f"{where}: {holds} pauses, but a fit needs {LEAST_HOLDS}: give more label files, or "
            "take the pauses of another model"
        )
