"""A whole run: the contract holds, the same bytes however it was done, nothing lost."""

from __future__ import annotations

import itertools
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile
from lhotse import CutSet
from scripted_backends import write_bursts

from talkover.annotate.config import AnnotationConfig, load_config
from talkover.annotate.run import annotate_files
from talkover.manifests.errors import ConfigurationError, RunError
from talkover.manifests.io import read_sessions
from talkover.manifests.segment_lines import read_segments
from talkover.manifests.validate import validate

Hashes = Callable[[Path], dict[str, str]]
BURSTS = [(0.5, 3.0), (3.6, 6.0), (8.0, 11.0), (12.5, 14.0), (20.0, 24.0), (31.0, 33.0)]


@pytest.fixture
def recordings(tmp_path: Path) -> Path:
    folder = tmp_path / "in"
    write_bursts(folder / "talk one.wav", BURSTS, 40.0)
    write_bursts(folder / "b" / "talk one.wav", BURSTS[:2], 9.0, rate=8000, seed=1)
    write_bursts(folder / "c" / "high.flac", BURSTS[:3], 12.0, rate=48000, seed=2)
    write_bursts(folder / "two.wav", BURSTS[:3], 12.0, channels=2, rate=44100, seed=3)
    (folder / "notes.wav").write_text("not audio")
    return folder


def rejected_rows(folder: Path) -> list[dict[str, str]]:
    return [json.loads(line) for line in (folder / "rejected.jsonl").read_text().splitlines()]


def test_a_run_gives_a_folder_of_the_contract(
    recordings: Path, tmp_path: Path, energy: AnnotationConfig, no_network: list[object]
) -> None:
    out = tmp_path / "out"
    done = annotate_files([recordings], out, config=energy)
    assert done is not None
    assert [v.text() for v in validate(out)] == []
    assert done.recordings == 4
    assert [(r.stage, r.reason) for r in done.rejected] == [
        ("probe", "not decodable: Format not recognised")
    ]
    assert [row["path"] for row in rejected_rows(out)] == [str(recordings / "notes.wav")]
    sessions = {session.id: session for session in read_sessions(out)}
    assert sorted(s.audio.sampling_rate for s in sessions.values()) == [8000, 16000, 44100, 48000]
    for session in sessions.values():
        assert session.origin == "annotated" and session.supervisions
        assert all(row.claim and row.claim.backend == "energy" for row in session.supervisions)
        assert all(row.claim and row.claim.licence == "Apache-2.0" for row in session.supervisions)
    assert no_network == []


def test_segments_cover_their_recording_and_lhotse_opens_them(
    recordings: Path, tmp_path: Path, energy: AnnotationConfig
) -> None:
    out = tmp_path / "out"
    annotate_files([recordings], out, config=energy)
    lengths = {s.id: s.audio.num_samples for s in read_sessions(out)}
    segments = list(read_segments(out))
    assert len(segments) > len(lengths)
    for name, num_samples in lengths.items():
        own = [s for s in segments if s.extras.session == name]
        assert own[0].extras.start_sample == 0 and own[-1].end_sample == num_samples
        assert all(a.end_sample == b.extras.start_sample for a, b in itertools.pairwise(own))
        assert not any(s.extras.cut_events for s in own)
    cuts = list(CutSet.from_file(out / "segments.jsonl").with_recording_path_prefix(out))
    assert sum(cut.load_audio().shape[1] for cut in cuts) == sum(lengths.values())
    for cut in cuts:
        assert all(0 <= s.start < s.end <= cut.duration for s in cut.supervisions)


def test_bytes_depend_on_no_worker_executor_or_shard(
    recordings: Path, tmp_path: Path, energy: AnnotationConfig, produced: Hashes
) -> None:
    annotate_files([recordings], tmp_path / "one", config=energy, executor="serial")
    expected = produced(tmp_path / "one")
    assert "cuts.jsonl" in expected and "segments.jsonl" in expected
    annotate_files([recordings], tmp_path / "two", config=energy, jobs=2)
    assert produced(tmp_path / "two") == expected
    for shard, whole in (("1/2", False), ("0/2", True)):
        done = annotate_files([recordings], tmp_path / "sh", config=energy, shard=shard)
        assert (done is not None) == whole
    assert produced(tmp_path / "sh") == expected


@pytest.mark.slow
def test_ray_gives_the_same_bytes(
    recordings: Path,
    tmp_path: Path,
    energy: AnnotationConfig,
    produced: Hashes,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    pytest.importorskip("ray")
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join(filter(None, sys.path)))  # of its workers
    annotate_files([recordings], tmp_path / "one", config=energy, executor="serial")
    annotate_files([recordings], tmp_path / "ray", config=energy, executor="ray", jobs=2)
    assert produced(tmp_path / "ray") == produced(tmp_path / "one")
    logged = json.loads((tmp_path / "ray" / "run" / "log.jsonl").read_text())
    assert logged["executor"] == "ray"


