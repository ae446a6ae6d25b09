"""`tiny`: a small model of our own for a small vocabulary."""

from __future__ import annotations

from talkover.model.codec import CodecConfig
from talkover.model.config import CueConfig, LmConfig, Parts
from talkover.model.data.feeds import Choice
from talkover.model.encoders import EncoderConfig
from talkover.model.layout import LayoutConfig
from talkover.model.presets.base import Preset
from talkover.model.projectors import ProjectorConfig
from talkover.model.stages import Stage, TrainConfig
from talkover.model.tokens import AtomConfig
from talkover.model.voices.model import VoiceConfig

TINY_LONGEST = 12.0
"""Seconds of a window, and the last time that has a token."""

SPEEDS = (0.9, 1.0, 1.1)
"""Three speakers out of one (Ko et al. 2015)."""


def tiny() -> Preset:
    """A small model for a small vocabulary, trained in half an hour on two cores.

    Everything that a turn says has a token of its own (times, speakers, words), and the audio is
    described to the language model by the same tokens (`talkover.model.cues`): the encoder finds
    words at their onsets, a linear model of voices gives them to speakers. The language model then
    learns to write what was found.
    """
    parts = Parts(
        semantic=EncoderConfig(
            kind="conv_transformer",
            options={
                "width": 144,
                "channels": [16, 32],
                "layers": 5,
                "kernel": 15,
                "attention": [2, 4],
                "expansion": 2,
            },
        ),
        projector=ProjectorConfig(merge=2),
        layout=LayoutConfig(marker="seconds", marker_interval=1.0, marker_style="atomic"),
        codec=CodecConfig(
            format="inline",
            digits=1,
            atoms=AtomConfig(max_time=TINY_LONGEST + 1, max_speakers=4),
            vocab_size=1024,
        ),
        cues=CueConfig(words=True, speakers=True, times=True, ends=True),
        voices=VoiceConfig(),
        max_speakers=4,
        lm=LmConfig(
            config={
                "model_type": "qwen3",
                "hidden_size": 128,
                "intermediate_size": 384,
                "num_hidden_layers": 3,
                "num_attention_heads": 4,
                "num_key_value_heads": 4,
                "head_dim": 32,
                "tie_word_embeddings": True,
                "max_position_embeddings": 2048,
                # Slow rotations: over a window most of a head looks at content, not at distance.
                "rope_parameters": {"rope_type": "default", "rope_theta": 1e6},
            }
        ),
    )
    return Preset(parts=parts, training=_tiny_training())


def _tiny_training() -> TrainConfig:
    return TrainConfig(
        longest=TINY_LONGEST,
        stages=(
            Stage(
                name="listen",
                steps=4000,
                losses={"ctc": 0.3, "onsets": 1.0, "durations": 0.5, "voices": 1.0},
                data=Choice(speeds=SPEEDS, seconds=100.0, untranscribed=True),
                lr=2e-3,
            ),
            Stage(
                name="write",
                steps=1500,
                losses={"answer": 1.0},
                trainable=("lm.*", "projector.*", "cues.*"),
                data=Choice(speeds=SPEEDS, seconds=100.0),
                mask=False,
                lr=1.5e-3,
            ),
        ),
    )
