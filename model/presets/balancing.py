"""`balancing`: "Balancing ASR and diarization…" (arXiv 2606.13095, Interspeech 2026).

Published: SenseVoice-small, frames of 60 ms, its last hidden state beside that of its CTC in the
middle; CAM++ over chunks of 400, 200 and 100 ms, repeated to the semantic frames; adapters to the
width of Qwen2.5-0.5B (896); 20 semantic frames (1.2 s), then the 20 speaker frames of the same
time, each behind a special mark, no digits of time; a tag for the speaker before each turn, no
times; LoRA of rank 16 on encoder and language model in the last stage; losses and stages.
Reconstructed: the exact tags (``<sc><spk1>text``) and the mark's name, the form of the adapters,
the scale of LoRA, the speaker network's own layers, the factor of the mask's threshold (see
`talkover.model.presets.training`).
"""

from __future__ import annotations

from talkover.model.codec import CodecConfig
from talkover.model.config import LmConfig, Parts
from talkover.model.encoders import EncoderConfig
from talkover.model.layout import LayoutConfig
from talkover.model.lora import LoraSettings
from talkover.model.losses import LossConfig
from talkover.model.presets.base import ANSWER, CHAT_MARKS, USER, Preset, qwen2
from talkover.model.presets.training import balancing_training
from talkover.model.projectors import ProjectorConfig
from talkover.model.tokens import AtomConfig

BLOCK_MARK = "<|block|>"

MOST_SPEAKERS = 8
"""In a conversation of the third stage; each has a tag of one token."""


def balancing() -> Preset:
    """See the module."""
    parts = Parts(
        semantic=EncoderConfig(
            kind="sanm",
            options={
                "width": 512,
                "layers": 50,
                "later_layers": 20,
                "heads": 4,
                "inner": 2048,
                "join_middle": True,
            },
        ),
        speaker=EncoderConfig(
            kind="chunks",
            options={"chunks": [0.4, 0.2, 0.1], "stride": 6, "width": 192, "channels": 512},
        ),
        projector=ProjectorConfig(kind="stack_mlp", merge=1),
        speaker_projector=ProjectorConfig(kind="stack_mlp", merge=1),
        layout=LayoutConfig(
            fusion="interleave",
            marker="none",
            block=1.2,
            block_mark=BLOCK_MARK,
            before=USER,
            use_prompt=True,
            after=ANSWER,
        ),
        longest=50.0,
        codec=CodecConfig(
            format="sc",
            atoms=AtomConfig(max_speakers=MOST_SPEAKERS),
            marks=(*CHAT_MARKS, BLOCK_MARK),
        ),
        max_speakers=MOST_SPEAKERS,
        losses=LossConfig(invariant=0.0),  # every order of 8 speakers would be too many to try
        lora=LoraSettings(
            targets=(
                "semantic.*.query_key_value",
                "semantic.*.mix",
                "lm.*.q_proj",
                "lm.*.k_proj",
                "lm.*.v_proj",
                "lm.*.o_proj",
            ),
            rank=16,
            alpha=32.0,
        ),
        lm=LmConfig(config=qwen2(896, 4864, 24, 14, key_heads=2, is_tied=True)),
    )
    return Preset(parts=parts, training=balancing_training())
