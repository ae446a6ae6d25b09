"""What sounds, every 0.1 s: speech, music, noise, silence and kinds of sound events.

Legend: ``N`` sample, ``T`` frame, ``L`` label.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
import torch
from numpy.typing import NDArray

from talkover.annotate.models.files import (
    ModelCard,
    build_config,
    load_weights,
    read_description,
    untrained_card,
)
from talkover.annotate.models.mels import HOP, RATE, LogMel
from talkover.annotate.models.sound_net import (
    ACTIVITIES,
    ANY_SOUND,
    EDGES,
    FRAME,
    STRIDE,
    SoundNet,
    SoundNetConfig,
)

BLOCK_FRAMES = 600
"""Frames computed at a time: one minute."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Threshold:
    """How a curve becomes events."""

    onset: float = 0.5
    """Probability at which an event begins."""
    offset: float = 0.3
    """Probability under which it ends."""
    shortest_s: float = 0.2
    """Shorter events are dropped."""
    gap_s: float = 0.5
    """Shorter gaps within an event are filled."""

    def __post_init__(self) -> None:
        """Check the order."""
        if not 0 < self.offset <= self.onset < 1:
            raise ValueError(f"needs 0 < offset <= onset < 1, got {self.offset}, {self.onset}")

    def as_dict(self) -> dict[str, float]:
        """For `model.json`."""
        return asdict(self)


class Tagger:
    """The model, ready to listen.

    Args:
        network: The weights.
        card: Who made them.
        settings: What was calibrated: `thresholds`, by label, and `claims`, which chooses events.
    """

    hop_samples = FRAME
    """Samples of a frame; frame `t` is of samples from ``t * hop_samples`` on."""
    activities = ACTIVITIES

    def __init__(
        self, network: SoundNet, card: ModelCard, settings: Mapping[str, Any] | None = None
    ) -> None:
        """Ready it for use, without gradients."""
        self._network = network.eval()
        self._mels = LogMel()
        self.card = card
        self.settings = dict(settings or {})
        found = self.settings.get("thresholds", {})
        self.thresholds: dict[str, Threshold] = {
            label: Threshold(**found.get(label, {})) for label in self.classes
        }

    @classmethod
    def load(cls, folder: Path | None = None) -> Tagger:
        """A trained model.

        Args:
            folder: Of its weights; None for those that come with talkover.

        Raises:
            ConfigurationError: If the folder holds no such model.
            MissingExtraError: If safetensors is not installed.
        """
        description = read_description(folder, "tagger")
        network = SoundNet(build_config(SoundNetConfig, description, folder))
        load_weights(network, folder, description)
        return cls(network, description.card, description.settings)

    @classmethod
    def untrained(cls, seed: int = 0, events: tuple[str, ...] = ("dog", "rain")) -> Tagger:
        """A model whose weights are drawn by chance, for tests."""
        with torch.random.fork_rng(devices=[]):
            torch.manual_seed(seed)
            network = SoundNet(SoundNetConfig(events=events))
        return cls(network, untrained_card("tagger"))

    @property
    def events(self) -> tuple[str, ...]:
        """Labels of sound events."""
        return self._network.config.events

    @property
    def classes(self) -> tuple[str, ...]:
        """All labels: activities, then events, then what there is of any event and of edges."""
        return self._network.config.labels

    @property
    def any_sound(self) -> str | None:
        """Label of sound events of whatever kind, if the model has one."""
        return ANY_SOUND if self._network.config.any_sound else None

    @property
    def edges(self) -> tuple[str, ...]:
        """Labels of beginnings and ends of sound events, if the model has them."""
        return EDGES if self._network.config.edges else ()

    @property
    def claims(self) -> Mapping[str, Any] | None:
        """Settings of `talkover.annotate.sounds.claims.Scorer`, if one was fitted."""
        return self.settings.get("claims")

    @property
    def hop_s(self) -> float:
        """Seconds of a frame."""
        return FRAME / RATE

    @property
    def halo_s(self) -> float:
        """Seconds to each side that a frame hears."""
        return (self._network.config.halo_frames + 2) * HOP / RATE

    def run(self, samples: NDArray[np.float32]) -> dict[str, NDArray[np.float32]]:
        """Probability of each label in each frame.

        A minute at a time, each with what is around it.

        Args:
            samples: Shape ``[N]``.

        Returns:
            By label, shape ``[T]`` with ``T = ceil(N / hop_samples)``.
        """
        frames = -(-len(samples) // FRAME)
        halo = -(-round(self.halo_s * RATE) // FRAME)
        parts = [np.zeros((len(self.classes), 0), dtype=np.float32)]
        for first in range(0, frames, BLOCK_FRAMES):
            count = min(BLOCK_FRAMES, frames - first)
            before = min(halo, first)
            heard = samples[(first - before) * FRAME : (first + count + halo) * FRAME]
            parts.append(self._probabilities(heard)[:, before : before + count])
        curves = np.concatenate(parts, axis=1)
        return dict(zip(self.classes, curves, strict=True))

    @torch.inference_mode()
    def _probabilities(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """Shape ``[L, T]``; a last part of a frame counts as one."""
        missing = -len(samples) % FRAME
        padded = np.pad(samples, (0, missing)).astype(np.float32)
        mels = self._mels(torch.from_numpy(padded)[None])
        assert mels.shape[2] % STRIDE == 0
        probabilities: NDArray[np.float32] = torch.sigmoid(self._network(mels))[0].numpy()
        return probabilities
