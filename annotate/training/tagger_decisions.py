"""What a tagger's curves are taken to say, as `talkover annotate` would take them.

Legend: ``S`` frame of 0.1 s, ``L`` label.
"""

from __future__ import annotations

from collections.abc import Mapping

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.models.sound_net import ACTIVITIES, ANY_SOUND, SoundNetConfig
from talkover.annotate.models.tagger import Threshold
from talkover.annotate.sound_naming import NamedStretch, name_stretches
from talkover.annotate.training.event_rules import spans_by


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


def claims_of(
    curves: NDArray[np.float32], config: SoundNetConfig, thresholds: Mapping[str, Threshold]
) -> list[NamedStretch]:
    """Sound events with their kinds, numbered as in `config.events`.

    Args:
        curves: Shape ``[S, L]``.
        config: Says what the labels are; one of them must be that of any sound.
        thresholds: Of any sound, and of each kind, of which the onset is the least mean
            probability; kinds that are not there need none.
    """
    first = len(ACTIVITIES)
    kinds = curves[:, first : first + len(config.events)]
    least = [thresholds[e].onset if e in thresholds else 0.0 for e in config.events]
    spans = spans_by(curves[:, config.labels.index(ANY_SOUND)], thresholds[ANY_SOUND])
    found = np.array(spans, dtype=np.int64).reshape(-1, 2)
    return [one for one in name_stretches(found, kinds, np.array(least)) if one.kind is not None]


def decided_frames(
    curves: NDArray[np.float32], config: SoundNetConfig, thresholds: Mapping[str, Threshold]
) -> NDArray[np.bool_]:
    """Frames in which each label is claimed, shape ``[S, L]``; arguments as of `claims_of`."""
    result = np.zeros(curves.shape, dtype=np.bool_)
    for column, label in enumerate(config.labels):
        if label not in config.events:
            early = label == ANY_SOUND
            result[:, column] = decided(curves[:, column], thresholds[label], early=early)
    for one in claims_of(curves, config, thresholds):
        assert one.kind is not None
        result[one.start : one.end, len(ACTIVITIES) + one.kind] = True
    return result
