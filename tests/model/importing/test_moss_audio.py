"""MOSS-Audio: what the published code says of seeded random weights, ours says.

`make_golden_moss_audio.py` tells the commit and how the values were made.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from published import logits_of, placed, planned, qwen_like
from safetensors.torch import save_file

from talkover.manifests.errors import ConfigurationError
from talkover.model.checkpoints import load_model
from talkover.model.importing.moss_audio import CLOSING, IDS, OPENING
from talkover.model.importing.run import import_checkpoint, read_checkpoint
from talkover.model.layout import Kind

GOLDEN = Path(__file__).with_name("golden_moss_audio.npz")
TOLERANCE = 1e-4


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(GOLDEN) as stored:
        return dict(stored)


@pytest.fixture(scope="module")
def folder(golden: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published checkpoint that the golden values were made with."""
    made = tmp_path_factory.mktemp("moss_audio")
    weights = {
        name.removeprefix("weight:"): torch.from_numpy(value).float()
        for name, value in golden.items()
        if name.startswith("weight:")
    }
    save_file(weights, made / "model.safetensors")
    (made / "config.json").write_text(str(golden["settings"]), encoding="utf8")
    qwen_like().save_pretrained(made)
    return made


@pytest.fixture(scope="module")
def imported(folder: Path) -> Any:
    # The golden model is smaller than Qwen's vocabulary, so its two tokens have other ids.
    with pytest.MonkeyPatch.context() as patch:
        size = len(qwen_like())
        patch.setitem(IDS, OPENING, size)
        patch.setitem(IDS, CLOSING, size + 1)
        return read_checkpoint(folder, "moss_audio")


def close(found: torch.Tensor, wanted: np.ndarray) -> None:
    torch.testing.assert_close(found, torch.from_numpy(wanted), atol=TOLERANCE, rtol=0)
    assert float(wanted.std()) > 100 * TOLERANCE


def test_features_encoder_adapters_and_logits_are_the_published_ones(
    imported: Any, golden: dict[str, np.ndarray]
) -> None:
    model = imported.model
    audio = torch.from_numpy(golden["audio"].astype(np.float32))[None]
    heard_lengths = torch.tensor([audio.shape[1]])
    with torch.no_grad():
        features, lengths = model.features(audio, heard_lengths)
        torch.testing.assert_close(
            features[0], torch.from_numpy(golden["mel"]).T, atol=1e-4, rtol=0
        )
        heard = model.hear(audio, heard_lengths)
    assert lengths.tolist() == [golden["mel"].shape[1]]
    close(heard.encoded.hidden[0], golden["encoded"])
    close(torch.cat(list(heard.encoded.taps)), golden["taps"])
    close(heard.semantic[0], golden["adapted"])
    close(torch.cat(list(heard.deep)), golden["merged"])
    mask = torch.from_numpy(golden["mask"])
    kinds = torch.where(mask, int(Kind.SEMANTIC), int(Kind.TEXT))
    batch = SimpleNamespace(
        input_ids=torch.from_numpy(golden["ids"])[None], kinds=kinds[None], registration=None
    )
    logits = logits_of(model, batch, heard)
    assert logits.shape == golden["logits"].shape
    close(logits, golden["logits"])


def test_the_prompt_has_seconds_every_25_vectors_and_one_at_the_exact_end(imported: Any) -> None:
    audio = np.zeros(4 * 16000, dtype=np.float32)
    batch, _ = planned(imported.model, imported.codec, audio)
    ids = batch.input_ids[0]
    vocabulary = imported.codec.tokenizer.get_vocab()
    place = placed(batch, Kind.SEMANTIC).nonzero().flatten().tolist()
    assert len(place) == 50
    digits = imported.codec.digit_ids()
    assert int(ids[place[24] + 1]) == digits[2] and place[25] == place[24] + 2
    assert int(ids[place[49] + 1]) == digits[4]
    assert int(ids[place[0] - 1]) == vocabulary[OPENING]
    assert int(ids[place[49] + 2]) == vocabulary[CLOSING]


def test_ids_of_the_enclosing_tokens_are_checked(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="the published code says 151669"):
        read_checkpoint(folder, "moss_audio")


def test_an_encoder_of_another_form_is_refused(folder: Path, tmp_path: Path) -> None:
    for file in folder.iterdir():
        (tmp_path / file.name).write_bytes(file.read_bytes())
    config = json.loads((folder / "config.json").read_text(encoding="utf8"))
    config["audio_config"]["output_dim"] = 8
    (tmp_path / "config.json").write_text(json.dumps(config), encoding="utf8")
    with pytest.raises(ConfigurationError, match="output_dim is 8; only 16"):
        read_checkpoint(tmp_path, "moss_audio")


def test_what_is_written_is_read_again(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    size = len(qwen_like())
    monkeypatch.setitem(IDS, OPENING, size)
    monkeypatch.setitem(IDS, CLOSING, size + 1)
    first = import_checkpoint(folder, "moss_audio", tmp_path / "ours").model.state_dict()
    second = load_model(tmp_path / "ours")[0].state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)
