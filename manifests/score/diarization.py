"""Diarization error rate and Jaccard error rate, by exact interval arithmetic.

Convention: the collar is *seconds on each side* of every boundary of the reference (0.25 is that of
md-eval and CHiME; pyannote.metrics calls the same 0.5). Its default 0 with overlapped speech scored
is the convention of DIHARD. Touching or overlapping stretches of one speaker are one stretch, so
nobody is counted twice. Scored is the UEM, or the whole session where there is none.

DER = (miss + false alarm + confusion) / reference speaker time, under the one-to-one mapping of
speakers with the longest common time. JER (Ryant et al. 2019, second DIHARD evaluation plan) is the
mean over reference speakers of (their miss + their false alarm) / union with their partner, under
the mapping that makes it least.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue
from scipy.optimize import linear_sum_assignment

from talkover.manifests.score.sides import Pair
from talkover.manifests.score.spans import Spans, elementary_edges, join_spans, occupancy
from talkover.manifests.score.tally import Tally


@dataclass(frozen=True, kw_only=True)
class Activity:
    """Who is active on each elementary interval that is scored."""

    widths: NDArray[np.float64]
    """Seconds, shape ``[E]``."""
    reference: NDArray[np.bool_]
    """Shape ``[K, E]``, in the order of the reference's speakers."""
    hypothesis: NDArray[np.bool_]
    """Shape ``[K, E]``, in the order of the hypothesis' speakers."""

    def common_time(self) -> NDArray[np.float64]:
        """Seconds that each pair of speakers shares, shape ``[reference, hypothesis]``."""
        weighted = self.reference * self.widths
        return np.asarray(weighted @ self.hypothesis.T.astype(np.float64))


def convention(collar: float, skip_overlap: bool) -> str:
    """The convention of a DER in words, to stand beside every figure."""
    overlap = "overlapped speech left out" if skip_overlap else "overlapped speech scored"
    return f"collar {collar:g} s on each side of every reference boundary, {overlap}"


def scored_activity(
    reference: Mapping[str, Spans],
    hypothesis: Mapping[str, Spans],
    scored: Spans,
    collar: float = 0.0,
    skip_overlap: bool = False,
) -> Activity:
    """Cut the session at every boundary and keep what is scored.

    Args:
        reference: Stretches per speaker, seconds.
        hypothesis: Stretches per speaker, seconds.
        scored: What may be scored.
        collar: Seconds on each side of every boundary of the reference that are not scored.
        skip_overlap: Leave out where two or more reference speakers are active.
    """
    bounds = np.concatenate([spans.ravel() for spans in reference.values()] or [np.zeros(0)])
    around = np.stack([bounds - collar, bounds + collar], axis=1)
    unscored = join_spans(around) if collar > 0 else np.zeros((0, 2))
    edges = elementary_edges(reference.values(), hypothesis.values(), [scored, unscored])
    size = max(0, len(edges) - 1)
    rows = [occupancy(spans, edges) for spans in reference.values()]
    others = [occupancy(spans, edges) for spans in hypothesis.values()]
    first = np.array(rows, dtype=np.bool_).reshape(len(rows), size)
    second = np.array(others, dtype=np.bool_).reshape(len(others), size)
    keep = occupancy(scored, edges) & ~occupancy(unscored, edges)
    if skip_overlap:
        keep &= first.sum(axis=0) < 2
    return Activity(
        widths=np.diff(edges)[keep], reference=first[:, keep], hypothesis=second[:, keep]
    )


def pair_by_overlap(
    reference: Mapping[str, Spans], hypothesis: Mapping[str, Spans], scored: Spans
) -> dict[str, str]:
    """Reference speaker to hypothesis speaker, by the longest common time; no time, no partner."""
    common = scored_activity(reference, hypothesis, scored).common_time()
    names, others = list(reference), list(hypothesis)
    rows, columns = linear_sum_assignment(common, maximize=True)
    return {names[r]: others[c] for r, c in zip(rows, columns, strict=True) if common[r, c] > 0}


def diarization_error(pair: Pair, collar: float, skip_overlap: bool) -> Tally:
    """DER of the session; times in seconds, with the share inside overlapped speech."""
    reference, hypothesis = pair.reference.activity, pair.hypothesis.activity
    activity = scored_activity(reference, hypothesis, pair.scored, collar, skip_overlap)
    common, widths = activity.common_time(), activity.widths
    rows, columns = linear_sum_assignment(common, maximize=True)
    hits = activity.reference[rows] & activity.hypothesis[columns]  # [pairs, E]
    num_reference = activity.reference.sum(axis=0)
    num_hypothesis = activity.hypothesis.sum(axis=0)
    miss = np.maximum(num_reference - num_hypothesis, 0)
    false_alarm = np.maximum(num_hypothesis - num_reference, 0)
    confusion = np.minimum(num_reference, num_hypothesis) - hits.sum(axis=0)
    errors = miss + false_alarm + confusion
    crowded = num_reference > 1
    lost = activity.reference.copy()
    lost[rows] &= ~hits
    return Tally(
        errors=float(errors @ widths),
        length=float(num_reference @ widths),
        parts={
            "miss": float(miss @ widths),
            "false_alarm": float(false_alarm @ widths),
            "confusion": float(confusion @ widths),
            "overlapped_errors": float((errors * crowded) @ widths),
            "overlapped_length": float((num_reference * crowded) @ widths),
        },
        speakers={
            name: (float(lost[i] @ widths), float(activity.reference[i] @ widths))
            for i, name in enumerate(reference)
        },
        detail={"mapping": _mapping(list(reference), list(hypothesis), common, rows, columns)},
    )


def jaccard_error(pair: Pair) -> Tally:
    """JER of the session: errors are the sum over reference speakers, the length is their number.

    No collar: the evaluation plan has none. A reference speaker without any scored speech is left
    out.
    """
    reference, hypothesis = pair.reference.activity, pair.hypothesis.activity
    activity = scored_activity(reference, hypothesis, pair.scored)
    common = activity.common_time()
    durations = activity.reference @ activity.widths
    spoken = durations > 0
    union = durations[:, None] + (activity.hypothesis @ activity.widths)[None, :] - common
    shared = np.divide(common, union, out=np.zeros_like(common), where=union > 0)
    rates = np.maximum(1 - shared, 0.0)  # rounding may leave a share just above one
    rates = rates[spoken]
    names = [name for name, kept in zip(reference, spoken, strict=True) if kept]
    per_speaker = np.ones(len(names))
    rows, columns = linear_sum_assignment(rates)
    per_speaker[rows] = rates[rows, columns]
    return Tally(
        errors=float(per_speaker.sum()),
        length=len(names),
        speakers={name: (float(rate), 1.0) for name, rate in zip(names, per_speaker, strict=True)},
    )


def _mapping(
    names: list[str],
    others: list[str],
    common: NDArray[np.float64],
    rows: NDArray[np.intp],
    columns: NDArray[np.intp],
) -> dict[str, JsonValue]:
    return {names[r]: others[c] for r, c in zip(rows, columns, strict=True) if common[r, c] > 0}
