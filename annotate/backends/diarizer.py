"""Who speaks when, with overlap: the default diarizer from talkover's own small models.

Local speakers of windows are heard (`talkover.annotate.diarization.windows`), then it is decided
who they are and what their turns are (`talkover.annotate.diarization.decision`). Memory
does not grow with the recording but by the embeddings of its voices, some kilobytes a minute.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np

from talkover.annotate.backends.base import (
    Backend,
    BackendError,
    BackendInfo,
    BranchResult,
    Kind,
)
from talkover.annotate.backends.shipped import (
    load_model,
    model_info,
    models_available,
    settings_of,
)
from talkover.annotate.diarization.decision import decide_turns, diarizer_config, speech_of
from talkover.annotate.diarization.stitching import Grid, PersonTurn, Speech
from talkover.annotate.diarization.stretches import Stretches, hear_stretches
from talkover.annotate.diarization.windows import (
    Activities,
    Embedder,
    Segmenter,
    hear,
    whole_hop,
)
from talkover.annotate.events import Event, sorted_events
from talkover.annotate.media import DecodedAudio
from talkover.annotate.speaker_count import SpeakerCount
from talkover.manifests.errors import ConfigurationError

VERSION = "2"
"""Of what is done with the models' outputs; part of every stage's key."""
SETTINGS = "diarizer"
"""Where a segmentation model's settings keep the values of `DiarizationConfig` that were calibrated
for it (`benchmarks/annotate/tune_diarizer.py`); options of the constructor win over them."""
DEFAULT_HOP = 2.56
"""Seconds: a quarter of a window, whole frames of both models."""
FALLBACK = 0.3
"""Similarity where an embedder names none."""
NOT_COUNTED = SpeakerCount()


class Diarizer(Backend, Protocol):
    """A backend that may be told how many people speak in a recording."""

    def run(
        self,
        audio: DecodedAudio,
        upstream: Mapping[Kind, BranchResult],
        *,
        speakers: SpeakerCount = NOT_COUNTED,
    ) -> BranchResult:
        """Turns with speakers.

        Args:
            audio: One channel at `talkover.annotate.media.RATE`.
            upstream: What the branches before this one said.
            speakers: How many people there are, where somebody has counted.
        """
        ...


class TalkoverDiarizer:
    """The default: talkover's segmentation and embedding models.

    Args:
        segmentation: Folder of a segmentation model, or a loaded one; None for the one that comes
            with talkover.
        embedding: The same for the embedding model.
        hop: Seconds from window to window; rounded to whole frames.
        options: Any field of `DiarizationConfig`, of its ``windows`` and of its ``stitch``.
    """

    def __init__(
        self,
        segmentation: Path | str | Segmenter | None = None,
        embedding: Path | str | Embedder | None = None,
        hop: float = DEFAULT_HOP,
        **options: Any,
    ) -> None:
        """Import nothing heavy yet."""
        self._segmentation, self._embedding = segmentation, embedding
        self._hop = hop
        self._options = options
        self.config = diarizer_config(options)
        self._models: tuple[Segmenter, Embedder] | None = None

    def info(self) -> BackendInfo:
        """Both models as one."""
        return model_info(
            "talkover-diarizer",
            VERSION,
            {"segmentation": self._segmentation, "embedding": self._embedding},
        )

    def available(self) -> tuple[bool, str]:
        """Needs PyTorch and weights."""
        return models_available({"segmentation": self._segmentation, "embedding": self._embedding})

    def load(self) -> None:
        """Load both models."""
        self._models = (
            load_model("segmentation", self._segmentation),
            load_model("embedding", self._embedding),
        )
        calibrated = settings_of("segmentation", self._segmentation).get(SETTINGS, {})
        if not isinstance(calibrated, dict):
            raise ConfigurationError(f"segmentation model: settings.{SETTINGS}: not a mapping")
        try:
            self.config = diarizer_config({**calibrated, **self._options})
        except (TypeError, ValueError) as error:
            raise ConfigurationError(f"segmentation model: settings.{SETTINGS}: {error}") from error

    def run(
        self,
        audio: DecodedAudio,
        upstream: Mapping[Kind, BranchResult],
        *,
        speakers: SpeakerCount = NOT_COUNTED,
    ) -> BranchResult:
        """Turns with speakers ``S1``, ``S2``, … by first turn, and where several speak.

        Raises:
            BackendError: If the models are not loaded.
        """
        if self._models is None:
            raise BackendError("the diarizer's models were not loaded")
        if audio.num_samples == 0:
            return BranchResult(backend=self.info())
        segmenter, embedder = self._models
        hop = whole_hop(self._hop, segmenter, embedder)
        grid = Grid(hop=hop, frame=segmenter.frame_samples, num_samples=audio.num_samples)
        with Activities() as activities:
            voices = hear(
                audio, segmenter, embedder, activities, hop=hop, config=self.config.windows
            )
            speech = self._speech(upstream, grid)
            turns = decide_turns(
                voices,
                activities,
                grid,
                self.config,
                similarity=self._similarity(embedder),
                speakers=speakers,
                speech=speech,
                stretches=None
                if speech is None
                else self._stretches(audio, embedder, speech, grid),
            )
        found = len({turn.person for turn in turns})
        least = speakers.limits[0]
        few = f"{least} speakers were asked for, but only {found} are heard"
        return BranchResult(
            backend=self.info(),
            events=sorted_events(_events(turns)),
            figures={"num_speakers": found},
            warnings=(few,) if 0 < found < least else (),
        )

    def _similarity(self, embedder: Embedder) -> float:
        if self.config.similarity is not None:
            return self.config.similarity
        return float(getattr(embedder, "thresholds", {}).get("clustering", FALLBACK))

    def _stretches(
        self, audio: DecodedAudio, embedder: Embedder, speech: Speech, grid: Grid
    ) -> Stretches:
        """Short stretches of sure speech."""
        frames = -(-audio.num_samples // embedder.frame_samples)
        middles = (np.arange(frames) + 0.5) * embedder.frame_samples
        row = np.minimum((middles // grid.frame).astype(np.int64), len(speech.sure) - 1)
        return hear_stretches(audio, embedder, speech.sure[row], self.config.stretches)

    def _speech(self, upstream: Mapping[Kind, BranchResult], grid: Grid) -> Speech | None:
        """What the voice activity branch says of each frame; None where there is none."""
        vad = upstream.get("vad")
        if vad is None or "speech" not in vad.curves:
            return None
        return speech_of(vad.curves["speech"], grid, self.config)


def _events(turns: list[PersonTurn]) -> Iterator[Event]:
    names: dict[int, str] = {}
    for number, turn in enumerate(turns):
        yield Event(
            id=f"turn-{number:06d}",
            kind="turn",
            start=turn.start,
            end=turn.end,
            label="speech",
            speaker=names.setdefault(turn.person, f"S{len(names) + 1}"),
            confidence=round(float(turn.activity), 4),
        )
    yield from overlap_events(turns)


def overlap_events(turns: Sequence[PersonTurn]) -> Iterator[Event]:
    """Where two or more people speak, by start; as sure as the least sure of them."""
    edges = sorted({edge for turn in turns for edge in (turn.start, turn.end)})
    open_turns: list[PersonTurn] = []
    waiting = sorted(turns, key=lambda turn: turn.start, reverse=True)
    found: list[tuple[int, int, float]] = []
    for start, end in pairwise(edges):
        open_turns = [turn for turn in open_turns if turn.end > start]
        while waiting and waiting[-1].start <= start:
            open_turns.append(waiting.pop())
        if len({turn.person for turn in open_turns}) < 2:
            continue
        sureness = min(turn.activity for turn in open_turns)
        if found and found[-1][1] == start:
            found[-1] = (found[-1][0], end, min(found[-1][2], sureness))
        else:
            found.append((start, end, sureness))
    for number, (start, end, sureness) in enumerate(found):
        yield Event(
            id=f"overlap-{number:06d}",
            kind="overlap",
            start=start,
            end=end,
            label="overlap",
            confidence=round(float(sureness), 4),
        )


DIARIZERS: dict[str, type[Backend]] = {"talkover": TalkoverDiarizer}
"""The built-in backends by name."""
