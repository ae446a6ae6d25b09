"""Thresholds of the diarizer for a pair of models, set on simulated sessions alone.

    python benchmarks/annotate/tune_diarizer.py SESSIONS… [--segmentation DIR] [--embedding DIR]
        [--write]

SESSIONS are folders made by `talkover simulate` with voices that no model was trained on, such as
those of the set `calibrate` of prepare.py. Every session is heard once; then one threshold after
the other is set to the value with the lowest pooled DER (collar 0, overlap scored), twice round.
How surely a second person must be heard is not among them: the
lowest DER is had by leaving most overlap out, and F1 is what `annotate-train` sets it by.
With --write the values go into the segmentation model's `model.json` (settings.diarizer), where
`talkover annotate` finds them.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
from hearing import Heard, errors_of, hear_all, rates, sessions_of

from talkover.annotate.backends.diarizer import SETTINGS
from talkover.annotate.diarization.decision import decide_turns, diarizer_config, speech_of
from talkover.annotate.diarization.stitching import PersonTurn
from talkover.annotate.models.embedding import SpeakerEmbedding
from talkover.annotate.models.files import SHIPPED, read_description, write_description
from talkover.annotate.models.segmentation import LocalSpeakers
from talkover.annotate.speaker_count import SpeakerCount

GRID: dict[str, tuple[float, ...]] = {
    "stretch_similarity": (0.15, 0.2, 0.25, 0.3, 0.35, 0.4),
    "voice_weight": (0.0, 0.3, 0.5, 1.0, 2.0),
    "speech": (0.4, 0.5, 0.6, 0.7, 0.8),
    "vad_floor": (0.02, 0.05, 0.1, 0.2),
    "smallest_voice": (0.0, 0.02, 0.03, 0.05, 0.08),
    "change_cost": (0.1, 0.3, 0.6, 1.0),
    "sharpness": (5.0, 10.0, 20.0),
    "gap": (0.0, 0.1, 0.2, 0.4),
}
ROUNDS = 2


def turns_with(heard: Heard, values: dict[str, float], similarity: float) -> list[PersonTurn]:
    """Turns of a session with some thresholds."""
    config = diarizer_config(values)
    return decide_turns(
        heard.voices,
        heard.activities,
        heard.grid,
        config,
        similarity=similarity if config.similarity is None else config.similarity,
        speakers=SpeakerCount(),
        speech=speech_of(heard.speech, heard.grid, config),
        stretches=heard.stretches,
    )


def pooled(sessions: list[Heard], values: dict[str, float], similarity: float) -> np.ndarray:
    """DER, miss, false alarm and confusion over all sessions."""
    return rates(errors_of(turns_with(heard, values, similarity), heard) for heard in sessions)


def tune(sessions: list[Heard], similarity: float) -> dict[str, float]:
    """One threshold after the other, the best of its grid."""
    values: dict[str, float] = {}
    best = pooled(sessions, values, similarity)[0]
    print(f"as it is: DER {best:.4f}", flush=True)
    for _ in range(ROUNDS):
        for name, grid in GRID.items():
            for value in grid:
                tried = {**values, name: value}
                found = pooled(sessions, tried, similarity)
                if found[0] < best - 1e-5:
                    best, values = found[0], tried
            print(f"{name} {values.get(name, 'as it is')}: DER {best:.4f}", flush=True)
    return values


def main() -> None:
    """Parse, hear, tune, print, write."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("sessions", nargs="+", type=Path)
    parser.add_argument("--segmentation", type=Path, default=SHIPPED / "segmentation")
    parser.add_argument("--embedding", type=Path, default=SHIPPED / "embedding")
    parser.add_argument("--write", action="store_true")
    args = parser.parse_args()
    segmenter = LocalSpeakers.load(args.segmentation)
    embedder = SpeakerEmbedding.load(args.embedding)
    similarity = embedder.thresholds.get("clustering", 0.3)
    sessions = list(hear_all(sessions_of(args.sessions), segmenter, embedder))
    values = tune(sessions, similarity)
    names = ("DER", "miss", "false alarm", "confusion")
    found = pooled(sessions, values, similarity)
    print(", ".join(f"{n} {x:.4f}" for n, x in zip(names, found, strict=True)), values)
    if args.write:
        description = read_description(args.segmentation, "segmentation")
        settings = {**description.settings, SETTINGS: values}
        write_description(args.segmentation, description.model_copy(update={"settings": settings}))


if __name__ == "__main__":
    main()
