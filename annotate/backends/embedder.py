"""Known voices: which of a recording's speakers somebody has enrolled; all others stay unknown.

Works on the turns of whatever diarizer came before: each speaker's voice is taken from turns in
which nobody else speaks. Voiceprints are made only of people whom somebody enrolled.
"""

from __future__ import annotations

from collections.abc import Mapping
from itertools import pairwise
from pathlib import Path
from typing import Any, Protocol

import numpy as np
from numpy.typing import NDArray
from pydantic import JsonValue

from talkover.annotate.backends.base import (
    Backend,
    BackendError,
    BackendInfo,
    BranchResult,
    Kind,
)
from talkover.annotate.backends.shipped import load_model, model_info, models_available
from talkover.annotate.clustering import normalised
from talkover.annotate.enrolment import Enrolment, recognise
from talkover.annotate.events import Event
from talkover.annotate.media import RATE, DecodedAudio
from talkover.annotate.profiles import Profiles, enrolled, read_profiles

VERSION = "2"
MOST_SECONDS = 60.0
"""Of a speaker's clean speech, longest turns first: more changes nothing."""
LEAST_SECONDS = 1.0
"""Of clean speech, under which nobody is recognised: a name would be a guess."""
PIECE_SECONDS = 10.0
"""Seconds that are heard at a time."""
SHORTEST_PIECE = 0.4
"""Seconds; shorter pieces of turns say little of a voice."""
UNCALIBRATED = 0.6
"""Threshold of an embedder that names none."""


class VoiceModel(Protocol):
    """Gives the voice of a stretch; `talkover.annotate.models.embedding` has one."""

    @property
    def thresholds(self) -> Mapping[str, float]:
        """Calibrated: ``enrolment`` or ``verification``, and ``margin``."""
        ...

    def embed(
        self, samples: NDArray[np.float32], masks: NDArray[np.float32] | None = None
    ) -> NDArray[np.float32]:
        """Voices of a stretch, ``[K, D]``, length 1."""
        ...


class KnownVoices:
    """Names for the speakers that are enrolled.

    Args:
        voices: A folder with ``NAME.wav`` or ``NAME/*.wav`` (any audio), or a profile file written
            by `talkover.annotate.profiles.write_profiles`.
        embedding: Folder of an embedding model, or a loaded one; None for talkover's own.
        similarity: Least cosine to an enrolled voice; None for the model's own, calibrated.
        margin: Least cosine over the next enrolled voice; None for the model's own.
    """

    def __init__(
        self,
        voices: Path | str,
        embedding: Any = None,
        similarity: float | None = None,
        margin: float | None = None,
    ) -> None:
        """Import nothing heavy yet."""
        self._voices = Path(voices)
        self._source = embedding
        self._similarity, self._margin = similarity, margin
        self._model: VoiceModel | None = None
        self._profiles: Profiles | None = None

    def info(self) -> BackendInfo:
        """The embedding model's."""
        return model_info("talkover-voices", VERSION, {"embedding": self._source})

    def available(self) -> tuple[bool, str]:
        """Needs the model, and voices."""
        ok, reason = models_available({"embedding": self._source})
        if ok and not self._voices.exists():
            return False, f"{self._voices}: there are no enrolled voices"
        return ok, reason

    def load(self) -> None:
        """Load the model and the voices.

        Raises:
            ConfigurationError: If a voice cannot be had, or is of another model.
        """
        self._model = load_model("embedding", self._source)
        assert self._model is not None
        model_name = self.info().weights_sha256 or "untrained"
        if self._voices.is_file():
            self._profiles = read_profiles(self._voices, model=model_name)
        else:
            self._profiles = enrolled(self._voices, self._model.embed, model=model_name)

    @property
    def rule(self) -> Enrolment:
        """What it takes to be recognised."""
        thresholds = {} if self._model is None else self._model.thresholds
        own = thresholds.get("enrolment", thresholds.get("verification", UNCALIBRATED))
        return Enrolment(
            similarity=own if self._similarity is None else self._similarity,
            margin=thresholds.get("margin", 0.05) if self._margin is None else self._margin,
            shortness=thresholds.get("enrolment_shortness", 0.0),
        )

    def run(self, audio: DecodedAudio, upstream: Mapping[Kind, BranchResult]) -> BranchResult:
        """Figure ``names``: for each speaker ``name`` (or null) and ``similarity``.

        Raises:
            BackendError: If nothing was loaded, or no branch says who speaks when.
        """
        if self._model is None or self._profiles is None:
            raise BackendError("the enrolled voices were not loaded")
        if "diarizer" not in upstream:
            raise BackendError("no branch says who speaks when")
        turns = [e for e in upstream["diarizer"].events if e.kind == "turn"]
        clean = clean_stretches(turns)
        speakers = [name for name, spans in clean.items() if _seconds(spans) >= LEAST_SECONDS]
        people = [voice_of(audio, clean[name], self._model) for name in speakers]
        found = recognise(
            np.stack(people) if people else np.zeros((0, 1)),
            self._profiles.names,
            self._profiles.voices,
            self.rule,
            np.array([min(MOST_SECONDS, _seconds(clean[name])) for name in speakers]),
        )
        names: dict[str, JsonValue] = {
            name: {"name": None, "similarity": 0.0} for name in sorted(clean)
        }
        for speaker, one in zip(speakers, found, strict=True):
            names[speaker] = {"name": one.name, "similarity": one.similarity}
        return BranchResult(backend=self.info(), figures={"names": names})


def clean_stretches(turns: list[Event]) -> dict[str, list[tuple[int, int]]]:
    """Stretches of each speaker in which nobody else speaks, by start."""
    edges = sorted({edge for turn in turns for edge in (turn.start, turn.end)})
    waiting = sorted(turns, key=lambda turn: turn.start, reverse=True)
    running: list[Event] = []
    clean: dict[str, list[tuple[int, int]]] = {str(turn.speaker): [] for turn in turns}
    for start, end in pairwise(edges):
        running = [turn for turn in running if turn.end > start]
        while waiting and waiting[-1].start <= start:
            running.append(waiting.pop())
        speakers = {str(turn.speaker) for turn in running}
        if len(speakers) == 1:
            own = clean[speakers.pop()]
            if own and own[-1][1] == start:
                own[-1] = (own[-1][0], end)
            else:
                own.append((start, end))
    return clean


def voice_of(
    audio: DecodedAudio, stretches: list[tuple[int, int]], model: VoiceModel
) -> NDArray[np.float64]:
    """Mean voice of some stretches, longest first up to `MOST_SECONDS`; ``[D]``, length 1."""
    size = round(PIECE_SECONDS * RATE)
    pieces = [
        (first, min(first + size, end))
        for start, end in stretches
        for first in range(start, end, size)
    ]
    pieces.sort(key=lambda piece: (piece[0] - piece[1], piece[0]))
    total, left = None, MOST_SECONDS * RATE
    for start, end in pieces:
        if total is not None and (left <= 0 or end - start < SHORTEST_PIECE * RATE):
            break
        vector = (end - start) * model.embed(audio.read(start, end))[0].astype(np.float64)
        total = vector if total is None else total + vector
        left -= end - start
    assert total is not None
    return np.asarray(normalised(total[None])[0])


def _seconds(stretches: list[tuple[int, int]]) -> float:
    return sum(end - start for start, end in stretches) / RATE


EMBEDDERS: dict[str, type[Backend]] = {"talkover": KnownVoices}
"""The built-in backends by name."""
