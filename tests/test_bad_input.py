"""A corpus with every kind of fault: the run goes on, nothing is lost, nothing lands outside."""

from __future__ import annotations

import csv
import errno
import json
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf

from talkover.manifests.errors import ManifestError, RunError
from talkover.manifests.io import read_sessions
from talkover.manifests.validate import validate
from talkover.simulate.config import load_config
from talkover.simulate.request import RunRequest
from talkover.simulate.run import prepare, render_run

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

RATE = 16000


@pytest.fixture
def faulty_corpus(tone_corpus: Callable[..., Path], tmp_path: Path) -> tuple[Path, set[str]]:
    """The tone corpus and one utterance of each fault; returns the ids that must be rejected."""
    source = tone_corpus()
    folder = tmp_path / "corpus"
    folder.mkdir()
    with source.open(encoding="utf8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["file"] = str(source.parent / row["file"])
        row["sample_rate"] = ""
    good = np.sin(np.arange(RATE) * 0.2).astype(np.float32) * 0.3
    bad: dict[str, np.ndarray | bytes | None] = {
        "corrupt": b"RIFF\x00\x00not audio at all",
        "no-bytes": b"",
        "no-samples": np.zeros(0, np.float32),
        "not-a-number": np.where(np.arange(RATE) == 500, np.nan, good).astype(np.float32),
        "constant": np.full(RATE, 0.25, np.float32),
        "silent": np.zeros(RATE, np.float32),
        "too-short": good[:300],
        "missing": None,
    }
    for name, content in bad.items():
        path = folder / f"{name}.wav"
        if isinstance(content, bytes):
            path.write_bytes(content)
        elif content is not None:
            sf.write(path, content, RATE, subtype="FLOAT")
        rows.append({**rows[0], "utterance_id": name, "file": path.name, "words": "", "text": "x"})
    sf.write(folder / "fine.wav", good, RATE)
    fine = {**rows[0], "file": "fine.wav", "words": "", "text": "x"}
    rows.append({**fine, "utterance_id": "wrong-rate", "sample_rate": "44100"})
    rows.append({**fine, "utterance_id": "../../escape"})
    rows.append({**fine, "utterance_id": "a/b"})
    rows.append({**fine, "utterance_id": "evil-speaker", "speaker": "../up"})
    rows.append({**fine, "utterance_id": rows[0]["utterance_id"]})  # a duplicate id
    path = folder / "manifest.csv"
    with path.open("w", encoding="utf8", newline="") as file:
        writer = csv.DictWriter(file, fieldnames=list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    expected = {*bad, "wrong-rate", "../../escape", "a/b", "evil-speaker", rows[0]["utterance_id"]}
    return path, expected


def request(manifest: Path, out: Path) -> RunRequest:
    config = load_config(None, ["session.length=[8,10]", "session.speakers=[2,2]"])
    return RunRequest(out=out, corpora=(str(manifest),), config=config, sessions=2)


def test_every_bad_utterance_is_rejected_with_its_reason_and_the_run_goes_on(
    faulty_corpus: tuple[Path, set[str]], tmp_path: Path
) -> None:
    manifest, expected = faulty_corpus
    before = {p for p in tmp_path.rglob("*") if "out" not in p.parts}
    out = tmp_path / "out"
    summary = render_run(prepare(request(manifest, out), executor="serial"), executor="serial")
    assert summary is not None and summary.sessions == 2
    rows = [json.loads(line) for line in (out / "rejected.jsonl").read_text().splitlines()]
    assert {row["utterance_id"] for row in rows} == expected
    assert len(rows) == len(expected)
    assert all(row["reason"] for row in rows)
    assert list(validate(out)) == []
    assert sum(summary.rejected.values()) == len(expected)
    outside = {p for p in tmp_path.rglob("*") if p != out and out not in p.parents}
    assert outside == before


def test_a_wrong_column_is_named_with_the_file(
    tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    text = tone_corpus().read_text(encoding="utf8").replace("speaker,", "speeker,", 1)
    path = tmp_path / "typo.csv"
    path.write_text(text, encoding="utf8")
    with pytest.raises(ManifestError, match=r"typo\.csv.*speaker"):
        prepare(request(path, tmp_path / "out"), executor="serial")


def test_a_full_disk_is_one_clear_error_and_the_run_resumes(
    tone_corpus: Callable[..., Path], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    out = tmp_path / "out"
    run = prepare(request(tone_corpus(), out), executor="serial")

    def full(*args: object, **kwargs: object) -> None:
        raise OSError(errno.ENOSPC, "No space left on device", "file")

    with monkeypatch.context() as patch:
        patch.setattr("os.replace", full)
        with pytest.raises(RunError, match="space"):
            render_run(run, executor="serial")
    assert not (out / "cuts.jsonl").exists()
    assert render_run(run, executor="serial") is not None
    assert sum(1 for _ in read_sessions(out)) == 2
    assert list(validate(out)) == []


def test_one_speaker_where_two_are_asked_is_refused(
    tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    from talkover.manifests.errors import InfeasibleTarget

    with pytest.raises(InfeasibleTarget, match="1 usable"):
        prepare(request(tone_corpus(speakers=1), tmp_path / "out"), executor="serial")
