"""What every encoder offers, and the masks that keep a batch from changing its rows.

Shapes: ``B`` batch, ``T`` time in frames, ``F`` feature, ``D`` width.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, Protocol

import torch
from torch import Tensor


@dataclass(frozen=True, kw_only=True)
class Encoded:
    """Frames of an encoder."""

    hidden: Tensor
    """``[B, T, D]``; frames beyond a row's length are zero."""
    lengths: Tensor
    """``[B]``, real frames of each row."""
    taps: tuple[Tensor, ...] = ()
    """Hidden states of inner layers that were asked for, each ``[B, T, D]``."""


Hears = Literal["features", "audio", "vectors"]
"""What an encoder is given: log-mel frames, samples, or vectors of the manifest."""


class Encoder(Protocol):
    """Features to frames at a lower rate; a `torch.nn.Module`.

    Own encoders register a class in the entry-point group ``talkover.encoders``. It is made with
    the number of features, their rate in Hz and the options of the configuration. One whose option
    ``path`` names a folder has a method ``load()`` that takes the weights from there; it is called
    when a model is made, not when a checkpoint is read.
    """

    hears: Hears

    rate_hz: float
    """Frames a second."""
    width: int
    """``D``."""
    tap_width: int
    """Width of the taps."""

    def num_frames(self, num_feature_frames: int) -> int:
        """How many frames come of so many feature frames, known before anything is encoded."""
        ...

    def __call__(self, features: Tensor, lengths: Tensor) -> Encoded:
        """Encode ``[B, T, F]`` features of ``[B]`` lengths, each row as if it were alone."""
        ...


def mask_of(lengths: Tensor, frames: int) -> Tensor:
    """True where a frame is real, ``[B, T]``.

    >>> mask_of(torch.tensor([1, 2]), 2).tolist()
    [[True, False], [True, True]]
    """
    return torch.arange(frames, device=lengths.device) < lengths[:, None]
