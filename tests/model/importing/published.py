"""Small published checkpoints: a tokenizer of Qwen's kind, and folders with random weights."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import torch

from talkover.manifests.torchaudio_guard import guard_torchaudio
from talkover.model.codec import SatsCodec
from talkover.model.hearing import hear
from talkover.model.layout import Kind, plan_layout
from talkover.model.modeling import SatsModel, vocabulary_of

RATE = 16000
CHAT = ("<|endoftext|>", "<|im_start|>", "<|im_end|>")

ASKED = "Say who says what."
TEMPLATE = (
    "{% for m in messages %}<|im_start|>{{ m['role'] }}\n{% for c in m['content'] %}"
    "{% if c['type'] == 'audio' %}<|audio_start|><|audio_pad|><|audio_end|>\n{% endif %}"
    "{% endfor %}" + ASKED + "<|im_end|>\n{% endfor %}"
    "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
)

guard_torchaudio()


def qwen_like(*extra: str) -> Any:
    """A byte-level tokenizer with single digits and the control tokens of ChatML."""
    from tokenizers import Regex, Tokenizer, decoders, models, pre_tokenizers, trainers
    from transformers import PreTrainedTokenizerFast

    tokenizer = Tokenizer(models.BPE())
    split = Regex(r"\p{N}| ?\p{L}+|\s+|[^\s\p{L}\p{N}]+")
    tokenizer.pre_tokenizer = pre_tokenizers.Sequence(
        [
            pre_tokenizers.Split(split, "isolated"),
            pre_tokenizers.ByteLevel(add_prefix_space=False, use_regex=False),
        ]
    )
    tokenizer.decoder = decoders.ByteLevel()
    trainer = trainers.BpeTrainer(
        vocab_size=300,
        initial_alphabet=sorted(pre_tokenizers.ByteLevel.alphabet()),
        special_tokens=[*CHAT, *extra],
        show_progress=False,
    )
    tokenizer.train_from_iterator(["user assistant system the who says what when"], trainer)
    return PreTrainedTokenizerFast(
        tokenizer_object=tokenizer, eos_token="<|im_end|>", pad_token="<|endoftext|>"
    )


def moss_td_folder(folder: Path) -> tuple[Any, Any]:
    """Write a small random MOSS-Transcribe-Diarize of transformers' classes; also its processor."""
    from transformers import (
        MossTranscribeDiarizeConfig,
        MossTranscribeDiarizeFeatureExtractor,
        MossTranscribeDiarizeForConditionalGeneration,
        MossTranscribeDiarizeProcessor,
    )

    tokenizer = qwen_like("<|audio_start|>", "<|audio_end|>", "<|audio_pad|>")
    config = MossTranscribeDiarizeConfig(
        audio_config={
            "hidden_size": 32,
            "num_hidden_layers": 2,
            "num_attention_heads": 4,
            "intermediate_size": 64,
        },
        text_config={
            "model_type": "qwen3",
            "hidden_size": 48,
            "intermediate_size": 96,
            "num_hidden_layers": 3,
            "num_attention_heads": 4,
            "num_key_value_heads": 2,
            "head_dim": 16,
            "vocab_size": len(tokenizer),
            "tie_word_embeddings": True,
        },
        audio_token_id=tokenizer.convert_tokens_to_ids("<|audio_pad|>"),
    )
    torch.manual_seed(0)
    model = MossTranscribeDiarizeForConditionalGeneration(config).eval()
    with torch.no_grad():
        for weight in model.parameters():  # far from the initial ones, zero and one in norms
            weight.add_(0.05 * torch.randn_like(weight))
    processor = MossTranscribeDiarizeProcessor(
        feature_extractor=MossTranscribeDiarizeFeatureExtractor(),
        tokenizer=tokenizer,
        chat_template=TEMPLATE,
    )
    model.save_pretrained(folder)
    processor.save_pretrained(folder)
    return model, processor


def noise(seconds: float, seed: int = 0) -> np.ndarray:
    """Noise whose loudness changes, so that peaks of windows differ."""
    rng = np.random.default_rng(seed)
    count = round(seconds * RATE)
    swell = 0.02 + 0.1 * np.sin(np.arange(count) / (7.0 * RATE)) ** 2
    return (swell * rng.standard_normal(count)).astype(np.float32)


def planned(model: SatsModel, codec: SatsCodec, audio: np.ndarray) -> tuple[Any, Any]:
    """What the model reads before it answers, as a batch of one, and what it heard."""
    plan = plan_layout(
        model.streams(len(audio)),
        model.parts.layout,
        vocabulary_of(codec),
        prompt=codec.serializer.prompt(),
    )
    batch = SimpleNamespace(
        input_ids=torch.tensor([plan.ids]),
        kinds=torch.tensor([[int(kind) for kind in plan.kinds]]),
        registration=None,
    )
    heard = hear(model, torch.from_numpy(audio)[None], torch.tensor([len(audio)]))
    return batch, heard


@torch.no_grad()
def logits_of(model: SatsModel, batch: Any, heard: Any) -> torch.Tensor:
    """Logits at every position, ``[L, V]``."""
    with model.deep_hooks(batch, heard):
        found: torch.Tensor = model.lm(inputs_embeds=model.embed(batch, heard)).logits[0]
    return found


@torch.no_grad()
def greedy(model: SatsModel, batch: Any, heard: Any, **options: Any) -> list[int]:
    """Ids that the model writes."""
    with model.deep_hooks(batch, heard):
        ids = model.lm.generate(
            inputs_embeds=model.embed(batch, heard),
            attention_mask=torch.ones_like(batch.input_ids),
            do_sample=False,
            **options,
        )
    return [int(index) for index in ids[0]]


def placed(batch: Any, kind: Kind) -> torch.Tensor:
    """Positions of a kind, ``[L]``."""
    found: torch.Tensor = batch.kinds[0] == int(kind)
    return found
