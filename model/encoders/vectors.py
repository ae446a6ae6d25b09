"""Vectors that somebody else made, read from the manifest instead of heard.

For precomputed features or embeddings at a fixed rate. `talkover.model.data.given` says where they
lie, and a batch has them in ``Batch.vectors``, one row a recording.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch
from torch import Tensor, nn

from talkover.manifests.errors import ConfigurationError
from talkover.model.encoders.base import Encoded, mask_of
from talkover.model.encoders.blocks import zero_outside


@dataclass(frozen=True, kw_only=True)
class VectorsConfig:
    """What the vectors are."""

    width: int
    """Numbers to a vector."""
    rate: float
    """Hz."""
    norm: bool = True
    """Bring each vector to mean 0 and variance 1, then to a learned scale."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if self.width < 1 or not self.rate > 0:
            raise ValueError(f"need width >= 1 and rate > 0, got {self.width} and {self.rate} Hz")


class Vectors(nn.Module):
    """See the module."""

    hears = "vectors"

    def __init__(self, num_features: int, rate_hz: float, config: VectorsConfig) -> None:
        """Need no weights but those of the norm."""
        super().__init__()
        self.config = config
        self.width = self.tap_width = config.width
        self.rate_hz = config.rate
        self.feature_rate = rate_hz
        self.norm = nn.LayerNorm(config.width) if config.norm else nn.Identity()

    def num_frames(self, num_feature_frames: int) -> int:
        """Rounded up."""
        return int(-(-num_feature_frames * self.rate_hz // self.feature_rate))

    def forward(self, vectors: Tensor | None, lengths: Tensor) -> Encoded:
        """Take ``[B, T, D]``; lengths are in feature frames.

        Raises:
            ConfigurationError: If there are none, or of another width, or too few.
        """
        if vectors is None or vectors.shape[2] != self.width:
            found = "none" if vectors is None else f"vectors of width {vectors.shape[2]}"
            raise ConfigurationError(
                f"an encoder of the kind vectors needs vectors of width {self.width} in the batch, "
                f"got {found}"
            )
        counts = torch.tensor([self.num_frames(n) for n in lengths.tolist()], device=lengths.device)
        frames = int(counts.max())
        if vectors.shape[1] < frames:
            raise ConfigurationError(
                f"the batch has {vectors.shape[1]} vectors, the audio needs {frames} at "
                f"{self.rate_hz:g} Hz"
            )
        mask = mask_of(counts, frames)
        hidden = zero_outside(self.norm(vectors[:, :frames].float()), mask)
        return Encoded(hidden=hidden, lengths=counts, taps=(hidden,))
