"""The network that tells apart who speaks in a window: PyanNet on log-mel, without pyannote.

PyanNet learns its filters from samples (SincNet); that front alone costs ten times what the rest
does, in training and in use, and needs far more data than ours to become a better filter bank. Two
strided convolutions over log-mel frames take its place, with one frame every 40 ms. The body is
PyanNet's, layer for layer and name for name, so that the weights load into pyannote's class too
(`talkover.annotate.models.pyannet`), whose import alone takes ten seconds of processor time.

Legend: ``B`` batch, ``N`` sample, ``T`` frame, ``M`` mel band, ``C`` channel, ``P`` powerset class.
"""

from __future__ import annotations

from dataclasses import asdict, dataclass
from itertools import pairwise
from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from talkover.annotate.models.mels import HOP, NUM_MELS, LogMel, num_frames

NUM_SPEAKERS = 3
AT_ONCE = 2
NUM_CLASSES = 7
"""Nobody, one of three, two of three."""
STRIDE = 4
"""Log-mel frames of a frame of the model."""
FRAME = STRIDE * HOP
"""Samples of a frame of the model: 40 ms."""
LSTM_INPUTS = 60
"""Channels that PyanNet's LSTM takes."""
SCALE = 0.3
"""Brings log-mel bands to a standard deviation near 1."""


@dataclass(frozen=True, kw_only=True)
class WindowNetConfig:
    """Sizes."""

    channels: int = 128
    """Of the first convolution."""
    lstm_size: int = 128
    """Of each direction of each LSTM layer."""
    lstm_layers: int = 2
    linear_size: int = 128
    linear_layers: int = 2
    window_s: float = 10.0
    """Seconds of the windows that it is trained on."""

    def as_dict(self) -> dict[str, Any]:
        """For `model.json`."""
        return asdict(self)


class MelFront(nn.Module):
    """Samples, or log-mel frames that are at hand already, → what the LSTM hears.

    The mean of each band over the window is taken out, and with it level and colouring.
    """

    def __init__(self, channels: int) -> None:
        """Two convolutions, each with a stride of 2."""
        super().__init__()
        self.mels = LogMel()
        self.first = nn.Conv1d(NUM_MELS, channels, 5, stride=2, padding=2)
        self.first_norm = nn.GroupNorm(1, channels)
        self.second = nn.Conv1d(channels, LSTM_INPUTS, 5, stride=2, padding=2)
        self.second_norm = nn.GroupNorm(1, LSTM_INPUTS)

    def forward(self, heard: Tensor) -> Tensor:
        """Channels of each frame.

        Args:
            heard: Samples, shape ``[B, 1, N]``, or log-mel frames, shape ``[B, M, T]``.

        Returns:
            Shape ``[B, C, T / 4]``.
        """
        mels = heard if heard.shape[1] == NUM_MELS else self.mels(heard[:, 0])
        mels = SCALE * (mels - mels.mean(dim=2, keepdim=True))
        hidden = functional.leaky_relu(self.first_norm(self.first(mels)))
        return functional.leaky_relu(self.second_norm(self.second(hidden)))

    def num_frames(self, num_samples: int) -> int:
        """Frames of a window."""
        halved = -(-num_frames(num_samples) // 2)
        return -(-halved // 2)

    def receptive_field_size(self, num_frames: int = 1) -> int:
        """Samples that frames hear before the LSTM."""
        return (num_frames - 1) * FRAME + 13 * HOP

    def receptive_field_center(self, frame: int = 0) -> int:
        """Sample in the middle of a frame."""
        return frame * FRAME + HOP // 2


class WindowNet(nn.Module):
    """Front, LSTM, linear layers and classifier; the names are those of PyanNet."""

    def __init__(self, config: WindowNetConfig) -> None:
        """Draw weights."""
        super().__init__()
        self.config = config
        self.sincnet = MelFront(config.channels)
        self.lstm = nn.LSTM(
            LSTM_INPUTS,
            config.lstm_size,
            num_layers=config.lstm_layers,
            bidirectional=True,
            batch_first=True,
        )
        sizes = [2 * config.lstm_size] + [config.linear_size] * config.linear_layers
        self.linear = nn.ModuleList(nn.Linear(before, after) for before, after in pairwise(sizes))
        self.classifier = nn.Linear(sizes[-1], NUM_CLASSES)

    def forward(self, heard: Tensor) -> Tensor:
        """Logarithm of the probability of each powerset class.

        Args:
            heard: Samples, shape ``[B, 1, N]``, or log-mel frames, shape ``[B, M, T]``.

        Returns:
            Shape ``[B, T, P]``.
        """
        hidden, _ = self.lstm(self.sincnet(heard).transpose(1, 2))
        for layer in self.linear:
            hidden = functional.leaky_relu(layer(hidden))
        return functional.log_softmax(self.classifier(hidden).float(), dim=-1)