def test_a_torn_part_is_made_again_and_a_whole_one_is_not(
    recordings: Path, tmp_path: Path, energy: AnnotationConfig, produced: Hashes
) -> None:
    out = tmp_path / "out"
    annotate_files([recordings], out, config=energy)
    expected = produced(out)
    parts = sorted((out / "run" / "parts").glob("*.json"))
    times = {part: part.stat().st_mtime_ns for part in parts}
    torn = next(part for part in parts if '"session": "' in part.read_text())
    torn.write_text(torn.read_text()[:50])
    audio = next(path for path in sorted((out / "audio").iterdir()))
    audio.unlink()
    annotate_files([recordings], out, config=energy)
    assert produced(out) == expected
    again = [part for part in parts if part.stat().st_mtime_ns != times[part]]
    assert torn in again and 2 <= len(again) <= 3  # and the file that cannot be read


@pytest.mark.medium
def test_a_killed_run_goes_on(recordings: Path, tmp_path: Path, produced: Hashes) -> None:
    for number in range(20):
        write_bursts(recordings / f"more-{number}.wav", BURSTS, 40.0, seed=10 + number)
    off = [f"--set=backends.{k}=none" for k in ("activity", "diarizer", "music", "events")]
    command = [sys.executable, "-m", "talkover.cli", "annotate", str(recordings)]
    command += [*off, "--set=backends.vad=energy", "--set=backends.quality=none", "--jobs=2"]
    subprocess.run([*command, f"--out={tmp_path / 'whole'}"], check=True, capture_output=True)
    out = tmp_path / "killed"
    process = subprocess.Popen([*command, f"--out={out}"], start_new_session=True)
    markers = out / "run" / "markers"
    while process.poll() is None and not (markers.is_dir() and len(list(markers.iterdir())) > 3):
        time.sleep(0.01)
    os.killpg(process.pid, signal.SIGKILL)
    process.wait()
    assert not (out / "cuts.jsonl").exists()
    subprocess.run([*command, f"--out={out}"], check=True, capture_output=True)
    assert produced(out) == produced(tmp_path / "whole")
    assert not list(out.rglob("*.tmp-*")) and not (out / "run" / "scratch").exists()


def test_odd_recordings_are_annotated_or_listed(tmp_path: Path, energy: AnnotationConfig) -> None:
    folder = tmp_path / "in"
    folder.mkdir()
    rng = np.random.default_rng(0)
    signals = {
        "silent": np.zeros(16000),
        "constant": np.full(16000, 0.5),
        "one-sample": np.full(1, 0.25),
        "ten-samples": rng.uniform(-1, 1, 10),
        "clipped": np.sign(rng.standard_normal(16000)),
        "offset": 0.3 + 0.1 * rng.standard_normal(16000),
        "not-finite": np.where(np.arange(16000) == 9000, np.nan, 0.1),
        "no-sample": np.zeros(0),
        "far-too-loud": 1e37 * rng.standard_normal(8000),
    }
    for name, signal_ in signals.items():
        soundfile.write(folder / f"{name}.wav", signal_, 16000, subtype="FLOAT")
    done = annotate_files([folder], tmp_path / "out", config=energy)
    assert done is not None
    assert {Path(r.path).stem for r in done.rejected} == {"not-finite", "no-sample"}
    assert [v.text() for v in validate(tmp_path / "out")] == []
    for session in read_sessions(tmp_path / "out"):
        assert session.annotation is not None
        assert session.annotation.num_segments == 1
        if not session.supervisions:
            assert "no_speech" in session.annotation.flags


def test_short_tails_are_kept_and_no_label_ends_late(
    tmp_path: Path, energy: AnnotationConfig
) -> None:
    for rate in (8000, 11025, 22050, 44100, 48000):
        path = write_bursts(tmp_path / "in" / f"{rate}.wav", [(1.0, 2.0), (20.0, 20.0337)], 20.0337)
        soundfile.write(path, soundfile.read(path)[0][: round(20.0337 * rate)], rate)
    annotate_files([tmp_path / "in"], tmp_path / "out", config=energy)
    assert [v.text() for v in validate(tmp_path / "out")] == []
    segments = list(read_segments(tmp_path / "out"))
    for session in read_sessions(tmp_path / "out"):
        own = [s for s in segments if s.extras.session == session.id]
        assert own[-1].end_sample == session.audio.num_samples


def test_names_are_told_apart_and_never_become_paths(
    tmp_path: Path, energy: AnnotationConfig
) -> None:
    folder = tmp_path / "in"
    names = ["..wav.wav", "-rf.wav", "a b;c.wav", "ünï.wav", "CON.wav", "x" * 200 + ".wav"]
    for number, name in enumerate(names):
        write_bursts(folder / name, [(0.2, 0.8)], 1.0, seed=number)
    write_bursts(folder / "y" / "same.wav", [(0.2, 0.8)], 1.0, seed=50)
    write_bursts(folder / "z" / "same.wav", [(0.2, 0.8)], 1.0, seed=51)
    write_bursts(folder / "z" / "copy" / "same.wav", [(0.2, 0.8)], 1.0, seed=51)
    done = annotate_files([folder], tmp_path / "out", config=energy)
    assert done is not None and done.recordings == len(names) + 2
    (copy,) = done.rejected
    assert copy.reason.startswith("the same name and bytes as ")
    assert [v.text() for v in validate(tmp_path / "out")] == []
    placed = {path.name for path in (tmp_path / "out" / "audio").iterdir()}
    assert len(placed) == len(names) + 2
    assert all(name.isascii() and "/" not in name and " " not in name for name in placed)


