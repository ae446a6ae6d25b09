"""Where the diarizer's errors come from: what the truth in place of each stage would gain.

    python benchmarks/annotate/diagnose.py SESSIONS…
    python benchmarks/annotate/diagnose.py FOLDER --labels FILE [--pattern 'ami_*.flac']

SESSIONS are folders made by `talkover simulate`; with --labels, FOLDER holds recordings and FILE
says who spoke when. Every recording is heard once; then one stage at a time is given the truth:

    speech       nobody is heard where nobody speaks, and somebody where somebody does
    number       so many as do are heard in each frame, the most likely of the window
    windows      who speaks in each window is true; voices are still told apart by their sound,
                 those of the windows alone
    old          nobody is found in stretches, only in windows: what stretches gain
    people       each window's voices are given to the right person
    count        the number of speakers of the recording is known
    all          windows and people: what the frames, three speakers a window, leave to be lost

--set NAME=VALUE changes a field of the diarizer's configuration, --bridge joins pauses of a speaker
in the truth, as some people's labels do.
"""

from __future__ import annotations

import argparse
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
from hearing import (
    Errors,
    Heard,
    Truth,
    bridged,
    errors_of,
    hear_all,
    labelled,
    rates,
    sessions_of,
)
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from talkover.annotate.backends.diarizer import SETTINGS
from talkover.annotate.diarization.decision import (
    DiarizationConfig,
    decide_turns,
    diarizer_config,
    speech_of,
    turns_of_people,
)
from talkover.annotate.diarization.stitching import PersonTurn, Speech
from talkover.annotate.diarization.windows import Activities
from talkover.annotate.media import RATE
from talkover.annotate.models.embedding import SpeakerEmbedding
from talkover.annotate.models.files import SHIPPED
from talkover.annotate.models.segmentation import LocalSpeakers
from talkover.annotate.models.window_net import AT_ONCE
from talkover.annotate.speaker_count import SpeakerCount

FEW_SAMPLES = 1e-9


def truth_frames(heard: Heard) -> NDArray[np.bool_]:
    """Who speaks in each frame, ``[G, K]``, in the order of the reference."""
    grid = heard.grid
    middles = (np.arange(grid.num_frames) + 0.5) * grid.frame / RATE
    columns = [
        ((spans[:, :1] <= middles) & (middles < spans[:, 1:])).any(axis=0)
        for spans in heard.reference.values()
    ]
    return np.array(columns, dtype=np.bool_).reshape(len(columns), len(middles)).T


def window_of(truth: NDArray[np.bool_], heard: Heard, window: int) -> NDArray[np.bool_]:
    """The part of a window, ``[F, K]``; nobody speaks beyond the end."""
    frames = len(heard.activities[window])
    first = heard.grid.first_frame(window)
    part = truth[first : first + frames]
    return np.pad(part, ((0, frames - len(part)), (0, 0)))


def with_activities(
    heard: Heard, change: Callable[[NDArray[np.float32], NDArray[np.bool_]], NDArray[np.float32]]
) -> Heard:
    """A recording whose activities are changed window by window, with the truth at hand."""
    truth = truth_frames(heard)
    changed = Activities()
    for number, activity in enumerate(heard.activities):
        changed.append(change(activity, window_of(truth, heard, number))[None])
    return replace(heard, activities=changed)


def true_speech(activity: NDArray[np.float32], truth: NDArray[np.bool_]) -> NDArray[np.float32]:
    """Somebody is heard where somebody speaks, and nobody elsewhere."""
    anybody = truth.any(axis=1)
    result = np.where(anybody[:, None], activity, np.float32(0.0))
    unheard = anybody & (activity.max(axis=1) < 0.5)
    result[unheard, activity[unheard].argmax(axis=1)] = 1.0
    return result


def true_number(activity: NDArray[np.float32], truth: NDArray[np.bool_]) -> NDArray[np.float32]:
    """As many are heard as speak."""
    rank = np.argsort(np.argsort(-activity, axis=1, kind="stable"), axis=1)
    return (rank < truth.sum(axis=1, keepdims=True)).astype(np.float32)


class TrueWindows:
    """A segmenter that knows: asked for windows in order, it gives what is true of them."""

    def __init__(self, heard: Heard, like: LocalSpeakers) -> None:
        """Know one recording."""
        self._heard, self._truth, self._next = heard, truth_frames(heard), 0
        self.window_samples, self.frame_samples = like.window_samples, like.frame_samples
        self._speakers = like.num_speakers

    def window(self, samples: NDArray[np.float32]) -> NDArray[np.float32]:
        """The three who speak most, two at once."""
        parts = []
        for _ in samples:
            truth = window_of(self._truth, self._heard, self._next)
            self._next += 1
            order = np.argsort(-truth.sum(axis=0), kind="stable")[: self._speakers]
            kept = truth[:, order] & (np.cumsum(truth[:, order], axis=1) <= AT_ONCE)
            parts.append(np.pad(kept, ((0, 0), (0, self._speakers - kept.shape[1]))))
        return np.array(parts, dtype=np.float32)


