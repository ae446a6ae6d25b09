"""From an encoder's frames to vectors of the language model's width, at a lower rate.

Frames are merged over the whole recording, never window by window, and the last group is filled
with zeros: ``ceil(T / merge)`` vectors, so that no frame is lost.

Shapes: ``B`` batch, ``T`` frames, ``D`` encoder width, ``H`` width of the language model.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

import torch
from torch import Tensor, nn
from torch.nn import functional

from talkover.manifests.errors import ConfigurationError

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
    norm: bool = True
    """End with a LayerNorm whose gain begins at the loudness of the text embeddings; without it a
    small language model hears audio some 20 times as loud as text."""

    def __post_init__(self) -> None:
        """Check the names."""
        if self.merge < 1:
            raise ValueError(f"merge must be 1 or more, got {self.merge}")
        if self.activation not in ACTIVATIONS:
            raise ValueError(f"activation must be one of {', '.join(ACTIVATIONS)}")


class Mlp(nn.Module):
    """Linear, activation, linear, over stacked frames."""

    def __init__(self, inputs: int, outputs: int, config: ProjectorConfig) -> None:
        """Make random weights."""
        super().__init__()
        hidden = config.hidden or outputs
        self.first = nn.Linear(inputs, hidden)
        self.activation = ACTIVATIONS[config.activation]()
        self.second = nn.Linear(hidden, outputs)

    def forward(self, stacked: Tensor) -> Tensor:
        """``[B, T, merge · D]`` to ``[B, T, H]``."""
        projected: Tensor = self.second(self.activation(self.first(stacked)))
        return projected


class GatedMlp(nn.Module):
    """The gated form (SwiGLU) that MOSS-Audio's adapters have."""

    def __init__(self, inputs: int, outputs: int, config: ProjectorConfig) -> None:
        """Make random weights."""
        super().__init__()
        hidden = config.hidden or outputs
        self.gate = nn.Linear(inputs, hidden, bias=False)
        self.up = nn.Linear(inputs, hidden, bias=False)
        self.activation = ACTIVATIONS[config.activation]()
        self.down = nn.Linear(hidden, outputs, bias=False)

    def forward(self, stacked: Tensor) -> Tensor:
        """``[B, T, merge · D]`` to ``[B, T, H]``."""
        projected: Tensor = self.down(self.activation(self.gate(stacked)) * self.up(stacked))
        return projected


class Straight(nn.Module):
    """One linear map."""

    def __init__(self, inputs: int, outputs: int, config: ProjectorConfig) -> None:
        """Make random weights."""
        super().__init__()
        self.map = nn.Linear(inputs, outputs)

    def forward(self, stacked: Tensor) -> Tensor:
        """``[B, T, merge · D]`` to ``[B, T, H]``."""
        projected: Tensor = self.map(stacked)
        return projected


class Convolved(nn.Module):
    """A convolution over three groups of frames, then a linear map."""

    def __init__(self, inputs: int, outputs: int, config: ProjectorConfig) -> None:
        """Make random weights."""
        super().__init__()
        hidden = config.hidden or outputs
        self.convolution = nn.Conv1d(inputs, hidden, 3, padding=1)
        self.activation = ACTIVATIONS[config.activation]()
        self.map = nn.Linear(hidden, outputs)

    def forward(self, stacked: Tensor) -> Tensor:
        """``[B, T, merge · D]`` to ``[B, T, H]``."""
        local = self.convolution(stacked.transpose(1, 2)).transpose(1, 2)
        projected: Tensor = self.map(self.activation(local))
        return projected


PROJECTORS: dict[str, type[nn.Module]] = {
    "stack_mlp": Mlp,
    "gated_mlp": GatedMlp,
    "linear": Straight,
    "conv1d": Convolved,
}


class Projector(nn.Module):
    """Stack frames, map them, bring them to the loudness of text."""

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
        self.merge = config.merge
        self.map = PROJECTORS[config.kind](inputs * config.merge, outputs, config)
        self.norm = nn.LayerNorm(outputs) if config.norm else None

    def num_vectors(self, num_frames: int) -> int:
        """How many vectors come of so many frames."""
        return -(-num_frames // self.merge)

    def start_at_loudness(self, root_mean_square: float) -> None:
        """Let the output begin as loud as text embeddings."""
        if self.norm is not None:
            with torch.no_grad():
                self.norm.weight.fill_(root_mean_square)

    def forward(self, hidden: Tensor) -> Tensor:
        """``[B, T, D]``, zero beyond each row's length, to ``[B, ceil(T / merge), H]``."""
        projected: Tensor = self.map(stack(hidden, self.merge))
        return projected if self.norm is None else self.norm(projected)


def stack(hidden: Tensor, merge: int) -> Tensor:
    """Consecutive frames side by side: ``[B, T, D]`` to ``[B, ceil(T / merge), merge · D]``.

    >>> stack(torch.tensor([[[1.0], [2.0], [3.0]]]), 2).tolist()
    [[[1.0, 2.0], [3.0, 0.0]]]
    """
    rows, frames, width = hidden.shape
    padded = functional.pad(hidden, (0, 0, 0, -frames % merge))
    return padded.reshape(rows, -1, merge * width)