@pytest.mark.parametrize("keep", ["link", "copy"])
def test_recordings_come_into_the_folder(
    tmp_path: Path, energy: AnnotationConfig, keep: str
) -> None:
    path = write_bursts(tmp_path / "in" / "a.wav", [(0.2, 0.8)], 1.0)
    annotate_files([path], tmp_path / "out", config=energy, keep=keep)  # type: ignore[arg-type]
    (placed,) = (tmp_path / "out" / "audio").iterdir()
    assert placed.read_bytes() == path.read_bytes()
    assert placed.samefile(path) == (keep == "link")


def test_recordings_below_the_folder_may_stay_where_they_are(
    tmp_path: Path, energy: AnnotationConfig
) -> None:
    out = tmp_path / "corpus"
    inside = write_bursts(out / "wavs" / "a.wav", [(0.2, 0.8)], 1.0)
    outside = write_bursts(tmp_path / "b.wav", [(0.2, 0.8)], 1.0, seed=1)
    done = annotate_files([inside, outside], out, config=energy, keep="reference")
    assert done is not None
    assert [r.path for r in done.rejected] == [str(outside)]
    assert [s.audio.path for s in read_sessions(out)] == ["wavs/a.wav"]
    assert [v.text() for v in validate(out)] == []


def test_folders_of_others_are_not_written(
    recordings: Path, tmp_path: Path, energy: AnnotationConfig
) -> None:
    with pytest.raises(ConfigurationError, match="choose a folder outside"):
        annotate_files([recordings], recordings / "out", config=energy)
    other = tmp_path / "other"
    other.mkdir()
    (other / "cuts.jsonl").write_text('{"id": "mine"}\n')
    with pytest.raises(ConfigurationError, match="was not written by talkover annotate"):
        annotate_files([recordings], other, config=energy)
    with pytest.raises(ConfigurationError, match="no audio was given"):
        annotate_files([], tmp_path / "out", config=energy)


def test_a_run_of_nothing_but_rejects_says_so(tmp_path: Path, energy: AnnotationConfig) -> None:
    (tmp_path / "in").mkdir()
    with pytest.raises(RunError, match=r"none of 1 files could be annotated .* without audio"):
        annotate_files([tmp_path / "in"], tmp_path / "out", config=energy)
    assert rejected_rows(tmp_path / "out")[0]["stage"] == "find"


def test_a_backend_that_is_not_there_is_said_before_the_work(
    recordings: Path, tmp_path: Path
) -> None:
    with pytest.raises(
        ConfigurationError, match="unknown vad backend 'ears': choose one of energy"
    ):
        annotate_files(
            [recordings], tmp_path / "out", config=load_config(None, ["backends.vad=ears"])
        )
    assert not (tmp_path / "out" / "audio").exists()


KILLER = """
import os
from talkover.annotate.backends.vad import EnergyVad
class Killer(EnergyVad):
    def run(self, audio, upstream):
        if audio.num_samples == 16123:
            os._exit(9)
        return super().run(audio, upstream)
"""


@pytest.mark.medium
def test_a_file_that_kills_its_worker_takes_no_other_with_it(
    recordings: Path, tmp_path: Path, energy: AnnotationConfig, monkeypatch: pytest.MonkeyPatch
) -> None:
    plug = tmp_path / "plug"
    meta = plug / "killer-1.dist-info"
    meta.mkdir(parents=True)
    (plug / "killer.py").write_text(KILLER)
    (meta / "METADATA").write_text("Metadata-Version: 2.1\nName: killer\nVersion: 1\n")
    (meta / "entry_points.txt").write_text("[talkover.annotate.vad]\nkiller = killer:Killer\n")
    monkeypatch.syspath_prepend(str(plug))
    monkeypatch.setenv("PYTHONPATH", os.pathsep.join([str(plug), os.environ.get("PYTHONPATH", "")]))
    soundfile.write(recordings / "deadly.wav", np.zeros(16123), 16000)
    config = load_config(
        None,
        ["backends.vad=killer"]
        + [f"backends.{k}=none" for k in ("activity", "diarizer", "music", "events", "quality")],
    )
    done = annotate_files([recordings], tmp_path / "out", config=config, jobs=2)
    assert done is not None and done.recordings == 4
    reasons = {Path(r.path).name: r.reason for r in done.rejected}
    assert reasons["deadly.wav"] == "the worker died over it 2 times"
