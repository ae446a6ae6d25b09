"""`talkover turns`: the drawing of a model, and the comparison with its figures."""

from __future__ import annotations

import json
import runpy
import sys
from pathlib import Path

import pytest
from typer.testing import CliRunner

from talkover.cli import app
from talkover.simulate.config import CONFIG_PRESETS, load_config
from talkover.simulate.turn_sampling import sample_rttm
from talkover.simulate.turns import TurnModel

runner = CliRunner()


@pytest.fixture(scope="module")
def rttm(tmp_path_factory: pytest.TempPathFactory) -> Path:
    path = tmp_path_factory.mktemp("t") / "s.rttm"
    sample_rttm(TurnModel.load("telephone"), 1.0, path)
    return path


def test_a_model_is_drawn_with_its_zero_line_and_provenance(tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    drawing = tmp_path / "ami.svg"
    result = runner.invoke(app, ["turns", "show", "ami", "--out", str(drawing)])
    assert result.exit_code == 0
    for word in ("floor-transfer offsets", "│", "CC-BY-4.0", "order of kinds", "overlap of speech"):
        assert word in result.output
    assert drawing.read_text(encoding="utf8").lstrip().startswith("<?xml")


def test_without_a_name_the_presets_are_listed() -> None:
    result = runner.invoke(app, ["turns", "show"])
    assert "telephone: published figures" in result.output and "voxconverse" in result.output


def test_a_corpus_is_as_realistic_as_itself(rttm: Path, tmp_path: Path) -> None:
    page = tmp_path / "c.html"
    words = ["turns", "compare", str(rttm), str(rttm), "--strict", "--html", str(page)]
    result = runner.invoke(app, words)
    assert result.exit_code == 0 and "8 of 8 bars hold" in result.output
    assert "floor-transfer offsets, simulated" in result.output
    text = page.read_text(encoding="utf8")
    assert text.count("<svg") == 3 and "http" not in text.replace("http-equiv", "")


def test_strict_exits_one_where_a_bar_is_missed(rttm: Path, tmp_path: Path) -> None:
    other = tmp_path / "o.rttm"
    sample_rttm(TurnModel.load("ami"), 2.0, other)
    assert runner.invoke(app, ["turns", "compare", str(rttm), str(other)]).exit_code == 0
    words = ["turns", "compare", str(rttm), str(other), "--strict", "--json"]
    result = runner.invoke(app, words)
    assert result.exit_code == 1
    assert not all(json.loads(result.output)["bars"].values())


def test_figures_are_those_of_the_ruler(
    shared_data: Path, rttm: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    ruler = shared_data.parent / "tools" / "turn_compare.py"
    if not ruler.is_file():
        pytest.skip(f"no ruler at {ruler}")
    real = shared_data / "conversations" / "alimeeting_eval8.rttm.gz"
    out = tmp_path / "ruler.json"
    monkeypatch.setattr(sys, "argv", [str(ruler), str(real), str(rttm), "--json", str(out)])
    monkeypatch.syspath_prepend(str(ruler.parent))
    with pytest.raises(SystemExit):
        runpy.run_path(str(ruler), run_name="__main__")
    wanted = json.loads(out.read_text(encoding="utf8"))
    result = runner.invoke(app, ["turns", "compare", str(rttm), str(real), "--json"])
    got = json.loads(result.output)
    assert got["bars"] == wanted["bars"]
    assert got["w1"] == pytest.approx(wanted["w1"], abs=2e-3)
    for side, other in (("real", "real"), ("simulated", "sim")):
        for name in ("overlap", "silence", "overlap_sd", "changes_per_min", "three"):
            assert got[side][name] == pytest.approx(wanted[other][name], abs=1e-3)


@pytest.mark.parametrize("preset", sorted(CONFIG_PRESETS))
def test_every_preset_is_a_configuration(preset: str) -> None:
    config = load_config(preset=preset)
    assert config != load_config()
    assert load_config(None, ["noise.kind=none"], preset=preset).noise.kind == "none"


def test_the_telephone_preset_is_what_its_script_makes(
    repository: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "telephone.json"
    monkeypatch.setattr(sys, "argv", ["make_telephone.py", str(out)])
    runpy.run_path(str(repository / "examples" / "make_telephone.py"), run_name="__main__")
    made, shipped = TurnModel.load(out), TurnModel.load("telephone")
    assert made.offsets.values == pytest.approx(shipped.offsets.values, abs=1e-3)
    assert made.transitions == shipped.transitions
    assert shipped.origin.licence == "published figures"
