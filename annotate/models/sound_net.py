"""The network that says what sounds: speech, music, noise, silence, and kinds of sound events.

A small image-like stack of convolutions over log-mel, then dilated convolutions over time with one
frame every 0.1 s. Labels are independent: singing is speech and music.

Legend: ``B`` batch, ``T`` frame, ``M`` mel band, ``C`` channel, ``L`` label.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from talkover.annotate.models.mels import HOP, NUM_MELS, without_level

STRIDE = 10
"""Log-mel frames of a frame."""
FRAME = STRIDE * HOP
"""Samples of a frame: 0.1 s."""
SCALE = 0.3
LEVEL_FRAMES = 500
"""Log-mel frames to each side over which the level is taken out: 5 s."""
ACTIVITIES = ("speech", "music", "noise", "silence")
ANY_SOUND = "any_sound"
"""Label of sound events of whatever kind: when they begin and end is easier to tell than what they
are, and told alike for kinds that nobody has heard before."""
EDGES = ("sound_onset", "sound_offset")
"""Labels of the frames around the beginning and the end of sound events of whatever kind: where two
sounds overlap, the curve of any sound does not tell them apart."""


@dataclass(frozen=True, kw_only=True)
class SoundNetConfig:
    """Sizes and labels."""

    events: tuple[str, ...]
    """Labels of sound events."""
    channels: tuple[int, int, int] = (16, 32, 64)
    """Of the three stages over time and frequency."""
    width: int = 128
    """Channels over time."""
    dilations: tuple[int, ...] = (1, 2, 4, 8)
    """Of the blocks over time."""
    dropout: float = 0.1
    any_sound: bool = False
    """Also tell when any sound event is heard, under the label `ANY_SOUND`."""
    edges: bool = False
    """Also tell when sound events begin and end, under the labels `EDGES`."""

    def __post_init__(self) -> None:
        """Lists of JSON become tuples."""
        for name in ("events", "channels", "dilations"):
            object.__setattr__(self, name, tuple(getattr(self, name)))
        if self.edges and not self.any_sound:
            raise ValueError("edges are those of any sound, which the model must tell, too")

    def as_dict(self) -> dict[str, Any]:
        """For `model.json`."""
        return {k: list(v) if isinstance(v, tuple) else v for k, v in asdict(self).items()}

    @property
    def labels(self) -> tuple[str, ...]:
        """All labels: activities, then events, then that of any event, then those of edges."""
        any_sound = (ANY_SOUND,) if self.any_sound else ()
        return (*ACTIVITIES, *self.events, *any_sound, *(EDGES if self.edges else ()))

    @property
    def halo_frames(self) -> int:
        """Log-mel frames to each side that a frame hears, rounded up to whole frames."""
        stages = 1 + 2 + STRIDE
        return LEVEL_FRAMES + stages + STRIDE * sum(self.dilations)


class _Stage(nn.Module):
    """A convolution over time and frequency, then the largest of each patch."""

    def __init__(self, before: int, after: int, pool: tuple[int, int]) -> None:
        super().__init__()
        self.conv = nn.Conv2d(before, after, 3, padding=1, bias=False)
        self.norm = nn.BatchNorm2d(after)
        self.pool = pool

    def forward(self, image: Tensor) -> Tensor:
        return functional.max_pool2d(functional.relu(self.norm(self.conv(image))), self.pool)


class _Block(nn.Module):
    """A dilated convolution over time beside a short cut."""

    def __init__(self, width: int, dilation: int, dropout: float) -> None:
        super().__init__()
        self.conv = nn.Conv1d(width, width, 3, dilation=dilation, padding=dilation)
        self.norm = nn.BatchNorm1d(width)
        self.dropout = nn.Dropout(dropout)

    def forward(self, hidden: Tensor) -> Tensor:
        inner: Tensor = self.dropout(functional.relu(self.norm(self.conv(hidden))))
        return hidden + inner


class SoundNet(nn.Module):
    """Log-mel → one score a label and frame."""

    def __init__(self, config: SoundNetConfig) -> None:
        """Draw weights."""
        super().__init__()
        self.config = config
        low, middle, high = config.channels
        self.stages = nn.Sequential(
            _Stage(1, low, (4, 2)), _Stage(low, middle, (4, 5)), _Stage(middle, high, (2, 1))
        )
        self.widen = nn.Conv1d(high * NUM_MELS // 32, config.width, 1)
        self.norm = nn.BatchNorm1d(config.width)
        self.blocks = nn.ModuleList(
            _Block(config.width, dilation, config.dropout) for dilation in config.dilations
        )
        self.classify = nn.Conv1d(config.width, len(config.labels), 1)

    def forward(self, mels: Tensor) -> Tensor:
        """Scores before the logistic function.

        Args:
            mels: Log-mel frames, shape ``[B, M, T * 10]``.

        Returns:
            Shape ``[B, L, T]``.
        """
        image = self.stages(SCALE * without_level(mels, LEVEL_FRAMES)[:, None])  # [B, C, M/32, T]
        hidden = functional.relu(self.norm(self.widen(image.flatten(1, 2))))  # [B, C, T]
        for block in self.blocks:
            hidden = block(hidden)
        scores: Tensor = self.classify(hidden)
        return scores
