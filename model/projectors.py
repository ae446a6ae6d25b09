"""From an encoder's frames to vectors of the language model's width, at a lower rate.

Frames are merged over the whole recording, never window by window, and the last group is filled
with zeros: ``ceil(T / merge)`` vectors, so that no frame is lost (``rest: drop`` leaves that group
out, as TagSpeech does).

Shapes: ``B`` batch, ``T`` frames, ``T'`` vectors (``ceil(T / merge)``), ``D`` encoder width, ``H``
width of the language model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkover.manifests.errors import ConfigurationError
from talkover.model.encoders.base import mask_of
from talkover.model.encoders.layers import WhisperLayer

ACTIVATIONS: dict[str, Callable[[], nn.Module]] = {
    "silu": nn.SiLU,
    "relu": nn.ReLU,
    "gelu": nn.GELU,
}


@dataclass(frozen=True, kw_only=True)
class ProjectorConfig:
    """How frames become vectors."""

    kind: str = "stack_mlp"
    """A name of `PROJECTORS`."""
    merge: int = 1
    """Frames to a vector."""
    hidden: int | None = None
    """Inner width; None for that of the language model."""
    activation: str = "silu"
    layers: int = 2
    """Transformer layers of ``transformer_cnn``."""
    heads: int = 8
    """Of these layers; they must divide the encoder's width."""
    norm: bool = True
    """End with a LayerNorm whose gain begins at the loudness of the text embeddings; without it a
    small language model hears audio some 20 times as loud as text."""
    norm_eps: float = 1e-5
    """Of that norm."""
    rest: Literal["fill", "drop"] = "fill"
    """What happens to a last group of fewer than ``merge`` frames."""

    def __post_init__(self) -> None:
        """Check the names."""
        if self.merge < 1:
            raise ValueError(f"merge must be 1 or more, got {self.merge}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}")


class Mlp(nn.Module):
    """Linear, activation, linear, over stacked frames."""

    def __init__(self, width: int, outputs: int, config: ProjectorConfig) -> None:
        """Make random weights."""
        super().__init__()
        inputs, self.merge = width * config.merge, config.merge
        hidden = config.hidden or outputs
        self.first = nn.Linear(inputs, hidden)
        self.activation = ACTIVATIONS[config.activation]()
        self.second = nn.Linear(hidden, outputs)

    @property
    def last(self) -> nn.Linear:
        """What sets the loudness."""
        return self.second

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """``[B, T, D]`` to ``[B, T', H]``."""
        stacked = stack(hidden, self.merge)
        projected: Tensor = self.second(self.activation(self.first(stacked)))
        return projected


class GatedMlp(nn.Module):
    """The gated form (SwiGLU) that MOSS-Audio's adapters have."""

    def __init__(self, width: int, outputs: int, config: ProjectorConfig) -> None:
        """Make random weights."""
        super().__init__()
        inputs, self.merge = width * config.merge, config.merge
        hidden = config.hidden or outputs
        self.gate = nn.Linear(inputs, hidden, bias=False)
        self.up = nn.Linear(inputs, hidden, bias=False)
        self.activation = ACTIVATIONS[config.activation]()
        self.down = nn.Linear(hidden, outputs, bias=False)

    @property
    def last(self) -> nn.Linear:
        """What sets the loudness."""
        return self.down

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """``[B, T, D]`` to ``[B, T', H]``."""
        stacked = stack(hidden, self.merge)
        projected: Tensor = self.down(self.activation(self.gate(stacked)) * self.up(stacked))
        return projected


class Straight(nn.Module):
    """One linear map."""

    def __init__(self, width: int, outputs: int, config: ProjectorConfig) -> None:
        """Make random weights."""
        super().__init__()
        self.merge = config.merge
        self.map = nn.Linear(width * config.merge, outputs)

    @property
    def last(self) -> nn.Linear:
        """What sets the loudness."""
        return self.map

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """``[B, T, D]`` to ``[B, T', H]``."""
        projected: Tensor = self.map(stack(hidden, self.merge))
        return projected


class Convolved(nn.Module):
    """A convolution over three groups of frames, then a linear map."""

    def __init__(self, width: int, outputs: int, config: ProjectorConfig) -> None:
        """Make random weights."""
        super().__init__()
        inputs, self.merge = width * config.merge, config.merge
        hidden = config.hidden or outputs
        self.convolution = nn.Conv1d(inputs, hidden, 3, padding=1)
        self.activation = ACTIVATIONS[config.activation]()
        self.map = nn.Linear(hidden, outputs)

    @property
    def last(self) -> nn.Linear:
        """What sets the loudness."""
        return self.map

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """``[B, T, D]`` to ``[B, T', H]``."""
        stacked = stack(hidden, self.merge)
        local = self.convolution(stacked.transpose(1, 2)).transpose(1, 2)
        projected: Tensor = self.map(self.activation(local))
        return projected


