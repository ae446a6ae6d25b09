"""Recordings with known truth as the diarizer's models hear them, once, for scripts that try much.

Used by tune_diarizer.py and diagnose.py.
"""

from __future__ import annotations

import tempfile
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from talkover.annotate.backends.diarizer import DEFAULT_HOP
from talkover.annotate.backends.vad import SileroVad
from talkover.annotate.diarization.decision import DiarizationConfig, speech_of
from talkover.annotate.diarization.stitching import Grid, PersonTurn
from talkover.annotate.diarization.stretches import Stretches, hear_stretches
from talkover.annotate.diarization.windows import (
    Activities,
    Embedder,
    Segmenter,
    Voices,
    WindowConfig,
    hear,
    whole_hop,
)
from talkover.annotate.events import Curve
from talkover.annotate.media import RATE, DecodedAudio, decode, open_recording
from talkover.manifests.io import read_sessions
from talkover.manifests.labels import read_labels
from talkover.manifests.score.diarization import scored_activity
from talkover.manifests.score.spans import Spans, join_spans

Truth = dict[str, Spans]
Errors = NDArray[np.float64]
"""Seconds of miss, false alarm, confusion and reference, ``[4]``."""


@dataclass(frozen=True, kw_only=True)
class Heard:
    """A recording as the models hear it, and its truth."""

    name: str
    reference: Truth
    grid: Grid
    voices: Voices
    activities: Activities
    speech: Curve
    stretches: Stretches


def sessions_of(folders: Iterable[Path]) -> Iterator[tuple[Path, Truth]]:
    """Audio and truth of simulated sessions."""
    for folder in folders:
        for session in read_sessions(folder):
            yield folder / session.audio.path, truth_of(session)


def labelled(folder: Path, labels: Path, pattern: str) -> Iterator[tuple[Path, Truth]]:
    """Audio and truth of recordings that people labelled."""
    known = read_labels(labels)
    for path in sorted(folder.glob(pattern)):
        if path.stem in known:
            spans: dict[str, list[tuple[float, float]]] = {}
            for row in known[path.stem]:
                spans.setdefault(row.speaker, []).append((row.start, row.end))
            yield path, {name: join_spans(found) for name, found in spans.items()}


def truth_of(session: Any) -> Truth:
    """Stretches of each speaker of a session, in seconds."""
    rate = session.audio.sampling_rate
    spans: dict[str, list[tuple[float, float]]] = {}
    for row in session.supervisions:
        for region in row.regions:
            spans.setdefault(row.speaker, []).append(
                (region.start_sample / rate, region.end_sample / rate)
            )
    return {name: join_spans(found) for name, found in spans.items()}


def bridged(truth: Truth, pause: float) -> Truth:
    """The same without pauses of one speaker shorter than so many seconds."""
    result = {}
    for name, spans in truth.items():
        apart = np.append(True, spans[1:, 0] - spans[:-1, 1] >= pause)
        first = np.flatnonzero(apart)
        last = np.append(first[1:], len(spans)) - 1
        result[name] = np.stack([spans[first, 0], spans[last, 1]], axis=1)
    return result


def hear_all(
    recordings: Iterable[tuple[Path, Truth]], segmenter: Segmenter, embedder: Embedder
) -> Iterator[Heard]:
    """All recordings, one after the other."""
    vad = SileroVad()
    vad.load()
    with tempfile.TemporaryDirectory() as scratch:
        for path, truth in recordings:
            audio = decode(open_recording(path), Path(scratch) / "a.pcm")
            yield hear_one(path.stem, audio, truth, segmenter, embedder, vad)


def hear_one(
    name: str,
    audio: DecodedAudio,
    truth: Truth,
    segmenter: Segmenter,
    embedder: Embedder,
    vad: SileroVad,
) -> Heard:
    """One recording."""
    hop = whole_hop(DEFAULT_HOP, segmenter, embedder)
    activities = Activities()
    voices = hear(audio, segmenter, embedder, activities, hop=hop, config=WindowConfig())
    grid = Grid(hop=hop, frame=segmenter.frame_samples, num_samples=audio.num_samples)
    curve = vad.run(audio, {}).curves["speech"]
    config = DiarizationConfig()
    sure = speech_of(curve, grid, config).sure
    return Heard(
        name=name,
        reference=truth,
        grid=grid,
        voices=voices,
        activities=activities,
        speech=curve,
        stretches=hear_stretches(audio, embedder, sure, config.stretches),
    )


def errors_of(turns: Sequence[PersonTurn], heard: Heard) -> Errors:
    """Errors of turns, collar 0, overlap scored."""
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


def rates(errors: Iterable[Errors]) -> Errors:
    """DER, miss, false alarm and confusion over all recordings, ``[4]``."""
    total = np.sum(list(errors), axis=0)
    return np.array([total[:3].sum(), *total[:3]]) / total[3]
