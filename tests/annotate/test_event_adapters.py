"""Classifiers and CLAP from local folders: tiny, weights random, nothing downloaded."""

from __future__ import annotations

from pathlib import Path

import numpy as np
import pytest
from scripted_backends import write_bursts

from talkover.annotate.activity_spans import Hysteresis
from talkover.annotate.backends.audio_tagger import AudioTagger
from talkover.annotate.backends.clap_events import ClapEvents
from talkover.annotate.backends.local_models import import_transformers, weight_files
from talkover.annotate.backends.window_events import WindowConfig, window_events
from talkover.annotate.media import RATE, DecodedAudio, decode, open_recording
from talkover.manifests.errors import ConfigurationError

pytest.importorskip("transformers")
WORDS = ("the sound of a dog barking siren silence background noise people talking music").split()


@pytest.fixture
def audio(tmp_path: Path) -> DecodedAudio:
    path = write_bursts(tmp_path / "a.wav", [(2.0, 3.0), (6.0, 8.0)], 10.7)
    return decode(open_recording(path), tmp_path / "a.pcm")


@pytest.fixture(scope="module")
def ast(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = import_transformers()
    import torch

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("ast")
    labels = {0: "Speech", 1: "Dog", 2: "Music", 3: "Siren"}
    config = transformers.ASTConfig(
        hidden_size=16,
        num_hidden_layers=1,
        num_attention_heads=2,
        intermediate_size=16,
        max_length=64,
        num_mel_bins=32,
        id2label=labels,
        label2id={v: k for k, v in labels.items()},
    )
    transformers.ASTForAudioClassification(config).save_pretrained(folder)
    transformers.ASTFeatureExtractor(max_length=64, num_mel_bins=32).save_pretrained(folder)
    return folder


@pytest.fixture(scope="module")
def clap(tmp_path_factory: pytest.TempPathFactory) -> Path:
    transformers = import_transformers()
    import torch
    from tokenizers import Tokenizer, models, pre_tokenizers

    torch.manual_seed(0)
    folder = tmp_path_factory.mktemp("clap")
    vocabulary = {w: n for n, w in enumerate(["<s>", "<pad>", "</s>", "<unk>", *WORDS])}
    tokens = Tokenizer(models.WordLevel(vocabulary, unk_token="<unk>"))
    tokens.pre_tokenizer = pre_tokenizers.Whitespace()
    transformers.PreTrainedTokenizerFast(
        tokenizer_object=tokens, pad_token="<pad>", unk_token="<unk>"
    ).save_pretrained(folder)
    config = transformers.ClapConfig(
        text_config={
            "vocab_size": len(vocabulary),
            "hidden_size": 16,
            "num_hidden_layers": 1,
            "num_attention_heads": 2,
            "intermediate_size": 16,
            "max_position_embeddings": 64,
            "projection_dim": 8,
        },
        audio_config={
            "patch_embeds_hidden_size": 8,
            "hidden_size": 16,
            "depths": [1, 1],
            "num_attention_heads": [2, 2],
            "num_hidden_layers": 2,
            "projection_dim": 8,
            "spec_size": 64,
            "num_mel_bins": 16,
            "window_size": 4,
            "patch_size": 4,
            "patch_stride": [4, 4],
        },
        projection_dim=8,
    )
    transformers.ClapModel(config).save_pretrained(folder)
    transformers.ClapFeatureExtractor(
        feature_size=16, max_length_s=2, truncation="rand_trunc"
    ).save_pretrained(folder)
    return folder


def test_windows_become_events_where_their_class_is_heard(audio: DecodedAudio) -> None:
    """A model that is as sure as its window is loud."""

    def loud(windows: np.ndarray) -> np.ndarray:
        level = np.minimum(1.0, 30 * (windows**2).mean(axis=1))
        return np.stack([level, np.zeros_like(level)], axis=1)

    rule = Hysteresis(onset=0.5, offset=0.3)
    found = []
    for batch in (1, 3, 100):
        config = WindowConfig(window=0.5, hop=0.25, batch=batch, rule=rule)
        found.append(window_events(audio, loud, ("loud", "never"), config))
    assert found[0] == found[1] == found[2]
    assert [e.label for e in found[0]] == ["loud", "loud"]
    for event, (start, end) in zip(found[0], [(2.0, 3.0), (6.0, 8.0)], strict=True):
        assert abs(event.start / RATE - start) <= 0.5 and abs(event.end / RATE - end) <= 0.5
        assert 0.3 <= event.confidence <= 1


def test_a_classifier_gives_its_labels_but_those_of_other_branches(
    ast: Path, audio: DecodedAudio, no_network: list[object]
) -> None:
    tagger = AudioTagger(ast, licence="CC-BY-NC-4.0", onset=0.02, offset=0.01, window=0.6)
    assert tagger.available() == (True, "")
    tagger.load()
    found = tagger.run(audio, {})
    assert no_network == []
    assert {e.label for e in found.events} == {"Dog", "Siren"}
    assert all(0 <= e.start < e.end <= audio.num_samples for e in found.events)
    assert found.backend.non_commercial and found.backend.weights_sha256
    again = AudioTagger(ast, onset=0.02, offset=0.01, window=0.6)
    again.load()
    assert again.run(audio, {}).events == found.events


def test_clap_finds_what_is_asked_in_words(
    clap: Path, audio: DecodedAudio, tmp_path: Path, no_network: list[object]
) -> None:
    words = tmp_path / "labels.txt"
    words.write_text("dog barking\n\nsiren\n")
    events = ClapEvents(words, clap, onset=0.02, offset=0.01)
    events.load()
    found = events.run(audio, {})
    assert no_network == []
    assert {e.label for e in found.events} == {"dog barking", "siren"}
    assert all(0 <= e.start < e.end <= audio.num_samples for e in found.events)


def test_what_cannot_be_used_is_said(tmp_path: Path, ast: Path) -> None:
    with pytest.raises(ConfigurationError, match="CLAP needs labels"):
        ClapEvents([], ast)
    ok, reason = AudioTagger(tmp_path / "none").available()
    assert not ok and "talkover downloads nothing" in reason
    (tmp_path / "pytorch_model.bin").write_bytes(b"")
    with pytest.raises(ConfigurationError, match=r"pytorch_model\.bin is a pickle"):
        weight_files(tmp_path)
    clap = ClapEvents(["dog"], ast)
    with pytest.raises(ConfigurationError, match="no CLAP model"):
        clap.load()
