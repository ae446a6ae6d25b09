"""`moss_td`: MOSS-Transcribe-Diarize (arXiv 2601.01554; OpenMOSS/MOSS-Transcribe-Diarize).

Published in code: Whisper-medium over windows of 30 s, padded frames dropped before windows are
joined, four frames merged over the whole recording (12.5 Hz), Linear-SiLU-Linear-LayerNorm,
Qwen3-0.6B with 131,072 positions, elapsed seconds as digits every 2 s, the text format, 0.01 s.
Reconstructed: the schedule of training, which is not published beyond fine-tuning at 1e-5, and the
wording of the instruction: ours, where the released default is a Chinese sentence that asks for the
same (``model.layout.prompt`` sets another; `talkover import-checkpoint` takes that of the folder).
"""

from __future__ import annotations

from talkover.model.codec import CodecConfig
from talkover.model.config import LmConfig, Parts
from talkover.model.encoders import EncoderConfig
from talkover.model.features import FeatureConfig
from talkover.model.layout import LayoutConfig
from talkover.model.presets.base import ANSWER, CHAT_MARKS, USER, Preset, qwen3
from talkover.model.presets.training import moss_td_training
from talkover.model.projectors import ProjectorConfig

AUDIO_MARKS = ("<|audio_start|>", "<|audio_end|>")

WINDOW = 30.0
"""Seconds, of Whisper; each window has features of its own."""

MERGE = 4
"""Frames to a vector; the last group is filled with what the encoder makes of silence."""

NORM_EPS = 1e-6
"""Of the projector's norm: that of Qwen3."""


def moss_td() -> Preset:
    """See the module."""
    parts = Parts(
        features=FeatureConfig(num_mels=80, normalization="whisper", edges="mirror", pieces=WINDOW),
        mask=None,
        semantic=EncoderConfig(
            kind="whisper",
            options={
                "width": 1024,
                "layers": 24,
                "heads": 16,
                "inner": 4096,
                "filling": "given",
                "multiple": MERGE,
            },
        ),
        projector=ProjectorConfig(
            kind="stack_mlp", merge=MERGE, activation="silu", norm_eps=NORM_EPS
        ),
        layout=LayoutConfig(
            fusion="single",
            marker="seconds",
            marker_interval=2.0,
            marker_style="digits",
            marker_full=True,
            before=USER,
            stream_open=(AUDIO_MARKS[0], ""),
            stream_close=(AUDIO_MARKS[1], ""),
            use_prompt=True,
            after=ANSWER,
        ),
        codec=CodecConfig(format="inline", digits=2, marks=(*CHAT_MARKS, *AUDIO_MARKS)),
        lm=LmConfig(config=qwen3(1024, 3072, 28, 16, positions=131072)),
    )
    return Preset(parts=parts, training=moss_td_training())
