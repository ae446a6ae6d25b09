"""Thresholds, set on simulated sessions of voices and clips that no model was trained on.

Legend: ``S`` frame of 0.1 s, ``N`` trial.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.models.sound_net import ACTIVITIES, ANY_SOUND, SoundNet
from talkover.annotate.models.tagger import Threshold
from talkover.annotate.models.voice_net import VoiceNet
from talkover.annotate.models.window_net import WindowNet
from talkover.annotate.training.enrolment_trials import (
    draw_trials,
    hear_voices,
    safe_rule,
    shares,
)
from talkover.annotate.training.event_rules import (
    best_alone,
    best_together,
    try_names,
    try_rules,
)
from talkover.annotate.training.event_scores import count_events, total_of
from talkover.annotate.training.measure import (
    equal_error,
    frame_f1,
    label_curves,
    second_speakers,
    stretches_of,
    trials,
)
from talkover.annotate.training.sessions import HeardSession
from talkover.annotate.training.tagger_decisions import claims_of, decided, decided_frames

ONSETS = (*(round(0.05 * step, 2) for step in range(2, 20)), 0.97, 0.98, 0.985, 0.99)
OFFSET_SHARES = (0.3, 0.5, 0.75, 1.0)
"""Of the onset."""
SHORTEST = (0.1, 0.2, 0.4, 0.6)
"""Seconds."""
GAPS = (0.1, 0.2, 0.4, 0.7)
"""Seconds."""
MARGIN = 0.05


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
    found_trials = draw_trials(hear_voices(network, sessions))
    rule = safe_rule(found_trials)
    thresholds |= {**rule, "margin": MARGIN}
    return thresholds, {**figures, **shares(found_trials, rule)}


def tagger_thresholds(
    network: SoundNet, sessions: Sequence[HeardSession]
) -> tuple[dict[str, Threshold], dict[str, float]]:
    """How the curve of each label becomes events, and the F1 that this gives.

    Those of activities are of the best F1 of frames, each by itself; that of any sound event of
    the best F1 of events of whatever kind; those of the kinds together of the best F1 of events.

    Args:
        network: The model.
        sessions: With clips that it was not trained on.
    """
    config = network.config
    curves = [label_curves(network, session) for session in sessions]
    thresholds = {}
    for column, label in enumerate(config.labels):
        there = [session.sounding[:, column] for session in sessions]
        own = [curve[:, column] for curve in curves]
        if label in ACTIVITIES:
            scores = {rule: _frame_score(there, own, rule) for rule in _activity_rules()}
            thresholds[label] = max(scores, key=lambda rule: scores[rule])
        elif label == ANY_SOUND:
            thresholds[label] = best_alone(try_rules(there, own, _event_rules()))
    claims = [claims_of(curve, config, thresholds) for curve in curves]
    trials = {}
    for kind, label in enumerate(config.events):
        there = [session.sounding[:, len(ACTIVITIES) + kind] for session in sessions]
        trials[label] = try_names(there, [[c for c in own if c.kind == kind] for own in claims])
    thresholds |= best_together(trials)[0]
    return thresholds, tagger_scores(network, sessions, thresholds)


def tagger_scores(
    network: SoundNet, sessions: Sequence[HeardSession], thresholds: Mapping[str, Threshold]
) -> dict[str, float]:
    """F1 of the frames of each label, their means, and F1 of events, of whatever kind and named.

    Args:
        network: The model.
        sessions: The truth.
        thresholds: Of each label.
    """
    labels = network.config.labels
    there = [session.sounding[:, : len(labels)] for session in sessions]
    found = [
        decided_frames(label_curves(network, session), network.config, thresholds)
        for session in sessions
    ]
    whole, claimed = np.concatenate(there), np.concatenate(found)
    figures = {
        label: round(frame_f1(whole[:, column], claimed[:, column]), 4)
        for column, label in enumerate(labels)
    }
    for name, group in (("activities", ACTIVITIES), ("events", network.config.events)):
        figures[f"{name}_mean"] = round(float(np.mean([figures[label] for label in group])), 4)
    for name, group in (("event_f1", network.config.events), ("event_f1_any_label", (ANY_SOUND,))):
        counts = total_of(
            count_events(real[:, labels.index(label)], said[:, labels.index(label)])
            for real, said in zip(there, found, strict=True)
            for label in group
        )
        figures[name] = round(counts.f1, 4)
    return figures


def _activity_rules() -> list[Threshold]:
    return [
        Threshold(onset=onset, offset=round(onset * share, 4), shortest_s=0.3, gap_s=0.5)
        for onset in ONSETS
        for share in OFFSET_SHARES
    ]


def _event_rules() -> list[Threshold]:
    return [
        Threshold(onset=onset, offset=round(onset * share, 4), shortest_s=shortest, gap_s=gap)
        for onset in ONSETS
        for share in OFFSET_SHARES
        for shortest in SHORTEST
        for gap in GAPS
    ]


def _frame_score(
    there: Sequence[NDArray[np.bool_]], curves: Sequence[NDArray[np.float32]], threshold: Threshold
) -> float:
    found = np.concatenate([decided(curve, threshold) for curve in curves])
    return frame_f1(np.concatenate(there), found)
