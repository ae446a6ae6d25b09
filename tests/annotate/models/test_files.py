import json
from pathlib import Path

import pytest
import torch
from safetensors.torch import load_file, save_file

from talkover.annotate.models.embedding import SpeakerEmbedding
from talkover.annotate.models.files import (
    DESCRIPTION_FILE,
    MODEL_KINDS,
    SHIPPED,
    WEIGHTS_FILE,
    save_model,
)
from talkover.annotate.models.segmentation import LocalSpeakers
from talkover.annotate.models.tagger import Tagger
from talkover.annotate.models.voice_net import VoiceNet, VoiceNetConfig
from talkover.manifests.errors import ConfigurationError
from talkover.manifests.markers import file_sha256

SMALL = VoiceNetConfig(channels=8, pooled=12, dimension=4, dilations=(1,))


def _saved(folder: Path, network: VoiceNet) -> None:
    save_model(
        folder,
        network,
        kind="embedding",
        version="7",
        licence="CC0-1.0",
        hyper_parameters=network.config.as_dict(),
        settings={"thresholds": {"verification": 0.5}},
        training={"steps": 1},
    )


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    torch.manual_seed(3)
    _saved(tmp_path, VoiceNet(SMALL))
    return tmp_path


def _redescribed(folder: Path, **changes: object) -> None:
    path = folder / DESCRIPTION_FILE
    path.write_text(json.dumps(json.loads(path.read_text()) | changes), encoding="utf8")


def test_a_model_comes_back_as_it_was_saved_with_its_card(folder: Path) -> None:
    torch.manual_seed(3)
    network = VoiceNet(SMALL).eval()
    loaded = SpeakerEmbedding.load(folder)
    assert loaded.card.version == "7"
    assert loaded.card.licence == "CC0-1.0"
    assert loaded.card.weights_sha256 == file_sha256(folder / WEIGHTS_FILE)
    assert loaded.thresholds == {"verification": 0.5}
    halves = {name: value.half().float() for name, value in network.state_dict().items()}
    network.load_state_dict(halves)
    samples = torch.sin(torch.arange(16000) / 7).numpy()
    mine = SpeakerEmbedding(network, loaded.card).features(samples)
    assert (loaded.features(samples) == mine).all()


def test_the_same_model_is_the_same_bytes(folder: Path, tmp_path: Path) -> None:
    torch.manual_seed(3)
    again = tmp_path / "again"
    _saved(again, VoiceNet(SMALL))
    for name in (WEIGHTS_FILE, DESCRIPTION_FILE):
        assert (again / name).read_bytes() == (folder / name).read_bytes()


def test_weights_of_another_hash_are_refused(folder: Path) -> None:
    tensors = load_file(folder / WEIGHTS_FILE)
    save_file({name: value + 1 for name, value in tensors.items()}, folder / WEIGHTS_FILE)
    with pytest.raises(ConfigurationError, match="weights_sha256"):
        SpeakerEmbedding.load(folder)


@pytest.mark.parametrize(
    ("change", "message"),
    [
        (lambda t: t.pop("project.bias"), "project.bias is missing"),
        (lambda t: t.update(extra=torch.zeros(1)), "extra is not of this network"),
        (lambda t: t.update({"project.bias": torch.zeros(5)}), "project.bias has shape"),
    ],
)
def test_other_tensors_are_refused_by_name(folder: Path, change: object, message: str) -> None:
    tensors = load_file(folder / WEIGHTS_FILE)
    change(tensors)  # type: ignore[operator]
    save_file(tensors, folder / WEIGHTS_FILE)
    _redescribed(folder, weights_sha256=file_sha256(folder / WEIGHTS_FILE))
    with pytest.raises(ConfigurationError, match=message):
        SpeakerEmbedding.load(folder)


def test_other_hyper_parameters_are_refused(folder: Path) -> None:
    _redescribed(folder, hyper_parameters={"chanels": 8})
    with pytest.raises(ConfigurationError, match=r"model\.json: hyper_parameters: .*chanels"):
        SpeakerEmbedding.load(folder)


def test_a_model_of_another_kind_is_refused(folder: Path) -> None:
    with pytest.raises(ConfigurationError, match="kind is 'embedding', needed is 'tagger'"):
        Tagger.load(folder)


def test_unknown_fields_and_missing_folders_are_named(folder: Path, tmp_path: Path) -> None:
    _redescribed(folder, colour="blue")
    with pytest.raises(ConfigurationError, match=r"model\.json: colour"):
        SpeakerEmbedding.load(folder)
    with pytest.raises(ConfigurationError, match="no segmentation model"):
        LocalSpeakers.load(tmp_path / "nowhere")


def test_a_pickle_is_refused(folder: Path) -> None:
    torch.save({"a": torch.zeros(1)}, folder / WEIGHTS_FILE)
    _redescribed(folder, weights_sha256=file_sha256(folder / WEIGHTS_FILE))
    with pytest.raises(ConfigurationError, match="not a safetensors file"):
        SpeakerEmbedding.load(folder)


def test_the_shipped_models_load_and_are_at_most_ten_megabytes() -> None:
    loaded = [LocalSpeakers.load(), SpeakerEmbedding.load(), Tagger.load()]
    assert [model.card.name for model in loaded] == [f"talkover-{kind}" for kind in MODEL_KINDS]
    for model in loaded:
        assert not model.card.non_commercial
    sizes = [path.stat().st_size for path in SHIPPED.rglob("*.safetensors")]
    assert len(sizes) == len(MODEL_KINDS)
    assert sum(sizes) <= 10_000_000
    assert set(SpeakerEmbedding.load().thresholds) >= {"verification", "clustering", "enrolment"}
