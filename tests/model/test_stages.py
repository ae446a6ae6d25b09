"""Stages: rates over time, what is trained, and those of the published systems."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from itertools import islice, pairwise
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st
from torch import nn

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.io import SessionAudio
from talkover.model.codec import SatsCodec
from talkover.model.data.choice import Choice
from talkover.model.data.collate import Collator
from talkover.model.data.concatenate import Concatenation
from talkover.model.data.examples import Skips
from talkover.model.data.feeds import ManifestFeed, read_entries
from talkover.model.modeling import SatsModel, vocabulary_of
from talkover.model.presets.training import (
    balancing_training,
    moss_audio_training,
    moss_td_training,
    speakerlm_training,
    tagspeech_training,
)
from talkover.model.settings import plain_settings, read_settings
from talkover.model.stages import Stage, TrainConfig, freeze

ANSWER = {"answer": 1.0}


def test_the_rate_rises_from_its_first_and_falls_as_a_cosine() -> None:
    stage = Stage(name="s", steps=103, losses=ANSWER, lr=5e-5, first=0.2, warmup=0.03, last=0.0)
    rates = [stage.rate(step) for step in range(103)]
    assert rates[0] == pytest.approx(1e-5 + 4e-5 / 3)
    assert max(rates) == pytest.approx(5e-5) == rates[2]
    assert stage.rate(3 + 50) == pytest.approx(2.5e-5)
    assert 0 < rates[-1] < 1e-7


def test_eden_is_flat_first_and_then_falls_as_a_root() -> None:
    stage = Stage(
        name="s",
        steps=10**7,
        losses=ANSWER,
        lr=1e-3,
        schedule="eden",
        eden_steps=5000.0,
        warmup=0.0,
    )
    assert stage.rate(0) == pytest.approx(1e-3)
    assert stage.rate(5000) == pytest.approx(1e-3 * 2**-0.25)
    assert stage.rate(5_000_000) == pytest.approx(1e-3 * 1000**-0.5, rel=1e-5)
    epochs = Stage(
        name="s", steps=10**7, losses=ANSWER, lr=1e-3, schedule="eden", epoch_steps=100, warmup=0.0
    )
    batches, number = 1_000.0, 10.0
    wanted = 1e-3 * (1 + (batches / 5000) ** 2) ** -0.25 * (1 + (number / 6) ** 2) ** -0.25
    assert epochs.rate(1000) == pytest.approx(wanted)


@given(
    schedule=st.sampled_from(["cosine", "constant", "eden"]),
    steps=st.integers(1, 500),
    warmup=st.floats(0, 1),
    first=st.floats(0, 1),
    last=st.floats(0, 1),
)
def test_a_rate_is_never_above_its_peak_or_negative(
    schedule: str, steps: int, warmup: float, first: float, last: float
) -> None:
    stage = Stage(
        name="s",
        steps=steps,
        losses=ANSWER,
        lr=2.0,
        schedule=schedule,  # type: ignore[arg-type]
        warmup=warmup,
        first=first,
        last=last,
    )
    assert all(0 <= stage.rate(step) <= 2.0 + 1e-9 for step in range(steps))


class Toy(nn.Module):
    """Names as peft leaves them."""

    def __init__(self, has_adapter: bool = True) -> None:
        super().__init__()
        self.lm = nn.ModuleDict({"base_layer": nn.Linear(2, 2), "norm": nn.LayerNorm(2)})
        if has_adapter:
            self.lm["lora_A"] = nn.Linear(2, 1, bias=False)
        self.projector = nn.Linear(2, 2)


def trained(stage: Stage, model: nn.Module | None = None) -> set[str]:
    model = model or Toy()
    count = freeze(model, stage)
    chosen = {name: p for name, p in model.named_parameters() if p.requires_grad}
    assert count == sum(p.numel() for p in chosen.values())
    return set(chosen)


def test_adapters_are_trained_only_where_the_stage_says_so() -> None:
    def stage(*globs: str, lora: bool) -> Stage:
        return Stage(name="s", steps=1, losses=ANSWER, trainable=globs, lora=lora)

    adapter = {"lm.lora_A.weight"}
    projector = {"projector.weight", "projector.bias"}
    base = {"lm.base_layer.weight", "lm.base_layer.bias"}
    norm = {"lm.norm.weight", "lm.norm.bias"}
    assert trained(stage("projector.*", lora=False)) == projector
    assert trained(stage("projector.*", lora=True)) == projector | adapter
    assert trained(stage("*", lora=False)) == projector | base | norm
    assert trained(stage("*", lora=True)) == projector | norm | adapter
    with pytest.raises(ConfigurationError, match="has no adapters"):
        freeze(Toy(has_adapter=False), stage("*", lora=True))
    with pytest.raises(ConfigurationError, match="nothing is trained"):
        freeze(Toy(), stage("lm.lora_A.*", lora=False))


@pytest.mark.parametrize(
    ("wrong", "told"),
    [
        ({"losses": {"words": 1.0}}, "losses must be of"),
        ({"schedule": "linear"}, "schedule must be"),
        ({"first": 1.5}, "first must be"),
        ({"eden_steps": 0.0}, "eden_steps"),
    ],
)
def test_wrong_stages_are_refused(wrong: dict[str, object], told: str) -> None:
    with pytest.raises(ValueError, match=told):
        Stage(**{"name": "s", "steps": 1, "losses": ANSWER, **wrong})  # type: ignore[arg-type]


@pytest.mark.parametrize(
    "wrong",
    [
        {"windows": (20.0, 8.0)},
        {"tokens": 0},
        {"seconds": 0.0},
        {"concatenate": {"max_speakers": 1}},
        {"registration": {"all": 1.0}},
    ],
)
def test_wrong_choices_are_refused(wrong: dict[str, object]) -> None:
    with pytest.raises(ConfigurationError):
        read_settings(Choice, {**wrong}, "data")


ALL = {
    "moss_td": moss_td_training(),
    "balancing": balancing_training(),
    "moss_audio": moss_audio_training(),
    "speakerlm": speakerlm_training(),
    "tagspeech": tagspeech_training(),
}


@pytest.mark.parametrize("name", ALL)
def test_the_data_of_each_published_stage_become_batches(
    name: str,
    tmp_path: Path,
    model: SatsModel,
    codec: SatsCodec,
    make_tones: Callable[..., SessionAudio],
    write_tones: Callable[..., Path],
) -> None:
    """Without registration, which needs clips: see the tests of it."""
    people = ["ana", "bo", "cy", "dan", "eve", "fay"]
    items = [make_tones(f"{p}-alone", [(p, 0.2, "wahid")], 1.0) for p in people[:2]] + [
        make_tones(f"{p}-{q}", [(p, 0.2, "wahid"), (q, 0.6, "arbaa")], 1.5)
        for p, q in pairwise(people)
    ]
    folder = write_tones(tmp_path / "corpus", items)
    training = ALL[name]
    entries = read_entries([folder], training.longest, Skips(), training.shortest)
    collate = Collator(model, codec, vocabulary_of(codec))
    feed = ManifestFeed(entries, collate, seed=0, buckets="plain")
    for stage in training.stages:
        data = replace(stage.data, registration={}, seconds=9.0)
        handed = list(islice(feed.batches(data, 0), 3))
        assert all(h.batch is not None for h in handed), stage.name
        ids = [name for h in handed if h.batch is not None for name in h.batch.ids]
        assert any("+" in name for name in ids) == (data.concatenate is not None)
        if data.talkers == {"1": 1.0}:
            assert all(name.endswith("alone") for name in ids)


@pytest.mark.parametrize("name", ALL)
def test_a_training_comes_back_from_its_settings(name: str) -> None:
    found = read_settings(TrainConfig, plain_settings(ALL[name]), "training")
    assert plain_settings(found) == plain_settings(ALL[name])


def test_every_published_stage_is_there() -> None:
    names = {name: [s.name for s in training.stages] for name, training in ALL.items()}
    assert names["speakerlm"] == ["recognise", "project", "hear", "all"]
    assert names["balancing"] == ["recognise", "two", "eight", "tune"]
    assert (len(names["moss_td"]), len(names["moss_audio"]), len(names["tagspeech"])) == (1, 2, 2)


def test_speakerlm_trains_by_four_stages() -> None:
    stages = speakerlm_training().stages
    assert [stage.lora for stage in stages] == [True, False, False, True]
    assert stages[1].trainable == ("projector.*", "registration.*")
    for stage in stages:
        assert (stage.steps, stage.lr, stage.lr * stage.first) == (10**6, 5e-5, 1e-5)
        assert stage.schedule == "cosine" and stage.data.tokens == 6000
        assert not any(glob.startswith(("lm", "speaker", "*")) for glob in stage.trainable)
    assert dict(stages[0].data.registration) == {}
    for stage in stages[1:]:
        shares = stage.data.registration
        assert [shares[mode] / sum(shares.values()) for mode in ("match", "no", "over")] == [
            pytest.approx(1 / 3)
        ] * 3
        assert stage.data.distractors == (1, 50)


def test_balancing_trains_by_three_stages_and_tuning() -> None:
    stages = balancing_training().stages
    assert [stage.lr for stage in stages] == [1e-4, 1e-4, 1e-4, 2e-5]
    assert [stage.lora for stage in stages] == [False, False, False, True]
    assert {stage.warmup for stage in stages} == {0.03}
    assert all(stage.data.windows == (8.0, 20.0) for stage in stages)
    assert stages[0].losses == {"answer": 1.0} and stages[0].answer.mask == "none"
    for stage in stages[1:]:
        assert stage.losses == {"answer": 1.0, "speaker_tags": 1.0}
        assert (stage.answer.mask, stage.answer.mask_floor) == ("all", 2.0)
        assert "speaker" not in stage.answer.learned
    assert stages[2].data.concatenate == Concatenation(max_speakers=8, longest=50.0)


def test_the_others_train_as_published() -> None:
    moss_td = moss_td_training().stages[0]
    assert (moss_td.lr, moss_td.trainable, moss_td.data.tokens) == (1e-5, ("*",), 131_072)
    adapt, whole = moss_audio_training().stages
    assert adapt.trainable == ("projector.*", "deepstack.*") and whole.trainable == ("*",)
    serialise, project = tagspeech_training().stages
    assert serialise.losses == {"ctc": 1.0} and "semantic.*" in serialise.trainable
    assert project.trainable == ("projector.*", "speaker_projector.*")
    assert (project.lr, project.schedule, project.weight_decay) == (1e-3, "eden", 0.0)
    assert tagspeech_training().longest == 30.0
