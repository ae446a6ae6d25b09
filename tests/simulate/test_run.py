"""A whole run: same bytes however it was done, nothing lost, nothing outside its folder."""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
import time
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest

from talkover.manifests.errors import ConfigurationError, InfeasibleTarget
from talkover.manifests.io import read_sessions
from talkover.manifests.validate import validate
from talkover.simulate.config import load_config
from talkover.simulate.request import RunRequest, estimate
from talkover.simulate.run import plan_only, prepare, render_run
from talkover.simulate.session import OutputFormat

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

SETTINGS = ["session.length=[8,14]", "session.speakers=[2,3]", "room.t60=[0.2,0.25]"]


def fingerprint(folder: Path) -> dict[str, str]:
    """Hash of every file outside run/."""
    return {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] != "run"
    }


def request(manifest: Path, out: Path, *settings: str, **kwargs: object) -> RunRequest:
    values: dict = {"sessions": 5, "seed": 7, "output": OutputFormat(stems=True)}
    values.update(kwargs)
    return RunRequest(
        out=out,
        corpora=(str(manifest),),
        config=load_config(None, [*SETTINGS, *settings]),
        **values,
    )


def simulate(manifest: Path, out: Path, *settings: str, jobs: int = 1, **kwargs: object) -> Path:
    executor = "serial" if jobs == 1 else "processes"
    run = prepare(request(manifest, out, *settings, **kwargs), executor=executor, jobs=jobs)
    assert render_run(run, executor=executor, jobs=jobs) is not None
    return out


