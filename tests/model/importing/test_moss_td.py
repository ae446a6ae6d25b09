"""MOSS-Transcribe-Diarize: what transformers' own model says, ours says."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from published import (
    ASKED,
    RATE,
    greedy,
    logits_of,
    moss_td_folder,
    noise,
    placed,
    planned,
)
from safetensors.torch import load_file, save_file

from talkover.manifests.errors import ConfigurationError
from talkover.model.checkpoints import load_model
from talkover.model.importing.run import import_checkpoint, read_checkpoint
from talkover.model.layout import Kind

TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def published(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, Any, Any]:
    """A small random model of transformers' classes, its processor, and their folder."""
    folder = tmp_path_factory.mktemp("moss_td")
    return folder, *moss_td_folder(folder)


def inputs_of(processor: Any, audio: np.ndarray) -> Any:
    text = processor.apply_chat_template(
        [{"role": "user", "content": [{"type": "audio"}]}],
        tokenize=False,
        add_generation_prompt=True,
    )
    return processor(text=text, audio=[audio], sampling_rate=RATE, return_tensors="pt")


# 6 s end on a marker; 33.07 s are two windows, the last frame and group begun only.
@pytest.mark.parametrize("seconds", [6.0, 33.07])
def test_ids_logits_and_greedy_answer_are_those_of_transformers(
    published: tuple[Path, Any, Any], seconds: float
) -> None:
    folder, theirs, processor = published
    audio = noise(seconds)
    inputs = inputs_of(processor, audio)
    with torch.no_grad():
        wanted = theirs(**inputs).logits[0]
    imported = read_checkpoint(folder, "moss_td")
    batch, heard = planned(imported.model, imported.codec, audio)
    is_audio = inputs["input_ids"][0] == theirs.config.audio_token_id
    assert int(is_audio.sum()) > 12.5 * seconds - 1
    assert torch.equal(placed(batch, Kind.SEMANTIC), is_audio)
    assert torch.equal(batch.input_ids[0][~is_audio], inputs["input_ids"][0][~is_audio])
    found = logits_of(imported.model, batch, heard)[:, : wanted.shape[1]]
    torch.testing.assert_close(found, wanted, atol=TOLERANCE, rtol=0)
    assert float(wanted.std()) > 100 * TOLERANCE
    options = {"max_new_tokens": 12, "eos_token_id": None, "pad_token_id": 0}
    answer = theirs.generate(**inputs, do_sample=False, **options)[0, is_audio.shape[0] :]
    assert greedy(imported.model, batch, heard, **options) == answer.tolist()


def test_an_imported_checkpoint_is_written_and_read_again(
    published: tuple[Path, Any, Any], tmp_path: Path
) -> None:
    audio = noise(3.0)
    imported = import_checkpoint(published[0], "moss_td", tmp_path / "ours")
    wanted = logits_of(imported.model, *planned(imported.model, imported.codec, audio))
    model, codec = load_model(tmp_path / "ours")
    found = logits_of(model, *planned(model, codec, audio))
    torch.testing.assert_close(found, wanted, atol=1e-6, rtol=0)
    assert model.parts.layout.prompt == ASKED
    with pytest.raises(ConfigurationError, match="holds a checkpoint already"):
        import_checkpoint(published[0], "moss_td", tmp_path / "ours")


def test_the_names_of_the_release_are_read_too(
    published: tuple[Path, Any, Any], tmp_path: Path
) -> None:
    folder = published[0]
    released = tmp_path / "released"
    released.mkdir()
    for file in folder.iterdir():
        if file.suffix != ".safetensors":
            (released / file.name).write_bytes(file.read_bytes())
    names = {
        "audio_tower": "whisper_encoder",
        "multi_modal_projector.linear_1": "vq_adaptor.layers.0",
        "multi_modal_projector.linear_2": "vq_adaptor.layers.2",
        "multi_modal_projector.norm": "vq_adaptor.layers.3",
    }
    weights = {}
    for name, tensor in load_file(folder / "model.safetensors").items():
        for theirs, older in names.items():
            name = name.replace(theirs, older)
        weights[name] = tensor
    assert any("vq_adaptor.layers.3" in name for name in weights)
    save_file(weights, released / "model.safetensors")
    first, second = (read_checkpoint(f, "moss_td").model.state_dict() for f in (folder, released))
    assert all(torch.equal(first[name], second[name]) for name in first)


def test_weights_that_are_missing_left_over_or_misshapen_are_told(
    published: tuple[Path, Any, Any], tmp_path: Path
) -> None:
    for file in published[0].iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    weights = load_file(published[0] / "model.safetensors")
    weights.pop("model.audio_tower.conv1.bias")
    weights["model.extra.weight"] = torch.zeros(1)
    weights["model.multi_modal_projector.norm.bias"] = torch.zeros(3)
    save_file(weights, tmp_path / "model.safetensors")
    with pytest.raises(ConfigurationError) as error:
        read_checkpoint(tmp_path, "moss_td")
    assert "1 missing (semantic.conv1.bias)" in str(error.value)
    assert "1 not known (model.extra.weight)" in str(error.value)
    assert "1 of another shape (model.multi_modal_projector.norm.bias" in str(error.value)


def test_a_pickle_is_refused_with_the_way_to_convert_it(
    published: tuple[Path, Any, Any], tmp_path: Path
) -> None:
    for file in published[0].iterdir():
        if file.suffix != ".safetensors":
            (tmp_path / file.name).write_bytes(file.read_bytes())
    (tmp_path / "pytorch_model.bin").write_bytes(b"never read")
    with pytest.raises(ConfigurationError, match=r"pytorch_model\.bin, a pickle.*save_file"):
        read_checkpoint(tmp_path, "moss_td")


def test_a_folder_of_another_system_is_refused(
    published: tuple[Path, Any, Any], tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match="this preset reads moss_audio"):
        read_checkpoint(published[0], "moss_audio")
    with pytest.raises(ConfigurationError, match="choose from moss_td, moss_audio, tagspeech"):
        read_checkpoint(published[0], "tiny")
    with pytest.raises(ConfigurationError, match="no such folder"):
        read_checkpoint(tmp_path / "none", "moss_td")
    (tmp_path / "config.json").write_text(json.dumps({"model_type": "whisper"}), encoding="utf8")
    with pytest.raises(ConfigurationError, match="model_type is 'whisper'"):
        read_checkpoint(tmp_path, "moss_td")
