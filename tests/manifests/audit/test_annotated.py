"""The page of an annotated corpus: segments, cuts, labels, confidence, failures."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import soundfile

from talkover.annotate.config import load_config
from talkover.annotate.run import annotate_files
from talkover.manifests.audit import Audit
from talkover.manifests.audit.annotated import annotation_tables
from talkover.manifests.io import read_sessions
from talkover.manifests.segment_lines import read_segments

OFF = ("activity", "diarizer", "embedder", "music", "events", "quality")


@pytest.fixture(scope="module")
def annotated(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Two recordings and a file that is none."""
    root = tmp_path_factory.mktemp("audit")
    rng = np.random.default_rng(0)
    for number in range(2):
        signal = 1e-4 * rng.standard_normal(16000 * 30)
        for start in range(2, 26, 4):
            signal[start * 16000 : (start + 2) * 16000] += 0.2 * rng.standard_normal(32000)
        soundfile.write(root / f"{number}.wav", np.clip(signal, -1, 1), 16000)
    (root / "bad.wav").write_text("no audio")
    settings = [f"backends.{kind}=none" for kind in OFF] + ["backends.vad=energy"]
    settings += ["segmentation.shortest=1", "segmentation.preferred=5", "segmentation.longest=8"]
    files = sorted(root.glob("*.wav"))
    annotate_files(files, root / "out", config=load_config(None, settings), executor="serial")
    return root / "out"


def _figures(tables: dict[str, Any]) -> dict[str, str]:
    frame = tables["Segments"]
    return dict(zip(frame["figure"], frame["value"], strict=True))


def test_tables_count_what_the_manifests_hold(annotated: Path) -> None:
    audit = Audit.from_manifests(annotated, audio=False, executor="serial")
    tables = audit.annotation
    sessions, segments = list(read_sessions(annotated)), list(read_segments(annotated))
    figures = _figures(tables)
    assert figures["recordings"] == "2" and figures["segments"] == str(len(segments))
    assert len(segments) > 4 and figures["time in segments"] == "100.0000%"
    turns = sum(len(s.supervisions) for s in sessions)
    labels = tables["Labels"].set_index("label")
    assert labels.loc["speech", "count"] == turns
    cuts = tables["Cut by segments, as the annotator says"].set_index("kind")
    declared = {c.event_id for s in segments for c in s.extras.cut_events}
    assert cuts.loc["turn", "cut"] == len(declared)
    histogram = tables["Confidence"].set_index("of")
    assert histogram.loc["turn"].sum() == turns
    assert histogram.loc["boundary of a segment"].sum() == len(segments)
    assert tables["Rejected files"].to_dict("records") == [
        {"stage": "probe", "reason": "not decodable: Format not recognised", "count": 1}
    ]
    assert tables["Backends"]["backend"].tolist() == ["energy"]
    assert tables["Backends"]["count"].tolist() == [2]


def test_the_page_shows_them(annotated: Path, tmp_path: Path) -> None:
    audit = Audit.from_manifests(annotated, audio=False, executor="serial")
    page = audit.to_html(tmp_path / "audit.html").read_text(encoding="utf8")
    assert "<h2>Annotation</h2>" in page and "Rejected files" in page and "energy" in page


def test_licences_that_forbid_commerce_are_told(annotated: Path, tmp_path: Path) -> None:
    lines = (annotated / "cuts.jsonl").read_text(encoding="utf8").splitlines()
    first = json.loads(lines[0])
    ours = first["custom"]["talkover"]
    ours["annotation"]["branches"][0]["claim"]["non_commercial"] = True
    ours["licences"]["non_commercial"] = True
    (tmp_path / "cuts.jsonl").write_text("\n".join([json.dumps(first), *lines[1:], "torn{"]) + "\n")
    audit = Audit.from_manifests(tmp_path, audio=False, executor="serial")
    backends = audit.annotation["Backends"]
    assert sorted(backends["non_commercial"]) == ["", "yes"]
    assert backends["count"].tolist() == [1, 1]


def test_what_nobody_annotated_has_no_such_tables(annotated: Path, tmp_path: Path) -> None:
    audit = Audit.from_manifests(annotated, audio=False, executor="serial")
    sessions = audit.sessions
    assert annotation_tables(sessions.assign(origin="simulated")) == {}
    assert annotation_tables(sessions.assign(manifest=str(tmp_path / "gone.jsonl"))) == {}
