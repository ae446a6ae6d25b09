"""`speakerlm`: SpeakerLM (arXiv 2508.06372, AAAI 2026; code not released).

Published: SenseVoice-large, a projector of two Transformer layers and one CNN layer, Qwen2.5-7B;
a frozen ERes2NetV2 on clips of 2 to 10 s, averaged for each registered speaker, one linear map, one
vector behind the name; the prompt "You are a helpful assistant. Transcribe by roles."; lines of
``spk0: text`` or ``name: text``, no times; the three modes of registration and the four stages.
Reconstructed: the sizes of SenseVoice-large, which is not released (here its layout with a width of
1024), stride and widths of the projector, rank and scale of LoRA, how the registered names stand in
the template. The network of enrolment is our `Tdnn` in place of ERes2NetV2; for vectors of the real
one set ``model.speaker=null`` and ``model.registration_width=192``.
"""

from __future__ import annotations

from talkover.model.codec import CodecConfig
from talkover.model.config import LmConfig, Parts
from talkover.model.encoders import EncoderConfig
from talkover.model.layout import LayoutConfig
from talkover.model.lora import LoraSettings
from talkover.model.presets.base import ANSWER, CHAT_MARKS, USER, Preset, qwen2, system
from talkover.model.presets.training import speakerlm_training
from talkover.model.projectors import ProjectorConfig

START, END = "<start>", "<end>"
"""Around the audio, and around each registered name."""


def speakerlm() -> Preset:
    """See the module."""
    parts = Parts(
        semantic=EncoderConfig(
            kind="sanm",
            options={
                "width": 1024,
                "layers": 50,
                "later_layers": 20,
                "heads": 16,
                "inner": 4096,
            },
        ),
        speaker=EncoderConfig(kind="tdnn", options={"width": 192, "layers": 2}),
        projector=ProjectorConfig(kind="transformer_cnn", merge=2, layers=2, heads=16),
        layout=LayoutConfig(
            fusion="single",
            marker="none",
            before=system("You are a helpful assistant. Transcribe by roles.") + USER,
            stream_open=(START, ""),
            stream_close=(END, ""),
            registration=True,
            registration_form=(START, END, ""),
            after=ANSWER,
        ),
        longest=50.0,
        codec=CodecConfig(format="roles", marks=(*CHAT_MARKS, START, END)),
        lora=LoraSettings(
            targets=("lm.*.q_proj", "lm.*.k_proj", "lm.*.v_proj", "lm.*.o_proj"),
            rank=16,
            alpha=32.0,
        ),
        lm=LmConfig(config=qwen2(3584, 18944, 28, 28, key_heads=4, is_tied=False)),
    )
    return Preset(parts=parts, training=speakerlm_training())
