"""An imported checkpoint is trained further: all of it, and by adapters."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path

import pytest
import torch
from published import moss_td_folder

from talkover.model.checkpoints import load_model
from talkover.model.data.feeds import Choice
from talkover.model.importing.run import import_checkpoint
from talkover.model.lora import LoraSettings
from talkover.model.presets import Preset
from talkover.model.run import train
from talkover.model.stages import Stage, TrainConfig
from talkover.model.start import checkpoint_parts


@pytest.fixture(scope="module")
def imported(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("published")
    torch.manual_seed(0)
    moss_td_folder(folder)
    out = tmp_path_factory.mktemp("imported") / "model"
    import_checkpoint(folder, "moss_td", out)
    return out


def training(**changes: object) -> TrainConfig:
    stage = Stage(name="all", steps=2, losses={"answer": 1.0}, data=Choice(seconds=6.0), lr=1e-3)
    return TrainConfig(
        stages=(replace(stage, **changes),),  # type: ignore[arg-type]
        average=1,
        buckets="plain",
        longest=8.0,
    )


def test_an_imported_checkpoint_is_trained_by_adapters(
    tmp_path: Path, imported: Path, tone_folder: Path
) -> None:
    lora = LoraSettings(targets=("lm.*.q_proj", "lm.*.v_proj"), rank=2, alpha=4.0)
    parts = replace(checkpoint_parts(imported), lora=lora)
    preset = Preset(parts=parts, training=training(lora=True, trainable=("projector.*",)))
    done = train([tone_folder], preset, tmp_path / "tuned", start=imported)
    assert done.notes == ("6 linear maps have new adapters",) and done.skips.total == 0
    before, codec = load_model(imported)
    after, again = load_model(tmp_path / "tuned")
    assert again.tokenizer.get_vocab() == codec.tokenizer.get_vocab()
    assert after.parts.layout == before.parts.layout
    weights = after.state_dict()
    for name, value in before.state_dict().items():
        under = name if name in weights else ".base_layer.".join(name.rsplit(".", 1))
        is_trained = name.startswith("projector.")
        assert torch.equal(weights[under], value) != is_trained, name
    assert all(value.abs().max() > 0 for name, value in weights.items() if "lora_B" in name)


def test_ctc_is_added_to_an_imported_checkpoint(
    tmp_path: Path, imported: Path, tone_folder: Path
) -> None:
    preset = Preset(
        parts=checkpoint_parts(imported), training=training(losses={"answer": 1.0, "ctc": 0.5})
    )
    done = train([tone_folder], preset, tmp_path / "tuned", start=imported)
    after, _ = load_model(tmp_path / "tuned")
    assert len(after.parts.tables.units) > 0 == len(checkpoint_parts(imported).tables.units)
    assert after.unit_head.out_features == 1 + len(after.parts.tables.units)
    assert done.losses["ctc"] > 0 and "units" in done.notes[0]
