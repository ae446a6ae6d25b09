"""LoRA: nothing changes until it is trained; checkpoints, resuming, merging."""

from __future__ import annotations

import functools
import json
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
from safetensors.torch import save_file
from typer.testing import CliRunner

from talkover.cli import app
from talkover.manifests.errors import ConfigurationError
from talkover.manifests.io import SessionAudio
from talkover.model.checkpoints import load_model, save_model
from talkover.model.codec import SatsCodec
from talkover.model.config import Parts
from talkover.model.data.collate import Collator
from talkover.model.data.examples import example_of
from talkover.model.lora import LoraSettings, choose_lora, has_lora, merge_lora, reset_lora
from talkover.model.merging import add_adapters, merge_adapters
from talkover.model.modeling import SatsModel, vocabulary_of
from talkover.model.presets import Preset
from talkover.model.run import train

LORA = LoraSettings(targets=("lm.*.q_proj", "semantic.*.project"), rank=2, alpha=4.0)


@pytest.fixture
def adapted(build: Callable[..., SatsModel]) -> SatsModel:
    return build(lora=LORA)


def logits_of(model: SatsModel, codec: SatsCodec, items: list[SessionAudio]) -> torch.Tensor:
    examples = [example_of(item, codec, 16000) for item in items]
    batch = Collator(model, codec, vocabulary_of(codec))(examples)
    with torch.inference_mode():
        logits = model(batch, ("answer",)).logits
    assert logits is not None
    return logits


def moved(model: SatsModel) -> SatsModel:
    """With adapters that do something."""
    generator = torch.Generator().manual_seed(1)
    for name, parameter in model.named_parameters():
        if "lora_B" in name:
            parameter.data.copy_(0.5 * torch.randn(parameter.shape, generator=generator))
    return model


def test_new_adapters_change_nothing(
    adapted: SatsModel,
    build: Callable[..., SatsModel],
    codec: SatsCodec,
    tone_items: list[SessionAudio],
) -> None:
    names = [name for name, _ in adapted.named_parameters() if "lora_A" in name]
    assert len(names) == 3 and not any("_proj" in n and "q_proj" not in n for n in names)
    before = logits_of(build(), codec, tone_items[:2])
    torch.testing.assert_close(logits_of(adapted, codec, tone_items[:2]), before)
    changed = logits_of(moved(adapted), codec, tone_items[:2])
    assert (changed - before).abs().max() > 1e-3
    reset_lora(adapted, seed=0)
    torch.testing.assert_close(logits_of(adapted, codec, tone_items[:2]), before)


def test_a_stage_trains_adapters_or_what_is_under_them(adapted: SatsModel) -> None:
    choose_lora(adapted, True)
    trained = {name for name, p in adapted.named_parameters() if p.requires_grad}
    assert any("lora_A" in name for name in trained)
    assert not any(".base_layer." in name for name in trained)
    assert "projector.map.first.weight" in trained
    choose_lora(adapted, False)
    assert not any(p.requires_grad for n, p in adapted.named_parameters() if "lora_" in n)


def test_adapters_are_saved_and_merged(
    tmp_path: Path, adapted: SatsModel, codec: SatsCodec, tone_items: list[SessionAudio]
) -> None:
    wanted = logits_of(moved(adapted), codec, tone_items[:2])
    save_model(adapted, codec, tmp_path / "adapters")
    loaded, _ = load_model(tmp_path / "adapters")
    assert loaded.parts.lora == LORA and has_lora(loaded)
    torch.testing.assert_close(logits_of(loaded, codec, tone_items[:2]), wanted, atol=0, rtol=0)
    assert merge_lora(loaded) == 3
    assert loaded.parts.lora is None and not has_lora(loaded)
    torch.testing.assert_close(
        logits_of(loaded, codec, tone_items[:2]), wanted, atol=1e-4, rtol=1e-4
    )
    save_model(loaded, codec, tmp_path / "merged")
    again, _ = load_model(tmp_path / "merged")
    assert not has_lora(again)
    torch.testing.assert_close(
        logits_of(again, codec, tone_items[:2]), wanted, atol=1e-4, rtol=1e-4
    )


def test_a_run_with_adapters_is_stopped_and_goes_on(
    tmp_path: Path, small: Callable[..., Preset], tone_folder: Path
) -> None:
    preset = small(2)
    stage = replace(
        preset.training.stages[0], losses={"answer": 1.0}, lora=True, trainable=("cues.*",)
    )
    training = replace(preset.training, stages=(stage,), save_every=1)
    preset = Preset(parts=replace(preset.parts, lora=LORA), training=training)
    train([tone_folder], preset, tmp_path / "whole")
    checkpoints = tmp_path / "whole" / "run" / "checkpoints"
    first, last = (load_model(folder)[0].state_dict() for folder in sorted(checkpoints.iterdir()))
    changed = {name for name in first if not torch.equal(first[name], last[name])}
    assert changed and all("lora_" in name or name.startswith("cues.") for name in changed)
    # The run goes on from its first checkpoint to the same weights.
    other = tmp_path / "resumed" / "run" / "checkpoints"
    other.mkdir(parents=True)
    sorted(checkpoints.iterdir())[0].rename(other / sorted(checkpoints.iterdir())[0].name)
    train([tone_folder], preset, tmp_path / "resumed")
    resumed = load_model(sorted(other.iterdir())[-1])[0].state_dict()
    assert resumed.keys() == last.keys()
    assert all(torch.equal(resumed[name], last[name]) for name in last)


