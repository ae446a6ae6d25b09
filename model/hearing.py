"""Hearing recordings of any length in bounded memory.

Features of long audio come in blocks (the frames are the same, since a frame sees 25 ms), and the
encoders work window by window. Encoders that cut their input into windows themselves (an attribute
``window``, in feature frames) are given all of it: their result is the same as in one pass. All
others hear windows of `HearOptions.window` seconds with `HearOptions.overlap` seconds more on each
side, of which the inner frames are kept; what they say of a frame depends on at most that much
around it, so the result differs from one pass over everything.

Shapes: ``B`` batch, ``N`` samples, ``T`` frames, ``F`` features, ``D`` width.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, replace
from math import ceil
from typing import Any

import torch
from torch import Tensor

from talkover.model.encoders import Encoded, mask_of
from talkover.model.modeling import SatsModel
from talkover.model.objectives import Heard


@dataclass(frozen=True, kw_only=True)
class HearOptions:
    """How long recordings are encoded."""

    longest: float = 120.0
    """Seconds that an encoder without windows of its own hears in one pass; beyond, in windows."""
    window: float = 60.0
    """Seconds of a window, of which all frames are kept."""
    overlap: float = 4.0
    """Seconds more on each side of a window, whose frames are dropped."""

    def __post_init__(self) -> None:
        """Check the numbers."""
        if not (self.window > 0 and self.overlap >= 0 and self.longest >= self.window):
            raise ValueError(
                "hearing needs a window above 0 s, an overlap of 0 s or more and longest >= "
                f"window, got {self.window}, {self.overlap} and {self.longest}"
            )


@torch.no_grad()
def hear(
    model: SatsModel,
    audio: Tensor,
    num_samples: Tensor,
    options: HearOptions | None = None,
    vectors: Tensor | None = None,
) -> Heard:
    """What ``model.hear`` gives, for audio of any length.

    Args:
        model: In evaluation mode.
        audio: ``[B, N]``.
        num_samples: ``[B]``.
        options: See `HearOptions`.
        vectors: Given vectors instead of audio, as ``model.hear`` takes them.
    """
    options = options or HearOptions()
    seconds = int(num_samples.max()) / model.parts.features.sampling_rate
    if seconds <= options.longest or vectors is not None:
        return model.hear(audio, num_samples, vectors)
    if {model.semantic.hears, getattr(model.speaker, "hears", "features")} != {"features"}:
        return model.hear(audio, num_samples)
    features, lengths = model.features(audio, num_samples)
    rate = model.parts.features.frame_rate
    semantic = encode(model.semantic, features, lengths, rate, options)
    voices = None
    if model.speaker is not None:
        voices = encode(model.speaker, features, lengths, rate, options)
    return model.heard_of(semantic, voices, features)


def encode(
    encoder: Any, features: Tensor, lengths: Tensor, rate: float, options: HearOptions
) -> Encoded:
    """Encode ``[B, T, F]`` window by window; see the module.

    Args:
        encoder: An `talkover.model.encoders.Encoder`.
        features: ``[B, T, F]``.
        lengths: ``[B]``.
        rate: Feature frames a second.
        options: Window and overlap.
    """
    frames = features.shape[1]
    if frames <= options.longest * rate or getattr(encoder, "window", None) is not None:
        encoded: Encoded = encoder(features, lengths)
        return encoded
    stride = frames_apart(encoder)
    inner = stride * max(1, round(options.window * rate / stride))
    around = stride * ceil(options.overlap * rate / stride)
    parts = [
        _window(encoder, features, lengths, begin, inner, around)
        for begin in range(0, frames, inner)
    ]
    total = encoder.num_frames(frames)
    kept = torch.tensor([encoder.num_frames(int(n)) for n in lengths], device=lengths.device)
    mask = mask_of(kept, total)

    def joined(pick: Callable[[Encoded], Tensor]) -> Tensor:
        states = torch.cat([pick(part) for part in parts], dim=1)[:, :total]
        return torch.where(mask[..., None], states, 0.0)

    return Encoded(
        hidden=joined(lambda part: part.hidden),
        lengths=kept,
        taps=tuple(
            joined(lambda part, tap=tap: part.taps[tap])  # type: ignore[misc]
            for tap in range(len(parts[0].taps))
        ),
    )


def frames_apart(encoder: Any) -> int:
    """Feature frames to a frame of an encoder: windows must begin where a frame begins.

    >>> class Half:
    ...     rate_hz = 50.0
    ...     def num_frames(self, frames):
    ...         return -(-frames // 2)
    >>> frames_apart(Half())
    2
    """
    most = 4096
    return max(1, round(most / int(encoder.num_frames(most))))


def _window(
    encoder: Any, features: Tensor, lengths: Tensor, begin: int, inner: int, around: int
) -> Encoded:
    """The inner frames of one window."""
    early = max(0, begin - around)
    late = min(features.shape[1], begin + inner + around)
    own = (lengths - early).clamp(min=1, max=late - early)
    encoded: Encoded = encoder(features[:, early:late], own)
    skipped = encoder.num_frames(begin - early) if begin > early else 0
    count = encoder.num_frames(min(inner, features.shape[1] - begin))
    keep = slice(skipped, skipped + count)
    return replace(
        encoded,
        hidden=encoded.hidden[:, keep],
        taps=tuple(tap[:, keep] for tap in encoded.taps),
    )
