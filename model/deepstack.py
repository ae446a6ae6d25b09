"""DeepStack: inner states of the encoder, added inside the language model.

As in MOSS-Audio (arXiv 2606.01802, from Meng et al. 2024, arXiv 2406.04334): the hidden states
after chosen layers of the encoder go through projectors of their own and are added to the language
model's hidden states at the positions of the audio, behind its first decoder layers.

The language model stays any model of transformers: forward hooks on its decoder layers add. What a
layer reads begins where its key-value cache ends, so a prefill in chunks, generation token by token
and padding on either side need no care.

Shapes: ``B`` batch, ``T`` vectors, ``L`` positions, ``H`` width of the language model.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from typing import Any

import torch
from torch import Tensor, nn

from talkover.manifests.errors import ConfigurationError
from talkover.model.projectors import Projector, ProjectorConfig


@dataclass(frozen=True, kw_only=True)
class DeepStackConfig:
    """Where the encoder's taps go; the encoder's own option ``taps`` says which layers they are."""

    layers: tuple[int, ...] = (0, 1, 2)
    """Decoder layers, from 0, behind which the taps are added; one for each tap."""
    projector: ProjectorConfig = field(default_factory=lambda: ProjectorConfig(kind="gated_mlp"))
    """Of each tap; ``merge`` must be that of the main projector."""


class DeepStack(nn.Module):
    """One projector for each tap."""

    def __init__(self, inputs: int, outputs: int, config: DeepStackConfig) -> None:
        """Make random weights.

        Args:
            inputs: Width of the taps.
            outputs: ``H``.
            config: How many, and of which kind.
        """
        super().__init__()
        self.layers = config.layers
        self.merge = config.projector.merge
        self.projectors = nn.ModuleList(
            Projector(inputs, outputs, config.projector) for _ in config.layers
        )

    def start_at_loudness(self, root_mean_square: float) -> None:
        """Let what is added begin as loud as text embeddings."""
        for projector in self.projectors:
            assert isinstance(projector, Projector)
            projector.start_at_loudness(root_mean_square)

    def forward(self, taps: Sequence[Tensor], lengths: Tensor) -> tuple[Tensor, ...]:
        """``[B, T, D]`` of each tap to ``[B, T / merge, H]`` of each.

        Raises:
            ConfigurationError: If the encoder hands out another number of taps.
        """
        if len(taps) != len(self.projectors):
            raise ConfigurationError(
                f"deepstack.layers names {len(self.projectors)} layers, but the semantic encoder "
                f"hands out {len(taps)} taps: give it as many in its option taps"
            )
        return tuple(
            projector(tap, lengths) for projector, tap in zip(self.projectors, taps, strict=True)
        )


class DeepStackHooks:
    """Adds to the hidden states of decoder layers while it is active."""

    def __init__(self, lm: nn.Module, layers: Sequence[int]) -> None:
        """Find the decoder layers.

        Raises:
            ConfigurationError: If the language model has not as many, or none that can be found.
        """
        found = decoder_layers(lm)
        if layers and max(layers) >= len(found):
            raise ConfigurationError(
                f"deepstack.layers names layer {max(layers)}, the language model has {len(found)}"
            )
        self.layers = tuple(layers)
        self._modules: list[nn.Module] = [found[index] for index in layers]
        self._handles: list[Any] = []

    @property
    def run_again(self) -> bool:
        """Whether the backward pass runs the layers once more (gradient checkpointing)."""
        return any(getattr(module, "gradient_checkpointing", False) for module in self._modules)

    @contextmanager
    def adding(
        self, additions: Sequence[Tensor], *, offset: int | None = None, keep: bool = False
    ) -> Iterator[None]:
        """Add inside the block.

        Args:
            additions: For each layer ``[B, L, H]``, zero where there is no audio.
            offset: Position of the first one that is read; None asks the layer's cache.
            keep: Leave the hooks until the next call: gradient checkpointing runs the layers once
                more in the backward pass, behind the block.
        """
        self.remove()
        for place, module in enumerate(self._modules):
            hook = _Adding(additions[place], self.layers[place], offset)
            self._handles.append(module.register_forward_hook(hook, with_kwargs=True))
            if offset is None:
                self._handles.append(module.register_forward_pre_hook(hook.begin, with_kwargs=True))
        try:
            yield
        finally:
            if not keep:
                self.remove()

    def remove(self) -> None:
        """Take all hooks away."""
        for handle in self._handles:
            handle.remove()
        self._handles.clear()


class _Adding:
    """The hook of one layer."""

    def __init__(self, addition: Tensor, layer: int, offset: int | None) -> None:
        self.addition, self.layer = addition, layer
        self.offset = offset or 0

    def begin(self, module: nn.Module, args: Any, kwargs: dict[str, Any]) -> None:
        """Before the layer: what its cache holds is what was read before."""
        cache = kwargs.get("past_key_values")
        self.offset = 0 if cache is None else int(cache.get_seq_length(self.layer))

    def __call__(self, module: nn.Module, args: Any, kwargs: dict[str, Any], output: Any) -> Any:
        """Behind the layer."""
        hidden: Tensor = output[0] if isinstance(output, tuple) else output
        length = hidden.shape[1]
        part = self.addition[:, self.offset : self.offset + length]
        if not part.shape[1]:
            return output
        if part.shape[0] != hidden.shape[0]:  # several answers, or beams, to each row
            part = part.repeat_interleave(hidden.shape[0] // part.shape[0], dim=0)
        missing = length - part.shape[1]
        part = nn.functional.pad(part, (0, 0, 0, missing)) if missing else part
        changed = hidden + part.to(hidden.dtype)
        return (changed, *output[1:]) if isinstance(output, tuple) else changed


def decoder_layers(lm: nn.Module) -> nn.ModuleList:
    """The list of decoder layers of a causal language model of transformers.

    Raises:
        ConfigurationError: If there is no such list.
    """
    model: Any = lm
    while hasattr(model, "get_decoder") and model.get_decoder() is not model:
        model = model.get_decoder()
    for name in ("layers", "h", "blocks"):
        found = getattr(model, name, None)
        if isinstance(found, nn.ModuleList):
            return found
    raise ConfigurationError(
        f"deepstack needs a language model with a list of decoder layers; {type(lm).__name__} "
        "has none that is known"
    )


def spread(vectors: Tensor, place: Tensor) -> Tensor:
    """Vectors at their positions, zero elsewhere.

    Args:
        vectors: ``[B, T, H]``; row b's first ``place[b].sum()`` vectors are used.
        place: ``[B, L]`` bool.

    Returns:
        ``[B, L, H]``.
    """
    counts = place.sum(1)
    inside = torch.arange(vectors.shape[1], device=place.device) < counts[:, None]
    empty = vectors.new_zeros(*place.shape, vectors.shape[2])
    return empty.masked_scatter(place[..., None], vectors[inside])
