"""Whose voice it is, as a direction: two stretches of one person point the same way.

Legend: ``N`` sample, ``T`` frame, ``C`` channel, ``K`` voice, ``D`` dimension.
"""

from __future__ import annotations

from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from talkover.annotate.models.files import (
    ModelCard,
    build_config,
    load_weights,
    read_description,
    untrained_card,
)
from talkover.annotate.models.mels import HOP, RATE, LogMel
from talkover.annotate.models.voice_net import FRAME, STRIDE, VoiceNet, VoiceNetConfig

BLOCK_FRAMES = 1500
"""Frames computed at a time: one minute."""


class SpeakerEmbedding:
    """The model, ready to listen.

    Args:
        network: The weights.
        card: Who made them.
        settings: What was calibrated: `thresholds`.
    """

    frame_samples = FRAME
    """Samples of a frame; frame `t` is of samples from ``t * frame_samples`` on."""

    def __init__(
        self, network: VoiceNet, card: ModelCard, settings: Mapping[str, Any] | None = None
    ) -> None:
        """Ready it for use, without gradients."""
        self._network = network.eval()
        self._mels = LogMel()
        self.card = card
        self.settings = dict(settings or {})
        found = self.settings.get("thresholds", {})
        self.thresholds: dict[str, float] = {name: float(found[name]) for name in found}
        """`verification`: least cosine of two stretches of one person; `clustering`: least mean
        cosine of two groups of windows of one person; `enrolment` and `margin`: least cosine to a
        known voice, and least lead over the next; absent where nobody calibrated."""

    @classmethod
    def load(cls, folder: Path | None = None) -> SpeakerEmbedding:
        """A trained model.

        Args:
            folder: Of its weights; None for those that come with talkover.

        Raises:
            ConfigurationError: If the folder holds no such model.
            MissingExtraError: If safetensors is not installed.
        """
        description = read_description(folder, "embedding")
        network = VoiceNet(build_config(VoiceNetConfig, description, folder))
        load_weights(network, folder, description)
        return cls(network, description.card, description.settings)

    @classmethod
    def untrained(cls, seed: int = 0) -> SpeakerEmbedding:
        """A model whose weights are drawn by chance, for tests."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = VoiceNet(VoiceNetConfig())
        return cls(network, untrained_card("embedding"))

    @property
    def dimension(self) -> int:
        """Of an embedding."""
        return self._network.config.dimension

    @property
    def frame_s(self) -> float:
        """Seconds of a frame."""
        return FRAME / RATE

    @property
    def halo_s(self) -> float:
        """Seconds to each side that a frame hears."""
        return (self._network.config.halo_frames + 2) * HOP / RATE

    @torch.inference_mode()
    def features(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """What there is to hear in each frame, for `pool`.

        A minute at a time, each with what is around it, so that memory is bounded but for the
        result: 38 kB a second.

        Args:
            samples: Shape ``[N]``.

        Returns:
            Shape ``[T, C]`` with ``T = ceil(N / frame_samples)``.
        """
        frames = -(-len(samples) // FRAME)
        halo = -(-round(self.halo_s * RATE) // FRAME)
        parts = [np.zeros((0, self._network.config.pooled), dtype=np.float32)]
        for first in range(0, frames, BLOCK_FRAMES):
            count = min(BLOCK_FRAMES, frames - first)
            before = min(halo, first)
            start = (first - before) * FRAME
            heard = samples[start : (first + count + halo) * FRAME]
            mels = self._mels(torch.from_numpy(np.array(heard, dtype=np.float32))[None])
            found: Tensor = self._network.features(_whole(mels))[0].T
            parts.append(found[before : before + count].numpy())
        return np.concatenate(parts)

    @torch.inference_mode()
    def pool(
        self, features: NDArray[np.float32], masks: NDArray[np.floating[Any]]
    ) -> NDArray[np.float32]:
        """Embeddings of voices.

        Args:
            features: Of `features`, or a part of it, shape ``[T, C]``.
            masks: How much each frame counts for each voice, 0 to 1, shape ``[K, T]``.

        Returns:
            Of length 1, shape ``[K, D]``; zeros for a voice without a frame.
        """
        if masks.ndim != 2 or masks.shape[1] != len(features):
            raise ValueError(f"masks must have shape [K, {len(features)}], got {masks.shape}")
        if masks.size == 0:
            return np.zeros((len(masks), self.dimension), dtype=np.float32)
        counts = torch.from_numpy(np.array(masks, dtype=np.float32))
        heard = torch.from_numpy(np.array(features, dtype=np.float32)).T
        vectors: Tensor = self._network.pool(heard[None], counts[None])[0]
        unit = torch.nn.functional.normalize(vectors, dim=1)
        return (unit * (counts.sum(dim=1, keepdim=True) > 0)).numpy()

    def embed(
        self, samples: NDArray[np.float32], masks: NDArray[np.floating[Any]] | None = None
    ) -> NDArray[np.float32]:
        """Embeddings of the voices of a stretch.

        Args:
            samples: Shape ``[N]``.
            masks: How much each of any number of frames, spread evenly over the stretch, counts
                for each voice, shape ``[K, …]``; None for one voice that is heard throughout.

        Returns:
            Of length 1, shape ``[K, D]``.
        """
        features = self.features(samples)
        if masks is None:
            masks = np.ones((1, len(features)), dtype=np.float32)
        if masks.shape[1] == 0 or len(features) == 0:
            return np.zeros((len(masks), self.dimension), dtype=np.float32)
        nearest = (np.arange(len(features)) + 0.5) * masks.shape[1] / len(features)
        return self.pool(features, masks[:, nearest.astype(np.int64)])


def _whole(mels: Tensor) -> Tensor:
    """Frames up to a multiple of the stride, the last repeated."""
    missing = -mels.shape[2] % STRIDE
    return torch.nn.functional.pad(mels, (0, missing), mode="replicate") if missing else mels
