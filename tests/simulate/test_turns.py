"""The model's file: round trips, refusals, presets."""

from __future__ import annotations

import json

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.errors import ConfigurationError
from talkover.simulate.turns import MAX_MODEL_BYTES, PRESETS, Quantiles, Spread, TurnModel


def test_presets_exist_for_the_four_corpora() -> None:
    assert {"ami", "alimeeting", "aishell4", "voxconverse", "ami_natural_pauses"} <= set(PRESETS)


@pytest.mark.parametrize("name", sorted(set(PRESETS) - {"telephone"}))  # published figures
def test_preset_is_small_and_names_source_licence_and_attribution(name: str) -> None:
    assert PRESETS[name].stat().st_size <= MAX_MODEL_BYTES
    model = TurnModel.load(name)
    assert model.name == name
    assert model.origin.source and model.origin.attribution and model.origin.url
    assert "CC-BY" in model.origin.licence
    assert model.origin.sessions >= 8 and model.origin.hours > 4


def test_ami_warns_that_its_pauses_are_not_pauses() -> None:
    assert any("pauses" in warning for warning in TurnModel.load("ami").warnings)
    assert not any("pauses" in w for w in TurnModel.load("alimeeting").warnings)


def test_natural_pauses_are_those_of_the_other_corpus_and_both_are_named() -> None:
    mixed, other = TurnModel.load("ami_natural_pauses"), TurnModel.load("alimeeting")
    assert mixed.pauses == other.pauses
    assert mixed.offsets == TurnModel.load("ami").offsets
    assert mixed.origin.licence == "CC-BY-4.0 AND CC-BY-SA-4.0"
    assert "AliMeeting" in mixed.origin.attribution


@pytest.mark.parametrize("name", sorted(PRESETS))
def test_saved_and_loaded_model_is_equal_and_has_the_same_bytes(name, tmp_path) -> None:
    model = TurnModel.load(name)
    model.save(tmp_path / "copy.json")
    assert TurnModel.load(tmp_path / "copy.json") == model
    assert (tmp_path / "copy.json").read_bytes() == PRESETS[name].read_bytes()


def test_unknown_preset_names_those_that_exist() -> None:
    with pytest.raises(ConfigurationError, match=r"nowhere.*ami.*voxconverse"):
        TurnModel.load("nowhere")


def test_file_with_a_wrong_field_names_file_and_field(tmp_path) -> None:
    plain = json.loads(PRESETS["ami"].read_text())
    plain["offsets"]["values"][3] = 99.0
    (tmp_path / "bad.json").write_text(json.dumps(plain))
    with pytest.raises(ConfigurationError, match=r"bad\.json: offsets: .*must not fall"):
        TurnModel.load(tmp_path / "bad.json")


def test_the_hand_made_model_of_the_arabic_benchmark_loads_and_says_what_it_is(repository) -> None:
    model = TurnModel.load(repository / "benchmarks" / "arabic" / "turns.json")
    assert "hand-made" in model.origin.source and model.origin.sessions == 0
    assert model.text() == (repository / "benchmarks" / "arabic" / "turns.json").read_text()


def test_file_of_another_version_is_refused(tmp_path) -> None:
    plain = json.loads(PRESETS["ami"].read_text()) | {"version": "9.0"}
    (tmp_path / "new.json").write_text(json.dumps(plain))
    with pytest.raises(ConfigurationError, match="version"):
        TurnModel.load(tmp_path / "new.json")


def test_file_that_is_too_large_is_refused(tmp_path) -> None:
    (tmp_path / "large.json").write_text(" " * (MAX_MODEL_BYTES + 1))
    with pytest.raises(ConfigurationError, match="larger"):
        TurnModel.load(tmp_path / "large.json")


@settings(deadline=None, max_examples=40)
@given(st.lists(st.floats(-20, 20), min_size=3, max_size=12))
def test_quantile_function_never_falls_and_stays_in_range(values: list[float]) -> None:
    values = sorted(values)
    curve = Quantiles(
        probabilities=tuple(np.linspace(0, 1, len(values)).tolist()), values=tuple(values)
    )
    assert (np.diff(curve.table) >= 0).all()
    assert values[0] - 1e-9 <= curve.table[0] <= curve.table[-1] <= values[-1] + 1e-9
    assert values[0] - 1e-9 <= curve.mean <= values[-1] + 1e-9


def test_ratio_of_sessions_has_the_asked_mean_and_deviation() -> None:
    spread = Spread(mean=0.127, deviation=0.059)
    drawn = [spread.quantile(p) for p in (np.arange(4000) + 0.5) / 4000]
    assert np.mean(drawn) == pytest.approx(0.127, abs=1e-3)
    assert np.std(drawn) == pytest.approx(0.059, abs=1e-3)


def test_speakers_are_drawn_within_limits_even_if_the_model_saw_none() -> None:
    model, rng = TurnModel.load("ami"), np.random.default_rng(0)
    assert {model.draw_speakers(rng, (1, 2)) for _ in range(40)} == {1, 2}
    assert {model.draw_speakers(rng, (3, 3)) for _ in range(5)} == {3}


def test_summary_is_plain_data_with_a_drawing_of_each_distribution() -> None:
    summary = TurnModel.load("aishell4").summary()
    json.dumps(summary)
    assert "█" in summary["drawings"]["offset"]
