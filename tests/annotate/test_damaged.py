"""Damaged files: none stops a run, each is listed with its reason."""

from __future__ import annotations

import os
from pathlib import Path

import pytest
from damaged_files import damage
from scripted_backends import write_bursts

from talkover.annotate.config import AnnotationConfig
from talkover.annotate.inputs import find_audio
from talkover.annotate.run import annotate_files
from talkover.manifests.io import read_sessions
from talkover.manifests.validate import validate


def check(folder: Path, out: Path, config: AnnotationConfig, count: int, jobs: int) -> None:
    surely, perhaps = damage(folder, count)
    good = write_bursts(folder / "good.wav", [(0.2, 0.9)], 1.0)
    done = annotate_files([folder], out, config=config, jobs=jobs)
    assert done is not None
    rejected = {row.path: row.reason for row in done.rejected}
    assert {str(path) for path in surely} <= set(rejected)
    assert all(reason and "\n" not in reason for reason in rejected.values())
    told = len(rejected) + done.recordings
    assert told == count + 1  # every file is one or the other
    assert set(rejected) <= {str(path) for path in (*surely, *perhaps)}
    assert str(good) not in rejected
    assert [v.text() for v in validate(out)] == []
    assert len(list(read_sessions(out))) == done.recordings


def test_damaged_files_are_listed_and_stop_nothing(
    tmp_path: Path, energy: AnnotationConfig
) -> None:
    check(tmp_path / "in", tmp_path / "out", energy, 64, jobs=1)


@pytest.mark.slow
def test_a_thousand_damaged_files_are_listed_and_stop_nothing(
    tmp_path: Path, energy: AnnotationConfig
) -> None:
    check(tmp_path / "in", tmp_path / "out", energy, 1000, jobs=2)


@pytest.mark.skipif(os.geteuid() == 0, reason="nothing is unreadable for root")
def test_what_must_not_be_read_is_listed(tmp_path: Path, energy: AnnotationConfig) -> None:
    secret = write_bursts(tmp_path / "in" / "secret.wav", [(0.2, 0.9)], 1.0)
    hidden = write_bursts(tmp_path / "in" / "hidden" / "a.wav", [(0.2, 0.9)], 1.0).parent
    write_bursts(tmp_path / "in" / "good.wav", [(0.2, 0.9)], 1.0)
    secret.chmod(0)
    hidden.chmod(0)
    try:
        done = annotate_files([tmp_path / "in"], tmp_path / "out", config=energy)
    finally:
        hidden.chmod(0o700)
    assert done is not None
    assert sorted(Path(r.path).name for r in done.rejected) == ["hidden", "secret.wav"]
    assert all("Permission denied" in r.reason for r in done.rejected)


def test_folders_are_searched_in_order_and_links_to_folders_are_not_followed(
    tmp_path: Path,
) -> None:
    for name in ("b.WAV", "a/z.flac", "a/a.m4a", "notes.txt", "a.mp3/inside.wav"):
        path = tmp_path / name
        path.parent.mkdir(parents=True, exist_ok=True)
        path.write_bytes(b"x")
    (tmp_path / "loop").symlink_to(tmp_path)
    found = find_audio([tmp_path, tmp_path / "b.WAV", tmp_path / "notes.txt"])
    names = [path.relative_to(tmp_path).as_posix() for path in found.files]
    assert names == ["a/a.m4a", "a/z.flac", "a.mp3/inside.wav", "b.WAV", "notes.txt"]
    assert [(Path(r.path).name, r.reason) for r in found.rejected] == [
        ("a.mp3", "a folder, not a file")
    ]
