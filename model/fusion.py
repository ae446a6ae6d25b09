"""Two streams as one, vector by vector, where the layout asks for that.

Shapes: ``B`` batch, ``T`` vectors, ``H`` width of the language model.
"""

from __future__ import annotations

from torch import Tensor, nn

from talkover.manifests.errors import ConfigurationError
from talkover.model.layout import MERGED, Fusion


class StreamFusion(nn.Module):
    """Sums, or joins side by side and maps back; other orders leave the streams as they are."""

    def __init__(self, fusion: Fusion, width: int) -> None:
        """Make random weights, if any are needed."""
        super().__init__()
        self.fusion = fusion
        self.map = nn.Linear(2 * width, width) if fusion == "channel" else None
        if self.map is not None:
            nn.init.eye_(self.map.weight[:, :width].data)
            nn.init.eye_(self.map.weight[:, width:].data)

    def forward(self, semantic: Tensor, speaker: Tensor | None) -> tuple[Tensor, Tensor | None]:
        """``[B, T, H]`` each; what is left of the second is None where it was merged."""
        if speaker is None or self.fusion not in MERGED:
            return semantic, speaker
        frames = min(semantic.shape[1], speaker.shape[1])
        semantic, speaker = semantic[:, :frames], speaker[:, :frames]
        if self.map is None:
            return semantic + speaker, None
        import torch

        return self.map(torch.cat([semantic, speaker], dim=-1)), None


def check_rates(fusion: Fusion, semantic_rate: float, speaker_rate: float) -> None:
    """Refuse to merge streams of different rates.

    Raises:
        ConfigurationError: With both rates in Hz.
    """
    if fusion in MERGED and abs(semantic_rate - speaker_rate) > 1e-9 * semantic_rate:
        raise ConfigurationError(
            f"layout.fusion {fusion} merges vector by vector, but the semantic stream has "
            f"{semantic_rate:g} Hz and the speaker stream {speaker_rate:g} Hz"
        )
