from pathlib import Path

import pytest
import torch

from talkover.annotate.models.embedding import SpeakerEmbedding
from talkover.annotate.models.files import DESCRIPTION_FILE, WEIGHTS_FILE, save_model
from talkover.annotate.models.segmentation import LocalSpeakers
from talkover.annotate.models.sound_net import SoundNet, SoundNetConfig
from talkover.annotate.models.tagger import Tagger
from talkover.annotate.training.config import load_training_config
from talkover.annotate.training.run import TrainingData, train_models
from talkover.manifests.errors import ConfigurationError

SMALL = [
    "segmentation.network={channels: 16, lstm_size: 8, linear_size: 8, window_s: 6.0}",
    "embedding.network={channels: 16, pooled: 16, dimension: 8, dilations: [1]}",
    "tagger.channels=[4, 6, 8]",
    "tagger.width=12",
    *(
        f"{kind}.loop={{steps: 6, warm_up: 2, report_every: 3, save_every: 4}}"
        for kind in ("segmentation", "embedding", "tagger")
    ),
    *(f"{kind}.batch=4" for kind in ("segmentation", "embedding", "tagger")),
]


@pytest.fixture(autouse=True)
def few_thresholds(monkeypatch: pytest.MonkeyPatch) -> None:
    """A coarse search: what is found does not matter here."""
    for name, values in {"ONSETS": (0.2, 0.5), "SHORTEST": (0.2,), "GAPS": (0.3,)}.items():
        monkeypatch.setattr(f"talkover.annotate.training.calibrate.{name}", values)
    monkeypatch.setattr("talkover.annotate.training.enrolment_trials.ENROLLED_SECONDS", (1.0, 5.0))
    monkeypatch.setattr("talkover.annotate.training.enrolment_trials.TRIALS", 2)


def _data(sets: dict[str, Path]) -> TrainingData:
    return TrainingData(**{name: (folder,) for name, folder in sets.items()})


def test_all_models_train_and_load_and_the_same_run_is_the_same_bytes(
    session_sets: dict[str, Path], tmp_path: Path
) -> None:
    config = load_training_config(None, SMALL)
    made = train_models(_data(session_sets), tmp_path / "one", config=config, seed=5)
    again = train_models(_data(session_sets), tmp_path / "two", config=config, seed=5)
    other = train_models(
        _data(session_sets), tmp_path / "one", config=config, seed=6, models=["tagger"]
    )
    for kind in made:
        for name in (WEIGHTS_FILE, DESCRIPTION_FILE):
            mine = (tmp_path / "one" / kind / name).read_bytes()
            theirs = (tmp_path / "two" / kind / name).read_bytes()
            assert (mine == theirs) == (kind != "tagger")
    assert (
        other["tagger"].weights_sha256
        != made["tagger"].weights_sha256
        == again["tagger"].weights_sha256
    )
    assert made["segmentation"].training["test"].keys() >= {"der", "overlap_f1"}
    assert "eer_2s_same_session" in made["embedding"].training["test"]
    assert made["tagger"].training["test"].keys() >= {"event_f1", "event_f1_any_label", "any_sound"}
    assert Tagger.load(tmp_path / "one" / "tagger").events == ("buzz", "hiss")
    assert "clustering" in SpeakerEmbedding.load(tmp_path / "one" / "embedding").thresholds
    assert LocalSpeakers.load(tmp_path / "one" / "segmentation").window_s == 6.0
    assert "CC0-1.0" in made["tagger"].training["licences"]


def test_a_tagger_without_the_label_of_any_sound_gets_it(
    session_sets: dict[str, Path], tmp_path: Path
) -> None:
    sizes = SoundNetConfig(events=("buzz", "hiss"), channels=(4, 6, 8), width=12)
    earlier = SoundNet(sizes)
    save_model(
        tmp_path / "before" / "tagger",
        earlier,
        kind="tagger",
        version="1",
        licence="CC0-1.0",
        hyper_parameters=sizes.as_dict(),
        settings={},
        training={"steps": 3},
    )
    still = [*SMALL, "tagger.loop={steps: 1, learning_rate: 1.0e-9, warm_up: 1}"]
    made = train_models(
        TrainingData(train=(session_sets["train"],)),
        tmp_path / "out",
        models=["tagger"],
        config=load_training_config(None, still),
        start=tmp_path / "before",
    )
    assert made["tagger"].training["before"] is not None
    model = Tagger.load(tmp_path / "out" / "tagger")
    assert model.any_sound == "any_sound" and model.classes[-1] == "any_sound"
    mine, theirs = model._network.classify.weight, earlier.classify.weight
    assert torch.allclose(mine[:-1], theirs, atol=1e-3)
    assert torch.allclose(model._network.widen.weight, earlier.widen.weight, atol=1e-3)


def test_a_finished_model_is_not_trained_again(
    session_sets: dict[str, Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    config = load_training_config(None, SMALL)
    data = TrainingData(train=(session_sets["train"],))
    first = train_models(data, tmp_path, config=config, models=["embedding"])
    assert first["embedding"].settings == {}
    assert first["embedding"].training["test"] == {}

    def refuse(*_: object, **__: object) -> None:
        raise AssertionError("trained again")

    monkeypatch.setattr("talkover.annotate.training.run.fit", refuse)
    assert train_models(data, tmp_path, config=config, models=["embedding"]) == first
    with pytest.raises(AssertionError, match="trained again"):
        train_models(data, tmp_path, config=config, models=["embedding"], seed=1)


def test_a_voice_in_two_sets_is_refused(session_sets: dict[str, Path], tmp_path: Path) -> None:
    data = TrainingData(train=(session_sets["train"],), test=(session_sets["train"],))
    with pytest.raises(ConfigurationError, match="voices are in train and in test"):
        train_models(data, tmp_path)


def test_settings_keep_the_defaults_beside_them_and_unknown_keys_are_named() -> None:
    config = load_training_config(None, ["segmentation.loop.steps=7"])
    default = load_training_config()
    assert config.segmentation.loop.steps == 7
    assert config.segmentation.loop.learning_rate == default.segmentation.loop.learning_rate
    assert config.embedding == default.embedding
    with pytest.raises(ConfigurationError, match=r"tagger\.loop\.step: no such key"):
        load_training_config(None, ["tagger.loop.step=7"])
    with pytest.raises(ConfigurationError, match="steps"):
        load_training_config(None, ["tagger.loop.steps=none"])
    with pytest.raises(ConfigurationError, match="tagger: must hold settings"):
        load_training_config(None, ["tagger=3"])
