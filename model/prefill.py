"""Prefill: what the language model reads before it writes, in chunks, into a key-value cache.

Only the last position gets logits: at 131,072 positions and a vocabulary of 152,000 the logits of
all of them would be 37 GiB in bf16. A chunk's mask has as many columns as positions were read, so
memory grows with ``chunk · positions``, never with ``positions²``; implementations that build the
scores of all pairs are refused beyond `LONGEST_EAGER`.

Shapes: ``B`` batch, ``L`` positions, ``H`` width, ``V`` vocabulary.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor
from transformers import DynamicCache

from talkover.manifests.errors import ConfigurationError
from talkover.model.config import Parts

PREFILL_CHUNK = 2048
"""Positions that are read at a time; a mask of 2,048 × 131,072 takes 256 MiB."""

LONGEST_EAGER = 8192
"""Positions up to which ``eager`` attention is allowed: its scores of 32 heads take 8 GiB a layer
in fp32 there, and 2 TiB at 131,072."""


@dataclass(frozen=True, kw_only=True)
class Prefilled:
    """A language model that has read its input."""

    cache: Any
    """`transformers.DynamicCache` of ``L`` positions."""
    logits: Tensor
    """``[B, V]``, of the first token of the answer."""
    mask: Tensor
    """``[B, L]`` long, 0 at padding."""


def check_attention(parts: Parts, positions: int) -> None:
    """Refuse attention that would build the scores of too many pairs.

    Raises:
        ConfigurationError: If it would.
    """
    if parts.lm.attention == "eager" and positions > LONGEST_EAGER:
        raise ConfigurationError(
            f"lm.attention eager keeps {positions}² scores a head and layer: at most "
            f"{LONGEST_EAGER} positions; take sdpa or flash_attention_2"
        )


@torch.no_grad()
def prefill(lm: Any, embedded: Tensor, mask: Tensor, *, chunk: int = PREFILL_CHUNK) -> Prefilled:
    """Read embeddings, chunk by chunk.

    Hooks on the decoder layers (deep stacking) see each chunk with the cache as it stands.

    Args:
        lm: A causal language model of transformers.
        embedded: ``[B, L, H]``, padded on the left.
        mask: ``[B, L]``, 0 at padding.
        chunk: Positions at a time.

    Raises:
        ValueError: If there is nothing to read.
    """
    length = embedded.shape[1]
    if length < 1 or chunk < 1:
        raise ValueError(f"prefill needs positions and a chunk of 1 or more, got {length}, {chunk}")
    mask = mask.long()
    positions = (mask.cumsum(1) - 1).clamp(min=0)
    cache = DynamicCache(config=lm.config)  # type: ignore[no-untyped-call, unused-ignore]
    has_padding = not bool(mask.all())
    logits = embedded.new_zeros(0)
    for begin in range(0, length, chunk):
        end = min(begin + chunk, length)
        logits = lm(
            inputs_embeds=embedded[:, begin:end],
            attention_mask=mask[:, :end] if has_padding else None,
            position_ids=positions[:, begin:end],
            past_key_values=cache,
            use_cache=True,
            logits_to_keep=1,
        ).logits
    return Prefilled(cache=cache, logits=logits[:, -1], mask=mask)
