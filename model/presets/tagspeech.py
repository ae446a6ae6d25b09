"""`tagspeech`: TagSpeech (arXiv 2601.06896, ACL 2026; AudenAI/Auden ``examples/tagspeech``).

Published in code: two Zipformers (80 mel bands, 25 Hz, width 768), frozen; two projectors of four
stacked frames, Linear-ReLU-Linear without a norm (6.25 Hz), the only thing trained; Qwen2.5-7B,
frozen; the same ordinals in both streams every 8 vectors (1.28 s) and at both ends; the two blocks
of the prompt, which the output mirrors; 0.01 s, gender.
Reconstructed: the pre-training of the semantic encoder on serialised output, which here is a stage
of CTC over the words in the order of the text. Zipformer's own aids of training (balancers,
whitening, random skips, ScaledAdam) are not here: take trained encoders, as the published system
does (`talkover import-checkpoint`); the small form has our `ConvTransformer` at the same rate.
"""

from __future__ import annotations

from talkover.model.codec import CodecConfig
from talkover.model.config import LmConfig, Parts
from talkover.model.encoders import EncoderConfig
from talkover.model.features import FeatureConfig
from talkover.model.layout import LayoutConfig
from talkover.model.losses import LossConfig
from talkover.model.presets.base import ANSWER, CHAT_MARKS, USER, Preset, qwen2
from talkover.model.presets.training import tagspeech_training
from talkover.model.projectors import ProjectorConfig

PROJECTOR = ProjectorConfig(kind="stack_mlp", merge=4, activation="relu", norm=False, rest="drop")


def tagspeech() -> Preset:
    """See the module."""
    parts = Parts(
        features=FeatureConfig(num_mels=80, normalization="kaldi"),
        semantic=EncoderConfig(kind="zipformer"),
        speaker=EncoderConfig(kind="zipformer"),
        projector=PROJECTOR,
        speaker_projector=PROJECTOR,
        layout=LayoutConfig(
            fusion="two_block",
            marker="ordinals",
            marker_interval=1.28,
            marker_style="digits",
            marker_ends=True,
            marker_from=1,
            marker_both=True,
            before=USER,
            stream_open=("<text>", "<speaker>"),
            stream_close=("</text>\n", "</speaker>"),
            after=ANSWER,
        ),
        longest=30.0,
        codec=CodecConfig(format="xml", digits=2, extras=("gender",), marks=CHAT_MARKS),
        max_speakers=10,
        losses=LossConfig(invariant=0.0),  # every order of 10 speakers would be too many to try
        lm=LmConfig(config=qwen2(3584, 18944, 28, 28, key_heads=4, is_tied=False)),
    )
    return Preset(parts=parts, training=tagspeech_training())
