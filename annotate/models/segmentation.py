"""Who speaks when inside a window of ten seconds, up to three people, two at once.

The people of a window are numbered by chance; whose voices they are is another model's matter
(`talkover.annotate.models.embedding`).

Legend: ``B`` batch, ``W`` window, ``N`` sample, ``T`` frame, ``K`` speaker of the window,
``P`` powerset class.
"""

from __future__ import annotations

import itertools
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
from talkover.annotate.models.mels import RATE
from talkover.annotate.models.window_net import (
    AT_ONCE,
    FRAME,
    NUM_SPEAKERS,
    WindowNet,
    WindowNetConfig,
)

BATCH = 32
"""Windows at a time: 11 MB of features."""


class LocalSpeakers:
    """The model, ready to listen.

    Args:
        network: The weights.
        card: Who made them.
        hop_s: Seconds from one window of `run` to the next.
        settings: What was calibrated.
    """

    num_speakers = NUM_SPEAKERS
    frame_samples = FRAME
    """Samples of a frame."""

    def __init__(
        self,
        network: WindowNet,
        card: ModelCard,
        *,
        hop_s: float | None = None,
        settings: Mapping[str, Any] | None = None,
    ) -> None:
        """Ready it for use, without gradients."""
        self._network = network.eval()
        self.card = card
        self.window_samples = round(network.config.window_s * RATE)
        self.hop_s = network.config.window_s / 2 if hop_s is None else hop_s
        self.settings = dict(settings or {})
        found = self.settings.get("thresholds", {})
        self.thresholds: dict[str, float] = {name: float(found[name]) for name in found}
        """`overlap`: probability of the second most active speaker from which two speak; absent
        where nobody calibrated."""
        self._members = torch.from_numpy(powerset_members(self.num_speakers))

    @classmethod
    def load(cls, folder: Path | None = None, *, hop_s: float | None = None) -> LocalSpeakers:
        """A trained model.

        Args:
            folder: Of its weights; None for those that come with talkover.
            hop_s: Seconds between windows of `run`; None for half a window.

        Raises:
            ConfigurationError: If the folder holds no such model.
            MissingExtraError: If safetensors is not installed.
        """
        description = read_description(folder, "segmentation")
        network = WindowNet(build_config(WindowNetConfig, description, folder))
        load_weights(network, folder, description)
        return cls(network, description.card, hop_s=hop_s, settings=description.settings)

    @classmethod
    def untrained(cls, seed: int = 0, *, hop_s: float | None = None) -> LocalSpeakers:
        """A model whose weights are drawn by chance, for tests."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = WindowNet(WindowNetConfig())
        return cls(network, untrained_card("segmentation"), hop_s=hop_s)

    @property
    def window_s(self) -> float:
        """Seconds of a window."""
        return self.window_samples / RATE

    @property
    def frame_s(self) -> float:
        """Seconds of a frame."""
        return self.frame_samples / RATE

    @property
    def frames_per_window(self) -> int:
        """Frames of a window."""
        return -(-self.window_samples // self.frame_samples)

    def window(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Listen to windows.

        Args:
            samples: Windows of `window_samples`, shape ``[B, N]``.

        Returns:
            Probability that each speaker of the window is active, shape ``[B, T, K]``.
        """
        if samples.ndim != 2 or samples.shape[1] != self.window_samples:
            raise ValueError(f"needs shape [B, {self.window_samples}], got {samples.shape}")
        batches = (samples[at : at + BATCH] for at in range(0, len(samples), BATCH))
        parts = [
            self._probabilities(torch.from_numpy(np.array(batch, dtype=np.float32)))
            for batch in batches
        ]
        if not parts:
            return np.zeros((0, self.frames_per_window, self.num_speakers), dtype=np.float32)
        return np.concatenate(parts)

    def run(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Listen to a stretch, window after window, `hop_s` apart.

        Args:
            samples: Shape ``[N]``; the last window is filled up with silence.

        Returns:
            Shape ``[W, T, K]``; the last window reaches the end of the stretch.
        """
        hop = round(self.hop_s * RATE)
        beyond = max(0, len(samples) - self.window_samples)
        count = 1 + -(-beyond // hop)
        padded = np.zeros((count - 1) * hop + self.window_samples, dtype=np.float32)
        padded[: len(samples)] = samples
        windows = np.lib.stride_tricks.sliding_window_view(padded, self.window_samples)[::hop]
        return self.window(windows)

    @torch.inference_mode()
    def _probabilities(self, windows: Tensor) -> NDArray[np.float32]:
        scores: Tensor = self._network(windows[:, None])  # [B, T, P], logarithms
        active: NDArray[np.float32] = (scores.exp() @ self._members).numpy()
        return active


def powerset_members(num_speakers: int, at_once: int = AT_ONCE) -> NDArray[np.float32]:
    """Who is active in each powerset class, in pyannote's order; shape ``[P, K]``.

    >>> powerset_members(3)[4]
    array([1., 1., 0.], dtype=float32)
    """
    sets = [
        members
        for size in range(at_once + 1)
        for members in itertools.combinations(range(num_speakers), size)
    ]
    table = np.zeros((len(sets), num_speakers), dtype=np.float32)
    for row, members in enumerate(sets):
        table[row, list(members)] = 1.0
    return table
