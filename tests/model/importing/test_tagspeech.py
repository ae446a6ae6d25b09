"""TagSpeech: what the published code says of seeded random weights, ours says.

`make_golden_tagspeech.py` tells the commit and how the values were made.
"""

from __future__ import annotations

import json
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pytest
import torch
from safetensors.torch import load_file, save_file

from talkover.manifests.errors import ConfigurationError
from talkover.model.checkpoints import load_model
from talkover.model.features import FeatureConfig, LogMel
from talkover.model.importing.run import import_checkpoint, read_checkpoint
from talkover.model.layout import Kind, Streams, plan_layout
from talkover.model.modeling import vocabulary_of

HERE = Path(__file__).parent
TOLERANCE = 1e-4
HALF = 2.0**-11
"""Relative precision of float16."""


@pytest.fixture(scope="module")
def golden() -> dict[str, np.ndarray]:
    with np.load(HERE / "golden_tagspeech.npz") as stored:
        return dict(stored)


def tokenizer() -> Any:
    from tokenizers import Tokenizer
    from transformers import PreTrainedTokenizerFast

    return PreTrainedTokenizerFast(
        tokenizer_object=Tokenizer.from_file(str(HERE / "qwen_like.json")),
        eos_token="<|im_end|>",
        pad_token="<|endoftext|>",
    )


@pytest.fixture(scope="module")
def folder(golden: dict[str, np.ndarray], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The published checkpoint, with the language model in a folder of its own."""
    made = tmp_path_factory.mktemp("tagspeech")
    (made / "llm").mkdir()
    weights = {
        name.removeprefix("weight:"): torch.from_numpy(value).float()
        for name, value in golden.items()
        if name.startswith("weight:")
    }
    language = {k.removeprefix("llm."): w for k, w in weights.items() if k.startswith("llm.")}
    others = {k: w for k, w in weights.items() if not k.startswith("llm.")}
    assert language and others
    save_file(language, made / "llm" / "model.safetensors")
    save_file(others, made / "model.safetensors")
    (made / "config.json").write_text(str(golden["settings"]), encoding="utf8")
    tokenizer().save_pretrained(made)
    return made


def close(found: torch.Tensor, wanted: np.ndarray) -> None:
    torch.testing.assert_close(found, torch.from_numpy(wanted), atol=TOLERANCE, rtol=0)
    assert float(wanted.std()) > 100 * TOLERANCE


def test_encoders_projectors_anchors_and_logits_are_the_published_ones(
    folder: Path, golden: dict[str, np.ndarray]
) -> None:
    imported = read_checkpoint(folder, "tagspeech")
    model, codec = imported.model, imported.codec
    features = torch.from_numpy(golden["features"])[None]
    lengths = torch.tensor([features.shape[1]])
    with torch.no_grad():
        semantic, voice = model.semantic(features, lengths), model.speaker(features, lengths)
        heard = model.heard_of(semantic, voice)
    close(semantic.hidden[0], golden["semantic"])
    close(voice.hidden[0], golden["voice"])
    count = golden["semantic_projected"].shape[0]
    assert count == model.projector.num_vectors(int(semantic.lengths[0]))
    close(heard.semantic[0, :count], golden["semantic_projected"])
    close(heard.speaker[0, :count], golden["voice_projected"])
    streams = Streams(semantic=count, semantic_rate=6.25, speaker=count, speaker_rate=6.25)
    plan = plan_layout(streams, model.parts.layout, vocabulary_of(codec))
    batch = SimpleNamespace(
        input_ids=torch.tensor([plan.ids]),
        kinds=torch.tensor([[int(kind) for kind in plan.kinds]]),
        registration=None,
    )
    # Published placeholders also stand where anchors are; all else must be the same ids.
    is_text = batch.kinds[0] == int(Kind.TEXT)
    assert len(plan.ids) == len(golden["ids"])
    assert torch.equal(batch.input_ids[0][is_text], torch.from_numpy(golden["ids"])[is_text])
    embedded = torch.from_numpy(golden["embedded"])
    with torch.no_grad():
        # The published code rounds all vectors to float16 ahead of the language model.
        found = model.embed(batch, heard)[0]
        torch.testing.assert_close(found, embedded, atol=TOLERANCE, rtol=HALF)
        logits = model.lm(inputs_embeds=embedded[None]).logits[0, :, : golden["logits"].shape[1]]
    close(logits, golden["logits"])


def test_features_are_those_of_lhotse() -> None:
    from lhotse.features.kaldi.extractors import Fbank, FbankConfig

    audio = 0.1 * np.random.default_rng(0).standard_normal((2, 16070)).astype(np.float32)
    config = FeatureConfig(num_mels=80, normalization="kaldi")
    lengths = torch.tensor([16070, 9333])
    found, counts = LogMel(config)(torch.from_numpy(audio), lengths)
    extractor = Fbank(FbankConfig(num_filters=80))
    for row, length in enumerate(lengths.tolist()):
        wanted = torch.as_tensor(extractor.extract(audio[row, :length], sampling_rate=16000))
        assert len(wanted) == counts[row] == config.num_frames(length)
        torch.testing.assert_close(found[row, : len(wanted)], wanted, atol=1e-4, rtol=0)


def test_what_is_written_is_read_again(folder: Path, tmp_path: Path) -> None:
    first = import_checkpoint(folder, "tagspeech", tmp_path / "ours").model.state_dict()
    second = load_model(tmp_path / "ours")[0].state_dict()
    assert first.keys() == second.keys()
    assert all(torch.equal(first[name], second[name]) for name in first)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        ({"tag_audio_boundary": True}, "tag_audio_boundary is True; only False"),
        ({"voice_anchor_interval": 4}, "voice_anchor_interval is 16; only 32"),
        ({"audio_encoder_config": {"model_type": "whisper"}}, "only zipformer is known"),
    ],
)
def test_what_our_parts_cannot_follow_is_refused(
    folder: Path, tmp_path: Path, change: dict[str, Any], message: str
) -> None:
    values = json.loads((folder / "config.json").read_text(encoding="utf8")) | change
    (tmp_path / "config.json").write_text(json.dumps(values), encoding="utf8")
    save_file(load_file(folder / "model.safetensors"), tmp_path / "model.safetensors")
    with pytest.raises(ConfigurationError, match=message):
        read_checkpoint(tmp_path, "tagspeech")
