"""What a preset is, and what several of them share."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

from talkover.model.config import Parts
from talkover.model.stages import TrainConfig

USER = "<|im_start|>user\n"
"""Opens a user's turn in ChatML, the template of Qwen's models."""

ANSWER = "<|im_end|>\n<|im_start|>assistant\n"
"""Closes it and opens the answer."""

CHAT_MARKS = ("<|im_start|>", "<|im_end|>")
"""Control tokens of ChatML."""


def system(text: str) -> str:
    r"""A system's turn in ChatML.

    >>> system("Be brief.")
    '<|im_start|>system\nBe brief.<|im_end|>\n'
    """
    return f"<|im_start|>system\n{text}<|im_end|>\n"


@dataclass(frozen=True, kw_only=True)
class Preset:
    """What a name stands for."""

    parts: Parts
    training: TrainConfig


def qwen3(
    hidden: int, inner: int, layers: int, heads: int, *, positions: int, is_tied: bool = True
) -> dict[str, Any]:
    """Configuration of a Qwen3 model (its technical report, arXiv 2505.09388).

    All have 8 heads for keys and values and heads of 128.
    """
    return {
        "model_type": "qwen3",
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": 8,
        "head_dim": 128,
        "tie_word_embeddings": is_tied,
        "max_position_embeddings": positions,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
    }


def qwen2(
    hidden: int, inner: int, layers: int, heads: int, *, key_heads: int, is_tied: bool
) -> dict[str, Any]:
    """Configuration of a Qwen2.5 model (its technical report, arXiv 2412.15115)."""
    return {
        "model_type": "qwen2",
        "hidden_size": hidden,
        "intermediate_size": inner,
        "num_hidden_layers": layers,
        "num_attention_heads": heads,
        "num_key_value_heads": key_heads,
        "tie_word_embeddings": is_tied,
        "max_position_embeddings": 32768,
        "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
    }
