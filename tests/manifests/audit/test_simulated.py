"""All that the simulator writes at once: no check reports it, and a card has its licence."""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
import yaml
from typer.testing import CliRunner

from talkover.cli import app
from talkover.manifests.audit import Audit
from talkover.manifests.card import CardOptions, write_card
from talkover.manifests.convert import convert

pytestmark = pytest.mark.medium
RATE = 16000


def clips(folder: Path, kind: str, seconds: int) -> Path:
    folder.mkdir()
    rng = np.random.default_rng(seconds)
    rows = ["clip_id,file,label,kind,licence,author"]
    for name in ("one", "two"):
        sf.write(folder / f"{name}.wav", rng.normal(size=seconds * RATE) * 0.1, RATE)
        rows.append(f"{kind}-{name},{name}.wav,{name},{kind},CC-BY-4.0,Ann")
    (folder / "manifest.csv").write_text("\n".join(rows) + "\n", encoding="utf8")
    return folder


@pytest.fixture
def simulated(tone_corpus: Callable[..., Path], tmp_path: Path) -> Path:
    """Two sessions with several noises, sounds, music, a channel, targets, a walk, distractors."""
    settings = {
        "session": {"length": [20, 25]},
        "noise": {
            "kind": "diffuse",
            "spectrum": "pink",
            "also": [{"kind": "point", "snr_db": [20, 25]}, {"kind": "white", "snr_db": [30, 35]}],
        },
        "sounds": {"path": str(clips(tmp_path / "sounds", "sound", 1)), "per_minute": [6, 9]},
        "music": {"path": str(clips(tmp_path / "music", "music", 6)), "share": [0.3, 0.5]},
        "room": {"moving": 0.5, "t60": [0.2, 0.3]},
        "registration": {"lengths": [1, 2], "room": "other", "rooms": 2, "distractors": 1},
        "channel": {"steps": [{"effect": "telephone"}, {"effect": "g711"}]},
    }
    (tmp_path / "all.yaml").write_text(yaml.safe_dump(settings), encoding="utf8")
    command = ["simulate", str(tone_corpus()), "--out", str(tmp_path / "out"), "--sessions", "2"]
    command += ["--config", str(tmp_path / "all.yaml"), "--executor", "serial", "--speakers", "2"]
    command += ["--stems", "--target", "early", "--target", "dry"]
    done = CliRunner().invoke(app, command)
    assert done.exit_code == 0, done.output
    return tmp_path / "out"


def test_all_that_is_simulated_passes_the_audit_and_has_a_card(
    simulated: Path, tmp_path: Path
) -> None:
    lines = (simulated / "cuts.jsonl").read_text(encoding="utf8").splitlines()
    ours = [json.loads(line)["custom"]["talkover"] for line in lines]
    assert all(len(row["noise"]) == 3 and row["channel"] for row in ours)
    assert {e["kind"] for row in ours for e in row["events"]} == {"sound", "music"}
    assert any(clip.get("speaker_local") is None for row in ours for clip in row["registration"])
    audit = Audit.from_manifests(simulated, executor="serial")
    found = audit.findings[audit.findings["severity"] == "error"]
    assert not len(found), found.to_string()
    status = dict(zip(audit.checks["check"], audit.checks["status"], strict=True))
    for name in ("stem_sum", "snr", "registration_outside", "licence_and_provenance"):
        assert status[name] == "passed", audit.findings.to_string()
    write_card([simulated], tmp_path / "card", CardOptions(allow_unstated=True))
    convert(simulated, tmp_path / "all.parquet")
    convert(tmp_path / "all.parquet", tmp_path / "back")
    assert (tmp_path / "back" / "cuts.jsonl").read_bytes() == (
        simulated / "cuts.jsonl"
    ).read_bytes()
