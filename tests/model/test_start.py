"""`talkover train --start`: what is loaded, what begins anew, what is refused."""

from __future__ import annotations

import json
import shutil
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
import torch
import yaml
from typer.testing import CliRunner

from talkover.cli import app
from talkover.manifests.errors import ConfigurationError
from talkover.manifests.io import SessionAudio
from talkover.model.checkpoints import WEIGHTS, finished, load_model
from talkover.model.lora import LoraSettings
from talkover.model.presets import Preset, changed_preset
from talkover.model.run import train
from talkover.model.settings import plain_settings
from talkover.model.start import MARK, checkpoint_parts, differences, started_parts
from talkover.model.train import CHECKPOINTS
from talkover.model.voices.model import VoiceConfig

FROZEN = 1e-12
"""A rate at which no weight of float32 moves by a step of the optimizer."""

Make = Callable[..., Preset]


@pytest.fixture(scope="module")
def checkpoint(tmp_path_factory: pytest.TempPathFactory, small: Make, tone_folder: Path) -> Path:
    """Two steps of training on the speakers ana, bo and cy."""
    out = tmp_path_factory.mktemp("first") / "model"
    train([tone_folder], small(2), out)
    return out


def still(preset: Preset, **losses: float) -> Preset:
    """One step in which nothing moves."""
    stage = replace(
        preset.training.stages[0], steps=1, lr=FROZEN, weight_decay=0.0, losses=losses or {"ctc": 1}
    )
    return replace(preset, training=replace(preset.training, stages=(stage,)))


@pytest.fixture(scope="module")
def strangers(
    tmp_path_factory: pytest.TempPathFactory,
    make_tones: Callable[..., SessionAudio],
    write_tones: Callable[..., Path],
) -> Path:
    """Other speakers, who say a word more."""
    items = [
        make_tones(f"n{n}", [("dora", 0.2, "wahid khamsa"), ("emil", 1.2, "ithnan")], 2.0)
        for n in range(6)
    ]
    return write_tones(tmp_path_factory.mktemp("strangers") / "corpus", items)


def test_weights_codec_and_tables_are_those_of_the_checkpoint(
    tmp_path: Path, checkpoint: Path, small: Make, tone_folder: Path
) -> None:
    done = train([tone_folder], still(small()), tmp_path / "next", start=checkpoint)
    assert done.notes == ()
    before, codec = load_model(checkpoint)
    after, again = load_model(tmp_path / "next")
    assert again.tokenizer.get_vocab() == codec.tokenizer.get_vocab()
    assert after.parts == before.parts
    weights = after.state_dict()
    for name, value in before.state_dict().items():
        torch.testing.assert_close(weights[name], value, atol=1e-9, rtol=0, msg=name)


def test_new_units_and_voices_begin_and_all_else_is_loaded(
    tmp_path: Path, checkpoint: Path, small: Make, strangers: Path
) -> None:
    preset = still(small(), ctc=1.0, speaker=0.1, answer=1.0)
    done = train([strangers], preset, tmp_path / "next", start=checkpoint)
    before, _ = load_model(checkpoint)
    after, codec = load_model(tmp_path / "next")
    old, new = before.parts.tables, after.parts.tables
    assert new.voices == ("dora", "emil") and new.units[: len(old.units)] == old.units
    words = {unit for word in ("wahid", "khamsa") for unit in codec.encode_text(word)}
    assert words <= set(new.units) and len(new.units) > len(old.units)
    assert any("units" in note for note in done.notes)
    assert any("2 of 2 speakers" in note and "dora" in note for note in done.notes)
    weights = after.state_dict()
    for name, value in before.state_dict().items():
        if name != "classifier.classes":
            torch.testing.assert_close(
                weights[name][: len(value)] if value.dim() else weights[name],
                value,
                atol=1e-9,
                rtol=0,
                msg=name,
            )
    assert weights["classifier.classes"].shape[0] == 2


def test_tables_stay_where_no_stage_learns_them(
    tmp_path: Path, checkpoint: Path, small: Make, strangers: Path
) -> None:
    done = train([strangers], still(small(), answer=1.0), tmp_path / "next", start=checkpoint)
    assert done.notes == ()
    tables = checkpoint_parts(tmp_path / "next").tables
    assert tables == checkpoint_parts(checkpoint).tables


def test_sums_of_voices_begin_anew_with_new_speakers_and_go_on_with_known_ones(
    tmp_path: Path, small: Make, tone_folder: Path, strangers: Path
) -> None:
    preset = still(small(), ctc=1.0, voices=1.0)
    parts = replace(
        preset.parts,
        speaker=None,
        layout=replace(preset.parts.layout, fusion="single"),
        voices=VoiceConfig(),
    )
    preset = replace(preset, parts=parts)
    first = tmp_path / "first"
    train([tone_folder], preset, first)
    counted = load_model(first)[0].voices
    assert counted is not None and counted.counts.sum() > 0
    train([tone_folder], preset, tmp_path / "known", start=first)
    known = load_model(tmp_path / "known")[0].voices
    assert known is not None and known.counts.sum() > counted.counts.sum()
    done = train([strangers], preset, tmp_path / "anew", start=first)
    anew = load_model(tmp_path / "anew")[0].voices
    assert anew is not None and len(anew.counts) == 2
    assert 0 < anew.counts.sum() <= 18 and "begin anew" in done.notes[-1]


