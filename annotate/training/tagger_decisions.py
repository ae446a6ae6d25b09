"""What a tagger's curves are taken to say, as `talkover annotate` would take them.

Legend: ``S`` frame of 0.1 s, ``L`` label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, cast

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from talkover.annotate.models.sound_net import ACTIVITIES, ANY_SOUND, EDGES, SoundNetConfig
from talkover.annotate.models.tagger import Threshold
from talkover.annotate.sounds.claims import Claim, Scorer, claim
from talkover.annotate.sounds.proposals import SoundCurves
from talkover.annotate.training.event_rules import spans_by


@dataclass(frozen=True, kw_only=True)
class TaggerRules:
    """How curves become events."""

    thresholds: Mapping[str, Threshold] = field(default_factory=dict)
    """Of activities and of any sound; the default for a label that is not there."""
    claims: Scorer | None = None
    """Chooses sound events; None where there was nothing to fit it on."""

    def as_dict(self) -> dict[str, JsonValue]:
        """For `model.json`."""
        shown = {label: cast(JsonValue, rule.as_dict()) for label, rule in self.thresholds.items()}
        claims = {} if self.claims is None else {"claims": self.claims.as_dict()}
        return {"thresholds": shown, **claims}

    @staticmethod
    def of(settings: Mapping[str, Any]) -> TaggerRules:
        """From what `as_dict` gave."""
        given = settings.get("thresholds", {})
        claims = settings.get("claims")
        return TaggerRules(
            thresholds={label: Threshold(**rule) for label, rule in given.items()},
            claims=None if claims is None else Scorer.of(claims),
        )

    def of_label(self, label: str) -> Threshold:
        """The rule of a label's curve."""
        return self.thresholds.get(label, Threshold())


def decided(
    curve: NDArray[np.float32], threshold: Threshold, *, early: bool = False
) -> NDArray[np.bool_]:
    """Frames that are on: hysteresis, gaps filled, short ones dropped.

    Args:
        curve: Probabilities.
        threshold: The rule.
        early: Begin where the curve rose over the offset, as sound events do.
    """
    result = np.zeros(len(curve), dtype=np.bool_)
    for start, end in spans_by(curve, threshold, early=early):
        result[start:end] = True
    return result


def sound_curves(curves: NDArray[np.float32], config: SoundNetConfig) -> SoundCurves:
    """What is known of sound events, kinds in the order of `config.events`.

    Args:
        curves: Probabilities, shape ``[S, L]``.
        config: Says what the labels are; one of them must be that of any sound.
    """
    first, labels = len(ACTIVITIES), config.labels
    edges = [curves[:, labels.index(edge)] for edge in EDGES if edge in labels]
    return SoundCurves.of(
        kinds=curves[:, first : first + len(config.events)],
        any_sound=curves[:, labels.index(ANY_SOUND)],
        edges=np.stack(edges, axis=1) if edges else np.zeros((len(curves), len(EDGES))),
        activities=curves[:, : first - 1],  # all but silence
    )


def claims_of(
    curves: NDArray[np.float32], config: SoundNetConfig, rules: TaggerRules
) -> list[Claim]:
    """Sound events with their kinds; none where no scorer was fitted.

    Args:
        curves: Shape ``[S, L]``.
        config: Says what the labels are.
        rules: How curves become events.
    """
    return [] if rules.claims is None else claim(sound_curves(curves, config), rules.claims)


def decided_frames(
    curves: NDArray[np.float32], config: SoundNetConfig, rules: TaggerRules
) -> NDArray[np.bool_]:
    """Frames in which each label is claimed, shape ``[S, L]``; arguments as of `claims_of`."""
    result = np.zeros(curves.shape, dtype=np.bool_)
    for column, label in enumerate(config.labels):
        if label not in config.events:
            early = label == ANY_SOUND
            result[:, column] = decided(curves[:, column], rules.of_label(label), early=early)
    for one in claims_of(curves, config, rules):
        result[one.start : one.end, len(ACTIVITIES) + one.kind] = True
    return result
