"""Runs of training for tests over several processes: ``python processes.py RUNS.json``.

Every run is a mapping: ``out``, ``data`` (folder), and any of ``kind`` (manifests, shards, stream),
``stop_after`` (updates after which it is killed), ``stages`` (two with different trainable parts)
and settings of `TrainConfig`.
"""

from __future__ import annotations

import json
import sys
from dataclasses import replace
from pathlib import Path
from typing import Any

sys.path.insert(0, str(Path(__file__).parent))

import torch
from conftest import small_parts, small_training

from talkover.manifests.audio import read_audio
from talkover.manifests.io import SessionAudio, read_sessions
from talkover.model.data.feeds import shared
from talkover.model.presets import Preset
from talkover.model.run import train
from talkover.model.train import Trained, Trainer

RUN = Trainer.run


class Killed(Exception):
    """Stands for the end of the process."""


def items_of(folder: Path) -> list[SessionAudio]:
    return [
        SessionAudio(
            session=session,
            samples=read_audio(folder / session.audio.path, channel=None),
            sampling_rate=session.audio.sampling_rate,
        )
        for session in read_sessions(folder)
    ]


def one(run: dict[str, Any]) -> None:
    data, out = Path(run.pop("data")), Path(run.pop("out"))
    kind, stop = run.pop("kind", "manifests"), run.pop("stop_after", None)
    training = small_training(run.pop("steps", 3))
    if run.pop("stages", False):
        (stage,) = training.stages
        trainable = ("semantic.*", "unit_head.*")
        ears = replace(stage, name="ears", steps=2, losses={"ctc": 1.0}, trainable=trainable)
        training = replace(training, stages=(ears, stage))
    preset = Preset(parts=small_parts(), training=replace(training, **run))

    def stopped(self: Trainer) -> Trained:
        trained = RUN(self, stop_after=stop)
        if trained is None:
            raise Killed
        return trained

    Trainer.run = stopped  # type: ignore[method-assign, assignment]
    try:
        if kind == "stream":
            items = items_of(data)
            train([], preset, out, stream=shared(lambda: items))
        else:
            train([data], preset, out)
    except Killed:
        pass


if __name__ == "__main__":
    torch.set_num_threads(1)
    for described in json.loads(Path(sys.argv[1]).read_text(encoding="utf8")):
        one(described)