@pytest.fixture(scope="module")
def produced(tone_corpus: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """One serial run that several tests look at."""
    return simulate(tone_corpus(), tmp_path_factory.mktemp("run") / "out")


def test_a_run_has_no_violation(produced: Path) -> None:
    assert list(validate(produced)) == []
    assert sum(1 for _ in read_sessions(produced)) == 5


def test_the_folder_holds_what_the_design_names(produced: Path) -> None:
    names = {path.name for path in produced.iterdir()}
    assert names == {
        "audio", "stems", "registration", "run", "cuts.jsonl", "rejected.jsonl", "report.html",
        "labels.rttm", "labels.stm", "labels.ctm", "labels.seglst.json", "labels.uem",
    }  # fmt: skip


@pytest.mark.medium
def test_two_workers_and_another_folder_give_the_same_bytes(
    produced: Path, tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    again = simulate(tone_corpus(), tmp_path / "else" / "where", jobs=2)
    assert fingerprint(again) == fingerprint(produced)


@pytest.mark.medium
def test_array_jobs_in_any_order_give_the_same_bytes(
    produced: Path, tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    run = prepare(request(tone_corpus(), tmp_path / "out"), executor="serial")
    results = [render_run(run, executor="serial", shard=f"{i}/3") for i in (2, 0, 1)]
    assert [r is None for r in results] == [True, True, False]
    assert fingerprint(tmp_path / "out") == fingerprint(produced)


@pytest.mark.medium
def test_a_killed_run_goes_on_to_the_same_bytes(
    produced: Path, tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    out = tmp_path / "out"
    words = [
        sys.executable, "-m", "talkover.cli", "simulate", str(tone_corpus()), "--out", str(out),
        "--sessions", "5", "--seed", "7", "--stems", "--executor", "serial",
    ]  # fmt: skip
    for setting in SETTINGS:
        words += ["--set", setting]
    process = subprocess.Popen(words, stdout=subprocess.DEVNULL, stderr=subprocess.PIPE)
    markers = out / "run" / "markers"
    while process.poll() is None and len(list(markers.glob("shard-*"))) < 2:
        time.sleep(0.005)
    process.kill()  # SIGKILL; nothing if it has just ended by itself
    process.wait()
    left = {p for p in out.rglob("*.flac") if ".tmp" in p.name}
    done = len(list(markers.glob("shard-*")))
    assert 2 <= done <= 5
    subprocess.run(words, check=True, capture_output=True)
    assert fingerprint(out) == fingerprint(produced)
    assert not any(path.exists() for path in left)


@pytest.mark.medium
def test_a_damaged_file_of_a_finished_shard_is_made_again(
    produced: Path, tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    out = simulate(tone_corpus(), tmp_path / "out", sessions=2)
    before = fingerprint(out)
    victim = next((out / "audio").rglob("*.flac"))
    victim.write_bytes(victim.read_bytes()[:1000])
    (out / "cuts.jsonl").unlink()
    assert fingerprint(simulate(tone_corpus(), out, sessions=2)) == before


def test_another_configuration_in_the_same_folder_is_refused(
    produced: Path, tone_corpus: Callable[..., Path]
) -> None:
    with pytest.raises(ConfigurationError, match="another run"):
        prepare(request(tone_corpus(), produced, seed=8), executor="serial")


def test_stems_and_noise_sum_to_the_mixture(produced: Path) -> None:
    import soundfile as sf

    worst = 0.0
    sessions = list(read_sessions(produced))
    assert sessions
    for session in sessions:
        assert session.mix is not None and len(session.mix.stems) >= 3
        mixture, _ = sf.read(produced / session.audio.path, dtype="float64")
        total = sum(sf.read(produced / s.path, dtype="float64")[0] for s in session.mix.stems)
        worst = max(worst, float(np.abs(mixture - total).max()))
    assert 0 < worst <= 1 / 32768


def test_plans_without_audio_are_the_plans_of_the_audio(
    produced: Path, tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    run = prepare(request(tone_corpus(), tmp_path / "out"), executor="serial")
    path = plan_only(run)
    hashes = [hashlib.sha256(line.encode()).hexdigest() for line in path.read_text().splitlines()]
    assert hashes == [s.provenance.plan_hash for s in read_sessions(produced)]
    assert not list((tmp_path / "out").rglob("*.flac"))


def test_a_dry_run_writes_nothing(tone_corpus: Callable[..., Path], tmp_path: Path) -> None:
    figures = estimate(request(tone_corpus(), tmp_path / "out", sessions=None, hours=2.0))
    assert figures["hours"] == pytest.approx(2.0, abs=0.1)
    assert figures["sessions"] > 400
    assert not (tmp_path / "out").exists()


def test_a_dry_run_expects_more_time_for_more_microphones(
    tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    minutes = []
    for microphones in ("single", "circular8"):
        asked = request(
            tone_corpus(),
            tmp_path / "out",
            "session.length=[1800,1800]",
            f"room.microphones={microphones}",
            sessions=None,
            hours=500.0,
        )
        minutes.append(estimate(asked, jobs=2)["minutes"])
    one, eight = map(float, minutes)
    assert one == pytest.approx(500 * 60 / 2000 / 2, rel=0.02)
    assert eight / one == pytest.approx(10 / 3, rel=0.01)  # 600 times real time


def test_too_few_speakers_are_refused_with_the_numbers(
    tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(InfeasibleTarget, match="has 1 usable"):
        prepare(
            request(tone_corpus(speakers=1), tmp_path / "out", "session.speakers=[2,2]"),
            executor="serial",
        )


def test_a_speaker_is_registered_with_speech_from_outside_the_session(produced: Path) -> None:
    clips = 0
    for session in read_sessions(produced):
        said = {s.source.utterance_id for s in session.supervisions if s.source}
        for clip in session.registration:
            clips += 1
            assert not said & set(clip.utterance_ids)
            assert (produced / clip.path).is_file()
    assert clips > 0


def test_asked_figures_are_kept_beside_what_came_out(produced: Path) -> None:
    for session in read_sessions(produced):
        assert session.asked is not None and session.asked.duration is not None
        assert 8 <= session.asked.duration <= 14


def test_the_run_record_stays_out_of_the_data(produced: Path) -> None:
    text = (produced / "cuts.jsonl").read_text()
    assert str(produced) not in text
    rows = [json.loads(line) for line in (produced / "run" / "log.jsonl").read_text().splitlines()]
    assert rows and rows[0]["seconds_rendered"] > 0
