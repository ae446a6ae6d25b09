"""What is set on calibration sessions, and what is measured on test sessions, by model."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, cast

from pydantic import JsonValue
from torch import nn

from talkover.annotate.models.files import ModelKind
from talkover.annotate.models.sound_net import SoundNet
from talkover.annotate.models.voice_net import VoiceNet
from talkover.annotate.models.window_net import WindowNet
from talkover.annotate.training.calibrate import (
    embedding_thresholds,
    overlap_threshold,
    tagger_rules,
    tagger_scores,
)
from talkover.annotate.training.enrolment_trials import draw_trials, hear_voices, shares
from talkover.annotate.training.measure import (
    DECIDED,
    equal_error,
    frame_f1,
    second_speakers,
    stretches_of,
    trials,
    window_errors,
)
from talkover.annotate.training.sessions import HeardSession
from talkover.annotate.training.tagger_decisions import TaggerRules

Figures = dict[str, JsonValue]


def calibrated(
    kind: ModelKind, network: nn.Module, sessions: Sequence[HeardSession]
) -> tuple[Figures, Figures]:
    """Settings for `model.json`, and the figures of the sessions that they were set on.

    Args:
        kind: Which model.
        network: The model.
        sessions: Of voices and clips that it was not trained on; none leaves the defaults.
    """
    if not sessions:
        return {}, {}
    if kind == "segmentation":
        level, figures = overlap_threshold(cast(WindowNet, network), sessions)
        errors = window_errors(cast(WindowNet, network), sessions).as_dict()
        return {"thresholds": {"overlap": level}}, {**errors, **figures}
    if kind == "embedding":
        levels, rates = embedding_thresholds(cast(VoiceNet, network), sessions)
        return {"thresholds": dict(levels)}, dict(rates)
    rules, scores = tagger_rules(cast(SoundNet, network), sessions)
    return rules.as_dict(), dict(scores)


def scored(
    kind: ModelKind,
    network: nn.Module,
    sessions: Sequence[HeardSession],
    settings: Mapping[str, Any],
) -> Figures:
    """Scores of a model on sessions that nothing was set on.

    Args:
        kind: Which model.
        network: The model.
        sessions: Of voices and clips that are in no other set; none gives no scores.
        settings: As `calibrated` gave them.
    """
    if not sessions:
        return {}
    if kind == "segmentation":
        return _segmentation_scores(cast(WindowNet, network), sessions, settings)
    if kind == "embedding":
        voices = cast(VoiceNet, network)
        figures = _embedding_scores(voices, sessions)
        return {**figures, **_enrolment_scores(voices, sessions, settings)}
    return _tagger_scores(cast(SoundNet, network), sessions, settings)


def _segmentation_scores(
    network: WindowNet, sessions: Sequence[HeardSession], settings: Mapping[str, Any]
) -> Figures:
    figures: Figures = dict(window_errors(network, sessions).as_dict())
    level = settings.get("thresholds", {}).get("overlap", DECIDED)
    found, there = second_speakers(network, sessions)
    return {**figures, "overlap_f1_at_threshold": round(frame_f1(there, found >= level), 4)}


def _embedding_scores(network: VoiceNet, sessions: Sequence[HeardSession]) -> Figures:
    figures: Figures = {}
    for seconds in (1.0, 2.0, 3.0):
        found = stretches_of(network, sessions, seconds)
        for within, name in ((False, "other_session"), (True, "same_session")):
            rate, _ = equal_error(*trials(found, within=within))
            figures[f"eer_{seconds:g}s_{name}"] = round(rate, 4)
    return figures


def _enrolment_scores(
    network: VoiceNet, sessions: Sequence[HeardSession], settings: Mapping[str, Any]
) -> Figures:
    thresholds = settings.get("thresholds", {})
    if "enrolment" not in thresholds:
        return {}
    rule = {name: thresholds[name] for name in ("enrolment", "enrolment_shortness")}
    return dict(shares(draw_trials(hear_voices(network, sessions)), rule))


def _tagger_scores(
    network: SoundNet, sessions: Sequence[HeardSession], settings: Mapping[str, Any]
) -> Figures:
    return dict(tagger_scores(network, sessions, TaggerRules.of(settings)))
