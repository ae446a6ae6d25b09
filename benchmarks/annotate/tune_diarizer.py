"""Thresholds of the diarizer for a pair of models, set on simulated sessions alone.

    python benchmarks/annotate/tune_diarizer.py SESSIONS… [--segmentation DIR] [--embedding DIR]
        [--write]

SESSIONS are folders made by `talkover simulate` with voices that no model was trained on, such as
those of the set `calibrate` of prepare.py. Every session is heard once; then one threshold after
the other is set to the value with the lowest pooled DER (collar 0, overlap scored), twice round.
With --write the values go into the segmentation model's `model.json` (settings.diarizer), where
`talkover annotate` finds them.
"""

from __future__ import annotations

import argparse
import tempfile
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from scipy.optimize import linear_sum_assignment

from talkover.annotate.backends.diarizer import DEFAULT_HOP, SETTINGS
from talkover.annotate.backends.vad import SileroVad
from talkover.annotate.diarization.decision import decide_turns, diarizer_config
from talkover.annotate.diarization.stitching import Grid
from talkover.annotate.diarization.windows import Activities, Voices, WindowConfig, hear, whole_hop
from talkover.annotate.events import Curve
from talkover.annotate.media import RATE, decode, open_recording
from talkover.annotate.models.embedding import SpeakerEmbedding
from talkover.annotate.models.files import SHIPPED, read_description, write_description
from talkover.annotate.models.segmentation import LocalSpeakers
from talkover.annotate.speaker_count import SpeakerCount
from talkover.manifests.io import read_sessions
from talkover.manifests.score.diarization import scored_activity
from talkover.manifests.score.spans import Spans, join_spans

GRID: dict[str, tuple[float, ...]] = {
    "vad_floor": (0.0, 0.02, 0.03, 0.05, 0.1, 0.2, 0.35, 0.5),
    "speech": (0.3, 0.4, 0.5, 0.6, 0.7),
    "overlap": (0.2, 0.3, 0.4, 0.5, 0.55, 0.6),
    "similarity": (0.1, 0.2, 0.3, 0.35, 0.41, 0.45, 0.5, 0.55, 0.6, 0.7),
    "smallest_share": (0.0, 0.02, 0.05, 0.1),
    "gap": (0.0, 0.1, 0.2, 0.4, 0.6),
    "strong_seconds": (1.0, 1.5, 2.0, 2.5),
}
ROUNDS = 2


@dataclass(frozen=True)
class Heard:
    """A session as the models hear it, and its truth."""

    reference: dict[str, Spans]
    grid: Grid
    voices: Voices
    activities: Activities
    speech: Curve


def hear_sessions(folders: list[Path], segmenter: LocalSpeakers, embedder: Any) -> Iterator[Heard]:
    """All sessions of some folders."""
    vad = SileroVad()
    vad.load()
    with tempfile.TemporaryDirectory() as scratch:
        for folder in folders:
            for session in read_sessions(folder):
                path = folder / session.audio.path
                audio = decode(open_recording(path), Path(scratch) / "a.pcm")
                hop = whole_hop(DEFAULT_HOP, segmenter, embedder)
                activities = Activities()
                voices = hear(
                    audio, segmenter, embedder, activities, hop=hop, config=WindowConfig()
                )
                yield Heard(
                    reference=truth_of(session),
                    grid=Grid(
                        hop=hop, frame=segmenter.frame_samples, num_samples=audio.num_samples
                    ),
                    voices=voices,
                    activities=activities,
                    speech=vad.run(audio, {}).curves["speech"],
                )


def truth_of(session: Any) -> dict[str, Spans]:
    """Stretches of each speaker, in seconds."""
    rate = session.audio.sampling_rate
    spans: dict[str, list[tuple[float, float]]] = {}
    for row in session.supervisions:
        for region in row.regions:
            spans.setdefault(row.speaker, []).append(
                (region.start_sample / rate, region.end_sample / rate)
            )
    return {name: join_spans(found) for name, found in spans.items()}


def errors_of(heard: Heard, values: dict[str, float], similarity: float) -> np.ndarray:
    """Seconds of miss, false alarm, confusion and reference."""
    config = diarizer_config(values)
    middles = np.arange(heard.grid.num_frames) * heard.grid.frame + heard.grid.frame // 2
    gate = heard.speech.at(middles) >= config.vad_floor if config.vad_floor else None
    turns = decide_turns(
        heard.voices,
        heard.activities,
        heard.grid,
        config,
        similarity=similarity if config.similarity is None else config.similarity,
        speakers=SpeakerCount(),
        gate=gate,
    )
    spans: dict[str, list[tuple[float, float]]] = {}
    for turn in turns:
        spans.setdefault(str(turn.person), []).append((turn.start / RATE, turn.end / RATE))
    hypothesis = {name: join_spans(found) for name, found in spans.items()}
    whole = np.array([[0.0, heard.grid.num_samples / RATE]])
    activity = scored_activity(heard.reference, hypothesis, whole)
    common = activity.common_time()
    rows, columns = linear_sum_assignment(common, maximize=True)
    reference, found = activity.reference.sum(axis=0), activity.hypothesis.sum(axis=0)
    miss = np.maximum(reference - found, 0) @ activity.widths
    alarm = np.maximum(found - reference, 0) @ activity.widths
    both = np.minimum(reference, found) @ activity.widths
    return np.array([miss, alarm, both - common[rows, columns].sum(), reference @ activity.widths])


def pooled(sessions: list[Heard], values: dict[str, float], similarity: float) -> np.ndarray:
    """DER, miss, false alarm and confusion over all sessions."""
    total = sum(errors_of(heard, values, similarity) for heard in sessions)
    return np.array([total[:3].sum(), *total[:3]]) / total[3]


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
    sessions = list(hear_sessions(args.sessions, segmenter, embedder))
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
