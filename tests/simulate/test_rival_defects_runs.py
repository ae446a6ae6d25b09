"""Defects of whole runs that other simulators have or had: seeds, folders, workers, counts."""

from __future__ import annotations

import ast
import hashlib
import multiprocessing
import os
import re
import subprocess
import sys
import tomllib
from collections.abc import Callable
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest

import talkover.simulate.run as run_module
from talkover.manifests.canonical import json_sha256
from talkover.manifests.io import read_sessions
from talkover.simulate.config import RoomConfig, load_config
from talkover.simulate.corpus import open_corpora
from talkover.simulate.planner import Planner
from talkover.simulate.planner_opening import make_planner
from talkover.simulate.request import RunRequest
from talkover.simulate.responses import responses
from talkover.simulate.rooms import draw_room
from talkover.simulate.run import prepare, render_run
from talkover.simulate.source_cache import SourceCache

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

RATE = 16000
SETTINGS = ("session.length=[12,12]", "room.kind=dry", "registration.lengths=[]")
ROOM = draw_room(
    RoomConfig(t60=(0.2, 0.25)), ("S01",), np.random.default_rng(0), sampling_rate=RATE
)


def planner(manifest: Path, cache: Path, *settings: str) -> Planner:
    config = load_config(None, [*SETTINGS, *settings])
    opened = SourceCache.build(open_corpora([str(manifest)]), cache, RATE)
    return make_planner(config, json_sha256(config.plain()), opened, 1)


def response_hash(_: int = 0) -> str:
    return hashlib.sha256(responses(ROOM, RATE).h.tobytes()).hexdigest()


@pytest.fixture(scope="module")
def produced(tone_corpus: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory) -> Path:
    """A run into a folder in which something lies."""
    out = tmp_path_factory.mktemp("run") / "out"
    (out / "audio").mkdir(parents=True)
    (out / "mine.txt").write_text("keep")
    (out / "audio" / "mine.wav").write_text("keep")
    request = RunRequest(
        out=out, corpora=(str(tone_corpus()),), config=load_config(None, SETTINGS), sessions=4
    )
    render_run(prepare(request, executor="serial"), executor="serial")
    return out


def test_what_lies_in_the_output_folder_is_not_deleted(produced: Path) -> None:
    """NeMo empties the folder that it writes to."""
    assert (produced / "mine.txt").read_text() == "keep"
    assert (produced / "audio" / "mine.wav").read_text() == "keep"


def test_no_pause_is_negative(produced: Path) -> None:
    """EEND_dataprep#3: pauses below zero, a speaker who overlaps with herself."""
    pauses = 0
    for session in read_sessions(produced):
        regions: dict[str, list[tuple[float, float]]] = {}
        for row in session.supervisions:
            span = (row.start, row.start + row.duration)
            regions.setdefault(row.speaker_local, []).append(span)
        for spans in regions.values():
            for (_, end), (start, _) in pairwise(sorted(spans)):
                pauses += 1
                assert start >= end - 1e-6
    assert pauses > 10


def test_every_number_of_speakers_can_be_planned(
    tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    """Lhotse: ten numbers of speakers fail, since shares summed in floats are not just one."""
    manifest = tone_corpus(speakers=12, utterances=4)
    for count in (1, 3, 6, 7, 9, 10, 11, 12):  # sums of shares that miss one are among them
        plans = planner(manifest, tmp_path / "cache", f"session.speakers=[{count},{count}]")
        assert len(plans.plan(0).speakers) == count


def test_a_process_number_or_hash_seed_is_no_part_of_the_seed(
    tone_corpus: Callable[..., Path], tmp_path: Path
) -> None:
    """FastMSS adds the process id to the seed; the same seed of Lhotse gave other sessions."""
    manifest, cache = tone_corpus(), tmp_path / "cache"
    here = planner(manifest, cache).plan(3).model_dump_json()
    code = (
        "import sys; from pathlib import Path; from importlib.util import *\n"
        "spec = spec_from_file_location('runs', sys.argv[1]); m = module_from_spec(spec)\n"
        "spec.loader.exec_module(m)\n"
        "print(m.planner(Path(sys.argv[2]), Path(sys.argv[3])).plan(3).model_dump_json())"
    )
    for hash_seed in ("1", "2"):
        done = subprocess.run(
            [sys.executable, "-c", code, __file__, str(manifest), str(cache)],
            env={**os.environ, "PYTHONHASHSEED": hash_seed},
            capture_output=True,
            text=True,
            check=True,
        )
        assert done.stdout.strip() == here


@pytest.mark.parametrize("method", ["fork", "spawn"])
def test_rooms_can_be_made_in_a_worker_however_it_was_started(method: str) -> None:
    """gpuRIR#58 fails in workers of a data loader; several rivals need a fork."""
    if method not in multiprocessing.get_all_start_methods():
        pytest.skip(f"this system cannot {method}")
    wanted = response_hash()  # the parent has made rooms before, as a trainer may have
    with multiprocessing.get_context(method).Pool(1) as pool:
        assert pool.map(response_hash, [0]) == [wanted]


def test_what_is_imported_is_declared(repository: Path) -> None:
    """Lhotse needs urllib3 and dill and does not say so."""
    project = tomllib.loads((repository / "pyproject.toml").read_text(encoding="utf8"))["project"]
    extras = project["optional-dependencies"].values()
    wanted = [*project["dependencies"], *(name for extra in extras for name in extra)]
    declared = {
        re.split(r"[^A-Za-z0-9_.-]", name)[0].lower().replace("-", "_").replace(".", "_")
        for name in wanted
    }
    import_names = {"yaml": "pyyaml"}
    files = list(Path(run_module.__file__).parent.rglob("*.py"))
    assert len(files) > 50
    imported: set[str] = set()
    for path in files:
        for node in ast.walk(ast.parse(path.read_text(encoding="utf8"))):
            if isinstance(node, ast.Import):
                imported |= {alias.name.split(".")[0] for alias in node.names}
            elif isinstance(node, ast.ImportFrom) and node.level == 0 and node.module:
                imported.add(node.module.split(".")[0])
    others = imported - set(sys.stdlib_module_names) - {"talkover"}
    assert {"numpy", "scipy", "soundfile"} <= others
    assert {import_names.get(name, name).lower() for name in others} <= declared
