"""Fixtures that several areas share: tiny seeded audio, and real data where a checkout has it."""

from __future__ import annotations

import csv
import json
import os
from collections.abc import Callable
from pathlib import Path

import numpy as np
import pytest
import soundfile as sf
from hypothesis import settings

# A busy machine is not a failure, and a red run must be red again when it is looked at.
settings.register_profile("talkover", deadline=None, derandomize=True)
settings.load_profile("talkover")

REPOSITORY = Path(__file__).parent.parent
RATE = 16000


@pytest.fixture(scope="session")
def repository() -> Path:
    """The root of the repository."""
    return REPOSITORY


@pytest.fixture(scope="session")
def shared_data() -> Path:
    """The folder of real speech, labels, noises and impulse responses, or a skip that says so.

    Looked for in the environment variable TALKOVER_SHARED_DATA, then beside the checkout.
    """
    folder = Path(os.environ.get("TALKOVER_SHARED_DATA", REPOSITORY.parent / "shared" / "data"))
    if not (folder / "speech" / "manifest.csv").is_file():
        pytest.skip(f"real data not found at {folder}: set TALKOVER_SHARED_DATA to the folder")
    return folder


def tone_burst_utterance(
    rng: np.random.Generator, num_words: int, frequency: float, gap: tuple[float, float]
) -> tuple[np.ndarray, list[list[object]]]:
    """An utterance of bursts, 0.12 to 0.35 s each, and its words in seconds."""
    pieces = [np.zeros(int(rng.uniform(0.05, 0.3) * RATE), np.float32)]
    words: list[list[object]] = []
    position = len(pieces[0])
    for n in range(num_words):
        length = int(rng.uniform(0.12, 0.35) * RATE)
        t = np.arange(length) / RATE
        burst = 0.3 * np.sin(2 * np.pi * frequency * t)
        ramp = np.minimum(1, np.minimum(t, t[::-1]) / 0.002)
        pieces.append((burst * ramp).astype(np.float32))
        words.append([f"w{n}", round(position / RATE, 6), round(length / RATE, 6)])
        position += length
        pieces.append(np.zeros(int(rng.uniform(*gap) * RATE), np.float32))
        position += len(pieces[-1])
    return np.concatenate(pieces), words


@pytest.fixture(scope="session")
def tone_corpus(tmp_path_factory: pytest.TempPathFactory) -> Callable[..., Path]:
    """Make (once per set of arguments) a CSV corpus of tone bursts; returns the manifest."""
    made: dict[tuple, Path] = {}

    def make(
        speakers: int = 4,
        utterances: int = 14,
        *,
        words: bool = True,
        seed: int = 0,
        gap: tuple[float, float] = (0.1, 0.4),
    ) -> Path:
        key = (speakers, utterances, words, seed, gap)
        if key in made:
            return made[key]
        folder = tmp_path_factory.mktemp("tones")
        rng = np.random.default_rng(seed)
        rows = []
        for s in range(speakers):
            for u in range(utterances):
                audio, timed = tone_burst_utterance(rng, 1 + u % 7, 300 + 170 * s, gap)
                name = f"spk{s}-{u:03d}.wav"
                sf.write(folder / name, audio, RATE, subtype="PCM_16")
                rows.append(
                    {
                        "utterance_id": f"spk{s}-{u:03d}",
                        "speaker": f"spk{s}",
                        "text": " ".join(str(w[0]) for w in timed),
                        "file": name,
                        "language": "xx",
                        "gender": "f" if s % 2 else "m",
                        "licence": "CC0-1.0",
                        "words": json.dumps(timed) if words else "",
                    }
                )
        path = folder / "manifest.csv"
        with path.open("w", newline="", encoding="utf8") as file:
            writer = csv.DictWriter(file, fieldnames=list(rows[0]))
            writer.writeheader()
            writer.writerows(rows)
        made[key] = path
        return path

    return make
