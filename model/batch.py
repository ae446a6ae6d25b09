"""A batch: what a model is given, as tensors.

Shapes: ``B`` batch, ``N`` samples, ``L`` positions, ``U`` units, ``T`` frames, ``K`` speakers.
"""

from __future__ import annotations

from dataclasses import dataclass, fields, replace
from typing import Any, Self

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Batch:
    """Recordings, their layouts, and what is to be learned of them."""

    ids: tuple[str, ...]
    """Of the windows, for messages and reports."""
    durations: tuple[float, ...]
    """Seconds."""
    audio: Tensor
    """``[B, N]`` float32."""
    num_samples: Tensor
    """``[B]``."""
    input_ids: Tensor
    """``[B, L]``."""
    kinds: Tensor
    """``[B, L]``, of `talkover.model.layout.Kind`; 0 is padding, on the left or the right."""
    labels: Tensor
    """``[B, L]``."""
    tags: Tensor
    """``[B, L]`` uint8, what each label is part of: place in `talkover.model.target.TAGS` and 1, 0
    where there is no label."""
    segments: Tensor
    """``[B, L]`` index of the turn of each label; -1 for none."""
    overlapped: Tensor
    """``[B, L]`` bool, whether somebody else is heard in that turn."""
    steps: Tensor
    """``[B, L]`` the time that a label is part of; see `talkover.model.target.Target`."""
    places: Tensor
    """``[B, L]`` what a digit of it stands for; see `talkover.model.target.Target`."""
    units: Tensor
    """``[B, U]``, classes of CTC."""
    num_units: Tensor
    """``[B]``."""
    activity: Tensor
    """``[B, T, K]`` bool at the rate of the speaker encoder; K may be 0."""
    is_activity_known: Tensor
    """``[B]`` bool; False where more people speak than the model has outputs for."""
    voices: Tensor
    """``[B, K]`` class of each speaker, or -100."""
    onsets: Tensor
    """``[B, T]`` class of the unit that begins in each frame of the semantic encoder, 0 for none,
    -100 where words or their times are not known; see `talkover.model.onsets`."""
    onset_seconds: Tensor
    """``[B, T]`` how long it lasts, in seconds; 0 where nothing begins."""
    spans: Tensor
    """``[B, W, 2]`` start and end of each word in seconds, in order of their starts."""
    span_speakers: Tensor
    """``[B, W]`` number of its speaker, in order of arrival; -1 behind the last word."""
    span_voices: Tensor
    """``[B, W]`` class of its speaker, or -100."""
    span_kinds: Tensor
    """``[B, W]`` class of CTC of a word that is one unit, 0 of any other."""
    registration: Tensor | None = None
    """``[B, R, D]`` vectors of registered speakers, in the order of their placeholders."""
    vectors: Tensor | None = None
    """``[B, T, D]`` vectors of the manifest, for encoders that take them instead of audio."""

    def to(self, device: torch.device | str) -> Self:
        """The batch on a device."""
        moved: dict[str, Any] = {
            part.name: value.to(device, non_blocking=True)
            for part in fields(self)
            if isinstance(value := getattr(self, part.name), Tensor)
        }
        return replace(self, **moved)

    def pin_memory(self) -> Self:
        """The batch in page-locked memory."""
        pinned: dict[str, Any] = {
            part.name: value.pin_memory()
            for part in fields(self)
            if isinstance(value := getattr(self, part.name), Tensor)
        }
        return replace(self, **pinned)

    def __len__(self) -> int:
        """Number of rows."""
        return len(self.ids)
