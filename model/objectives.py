"""What a model is trained towards: losses by name, from what it heard and what was said.

Pure functions of `Heard`, `Batch` and options; the model only computes what they look at. Each
loss is a sum with a count (`talkover.model.losses.Loss`), and each count is known before anything
is encoded (`counts`), so that an update can divide by the counts of all its batches.

Shapes: ``B`` batch, ``T`` frames or positions, ``V`` vocabulary, ``K`` speakers, ``D`` width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

import torch
from torch import Tensor

from talkover.model.answer_losses import (
    AnswerConfig,
    Labels,
    TimeTable,
    answer_total,
    require_soft_times,
    speaker_tag_weights,
    speaker_tags_loss,
    token_losses,
)
from talkover.model.batch import Batch
from talkover.model.config import Parts
from talkover.model.encoders import Encoded, mask_of, pooled
from talkover.model.layout import IGNORED
from talkover.model.losses import (
    Loss,
    LossConfig,
    SpeakerClassifier,
    activity_loss,
    ctc_loss,
    speaker_loss,
)
from talkover.model.onsets import duration_loss, onset_loss
from talkover.model.voices.said import SaidWord

OBJECTIVES = (
    "answer",
    "speaker_tags",
    "ctc",
    "onsets",
    "durations",
    "activity",
    "speaker",
    "voices",
)
"""Names of all losses."""

VOICES = "voices"
"""Not a loss with a gradient: the sums of `talkover.model.voices` are added to."""

ANSWERED = ("answer", "speaker_tags")
"""Those that need the language model."""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """What the encoders made of a batch."""

    semantic: Tensor | None
    """``[B, T, H]`` vectors, with the cues; None where the language model does not read."""
    speaker: Tensor | None
    """``[B, T', H]`` vectors of a stream of its own."""
    encoded: Encoded
    voices: Encoded | None
    unit_logits: Tensor | None
    """``[B, T, 1 + U]``."""
    activity_logits: Tensor | None
    """``[B, T, K]``."""
    duration_logits: Tensor | None = None
    """``[B, T]``; see `talkover.model.onsets`."""
    features: Tensor | None = None
    """``[B, T, F]`` log-mel, not masked; kept where voices are modelled."""
    said: list[list[SaidWord]] | None = None
    """Words that were found and who said them, where voices are modelled and the language model
    reads."""
    deep: tuple[Tensor, ...] = ()
    """``[B, T, H]`` of each tap, added inside the language model."""


class Counted(Protocol):
    """What the counts need to know of a model."""

    parts: Parts

    def activity_frames(self, num_samples: int) -> int:
        """Frames of the activity head; 0 without one."""
        ...


def heard_losses(
    heard: Heard,
    batch: Batch,
    options: LossConfig,
    names: tuple[str, ...],
    classifier: SpeakerClassifier | None,
) -> dict[str, Loss]:
    """The losses among ``names`` that need only the encoders; those without a head are left out."""
    found: dict[str, Loss] = {}
    if "ctc" in names and heard.unit_logits is not None:
        found["ctc"] = ctc_loss(
            heard.unit_logits, heard.encoded.lengths, batch.units, batch.num_units
        )
    if "onsets" in names and heard.unit_logits is not None:
        frames = heard.unit_logits.shape[1]
        found["onsets"] = onset_loss(heard.unit_logits, batch.onsets[:, :frames])
    if "durations" in names and heard.duration_logits is not None:
        frames = heard.duration_logits.shape[1]
        found["durations"] = duration_loss(heard.duration_logits, batch.onset_seconds[:, :frames])
    if "activity" in names and heard.activity_logits is not None:
        found["activity"] = _activity(heard, batch, options)
    if "speaker" in names and heard.voices is not None and classifier is not None:
        found["speaker"] = _speakers(heard.voices, batch, options, classifier)
    return found


def kept_positions(batch: Batch) -> Tensor:
    """Positions that predict a label in any row; only these need logits."""
    return (batch.labels[:, 1:] != IGNORED).any(0).nonzero().squeeze(1)


def labels_at(batch: Batch, kept: Tensor) -> Labels:
    """What is right behind each of some positions."""

    def at(values: Tensor) -> Tensor:
        return values[:, 1:][:, kept]

    return Labels(
        ids=at(batch.labels),
        tags=at(batch.tags),
        segments=at(batch.segments),
        overlapped=at(batch.overlapped),
        steps=at(batch.steps),
        places=at(batch.places),
    )


def answered_losses(
    logits: Tensor,
    kept: Tensor,
    batch: Batch,
    parts: Parts,
    names: tuple[str, ...],
    answer: AnswerConfig,
) -> dict[str, Loss]:
    """The losses among ``names`` that look at the language model.

    Args:
        logits: ``[B, len(kept), V]``.
        kept: See `kept_positions`.
        batch: What was to be said.
        parts: Of the model.
        names: Of the losses that are wanted.
        answer: What counts in ``answer``.
    """
    labels = labels_at(batch, kept)
    table = TimeTable(
        atoms=parts.tables.times,
        figures=parts.tables.digits,
        steps_per_second=10**parts.codec.digits,
    )
    smoothing = parts.losses.label_smoothing
    each = token_losses(logits, labels, table, answer.time_sigma, smoothing)
    found: dict[str, Loss] = {}
    if "answer" in names:
        found["answer"] = answer_total(each, labels, answer)
    if "speaker_tags" in names:
        found["speaker_tags"] = speaker_tags_loss(each, labels)
    return found


def counts(batch: Batch, model: Counted, answer: AnswerConfig) -> dict[str, int]:
    """What each loss will count in a batch, known before it is encoded.

    Raises:
        ConfigurationError: If the answers cannot be learned from as asked.
    """
    frames = [model.activity_frames(n) for n in batch.num_samples.tolist()]
    known = batch.is_activity_known.tolist()
    labels = labels_at(batch, kept_positions(batch))
    require_soft_times(labels, answer)
    return {
        "answer": int(labels.learned(answer).sum()),
        "speaker_tags": int((speaker_tag_weights(labels) > 0).any(1).sum()),
        "ctc": int(batch.num_units.sum()),
        "onsets": int((batch.onsets != IGNORED).sum()),
        "durations": int((batch.onset_seconds > 0).sum()),
        VOICES: int((batch.span_speakers >= 0).sum()),
        "activity": model.parts.max_speakers
        * sum(n for n, k in zip(frames, known, strict=True) if k),
        "speaker": int(((batch.voices != IGNORED) & _alone(batch).any(1)).sum()),
    }


def voice(voices: Encoded, weights: Tensor) -> Tensor:
    """Embeddings before the classifier: ``[B, K, T]`` weights to ``[B, K, 2 D]``."""
    return pooled(voices.taps[0] if voices.taps else voices.hidden, weights)


def _alone(batch: Batch) -> Tensor:
    """Where a speaker talks and nobody else does, ``[B, T, K]``."""
    return batch.activity & (batch.activity.sum(2, keepdim=True) == 1)


def _activity(heard: Heard, batch: Batch, options: LossConfig) -> Loss:
    assert heard.activity_logits is not None and heard.voices is not None
    mask = mask_of(heard.voices.lengths, heard.activity_logits.shape[1])
    return activity_loss(
        heard.activity_logits,
        batch.activity,
        mask & batch.is_activity_known[:, None],
        options.invariant,
    )


def _speakers(
    voices: Encoded, batch: Batch, options: LossConfig, classifier: SpeakerClassifier
) -> Loss:
    """Who speaks, from the frames where nobody else does."""
    weights = _alone(batch).transpose(1, 2).float()  # [B, K, T]
    cosines = classifier(voice(voices, weights))
    classes = torch.where(weights.sum(-1) > 0, batch.voices, IGNORED)
    return speaker_loss(cosines.flatten(0, 1), classes.flatten(), options.margin, options.scale)
