"""`moss_audio`: MOSS-Audio (arXiv 2606.01802; OpenMOSS/MOSS-Audio), with Qwen3-4B.

Published in code: 128 mel bands, three convolutions of stride 2, 32 layers of Whisper's kind at
12.5 Hz, the states behind layers 8, 16 and 24 through gated adapters of their own into the language
model behind its layers 0, 1 and 2; the last state through an adapter of the same form (inner width
8192, no norm); elapsed seconds as digits every 2 s; the template. Published in the paper alone:
attention within 100 frames, which the released code does not do (``window`` of the encoder).
Reconstructed: the text format of turns and speakers, taken from MOSS-Transcribe-Diarize, since its
own transcripts name no speakers; LoRA (rank 64, alpha 2 in the release) is off until ``model.lora``
is set.
"""

from __future__ import annotations

from talkover.model.codec import CodecConfig
from talkover.model.config import LmConfig, Parts
from talkover.model.deepstack import DeepStackConfig
from talkover.model.encoders import EncoderConfig
from talkover.model.features import FeatureConfig
from talkover.model.layout import LayoutConfig
from talkover.model.presets.base import ANSWER, CHAT_MARKS, USER, Preset, qwen3, system
from talkover.model.presets.training import moss_audio_training
from talkover.model.projectors import ProjectorConfig

AUDIO_MARKS = ("<|audio_bos|>", "<|audio_eos|>")

ADAPTER = ProjectorConfig(kind="gated_mlp", merge=1, hidden=8192, norm=False)


def moss_audio() -> Preset:
    """See the module."""
    parts = Parts(
        features=FeatureConfig(num_mels=128, normalization="whisper", edges="mirror"),
        mask=None,
        semantic=EncoderConfig(
            kind="conv_stem",
            options={
                "width": 1280,
                "channels": 480,
                "layers": 32,
                "heads": 20,
                "inner": 5120,
                "window": 100,
                "taps": [8, 16, 24],
            },
        ),
        projector=ADAPTER,
        deepstack=DeepStackConfig(layers=(0, 1, 2), projector=ADAPTER),
        layout=LayoutConfig(
            fusion="single",
            marker="seconds",
            marker_interval=2.0,
            marker_style="digits",
            marker_full=True,
            before=system("You are a helpful assistant.") + USER,
            stream_open=(AUDIO_MARKS[0], ""),
            stream_close=(AUDIO_MARKS[1] + "\n", ""),
            use_prompt=True,
            after=ANSWER,
        ),
        codec=CodecConfig(
            format="inline", digits=2, extras=("events",), marks=(*CHAT_MARKS, *AUDIO_MARKS)
        ),
        lm=LmConfig(config=qwen3(2560, 9728, 36, 32, positions=40960)),
    )
    return Preset(parts=parts, training=moss_audio_training())
