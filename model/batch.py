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
    registration: Tensor | None = None
    """``[B, R, D]`` vectors of registered speakers, in the order of their placeholders."""

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
