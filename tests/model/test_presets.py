"""Five published systems and `tiny`: figures as published, every stage steps, outputs parse."""

from __future__ import annotations

from dataclasses import dataclass, replace

import pytest
import torch

from talkover.manifests.errors import ConfigurationError
from talkover.model.codec import SatsCodec, build_codec
from talkover.model.config import Parts, SatsConfig
from talkover.model.layout import Kind, Streams, plan_layout
from talkover.model.modeling import SatsModel, vocabulary_of
from talkover.model.presets import PUBLISHED, preset, preset_names

SIXTY_MS = 1 / 0.06


@dataclass(frozen=True, kw_only=True)
class Published:
    """What a paper or its code says; None where there is no such thing."""

    encoder_rate: float
    """Hz."""
    rate: float
    """Hz of the vectors in the language model."""
    speaker_rate: float | None = None
    merge: int
    fusion: str
    marker: str
    interval: float | None = None
    """Seconds."""
    block: float | None = None
    taps: tuple[int, ...] = ()
    tap_layers: tuple[int, ...] = ()
    projector: str
    format: str
    digits: int | None = None
    mels: int
    registration: bool = False
    lora_rank: int | None = None
    lm: tuple[str, int, int]
    """Kind, width, layers."""
    parameters: tuple[float, float] | None = None
    """Billions, from and to."""
    stages: int
    losses: tuple[str, ...]


TABLE = {
    # arXiv 2601.01554 and OpenMOSS/MOSS-Transcribe-Diarize: "0.9B".
    "moss_td": Published(
        encoder_rate=50,
        rate=12.5,
        merge=4,
        fusion="single",
        marker="seconds",
        interval=2.0,
        projector="stack_mlp",
        format="inline",
        digits=2,
        mels=80,
        lm=("qwen3", 1024, 28),
        parameters=(0.87, 0.95),
        stages=1,
        losses=("answer",),
    ),
    # arXiv 2606.13095: 0.7 B, frames of 60 ms, 20 + 20 frames of 1.2 s, LoRA of rank 16.
    "balancing": Published(
        encoder_rate=SIXTY_MS,
        rate=SIXTY_MS,
        speaker_rate=SIXTY_MS,
        merge=1,
        fusion="interleave",
        marker="none",
        block=1.2,
        projector="stack_mlp",
        format="sc",
        mels=80,
        lora_rank=16,
        lm=("qwen2", 896, 24),
        parameters=(0.65, 0.78),
        stages=4,
        losses=("answer", "speaker_tags"),
    ),
    # arXiv 2606.01802 and OpenMOSS/MOSS-Audio: encoder 0.6 B, Qwen3-4B.
    "moss_audio": Published(
        encoder_rate=12.5,
        rate=12.5,
        merge=1,
        fusion="single",
        marker="seconds",
        interval=2.0,
        taps=(8, 16, 24),
        tap_layers=(0, 1, 2),
        projector="gated_mlp",
        format="inline",
        digits=2,
        mels=128,
        lm=("qwen3", 2560, 36),
        parameters=(4.5, 5.1),
        stages=2,
        losses=("answer",),
    ),
    # arXiv 2508.06372: Qwen2.5-7B; the rate behind the projector is not published.
    "speakerlm": Published(
        encoder_rate=SIXTY_MS,
        rate=SIXTY_MS / 2,
        merge=2,
        fusion="single",
        marker="none",
        projector="transformer_cnn",
        format="roles",
        mels=80,
        registration=True,
        lora_rank=16,
        lm=("qwen2", 3584, 28),
        stages=4,
        losses=("answer",),
    ),
    # arXiv 2601.06896 and AudenAI/Auden: 25 Hz, four stacked, an anchor every 8 vectors, 7 B.
    "tagspeech": Published(
        encoder_rate=25,
        rate=6.25,
        speaker_rate=6.25,
        merge=4,
        fusion="two_block",
        marker="ordinals",
        interval=1.28,
        projector="stack_mlp",
        format="xml",
        digits=2,
        mels=80,
        lm=("qwen2", 3584, 28),
        stages=2,
        losses=("answer", "ctc"),
    ),
}


def on_paper(parts: Parts) -> SatsModel:
    """The model with shapes and no weights."""
    with torch.device("meta"):
        return SatsModel(SatsConfig.of(replace(parts, lora=None)))


@pytest.mark.parametrize("suffix", ["", "-small"])
@pytest.mark.parametrize("name", sorted(TABLE))
def test_figures_are_the_published_ones(name: str, suffix: str) -> None:
    wanted, found = TABLE[name], preset(name + suffix)
    parts, layout = found.parts, found.parts.layout
    model = on_paper(parts)
    assert model.semantic.rate_hz == pytest.approx(wanted.encoder_rate)
    assert model.semantic_rate == pytest.approx(wanted.rate)
    assert model.speaker_rate == pytest.approx(wanted.speaker_rate or 0.0)
    assert model.projector.merge == wanted.merge
    assert (layout.fusion, layout.marker) == (wanted.fusion, wanted.marker)
    if wanted.interval is not None:
        assert layout.marker_interval == wanted.interval and layout.marker_style == "digits"
    if wanted.block is not None:
        assert layout.block == wanted.block
    assert tuple(parts.semantic.options.get("taps", ())) == wanted.taps
    assert (parts.deepstack.layers if parts.deepstack else ()) == wanted.tap_layers
    assert parts.projector.kind == wanted.projector
    assert parts.codec.format == wanted.format
    assert wanted.digits is None or parts.codec.digits == wanted.digits
    assert parts.features.num_mels == wanted.mels
    assert layout.registration == wanted.registration
    assert (parts.lora is not None) == (wanted.lora_rank is not None)
    assert parts.lm.config["model_type"] == wanted.lm[0]
    stages = found.training.stages[1 if suffix else 0 :]
    assert len(stages) == wanted.stages
    assert {loss for stage in stages for loss in stage.losses} == set(wanted.losses)
    if suffix:
        assert sum(p.numel() for p in model.parameters()) < 5e6 + 2 * 128 * 152_000
        return
    assert (parts.lora.rank if parts.lora else None) == wanted.lora_rank
    config = parts.lm.config
    assert (config["hidden_size"], config["num_hidden_layers"]) == wanted.lm[1:]
    if wanted.parameters is not None:
        billions = sum(p.numel() for p in model.parameters()) / 1e9
        assert wanted.parameters[0] < billions < wanted.parameters[1]