class TransformerCnn(nn.Module):
    """Transformer layers at the encoder's rate, then one convolution that merges frames.

    The order of SpeakerLM's projector (arXiv 2508.06372: two Transformer layers and one CNN layer);
    its widths, kernel and stride are not published and are ours.
    """

    KERNEL = 3
    """Frames, or ``merge`` where that is more, so that no frame is passed over."""

    def __init__(self, width: int, outputs: int, config: ProjectorConfig) -> None:
        """Make random weights."""
        super().__init__()
        self.merge, self.kernel = config.merge, max(self.KERNEL, config.merge)
        inner = config.hidden or 4 * width
        self.layers = nn.ModuleList(
            WhisperLayer(width, heads=config.heads, inner=inner) for _ in range(config.layers)
        )
        self.norm = nn.LayerNorm(width)
        self.convolution = nn.Conv1d(width, outputs, self.kernel, stride=config.merge)
        self.activation = ACTIVATIONS[config.activation]()
        self.map = nn.Linear(outputs, outputs)

    @property
    def last(self) -> nn.Linear:
        """What sets the loudness."""
        return self.map

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """``[B, T, D]`` to ``[B, T', H]``."""
        frames = hidden.shape[1]
        mask = mask_of(lengths, frames)
        for layer in self.layers:
            hidden = layer(hidden, mask)
        hidden = torch.where(mask[..., None], self.norm(hidden), 0.0)
        before = (self.kernel - 1) // 2
        after = (-(-frames // self.merge) - 1) * self.merge + self.kernel - frames - before
        padded = functional.pad(hidden, (0, 0, before, after)).transpose(1, 2)
        projected: Tensor = self.map(self.activation(self.convolution(padded).transpose(1, 2)))
        return projected


PROJECTORS: dict[str, type[nn.Module]] = {
    "stack_mlp": Mlp,
    "gated_mlp": GatedMlp,
    "transformer_cnn": TransformerCnn,
    "linear": Straight,
    "conv1d": Convolved,
}


class Projector(nn.Module):
    """Merge frames, map them, bring them to the loudness of text."""

    def __init__(self, inputs: int, outputs: int, config: ProjectorConfig) -> None:
        """Make random weights.

        Raises:
            ConfigurationError: If there is no projector of this kind.
        """
        super().__init__()
        if config.kind not in PROJECTORS:
            raise ConfigurationError(
                f"no projector {config.kind!r}: choose from {', '.join(PROJECTORS)}"
            )
        self.merge, self.is_filled = config.merge, config.rest == "fill"
        self.map: Any = PROJECTORS[config.kind](inputs, outputs, config)
        self.norm = nn.LayerNorm(outputs, eps=config.norm_eps) if config.norm else None

    def num_vectors(self, num_frames: int) -> int:
        """How many vectors come of so many frames."""
        return -(-num_frames // self.merge) if self.is_filled else num_frames // self.merge

    def start_at_loudness(self, root_mean_square: float) -> None:
        """Let the output begin as loud as text embeddings, or near it where there is no norm."""
        with torch.no_grad():
            if self.norm is not None:
                self.norm.weight.fill_(root_mean_square)
            else:
                self.map.last.weight.mul_(root_mean_square)

    def forward(self, hidden: Tensor, lengths: Tensor) -> Tensor:
        """``[B, T, D]``, zero beyond each row's length of ``[B]``, to ``[B, T', H]``."""
        projected: Tensor = self.map(hidden, lengths)
        return projected if self.norm is None else self.norm(projected)


def stack(hidden: Tensor, merge: int) -> Tensor:
    """Consecutive frames side by side: ``[B, T, D]`` to ``[B, ceil(T / merge), merge · D]``.

    >>> stack(torch.tensor([[[1.0], [2.0], [3.0]]]), 2).tolist()
    [[[1.0, 2.0], [3.0, 0.0]]]
    """
    rows, frames, width = hidden.shape
    padded = functional.pad(hidden, (0, 0, 0, -frames % merge))
    return padded.reshape(rows, -1, merge * width)