def test_another_architecture_is_refused_with_its_first_part(
    tmp_path: Path, checkpoint: Path, small: Make, tone_folder: Path
) -> None:
    wanted = small().parts
    options = {**wanted.semantic.options, "width": 64}
    wider = replace(wanted, semantic=replace(wanted.semantic, options=options))
    with pytest.raises(ConfigurationError, match=r"model\.semantic\.options\.width is 32 there"):
        train([tone_folder], replace(small(), parts=wider), tmp_path / "a", start=checkpoint)
    with pytest.raises(ConfigurationError, match=r"model\.codec\.digits"):
        started_parts(replace(wanted, codec=replace(wanted.codec, digits=2)), checkpoint)
    with pytest.raises(ConfigurationError, match="not a checkpoint"):
        train([tone_folder], small(), tmp_path / "a", start=tmp_path)
    assert not (tmp_path / "a").exists()
    kept, notes = started_parts(
        replace(wanted, layout=replace(wanted.layout, prompt="Say it.")), checkpoint
    )
    assert kept == checkpoint_parts(checkpoint) and "layout.prompt" in notes[0]


def test_more_than_is_asked_for_is_no_difference() -> None:
    assert list(differences({"lm": {"path": None}}, {"lm": {"path": "there", "a": 1}})) == []
    assert list(differences({"a": {"b": 1}}, {"a": None})) == [("a", {"b": 1}, None)]


def test_adapters_are_added_once_and_other_ones_are_refused(
    tmp_path: Path, checkpoint: Path, small: Make, tone_folder: Path
) -> None:
    lora = LoraSettings(targets=("lm.*.q_proj",), rank=2, alpha=4.0)
    preset = small(2)
    stage = replace(
        preset.training.stages[0], losses={"answer": 1.0}, lora=True, trainable=("cues.*",)
    )
    training = replace(preset.training, stages=(stage,))
    adapted = Preset(parts=replace(preset.parts, lora=lora), training=training)
    done = train([tone_folder], adapted, tmp_path / "one", start=checkpoint)
    assert done.notes == ("2 linear maps have new adapters",)
    before = load_model(checkpoint)[0].state_dict()
    after = load_model(tmp_path / "one")[0].state_dict()
    for name, value in before.items():
        if name.startswith("cues."):
            continue
        under = name if name in after else name.replace("q_proj.", "q_proj.base_layer.")
        assert torch.equal(after[under], value), name
    assert any("lora_B" in name and value.abs().max() > 0 for name, value in after.items())
    again = train([tone_folder], adapted, tmp_path / "two", start=tmp_path / "one")
    assert again.notes == () and checkpoint_parts(tmp_path / "two").lora == lora
    with pytest.raises(ConfigurationError, match="merge-adapters"):
        train([tone_folder], preset, tmp_path / "three", start=tmp_path / "one")


def test_a_run_that_was_killed_goes_on_to_the_same_weights_and_from_the_same_start(
    tmp_path: Path, checkpoint: Path, small: Make, tone_folder: Path, strangers: Path
) -> None:
    preset = small(2, save_every=1)
    out = tmp_path / "whole"
    train([strangers], preset, out, start=checkpoint)
    weights = (out / WEIGHTS).read_bytes()
    assert json.loads((out / MARK).read_text())["weights_sha256"]
    shutil.rmtree(finished(out / CHECKPOINTS)[-1])
    (out / WEIGHTS).unlink()
    train([strangers], preset, out, start=checkpoint)
    assert (out / WEIGHTS).read_bytes() == weights
    with pytest.raises(ConfigurationError, match="began from another checkpoint"):
        train([strangers], preset, out)
    with pytest.raises(ConfigurationError, match="began from another checkpoint"):
        train([strangers], preset, out, start=out)


def test_the_command_takes_the_stages_of_a_file_where_there_is_no_preset(
    tmp_path: Path, checkpoint: Path, small: Make, strangers: Path
) -> None:
    config = tmp_path / "stages.yaml"
    training = plain_settings(still(small()).training)
    config.write_text(yaml.safe_dump({"training": training}))
    arguments = ["train", str(strangers), "--start", str(checkpoint)]
    out = ["--out", str(tmp_path / "next")]
    done = CliRunner().invoke(app, [*arguments, *out, "--config", str(config), "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["steps"] == 1 and "units" in done.stderr
    with pytest.raises(ConfigurationError, match=r"training\.stages"):
        changed_preset(None, parts=checkpoint_parts(checkpoint))
