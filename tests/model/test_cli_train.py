"""`talkover train` from the command line: a run, its resume, one-line errors."""

from __future__ import annotations

import json
import shutil
from pathlib import Path

import pytest
from typer.testing import CliRunner

from talkover.cli import app, main
from talkover.model.checkpoints import WEIGHTS, finished, load_model
from talkover.model.train import CHECKPOINTS, LOG

STEPS = [
    "--set",
    "training.stages.0.steps=2",
    "--set",
    "training.stages.1.steps=2",
    "--set",
    "training.average=1",
    "--set",
    "training.stages.1.data.seconds=9",
]


def test_train_writes_a_checkpoint_and_says_what_it_did(tmp_path: Path, tone_folder: Path) -> None:
    out = tmp_path / "model"
    arguments = ["train", str(tone_folder), "--out", str(out), "--json", *STEPS]
    done = CliRunner().invoke(app, arguments)
    assert done.exit_code == 0, done.output
    printed = json.loads(done.stdout)
    assert printed["steps"] == 4 and printed["skipped"] == 0
    assert set(printed["losses"]) == {"answer"}
    model, _ = load_model(out)
    assert model.parts.codec.format == "inline"
    again = CliRunner().invoke(app, arguments)  # a finished run is not trained again
    assert again.exit_code == 0 and json.loads(again.stdout)["steps"] == 4


def test_train_tells_what_it_was_not_given(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    arguments = ["talkover", "train", str(tmp_path / "nowhere"), "--out", str(tmp_path / "model")]
    monkeypatch.setattr("sys.argv", arguments)
    with pytest.raises(SystemExit) as ended:
        main()
    assert ended.value.code == 1
    message = capsys.readouterr().err.strip().splitlines()
    assert len(message) == 1 and message[0].startswith("talkover: ")


@pytest.mark.medium
def test_train_makes_sessions_on_the_fly_and_goes_on_after_a_kill(tmp_path: Path) -> None:
    config = tmp_path / "simulation.yaml"
    config.write_text(
        "session: {speakers: [1, 2], length: [4, 6]}\n"
        "room: {kind: dry}\nregistration: {lengths: []}\n"
    )
    out = tmp_path / "model"
    arguments = ["train", "embedded", "--simulate", str(config), "--out", str(out), *STEPS]
    often = [f"training.{name}=1" for name in ("save_every", "log_every")]
    arguments += [word for setting in often for word in ("--set", setting)]
    done = CliRunner().invoke(app, [*arguments, "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["steps"] == 4
    whole, weights = (out / LOG).read_text(), (out / WEIGHTS).read_bytes()
    assert len(whole.splitlines()) == 4
    shutil.rmtree(finished(out / CHECKPOINTS)[-1])  # as if it had been killed in the last update
    again = CliRunner().invoke(app, arguments)
    assert again.exit_code == 0, again.output
    assert (out / LOG).read_text() == whole
    assert (out / WEIGHTS).read_bytes() == weights
