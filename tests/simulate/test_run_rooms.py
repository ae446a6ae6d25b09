"""Whole runs whose rooms are shared, walked in, or heard by many devices."""

from __future__ import annotations

import hashlib
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.io import read_sessions
from talkover.manifests.validate import validate
from talkover.simulate.config import load_config
from talkover.simulate.request import RunRequest
from talkover.simulate.run import prepare, render_run
from talkover.simulate.session import OutputFormat

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

SETTINGS = ["session.length=[8,12]", "session.speakers=[2,2]", "room.t60=[0.2,0.25]"]


def simulate(manifest: Path, out: Path, *settings: str, jobs: int = 1) -> Path:
    request = RunRequest(
        out=out,
        corpora=(str(manifest),),
        config=load_config(None, [*SETTINGS, *settings]),
        sessions=4,
        seed=7,
        output=OutputFormat(stems=True),
    )
    executor = "serial" if jobs == 1 else "processes"
    run = prepare(request, executor=executor, jobs=jobs)
    assert render_run(run, executor=executor, jobs=jobs) is not None
    return out


def fingerprint(folder: Path) -> dict[str, str]:
    """Hash of every file outside run/."""
    found = {
        path.relative_to(folder).as_posix(): hashlib.sha256(path.read_bytes()).hexdigest()
        for path in sorted(folder.rglob("*"))
        if path.is_file() and path.relative_to(folder).parts[0] != "run"
    }
    assert found
    return found


def test_a_shared_bank_gives_the_same_bytes_warm_cold_and_to_any_worker(
    tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    manifest = tone_corpus()
    cold = simulate(manifest, tmp_path / "cold", "room.bank=2")
    bank = cold / "run" / "rooms"
    assert 2 <= len(list(bank.rglob("*.npy"))) <= 4  # two seats in each of at most two rooms
    rooms = [session.scene.room.id for session in read_sessions(cold) if session.scene]
    assert len(rooms) == 4 and len(set(rooms)) <= 2
    warm = tmp_path / "warm"
    shutil.copytree(bank, warm / "run" / "rooms")
    assert fingerprint(simulate(manifest, warm, "room.bank=2", jobs=2)) == fingerprint(cold)


def test_sessions_with_walkers_and_several_devices_break_no_rule(
    tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    out = simulate(
        tone_corpus(), tmp_path / "out", "room.moving=1", "room.microphones=pair+single",
        "room.drr_db=[0,6]",
    )  # fmt: skip
    assert not list(validate(out))
    walked = 0
    for session in read_sessions(out):
        assert session.scene is not None and session.scene.microphones.devices == (0, 0, 1)
        assert session.mix is not None and session.mix.residual_peak is not None
        assert session.mix.residual_peak <= 2**-15
        for seat in session.scene.seats:
            walked += bool(seat.trajectory)
            assert seat.drr_db == pytest.approx(seat.drr_db_asked, abs=0.5)
    assert walked > 0


def test_more_channels_than_flac_holds_are_refused_before_anything_is_made(
    tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    with pytest.raises(ConfigurationError, match=r"9 channels.*--format wav"):
        simulate(tone_corpus(), tmp_path / "out", "room.microphones=circular8+single")
    assert not (tmp_path / "out").exists()
