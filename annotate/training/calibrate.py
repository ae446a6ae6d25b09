"""Thresholds, set on simulated sessions of voices and clips that no model was trained on.

Legend: ``S`` frame of 0.1 s, ``N`` trial.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.models.sound_net import FRAME, SoundNet
from talkover.annotate.models.tagger import Threshold
from talkover.annotate.models.voice_net import VoiceNet
from talkover.annotate.models.window_net import WindowNet
from talkover.annotate.training.event_scores import EventCounts, count_events, spans_on
from talkover.annotate.training.measure import (
    equal_error,
    frame_f1,
    label_curves,
    second_speakers,
    stretches_of,
    trials,
)
from talkover.annotate.training.sessions import HeardSession
from talkover.manifests.seeds import SESSION_OF_CORPUS, generator

FRAME_S = FRAME / 16000
ONSETS = (0.1, 0.15, 0.2, 0.25, 0.3, 0.35, 0.4, 0.45, 0.5, 0.55, 0.6, 0.65, 0.7, 0.75, 0.8, 0.9)
OFFSET_SHARES = (0.3, 0.5, 0.75, 1.0)
"""Of the onset."""
SHORTEST = (0.1, 0.2, 0.4)
"""Seconds."""
GAPS = (0.1, 0.3, 0.6)
"""Seconds."""
ENROLLED = 5
"""Known voices in each trial of enrolment."""
FALSE_ACCEPTS = 0.03
"""Unknown people who may be taken for a known one, in calibration; the bar of the test is 5 %."""
MARGIN = 0.05
TRIALS = 2000


def overlap_threshold(
    network: WindowNet, sessions: Sequence[HeardSession]
) -> tuple[float, dict[str, float]]:
    """Probability of a second speaker from which two speak, of the best F1 of frames; and that F1.

    Args:
        network: The model.
        sessions: Of voices that it was not trained on.
    """
    found, there = second_speakers(network, sessions)
    best = max(ONSETS, key=lambda level: frame_f1(there, found >= level))
    return best, {"overlap_f1_at_threshold": round(frame_f1(there, found >= best), 4)}


def embedding_thresholds(
    network: VoiceNet, sessions: Sequence[HeardSession]
) -> tuple[dict[str, float], dict[str, float]]:
    """Thresholds of cosines, and the equal error rates behind them.

    Args:
        network: The model.
        sessions: Of voices that it was not trained on.
    """
    figures, thresholds = {}, {}
    for seconds in (1.0, 2.0, 3.0):
        found = stretches_of(network, sessions, seconds)
        for within, name in ((False, "other_session"), (True, "same_session")):
            rate, level = equal_error(*trials(found, within=within))
            figures[f"eer_{seconds:g}s_{name}"] = round(rate, 4)
            if seconds == 2.0:
                thresholds["verification" if not within else "clustering"] = round(level, 4)
    thresholds["enrolment"] = round(_enrolment_threshold(network, sessions), 4)
    thresholds["margin"] = MARGIN
    return thresholds, figures


def _enrolment_threshold(network: VoiceNet, sessions: Sequence[HeardSession]) -> float:
    """Cosine that few unknown voices reach, to the best of `ENROLLED` known ones."""
    found = stretches_of(network, sessions, 3.0)
    voice, session = np.array(found.voices), np.array(found.sessions)
    origin = np.array([v.split("-x")[0] for v in found.voices])
    profiles = {}
    for name in sorted(set(found.voices)):
        mean = found.vectors[voice == name].mean(axis=0)
        profiles[name] = mean / np.linalg.norm(mean)
    rng = generator(0, SESSION_OF_CORPUS, "calibrate/enrolment")
    best = []
    for _ in range(TRIALS):
        who = int(rng.integers(len(voice)))
        same = (voice == voice[who]) & (session == session[who])
        person = found.vectors[same].mean(axis=0)
        others = [name for name in profiles if name.split("-x")[0] != origin[who]]
        known = rng.permutation(len(others))[:ENROLLED]
        person = person / np.linalg.norm(person)
        best.append(max(float(person @ profiles[others[int(k)]]) for k in known))
    return float(np.quantile(best, 1 - FALSE_ACCEPTS))


def tagger_thresholds(
    network: SoundNet, sessions: Sequence[HeardSession]
) -> tuple[dict[str, Threshold], dict[str, float]]:
    """How the curve of each label becomes events, and the F1 that this gives.

    Onset and offset of activities are those of the best F1 of frames; for events, with shortest
    length and gap, those of the best F1 of events.

    Args:
        network: The model.
        sessions: With clips that it was not trained on.
    """
    curves = [label_curves(network, session) for session in sessions]
    thresholds, figures = {}, {}
    for column, label in enumerate(network.config.labels):
        there = [session.sounding[:, column] for session in sessions]
        own = [curve[:, column] for curve in curves]
        best, score = Threshold(), -1.0
        for candidate in _candidates(label in network.config.events):
            value = (
                _event_score(there, own, candidate)
                if label in network.config.events
                else _frame_score(there, own, candidate)
            )
            if value > score:
                best, score = candidate, value
        thresholds[label] = best
        figures[label] = round(score, 4)
    return thresholds, figures


def decided(curve: NDArray[np.float32], threshold: Threshold) -> NDArray[np.bool_]:
    """Frames that are on: hysteresis, gaps filled, short ones dropped."""
    result = np.zeros(len(curve), dtype=np.bool_)
    for start, end in spans_on(
        curve,
        onset=threshold.onset,
        offset=threshold.offset,
        shortest=round(threshold.shortest_s / FRAME_S),
        gap=round(threshold.gap_s / FRAME_S),
    ):
        result[start:end] = True
    return result


def _candidates(is_event: bool) -> list[Threshold]:
    lengths = [(s, g) for s in SHORTEST for g in GAPS] if is_event else [(0.3, 0.5)]
    return [
        Threshold(onset=onset, offset=round(onset * share, 4), shortest_s=shortest, gap_s=gap)
        for onset in ONSETS
        for share in OFFSET_SHARES
        for shortest, gap in lengths
    ]


def _frame_score(
    there: Sequence[NDArray[np.bool_]], curves: Sequence[NDArray[np.float32]], threshold: Threshold
) -> float:
    found = np.concatenate([decided(curve, threshold) for curve in curves])
    return frame_f1(np.concatenate(there), found)


def _event_score(
    there: Sequence[NDArray[np.bool_]], curves: Sequence[NDArray[np.float32]], threshold: Threshold
) -> float:
    """F1 of events, and half of that of frames: the first alone is a jumpy figure of few events."""
    counts = EventCounts()
    frames = []
    for truth, curve in zip(there, curves, strict=True):
        found = decided(curve, threshold)
        frames.append(found)
        counts += count_events(truth, found)
    return (counts.f1 + 0.5 * frame_f1(np.concatenate(there), np.concatenate(frames))) / 1.5
