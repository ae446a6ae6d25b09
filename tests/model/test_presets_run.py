"""Five published systems and `tiny`: every stage steps, checkpoints hold, outputs parse."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.io import SessionAudio
from talkover.model.checkpoints import load_model
from talkover.model.data.choice import Choice
from talkover.model.data.collate import Collator
from talkover.model.data.examples import example_of
from talkover.model.modeling import vocabulary_of
from talkover.model.presets import PUBLISHED, Preset, changed_preset, preset
from talkover.model.run import train
from talkover.model.transcribe import DecodeOptions, Transcriber


def one_step_each(name: str) -> Preset:
    """The small form with one update in each stage, on whatever data there are."""
    chosen = preset(name)
    stages = tuple(
        replace(stage, steps=1, data=Choice(seconds=5.0)) for stage in chosen.training.stages
    )
    training = replace(
        chosen.training, stages=stages, longest=8.0, average=1, log_every=1, buckets="plain"
    )
    return Preset(parts=chosen.parts, training=training)


@pytest.mark.parametrize("name", ["tiny", *(f"{name}-small" for name in PUBLISHED)])
def test_each_system_is_trained_saved_read_and_heard(
    name: str,
    tmp_path: Path,
    tone_folder: Path,
    tone_items: list[SessionAudio],
) -> None:
    chosen = one_step_each(name)
    done: list[int] = []
    trained = train(
        [tone_folder], chosen, tmp_path, report=lambda update, total, losses: done.append(update)
    )
    assert trained.steps == len(chosen.training.stages) == len(done)
    assert all(value == value for value in trained.losses.values()) and trained.losses
    model, codec = load_model(tmp_path)
    again, _ = load_model(tmp_path)
    examples = [example_of(item, codec, 16000) for item in tone_items[:2]]
    batch = Collator(model, codec, vocabulary_of(codec))(examples)
    with torch.inference_mode():
        first, second = model(batch, ("answer",)).logits, again(batch, ("answer",)).logits
    assert first is not None and second is not None
    torch.testing.assert_close(first, second, atol=0, rtol=0)
    options = DecodeOptions(tokens_per_second=8)
    for answer in Transcriber(model, codec, options).answers(examples):
        assert answer.parsed.repairs == ()


def test_local_parts_are_named_on_the_command_line(
    tmp_path: Path, save_lm: Callable[[Path], None]
) -> None:
    save_lm(tmp_path)
    found = changed_preset("balancing-small", assignments=[f"model.lm.path={tmp_path}"])
    assert found.parts.lm.path == str(tmp_path) == found.parts.codec.tokenizer
    own = changed_preset(
        "balancing-small",
        assignments=[f"model.lm.path={tmp_path}", "model.codec.tokenizer=elsewhere"],
    )
    assert own.parts.codec.tokenizer == "elsewhere"


@pytest.mark.parametrize("kind", ["qwen2", "llama"])
def test_a_language_model_of_a_folder_is_trained_and_resumed(
    kind: str, tmp_path: Path, tone_folder: Path, save_lm: Callable[..., None]
) -> None:
    save_lm(tmp_path / "lm", kind)
    found = changed_preset(
        "tagspeech-small",
        assignments=[f"model.lm.path={tmp_path / 'lm'}", "model.codec.extras=[]"],
    )
    stage = replace(found.training.stages[-1], steps=2, data=Choice(seconds=5.0))
    training = replace(
        found.training, stages=(stage,), longest=8.0, average=1, keep=2, save_every=1
    )
    train([tone_folder], Preset(parts=found.parts, training=training), tmp_path / "out")
    model, codec = load_model(tmp_path / "out")
    assert model.lm.config.model_type == kind
    assert len(codec.encode_fixed("<|im_end|>")) == 1
    frozen = load_file(tmp_path / "lm" / "model.safetensors")["model.layers.0.mlp.up_proj.weight"]
    assert torch.equal(model.lm.model.layers[0].mlp.up_proj.weight, frozen)
    # The folder that is resumed into is compared with the same request, and found to be finished.
    train([tone_folder], Preset(parts=found.parts, training=training), tmp_path / "out")


def test_a_folder_without_a_language_model_is_told(tmp_path: Path, tone_folder: Path) -> None:
    for path in (tmp_path / "absent", tmp_path):
        found = changed_preset("moss_td-small", assignments=[f"model.lm.path={path}"])
        with pytest.raises(ConfigurationError, match=r"lm\.path"):
            train([tone_folder], found, tmp_path / "out")


@pytest.fixture(scope="module")
def save_lm() -> Callable[..., None]:
    """Writes a small random language model with a tokenizer of its own."""

    def save(folder: Path, kind: str = "qwen2") -> None:
        from transformers import AutoConfig, AutoModelForCausalLM

        from talkover.model.tokens import train_tokenizer

        tokenizer = train_tokenizer(["wahid ithnan thalatha arbaa"], vocab_size=300)
        config = AutoConfig.for_model(
            kind,
            vocab_size=len(tokenizer),
            hidden_size=32,
            intermediate_size=48,
            num_hidden_layers=2,
            num_attention_heads=2,
            num_key_value_heads=1,
            max_position_embeddings=512,
            pad_token_id=0,
            bos_token_id=None,
            eos_token_id=1,
        )
        torch.manual_seed(3)
        AutoModelForCausalLM.from_config(config).save_pretrained(folder)
        tokenizer.save_pretrained(folder)

    return save