def test_wrong_settings_are_told(build: Callable[..., SatsModel]) -> None:
    with pytest.raises(ConfigurationError, match=r"no linear map is called 'lm\.\*\.nothing'"):
        build(lora=LoraSettings(targets=("lm.*.nothing",)))
    with pytest.raises(ValueError, match="rank must be 1 or more"):
        LoraSettings(rank=0)
    with pytest.raises(ValueError, match="at least one module"):
        LoraSettings(targets=())


def test_settings_survive_json(adapted: SatsModel) -> None:
    assert Parts.read(adapted.parts.plain()) == adapted.parts


def test_a_merged_checkpoint_answers_the_same_and_trains_on(
    tmp_path: Path,
    adapted: SatsModel,
    codec: SatsCodec,
    tone_items: list[SessionAudio],
) -> None:
    wanted = logits_of(moved(adapted), codec, tone_items[:2])
    save_model(adapted, codec, tmp_path / "adapters")
    arguments = ["merge-adapters", str(tmp_path / "adapters"), "--out", str(tmp_path / "merged")]
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["adapters"] == 3
    merged, again = load_model(tmp_path / "merged")
    assert not has_lora(merged) and merged.parts == replace(adapted.parts, lora=None)
    torch.testing.assert_close(
        logits_of(merged, again, tone_items[:2]), wanted, atol=1e-5, rtol=1e-5
    )
    with pytest.raises(ConfigurationError, match="holds a checkpoint already"):
        merge_adapters(tmp_path / "adapters", tmp_path / "merged")
    with pytest.raises(ConfigurationError, match="no adapters"):
        merge_adapters(tmp_path / "merged", tmp_path / "none")
    assert not (tmp_path / "none").exists()


@pytest.mark.parametrize("is_stabilised", [False, True])
def test_adapters_that_peft_wrote_are_added_to_the_language_model(
    tmp_path: Path,
    build: Callable[..., SatsModel],
    codec: SatsCodec,
    tone_items: list[SessionAudio],
    is_stabilised: bool,
) -> None:
    from peft import LoraConfig, get_peft_model

    plain = build()
    save_model(plain, codec, tmp_path / "plain")
    config = LoraConfig(
        r=4, lora_alpha=6, target_modules=["q_proj", "down_proj"], use_rslora=is_stabilised
    )
    wrapped = get_peft_model(build().lm, config)
    with torch.no_grad():
        for name, parameter in wrapped.named_parameters():
            if "lora_B" in name:
                parameter.copy_(0.3 * torch.randn_like(parameter))
    wrapped.save_pretrained(tmp_path / "peft")
    theirs = build()
    theirs.lm = wrapped.merge_and_unload()
    wanted = logits_of(theirs.eval(), codec, tone_items[:2])
    done = merge_adapters(tmp_path / "plain", tmp_path / "out", adapters=tmp_path / "peft")
    assert done.adapters == 4
    found, _ = load_model(tmp_path / "out")
    logits = logits_of(found, codec, tone_items[:2])
    torch.testing.assert_close(logits, wanted, atol=1e-5, rtol=1e-5)
    assert (logits - logits_of(plain, codec, tone_items[:2])).abs().max() > 1e-3


def test_other_folders_are_no_adapters(
    tmp_path: Path, build: Callable[..., SatsModel], codec: SatsCodec
) -> None:
    model = build()
    config = {"peft_type": "LORA", "r": 2, "lora_alpha": 4}
    pair = {"lora_A": torch.zeros(2, 32), "lora_B": torch.zeros(32, 2)}
    q_proj = "base_model.model.model.layers.0.self_attn.q_proj"
    good = {f"{q_proj}.{name}.weight": tensor for name, tensor in pair.items()}
    assert_refused = functools.partial(refused, model, tmp_path)
    assert_refused(None, good, "no configuration")
    assert_refused({**config, "peft_type": "IA3"}, good, "peft_type")
    assert_refused({**config, "use_dora": True}, good, "use_dora")
    assert_refused(config, None, "safetensors")
    assert_refused(config, {f"{q_proj}.lora_A.weight": pair["lora_A"]}, "one of its two")
    assert_refused(config, {"lm_head.weight": pair["lora_A"]}, "no matrix")
    other = {name.replace("q_proj", "x_proj"): tensor for name, tensor in good.items()}
    assert_refused(config, other, "no linear map")
    odd = {**good, f"{q_proj}.lora_A.weight": torch.zeros(2, 8)}
    assert_refused(config, odd, r"is for \[32, 8\]")
    assert add_adapters(model, written(tmp_path, config, good)) == 1


def written(
    folder: Path, config: dict[str, object] | None, tensors: dict[str, torch.Tensor] | None
) -> Path:
    """A folder as peft writes it."""
    for name in ("adapter_config.json", "adapter_model.safetensors"):
        (folder / name).unlink(missing_ok=True)
    if config is not None:
        (folder / "adapter_config.json").write_text(json.dumps(config))
    if tensors is not None:
        save_file(tensors, folder / "adapter_model.safetensors")
    return folder


def refused(
    model: SatsModel,
    folder: Path,
    config: dict[str, object] | None,
    tensors: dict[str, torch.Tensor] | None,
    fault: str,
) -> None:
    with pytest.raises(ConfigurationError, match=fault):
        add_adapters(model, written(folder, config, tensors))