def true_people(heard: Heard) -> NDArray[np.int64]:
    """The person of each voice: in each window the assignment with the most common frames."""
    truth = truth_frames(heard)
    result = np.full(len(heard.voices.windows), -1, dtype=np.int64)
    for window in range(heard.activities.num_windows):
        own = np.flatnonzero(heard.voices.windows == window)
        activity = heard.activities[window][:, heard.voices.locals[own]]
        common = activity.T.astype(np.float64) @ window_of(truth, heard, window)  # [V, K]
        rows, columns = linear_sum_assignment(-common)
        good = common[rows, columns] > FEW_SAMPLES
        result[own[rows[good]]] = columns[good]
    return result


class Diagnosis:
    """Errors of every recording with the truth at some stage.

    Args:
        config: Of the diarizer.
        similarity: Least mean cosine of two groups of voices of one person.
    """

    def __init__(self, config: DiarizationConfig, similarity: float) -> None:
        """Take the thresholds."""
        self._config, self._similarity = config, similarity

    def errors(self, heard: Heard, sure: Heard) -> dict[str, Errors]:
        """Errors by what was known.

        Args:
            heard: As the models hear it.
            sure: The same with true windows.
        """
        speech = speech_of(heard.speech, heard.grid, self._config)
        count = SpeakerCount(exact=len(heard.reference))
        known = with_activities(heard, true_speech), with_activities(heard, true_number)
        turns = {
            "as it is": self._turns(heard, speech),
            "old": self._turns(heard, speech, stretches=False),
            "speech": self._turns(known[0], None),
            "number": self._turns(known[1], None),
            "windows": self._turns(sure, None, stretches=False),
            "people": self._right(heard, speech),
            "count": self._turns(heard, speech, count),
            "speech and people": self._right(known[0], None),
            "windows and count": self._turns(sure, None, count, stretches=False),
            "all": self._right(sure, None),
        }
        return {name: errors_of(found, heard) for name, found in turns.items()}

    def _turns(
        self,
        heard: Heard,
        speech: Speech | None,
        speakers: SpeakerCount | None = None,
        *,
        stretches: bool = True,
    ) -> list[PersonTurn]:
        return decide_turns(
            heard.voices,
            heard.activities,
            heard.grid,
            self._config,
            similarity=self._similarity,
            speakers=speakers or SpeakerCount(),
            speech=speech,
            stretches=heard.stretches if stretches else None,
        )

    def _right(self, heard: Heard, speech: Speech | None) -> list[PersonTurn]:
        return turns_of_people(
            true_people(heard),
            heard.voices,
            heard.activities,
            heard.grid,
            self._config,
            speech=speech,
        )


def heard_truly(
    recordings: list[tuple[Path, Truth]],
    found: list[Heard],
    segmenter: LocalSpeakers,
    embedder: SpeakerEmbedding,
) -> Iterator[Heard]:
    """The recordings once more, with true windows."""
    for recording, heard in zip(recordings, found, strict=True):
        yield from hear_all([recording], TrueWindows(heard, segmenter), embedder)


def main() -> None:
    """Parse, hear, decide, print."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folders", nargs="+", type=Path)
    parser.add_argument("--labels", type=Path)
    parser.add_argument("--pattern", default="*")
    parser.add_argument("--bridge", type=float, default=0.0, help="seconds")
    parser.add_argument("--segmentation", type=Path, default=SHIPPED / "segmentation")
    parser.add_argument("--embedding", type=Path, default=SHIPPED / "embedding")
    parser.add_argument("--set", action="append", default=[], metavar="NAME=VALUE")
    args = parser.parse_args()
    segmenter = LocalSpeakers.load(args.segmentation)
    embedder = SpeakerEmbedding.load(args.embedding)
    given = {k: float(v) for k, v in (one.split("=") for one in args.set)}
    config = diarizer_config({**segmenter.settings.get(SETTINGS, {}), **given})
    similarity = embedder.thresholds.get("clustering", 0.3)
    diagnosis = Diagnosis(config, similarity if config.similarity is None else config.similarity)
    if args.labels is None:
        recordings = list(sessions_of(args.folders))
    else:
        recordings = [r for f in args.folders for r in labelled(f, args.labels, args.pattern)]
    recordings = [(path, bridged(truth, args.bridge)) for path, truth in recordings]
    found = list(hear_all(recordings, segmenter, embedder))
    sure = heard_truly(recordings, found, segmenter, embedder)
    errors = [diagnosis.errors(one, other) for one, other in zip(found, sure, strict=True)]
    print(f"{'truth of':20}{'DER':>8}{'miss':>8}{'alarm':>8}{'confused':>9}")
    for name in errors[0]:
        values = rates(one[name] for one in errors)
        print(f"{name:20}" + "".join(f"{v:8.3f}" for v in values))


if __name__ == "__main__":
    main()
