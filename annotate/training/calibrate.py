"""Thresholds, set on simulated sessions of voices and clips that no model was trained on.

Legend: ``S`` frame of 0.1 s, ``N`` trial.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.models.sound_net import ACTIVITIES, ANY_SOUND, SoundNet, SoundNetConfig
from talkover.annotate.models.tagger import Threshold
from talkover.annotate.models.voice_net import VoiceNet
from talkover.annotate.models.window_net import WindowNet
from talkover.annotate.training.claim_fitting import counts_of, fit_scorer, look_at
from talkover.annotate.training.enrolment_trials import (
    draw_trials,
    hear_voices,
    safe_rule,
    shares,
)
from talkover.annotate.training.event_rules import best_rule, try_rules
from talkover.annotate.training.event_scores import Spans, count_events, runs, total_of
from talkover.annotate.training.measure import (
    equal_error,
    frame_f1,
    label_curves,
    second_speakers,
    stretches_of,
    trials,
)
from talkover.annotate.training.sessions import HeardSession
from talkover.annotate.training.tagger_decisions import (
    TaggerRules,
    claims_of,
    decided,
    decided_frames,
    sound_curves,
)

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


def tagger_rules(
    network: SoundNet, sessions: Sequence[HeardSession]
) -> tuple[TaggerRules, dict[str, float]]:
    """How the curve of each label becomes events, and the F1 that this gives.

    Those of activities are of the best F1 of frames, each by itself; that of any sound event of
    the best F1 of events of whatever kind; sound events themselves are chosen by a model that is
    fitted here. Its F1 is that of sessions that it was not fitted on, ``event_f1_left_out``.

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
            thresholds[label] = best_rule(try_rules(there, own, _event_rules()))
    seen = [
        look_at(sound_curves(curve, config), events_of(session, config))
        for curve, session in zip(curves, sessions, strict=True)
    ]
    fitted = fit_scorer(seen, config.events)
    rules = TaggerRules(thresholds=thresholds, claims=None if fitted is None else fitted[0])
    figures = tagger_scores(network, sessions, rules)
    if fitted is not None:
        figures["event_f1_left_out"] = round(fitted[1], 4)
    return rules, figures


def events_of(session: HeardSession, config: SoundNetConfig) -> list[Spans]:
    """True sound events of each kind, in frames of 0.1 s."""
    columns = range(len(ACTIVITIES), len(ACTIVITIES) + len(config.events))
    return [runs(session.sounding[:, column]) for column in columns]


def tagger_scores(
    network: SoundNet, sessions: Sequence[HeardSession], rules: TaggerRules
) -> dict[str, float]:
    """F1 of the frames of each label, their means, and F1 of events, of whatever kind and named.

    Args:
        network: The model.
        sessions: The truth.
        rules: How curves become events.
    """
    config = network.config
    labels = config.labels
    curves = [label_curves(network, session) for session in sessions]
    there = [session.sounding[:, : len(labels)] for session in sessions]
    found = [decided_frames(curve, config, rules) for curve in curves]
    whole, claimed = np.concatenate(there), np.concatenate(found)
    figures = {
        label: round(frame_f1(whole[:, column], claimed[:, column]), 4)
        for column, label in enumerate(labels)
    }
    for name, group in (("activities", ACTIVITIES), ("events", config.events)):
        figures[f"{name}_mean"] = round(float(np.mean([figures[label] for label in group])), 4)
    named = total_of(
        counts_of(events_of(session, config), claims_of(curve, config, rules))
        for curve, session in zip(curves, sessions, strict=True)
    )
    column = labels.index(ANY_SOUND)
    nameless = total_of(
        count_events(real[:, column], said[:, column])
        for real, said in zip(there, found, strict=True)
    )
    return {
        **figures,
        "event_f1": round(named.f1, 4),
        "event_f1_any_label": round(nameless.f1, 4),
    }


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
