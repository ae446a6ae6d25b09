"""Targets, noises and devices through a whole run."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from itertools import islice
from pathlib import Path

import numpy as np
import pytest
import soundfile
from typer.testing import CliRunner

from talkover.cli import app
from talkover.manifests.io import read_sessions
from talkover.manifests.validate import validate
from talkover.simulate.config import load_config
from talkover.simulate.request import RunRequest
from talkover.simulate.run import prepare
from talkover.simulate.session import generate

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

SETTINGS = [
    "session.length=[8,12]", "session.speakers=[2,2]", "room.t60=[0.2,0.25]",
    "room.microphones=pair", "noise.kind=diffuse", "noise.also=[{kind: point, snr_db: [20, 20]}]",
]  # fmt: skip


def test_targets_of_a_run_are_written_described_and_valid(
    tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    words = ["simulate", str(tone_corpus()), "--out", str(tmp_path / "out"), "--sessions", "2"]
    words += ["--stems", "--target", "early", "--target", "dry", "--format", "wav"]
    words += ["--executor", "serial"]
    for setting in SETTINGS:
        words += ["--set", setting]
    result = CliRunner().invoke(app, words)
    assert result.exit_code == 0, result.output
    assert list(validate(tmp_path / "out")) == []
    for session in read_sessions(tmp_path / "out"):
        assert session.mix is not None
        kinds = Counter((stem.kind, stem.target) for stem in session.mix.stems)
        assert kinds == {
            ("speaker", "reverberant"): 2, ("speaker", "early"): 2, ("speaker", "dry"): 2,
            ("noise", "reverberant"): 1,
        }  # fmt: skip
        assert [noise.kind for noise in session.noise] == ["diffuse", "point"]
        for stem in session.mix.stems:
            info = soundfile.info(tmp_path / "out" / stem.path)
            assert info.frames == session.audio.num_samples
            assert info.channels == (1 if stem.target == "dry" else 2)


def test_an_unknown_target_is_refused(tone_corpus: Callable[..., Path], tmp_path: Path) -> None:
    words = ["simulate", str(tone_corpus()), "--out", str(tmp_path / "out"), "--sessions", "1"]
    assert CliRunner().invoke(app, [*words, "--target", "late"]).exit_code != 0


def test_a_device_generates_the_sessions_of_the_offline_way(
    tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    request = RunRequest(
        out=tmp_path,
        corpora=(str(tone_corpus()),),
        config=load_config(None, SETTINGS),
        seed=3,
        sessions=3,
    )
    planner = prepare(request, executor="serial").planner
    offline = list(generate(planner, {}, first=1, count=3, step=2))
    device = list(islice(generate(planner, {}, first=1, step=2, device="cpu", batch=2), 3))
    assert [one.session.id for one in device] == [one.session.id for one in offline]
    for one, wanted in zip(device, offline, strict=True):
        assert np.abs(one.samples - wanted.samples).max() < 1e-4
        assert one.session.supervisions == wanted.session.supervisions
