"""A pipeline of pyannote.audio from a local folder, converted away from pickle, weights random."""

from __future__ import annotations

import json
import pickle
from pathlib import Path

import numpy as np
import pytest
import yaml
from scripted_backends import write_bursts

from talkover.annotate.backends.base import BackendError
from talkover.annotate.backends.pyannote_diarizer import PyannoteDiarizer
from talkover.annotate.backends.pyannote_folder import (
    convert_pyannote,
    import_pyannote,
    load_pipeline,
)
from talkover.annotate.media import DecodedAudio, decode, open_recording
from talkover.annotate.speaker_count import SpeakerCount
from talkover.manifests.errors import ConfigurationError

pytest.importorskip("safetensors")
pytestmark = pytest.mark.medium  # pyannote.audio takes seconds to import


@pytest.fixture(scope="module")
def original(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A folder as it comes from the hub: two pickled models and a PLDA."""
    pytest.importorskip("lightning")
    import_pyannote()
    import lightning
    import torch
    from pyannote.audio.core.task import Problem, Resolution, Specifications
    from pyannote.audio.models.embedding import XVectorSincNet
    from pyannote.audio.models.segmentation import PyanNet

    folder = tmp_path_factory.mktemp("original")
    torch.manual_seed(0)
    lstm = {"hidden_size": 8, "num_layers": 1, "bidirectional": True, "monolithic": True}
    segmentation = PyanNet(lstm=lstm, linear={"hidden_size": 8, "num_layers": 1})
    segmentation.specifications = Specifications(
        problem=Problem.MONO_LABEL_CLASSIFICATION,
        resolution=Resolution.FRAME,
        duration=4.0,
        classes=["a", "b", "c"],
        powerset_max_classes=2,
        permutation_invariant=True,
    )
    embedding = XVectorSincNet(dimension=16)
    embedding.specifications = Specifications(
        problem=Problem.REPRESENTATION, resolution=Resolution.CHUNK, duration=3.0
    )
    for name, model in (("segmentation", segmentation), ("embedding", embedding)):
        model.setup()
        place = folder / name
        place.mkdir()
        trainer = lightning.Trainer(logger=False, accelerator="cpu")
        trainer.strategy.connect(model)
        trainer.save_checkpoint(place / "pytorch_model.bin", weights_only=True)
    (folder / "plda").mkdir()
    np.savez(
        folder / "plda" / "xvec_transform.npz",
        mean1=np.zeros(16),
        mean2=np.zeros(16),
        lda=np.eye(16),
    )
    np.savez(folder / "plda" / "plda.npz", mu=np.zeros(16), tr=np.eye(16), psi=np.ones(16))
    config = {
        "pipeline": {
            "name": "pyannote.audio.pipelines.SpeakerDiarization",
            "params": {
                "segmentation": "$model/segmentation",
                "embedding": "$model/embedding",
                "plda": "$model/plda",
                "clustering": "AgglomerativeClustering",
            },
        },
        "params": {
            "segmentation": {"min_duration_off": 0.0},
            "clustering": {"method": "centroid", "min_cluster_size": 1, "threshold": 0.7},
        },
    }
    (folder / "config.yaml").write_text(yaml.safe_dump(config))
    return folder


@pytest.fixture(scope="module")
def converted(original: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    return convert_pyannote(
        original, tmp_path_factory.mktemp("converted"), licence="CC-BY-NC-4.0", trust_pickle=True
    )


@pytest.fixture
def audio(tmp_path: Path) -> DecodedAudio:
    path = write_bursts(tmp_path / "a.wav", [(0.5, 3.0), (4.0, 7.5)], 8.3)
    return decode(open_recording(path), tmp_path / "a.pcm")


def test_pickles_are_read_for_those_alone_who_trust_them(original: Path, tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="trust_pickle=True if you trust"):
        convert_pyannote(original, tmp_path / "out", licence="MIT")
    assert not (tmp_path / "out").exists()
    ok, reason = PyannoteDiarizer(original).available()
    assert not ok and "its checkpoints are pickles: convert" in reason


def test_the_converted_models_are_the_original_ones(original: Path, converted: Path) -> None:
    import torch
    from pyannote.audio import Model

    assert not list(converted.rglob("*.bin"))
    pipeline = load_pipeline(converted)
    before = Model.from_pretrained(original / "segmentation").eval()
    samples = torch.from_numpy(np.random.default_rng(0).normal(0, 0.1, (2, 1, 64000))).float()
    with torch.inference_mode():
        assert torch.equal(before(samples), pipeline._segmentation.model(samples))


def test_no_pickle_is_opened_when_it_runs(
    converted: Path, audio: DecodedAudio, monkeypatch: pytest.MonkeyPatch, no_network: list[object]
) -> None:
    import torch

    for module, name in ((pickle, "load"), (pickle, "loads"), (torch, "load")):
        monkeypatch.setattr(module, name, lambda *_, **__: pytest.fail("a pickle was read"))
    diarizer = PyannoteDiarizer(converted)
    assert diarizer.available() == (True, "")
    diarizer.load()
    result = diarizer.run(audio, {})
    assert no_network == []
    assert result.backend.non_commercial and result.backend.licence == "CC-BY-NC-4.0"
    assert result.backend.weights_sha256 is not None
    for turn in result.events:
        assert 0 <= turn.start < turn.end <= audio.num_samples
        assert turn.speaker is not None and 0 <= turn.confidence <= 1
    again = PyannoteDiarizer(converted)
    again.load()
    assert again.run(audio, {}).events == result.events


def test_counts_are_passed_on_and_long_recordings_refused(
    converted: Path, audio: DecodedAudio
) -> None:
    diarizer = PyannoteDiarizer(converted, longest_hours=0.01)
    diarizer.load()
    assert (
        len({t.speaker for t in diarizer.run(audio, {}, speakers=SpeakerCount(exact=1)).events})
        <= 1
    )
    short = PyannoteDiarizer(converted, longest_hours=0.001)
    short.load()
    with pytest.raises(BackendError, match="raise longest_hours"):
        short.run(audio, {})


def test_a_folder_that_does_not_hold_what_it_says_is_refused(
    converted: Path, tmp_path: Path
) -> None:
    import shutil

    folder = tmp_path / "bad"
    shutil.copytree(converted, folder)
    (folder / "segmentation.safetensors").write_bytes(b"x" * 100)
    with pytest.raises(ConfigurationError, match=r"segmentation\.safetensors: not the weights"):
        load_pipeline(folder)
    described = json.loads((folder / "pipeline.json").read_text())
    described["models"]["segmentation"]["module"] = "os"
    (folder / "pipeline.json").write_text(json.dumps(described))
    with pytest.raises(ConfigurationError, match="os is no module of pyannote's models"):
        load_pipeline(folder)
    with pytest.raises(ConfigurationError, match=r"no pipeline\.json in it"):
        load_pipeline(tmp_path / "nothing")