def test_the_parts_of_published_sizes() -> None:
    """Millions of parameters of parts whose sizes are published."""
    counts = {
        name: sum(p.numel() for p in on_paper(preset(name).parts).semantic.parameters()) / 1e6
        for name in ("moss_td", "moss_audio", "balancing")
    }
    assert counts["moss_td"] == pytest.approx(307, abs=5)  # 312 M with the adaptor
    assert counts["moss_audio"] == pytest.approx(640, abs=20)  # "0.6 B"
    assert counts["balancing"] == pytest.approx(234, abs=25)  # SenseVoice-small


def shown(parts: Parts, codec: SatsCodec, streams: Streams, prompt: str = "P") -> str:
    """The layout in one line: vectors as counts, texts as they are."""
    plan = plan_layout(streams, parts.layout, vocabulary_of(codec), prompt=prompt)
    runs: list[tuple[Kind, list[int]]] = []
    for kind, index in zip(plan.kinds, plan.ids, strict=True):
        if runs and runs[-1][0] is kind:
            runs[-1][1].append(index)
        else:
            runs.append((kind, [index]))
    vectors = {Kind.SEMANTIC: "s", Kind.SPEAKER: "v", Kind.REGISTRATION: "r"}
    return "".join(
        f"({len(ids)}{vectors[kind]})" if kind in vectors else codec.tokenizer.decode(ids)
        for kind, ids in runs
    )


CHAT = "<|im_start|>user\n{}<|im_end|>\n<|im_start|>assistant\n"


@pytest.mark.parametrize(
    ("name", "streams", "wanted"),
    [
        (
            "moss_td",
            Streams(semantic=60, semantic_rate=12.5),
            CHAT.format("<|audio_start|>(25s)2(25s)4(10s)<|audio_end|>P"),
        ),
        (
            "balancing",
            Streams(semantic=45, semantic_rate=SIXTY_MS, speaker=45, speaker_rate=SIXTY_MS),
            CHAT.format(
                "<|block|>(20s)<|block|>(20v)<|block|>(20s)<|block|>(20v)"
                "<|block|>(5s)<|block|>(5v)P"
            ),
        ),
        (
            "moss_audio",
            Streams(semantic=60, semantic_rate=12.5),
            "<|im_start|>system\nYou are a helpful assistant.<|im_end|>\n"
            + CHAT.format("<|audio_bos|>(25s)2(25s)4(10s)<|audio_eos|>\nP"),
        ),
        (
            "speakerlm",
            Streams(semantic=9, semantic_rate=SIXTY_MS / 2, registered=("ana", "bo")),
            "<|im_start|>system\nYou are a helpful assistant. Transcribe by roles.<|im_end|>\n"
            + CHAT.format("<start>ana<end>(1r)<start>bo<end>(1r)<start>(9s)<end>"),
        ),
        (
            "tagspeech",
            Streams(semantic=20, semantic_rate=6.25, speaker=20, speaker_rate=6.25),
            CHAT.format("<text>1(8s)2(8s)3(4s)4</text>\n<speaker>1(8v)2(8v)3(4v)4</speaker>"),
        ),
    ],
)
def test_layouts_are_the_published_ones(name: str, streams: Streams, wanted: str) -> None:
    parts = preset(name).parts
    codec = build_codec(parts.codec, ["some text"])
    assert shown(parts, codec, streams) == wanted
    for mark in parts.codec.marks:
        assert len(codec.encode_fixed(mark)) == 1
        assert len(codec.encode_text(mark)) > 1  # a text from data cannot forge it


def test_small_forms_keep_what_stages_train() -> None:
    for name in PUBLISHED:
        full, less = preset(name).training, preset(name + "-small").training
        assert less.stages[0].name == "pretrain"
        assert [s.name for s in less.stages[1:]] == [s.name for s in full.stages]
        for mine, theirs in zip(less.stages[1:], full.stages, strict=True):
            assert (mine.losses, mine.trainable, mine.lora, mine.answer) == (
                theirs.losses,
                theirs.trainable,
                theirs.lora,
                theirs.answer,
            )


def test_names_of_presets() -> None:
    assert preset_names()[:2] == ("tiny", "moss_td") and "moss_td-small" in preset_names()
    with pytest.raises(ConfigurationError, match="no preset 'whisper': choose from tiny, moss_td"):
        preset("whisper")
