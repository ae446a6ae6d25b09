"""Turn-taking figures of one session, from its speech regions.

Regions of a speaker are joined over gaps under `PAUSE_JOIN`, also from one supervision to the next,
and the floor is followed as in `talkover.manifests.turn_taking`. Ratios of time are of the whole
session, from its first to its last sample, with the silence at both ends. Integer samples decide;
seconds and ratios are rounded to `FIGURE_DIGITS`.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np

from talkover.manifests.regions import Spans, occupancy, units_of
from talkover.manifests.schema import Quantiles, Statistics, Supervision
from talkover.manifests.turn_taking import FloorWalk, walk_floor

FIGURE_DIGITS = 6
"""Digits after the point: a microsecond, a sixteenth of a sample at 16 kHz."""


def session_statistics(
    supervisions: Sequence[Supervision], num_samples: int, sampling_rate: int
) -> Statistics:
    """Measure a session.

    ``num_turns`` counts turn ids; ``talk_shares`` are of the sum over speakers, so that overlapped
    time counts for each of them, and are 0 where nobody speaks.

    Args:
        supervisions: With regions on the session's clock.
        num_samples: Length of the session, above 0.
        sampling_rate: In Hz.
    """
    units = units_of(supervisions, sampling_rate)
    total = occupancy(units, num_samples)
    walk = _walk(units)
    talk = {name: int((spans[:, 1] - spans[:, 0]).sum()) for name, spans in units.items()}
    everything = sum(talk.values())
    return Statistics(
        speech=_rounded(total.speech / sampling_rate),
        overlap=_rounded(total.overlap / sampling_rate),
        overlap_of_speech=_ratio(total.overlap, total.speech),
        overlap_of_time=_ratio(total.overlap, num_samples),
        silence_of_time=_ratio(total.silence, num_samples),
        max_concurrent=total.max_concurrent,
        num_speakers=len(units),
        num_turns=len({supervision.turn_id for supervision in supervisions}),
        talk_shares={name: _ratio(samples, everything) for name, samples in talk.items()},
        floor_transfer_offsets=_quantiles(walk.fto, sampling_rate),
        pauses=_quantiles(walk.pauses, sampling_rate),
    )


def _walk(units: Mapping[str, Spans]) -> FloorWalk:
    """The floor of a session, in samples."""
    return walk_floor(
        sorted(
            (float(start), float(end), name)
            for name, spans in units.items()
            for start, end in spans.tolist()
        )
    )


def _quantiles(samples: Sequence[float], sampling_rate: int) -> Quantiles:
    if not samples:
        return Quantiles(count=0)
    p10, p50, p90 = np.percentile(np.asarray(samples) / sampling_rate, [10, 50, 90])
    return Quantiles(count=len(samples), p10=_rounded(p10), p50=_rounded(p50), p90=_rounded(p90))


def _ratio(part: int, whole: int) -> float:
    return _rounded(part / whole) if whole else 0.0


def _rounded(value: float) -> float:
    return round(float(value), FIGURE_DIGITS)
