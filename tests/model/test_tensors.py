"""Training from plain tensors and from shards, in a Python that has no Lhotse."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest
import torch

from talkover.manifests.io import SessionAudio
from talkover.manifests.shards import shard
from talkover.model.codec import SatsCodec
from talkover.model.data.examples import example_of
from talkover.model.data.stream import shared
from talkover.model.data.tensors import Said, session_of_tensor
from talkover.model.presets import Preset
from talkover.model.run import train

Small = Callable[..., Preset]


def tensors_of(items: list[SessionAudio]) -> list[tuple[str, torch.Tensor, list[Said]]]:
    """The corpus of tones as anybody might hold it."""
    return [
        (
            item.session.id,
            torch.from_numpy(item.samples[0].copy()),
            [(r.speaker, r.start, r.end, r.text or "") for r in item.session.supervisions],
        )
        for item in items
    ]


def test_a_tensor_gives_the_example_that_its_manifest_gives(
    tone_items: list[SessionAudio], codec: SatsCodec
) -> None:
    for item, (id, audio, said) in zip(tone_items, tensors_of(tone_items), strict=True):
        mine = example_of(session_of_tensor(id, audio, 16000, said[::-1]), codec, 16000)
        theirs = example_of(item, codec, 16000)
        assert codec.serializer.encode(mine.transcript) == codec.serializer.encode(
            theirs.transcript
        )
        assert (mine.samples == theirs.samples).all() and mine.voices == theirs.voices


def test_tensors_that_cannot_be_are_refused() -> None:
    with pytest.raises(ValueError, match=r"a: audio must be \[T\]"):
        session_of_tensor("a", torch.zeros(1, 1, 5), 16000, [])
    with pytest.raises(ValueError, match=r"a: a turn of ana ends at 0.5 s"):
        session_of_tensor("a", torch.zeros(16000), 16000, [("ana", 0.5, 0.5, "x")])


def test_training_takes_tensors(
    tmp_path: Path, tone_items: list[SessionAudio], small: Small
) -> None:
    items = [
        session_of_tensor(id, audio, 16000, said) for id, audio, said in tensors_of(tone_items)
    ]
    trained = train([], small(2), tmp_path, stream=shared(lambda: items))
    assert trained.steps == 2 and trained.skips.total == 0


WITHOUT_LHOTSE = """
import sys
for name in ("lhotse", "pyroomacoustics", "meeteval"):
    sys.modules[name] = None  # as where they are not installed
"""


@pytest.mark.slow
def test_shards_manifests_and_tensors_train_without_lhotse(
    tmp_path: Path, tone_folder: Path
) -> None:
    shard(tone_folder, tmp_path / "shards", shard_size=4)
    runs = [
        {"out": str(tmp_path / kind), "data": str(data), "kind": kind, "steps": 2, **more}
        for kind, data, more in (
            ("shards", tmp_path / "shards", {}),
            ("manifests", tone_folder, {"buckets": "auto"}),
            ("stream", tone_folder, {}),
        )
    ]
    described = tmp_path / "runs.json"
    described.write_text(json.dumps(runs))
    script = tmp_path / "run.py"
    processes = Path(__file__).parent / "processes.py"
    script.write_text(
        WITHOUT_LHOTSE + f"import runpy\nsys.argv = ['x', {str(described)!r}]\n"
        f"runpy.run_path({str(processes)!r}, run_name='__main__')\n"
        "import talkover.model.evaluate, talkover.model.inference.files\n"
        "assert sys.modules['lhotse'] is None\n"
    )
    done = subprocess.run(
        [sys.executable, str(script)],
        env={**os.environ, "OMP_NUM_THREADS": "1"},
        capture_output=True,
        text=True,
        timeout=600,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    for kind in ("shards", "manifests", "stream"):
        assert (tmp_path / kind / "model.safetensors").is_file()
