"""Training over several processes (gloo, on CPUs) and in other precisions."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
import torch
from safetensors.torch import load_file

from talkover.manifests.io import SessionAudio, read_sessions
from talkover.manifests.shards import shard
from talkover.model.checkpoints import finished, load_model
from talkover.model.data.examples import example_of
from talkover.model.presets import Preset
from talkover.model.run import train
from talkover.model.train import CHECKPOINTS, LOG
from talkover.model.transcribe import Transcriber

Small = Callable[..., Preset]

TOLERANCE = 1e-4
"""Of losses and weights between one process and two."""


def losses_of(folder: Path) -> list[dict[str, float]]:
    return [json.loads(line)["losses"] for line in (folder / LOG).read_text().splitlines()]


def weights_of(folder: Path) -> dict[str, torch.Tensor]:
    return load_file(folder / "model.safetensors")


def launch(tmp_path: Path, processes: int, *runs: dict[str, Any]) -> None:
    """Make runs one after the other, in so many processes."""
    described = tmp_path / f"runs-{processes}.json"
    described.write_text(json.dumps(runs))
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    script = Path(__file__).parent / "processes.py"
    done = subprocess.run(
        [sys.executable, *(torchrun if processes > 1 else ()), str(script), str(described)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]


def assert_same_training(one: Path, two: Path, updates: int) -> None:
    mine, theirs = losses_of(one), losses_of(two)
    assert len(mine) == len(theirs) == updates
    for first, second in zip(mine, theirs, strict=True):
        assert first == pytest.approx(second, abs=TOLERANCE, rel=TOLERANCE)
    left, right = weights_of(one), weights_of(two)
    assert left.keys() == right.keys()
    assert max(float((left[name] - right[name]).abs().max()) for name in left) < TOLERANCE


@pytest.mark.medium
def test_two_processes_train_as_one_does(tmp_path: Path, tone_folder: Path) -> None:
    data = str(tone_folder)
    launch(tmp_path, 1, {"out": str(tmp_path / "one"), "data": data, "accumulation": 2})
    launch(tmp_path, 2, {"out": str(tmp_path / "two"), "data": data})
    assert_same_training(tmp_path / "one", tmp_path / "two", 3)


@pytest.mark.slow
def test_weights_spread_over_two_processes_train_as_whole_ones_do(
    tmp_path: Path, tone_folder: Path, tone_items: list[SessionAudio]
) -> None:
    """FSDP: two stages that train different parts, a kill, and a checkpoint read by one process."""
    common = {"data": str(tone_folder), "stages": True, "save_every": 1, "keep": 9, "steps": 2}
    spread = {**common, "sharding": "full"}
    launch(tmp_path, 1, {**common, "out": str(tmp_path / "one"), "accumulation": 2})
    launch(
        tmp_path,
        2,
        {**spread, "out": str(tmp_path / "two")},
        {**spread, "out": str(tmp_path / "killed"), "stop_after": 3},
        {**spread, "out": str(tmp_path / "killed")},
        {**common, "out": str(tmp_path / "killed-whole"), "stop_after": 3},
        {**spread, "out": str(tmp_path / "killed-whole")},
    )
    assert_same_training(tmp_path / "one", tmp_path / "two", 4)
    for name in ("killed", "killed-whole"):
        assert_same_training(tmp_path / "two", tmp_path / name, 4)
    names = [folder.name for folder in finished(tmp_path / "two" / CHECKPOINTS)]
    assert names == ["00-0000001", "00-0000002", "01-0000001", "01-0000002"]
    model, codec = load_model(tmp_path / "two")
    answer = Transcriber(model, codec).answers([example_of(tone_items[0], codec, 16000)])[0]
    assert answer.parsed.repairs == ()


@pytest.mark.slow
@pytest.mark.parametrize("kind", ["shards", "stream"])
def test_two_processes_share_shards_and_streams_and_go_on_after_a_kill(
    tmp_path: Path, tone_folder: Path, kind: str
) -> None:
    data = tone_folder
    if kind == "shards":
        data = tmp_path / "shards"
        shard(tone_folder, data, shard_size=3)
    common = {"data": str(data), "kind": kind, "save_every": 1}
    launch(
        tmp_path,
        2,
        {**common, "out": str(tmp_path / "whole")},
        {**common, "out": str(tmp_path / "killed"), "stop_after": 2},
        {**common, "out": str(tmp_path / "killed")},
    )
    assert losses_of(tmp_path / "whole") == losses_of(tmp_path / "killed")
    whole, again = weights_of(tmp_path / "whole"), weights_of(tmp_path / "killed")
    assert all(torch.equal(whole[name], again[name]) for name in whole)


def test_processes_get_different_sessions_of_a_stream(tone_items: list[SessionAudio]) -> None:
    from talkover.model.data.feeds import Share, shared

    stream = shared(lambda: tone_items)
    parts = [
        [item.session.id for item in stream(0, Share(rank=rank, world_size=2))] for rank in (0, 1)
    ]
    assert sorted(parts[0] + parts[1]) == sorted(item.session.id for item in tone_items)


def test_bf16_trains_on_a_cpu_keeps_whole_weights_and_goes_on(
    tmp_path: Path, tone_folder: Path, small: Small
) -> None:
    chosen = small(2, save_every=1, precision="bf16")
    train([tone_folder], small(2, save_every=1), tmp_path / "full")
    train([tone_folder], chosen, tmp_path / "half")
    weights = weights_of(tmp_path / "half")
    assert {tensor.dtype for tensor in weights.values() if tensor.is_floating_point()} == {
        torch.float32
    }
    full, half = losses_of(tmp_path / "full"), losses_of(tmp_path / "half")
    assert full != half  # the precision is used
    for name, value in half[0].items():
        assert value == pytest.approx(full[0][name], rel=0.05)
    import shutil

    shutil.rmtree(finished(tmp_path / "half" / CHECKPOINTS)[-1])
    train([tone_folder], chosen, tmp_path / "half")
    assert losses_of(tmp_path / "half") == half
    again = weights_of(tmp_path / "half")
    assert all(torch.equal(weights[name], again[name]) for name in weights)
    sessions = list(read_sessions(tone_folder))
    assert len(sessions) == 12
