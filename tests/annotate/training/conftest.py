"""Sessions to learn from: bursts of tones for voices, with sounds and music, in two tiny sets."""

from __future__ import annotations

import csv
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile

from talkover.simulate.config import SimulationConfig
from talkover.simulate.request import RunRequest
from talkover.simulate.run import prepare, render_run

RATE = 16000


def _clips(folder: Path, rng: np.random.Generator) -> None:
    """A buzz and a hiss, three of each, and a chord for music."""
    time = np.arange(2 * RATE) / RATE
    for number in range(3):
        buzz = 0.3 * np.sign(np.sin(2 * np.pi * (70 + 9 * number) * time))
        hiss = 0.2 * rng.standard_normal(len(time))
        for label, sound in (("buzz", buzz), ("hiss", hiss)):
            path = folder / "sounds" / label / f"{label}{number}.wav"
            path.parent.mkdir(parents=True, exist_ok=True)
            soundfile.write(path, np.clip(sound, -0.9, 0.9), RATE)
    chord = sum(np.sin(2 * np.pi * hertz * np.arange(8 * RATE) / RATE) for hertz in (220, 277, 330))
    (folder / "music").mkdir()
    soundfile.write(folder / "music" / "chord.wav", 0.2 * chord, RATE)


def _renamed(corpus: Path, name: str, folder: Path) -> Path:
    """The same corpus with other names for its voices and utterances."""
    with corpus.open(encoding="utf8", newline="") as file:
        rows = list(csv.DictReader(file))
    for row in rows:
        row["file"] = str(corpus.parent / row["file"])
        for key in ("speaker", "utterance_id"):
            row[key] = f"{name}-{row[key]}"
    path = folder / f"{name}.csv"
    with path.open("w", encoding="utf8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]))
        writer.writeheader()
        writer.writerows(rows)
    return path


def _sessions(corpus: Path, clips: Path, out: Path, seed: int, count: int) -> Path:
    config = SimulationConfig.model_validate(
        {
            "session": {"speakers": [2, 3], "length": [14, 18]},
            "room": {"kind": "dry"},
            "noise": {"kind": "pink", "snr_db": [25, 35]},
            "registration": {"lengths": []},
            "sounds": {"path": clips / "sounds", "per_minute": [10, 20]},
            "music": {"path": clips / "music", "share": [0.3, 0.6]},
        }
    )
    request = RunRequest(out=out, corpora=(str(corpus),), config=config, seed=seed, sessions=count)
    render_run(prepare(request, executor="serial"), executor="serial")
    return out


@pytest.fixture(scope="session")
def session_sets(
    tone_corpus: Callable[..., Path], tmp_path_factory: pytest.TempPathFactory
) -> dict[str, Path]:
    """Folders of sessions by set; every set has voices of its own names."""
    root = tmp_path_factory.mktemp("sets")
    _clips(root, np.random.default_rng(0))
    found = {}
    for number, (name, count) in enumerate({"train": 4, "calibrate": 2, "test": 2}.items()):
        table = _renamed(tone_corpus(speakers=4, seed=number), name, root)
        found[name] = _sessions(table, root, root / name, number, count)
    return found
