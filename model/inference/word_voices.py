"""Voices of the speakers of a piece without a speaker encoder: by the words that were found.

Each word that the semantic encoder finds gives statistics of its sound; the model's linear model of
speakers (`talkover.model.voices`) has directions along which speakers differ. A speaker's voice is
the mean over the words in its turns, weighted by how much of each word nobody else covers.

Shapes: ``W`` words, ``K`` directions.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray

from talkover.model.inference.spoken import Spoken
from talkover.model.inference.voices import Voice, anonymous
from talkover.model.modeling import SatsModel
from talkover.model.objectives import Heard
from talkover.model.onsets import find_units
from talkover.model.voices.assignment import word_weights
from talkover.model.voices.model import Span, VoiceModel
from talkover.model.voices.statistics import voice_statistics

ONE_ROOM = 0.5
"""What a word counts in the comparison of pieces, as part of what it counts inside one: words of a
piece share a room and a mood. On six recordings of 75 s, joined from sessions in different rooms, 1
gave more speakers and more errors (DER 63.8 % against 61.1), 0.25 much the same (60.5)."""


def can_tell_words_apart(model: SatsModel) -> bool:
    """Whether a model has learned of voices without a speaker encoder."""
    return model.voices is not None and model.voices.plda is not None


def word_voices(
    model: SatsModel, heard: Heard, spoken: Sequence[Spoken]
) -> dict[str, tuple[Voice, float]]:
    """Voice and weight of words of each unnamed speaker of a piece.

    Of one in whose turns no word was found, the turns stand for words; one who says too little for
    any statistics has the weight 0, and is alike to nobody.

    Args:
        model: One that `can_tell_words_apart`.
        heard: The piece, one row.
        spoken: On the piece's clock.
    """
    voices = model.voices
    assert voices is not None and heard.features is not None
    assert heard.unit_logits is not None and heard.duration_logits is not None
    (found,) = find_units(
        heard.unit_logits, heard.duration_logits, heard.encoded.lengths, model.semantic.rate_hz
    )
    features = np.asarray(heard.features[0].float().cpu().numpy(), np.float32)
    spans = [(f.unit.start, f.unit.end) for f in found]
    owners = [owner_of(span, spoken) for span in spans]
    kinds = [f.unit.kind for f in found]
    rows, weights = _projected(voices, features, spans, kinds)
    said: dict[str, tuple[Voice, float]] = {}
    for label in anonymous(spoken):
        own = np.array([owner == label for owner in owners], dtype=bool)
        voice = _mean(rows[own], weights[own])
        if voice is None:
            turns = [(s.start, s.end) for s in spoken if s.speaker == label]
            voice = _mean(*_projected(voices, features, turns, [0] * len(turns)))
        said[label] = voice or (np.zeros(rows.shape[1], np.float32), 0.0)
    return said


def owner_of(span: Span, spoken: Sequence[Spoken]) -> str | None:
    """Who says a word: the only one with a turn over its middle; None if there is not just one."""
    middle = (span[0] + span[1]) / 2
    there = {s.speaker for s in spoken if s.start <= middle < s.end}
    return there.pop() if len(there) == 1 else None


def _projected(
    voices: VoiceModel,
    features: NDArray[np.float32],
    spans: Sequence[Span],
    kinds: Sequence[int],
) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """``[W, K]`` statistics of stretches, and ``[W]`` their weights."""
    plda = voices.plda
    assert plda is not None
    statistics, clean = voice_statistics(features, spans, voices.frame_rate)
    return plda.project(statistics, kinds), word_weights(clean, voices.config.assignment)


def _mean(rows: NDArray[np.float64], weights: NDArray[np.float64]) -> tuple[Voice, float] | None:
    mass = float(weights.sum())
    if mass <= 0:
        return None
    return np.asarray((rows * weights[:, None]).sum(0) / mass, np.float32), ONE_ROOM * mass
