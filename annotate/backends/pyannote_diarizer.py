"""Diarization by a pipeline of pyannote.audio that a user has, such as community-1.

The whole recording is in memory and its embeddings are clustered at once, as pyannote does it; for
hours of audio the default diarizer is the better one.
"""

from __future__ import annotations

import importlib.util
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.activity_spans import mean_over
from talkover.annotate.backends.base import BackendError, BackendInfo, BranchResult, Kind
from talkover.annotate.backends.pyannote_folder import (
    folder_info,
    load_pipeline,
    read_description,
)
from talkover.annotate.events import Event
from talkover.annotate.media import RATE, DecodedAudio
from talkover.annotate.speaker_count import SpeakerCount
from talkover.manifests.errors import ConfigurationError

SHORTEST = 0.1
"""Seconds; in less nobody can be told from anybody."""
NOT_COUNTED = SpeakerCount()


class PyannoteDiarizer:
    """A local pipeline, converted by `talkover.annotate.backends.pyannote_folder`.

    Args:
        model: The converted folder.
        longest_hours: Longer recordings are refused, since memory grows with the square of their
            number of voices.
        device: As torch names it.
    """

    def __init__(self, model: Path | str, longest_hours: float = 4.0, device: str = "cpu") -> None:
        """Import nothing heavy yet."""
        self._folder = Path(model)
        self._longest = longest_hours * 3600
        self._device = device
        self._pipeline: Any = None

    def info(self) -> BackendInfo:
        """As the folder says."""
        return folder_info(self._folder)

    def available(self) -> tuple[bool, str]:
        """Needs pyannote.audio and a converted folder."""
        if importlib.util.find_spec("pyannote") is None:
            return False, "pyannote.audio is not installed: pip install talkover[annotate]"
        try:
            read_description(self._folder)
        except ConfigurationError as error:
            return False, str(error)
        return True, ""

    def load(self) -> None:
        """Build the models.

        Raises:
            ConfigurationError: If the folder does not hold what it says.
        """
        self._pipeline = load_pipeline(self._folder)
        import torch

        self._pipeline.to(torch.device(self._device))

    def run(
        self,
        audio: DecodedAudio,
        upstream: Mapping[Kind, BranchResult],
        *,
        speakers: SpeakerCount = NOT_COUNTED,
    ) -> BranchResult:
        """Turns, overlap included; a turn is as sure as pyannote's windows agree on it.

        Raises:
            BackendError: If the recording is too long, or pyannote refuses it.
        """
        if self._pipeline is None:
            raise BackendError("pyannote was not loaded")
        if audio.duration > self._longest:
            raise BackendError(
                f"{audio.duration:.0f} s are more than the {self._longest:.0f} s that fit: "
                "raise longest_hours, or use the default diarizer"
            )
        if audio.duration < SHORTEST:
            return BranchResult(backend=self.info())
        heard: dict[str, Any] = {}

        def hook(step: str, found: Any = None, **_: object) -> None:
            if found is not None and step == "segmentation":
                heard[step] = found

        import torch

        samples = torch.from_numpy(audio.read(0, audio.num_samples))[None]
        least, most = speakers.limits
        count = (
            {"num_speakers": least}
            if least == most
            else {"min_speakers": least, "max_speakers": most}
        )
        try:
            output = self._pipeline(
                {"waveform": samples, "sample_rate": RATE, "uri": "recording"}, hook=hook, **count
            )
        except (ValueError, RuntimeError) as error:
            raise BackendError(f"pyannote refuses it: {' '.join(str(error).split())}") from error
        agreement, hop = _agreement(heard["segmentation"], audio.num_samples)
        turns = output.speaker_diarization.itertracks(yield_label=True)
        return BranchResult(
            backend=self.info(), events=tuple(_events(turns, audio.num_samples, agreement, hop))
        )


def _events(
    tracks: Any, num_samples: int, agreement: NDArray[np.float64], hop: int
) -> Iterator[Event]:
    number = 0
    for span, _, speaker in tracks:
        start = max(0, round(span.start * RATE))
        end = min(num_samples, round(span.end * RATE))
        if start < end:
            yield Event(
                id=f"turn-{number:05d}",
                kind="turn",
                start=start,
                end=end,
                label="speech",
                confidence=mean_over(agreement, hop, start, end),
                speaker=str(speaker),
            )
            number += 1


def _agreement(windows: Any, num_samples: int) -> tuple[NDArray[np.float64], int]:
    """How far overlapping windows agree on how many people speak: 1 if all say the same.

    Args:
        windows: Activity of local speakers, ``[W, F, K]``, with the windows' times.
        num_samples: Length of the recording.

    Returns:
        One value a hop, from 0 to 1, and the hop in samples.
    """
    data = np.nan_to_num(np.asarray(windows.data, dtype=np.float64)).sum(axis=2)  # [W, F]
    frames = data.shape[1]
    hop = max(1, round(windows.sliding_window.duration / frames * RATE))
    size = -(-num_samples // hop) + frames + 1
    total, squares, count = np.zeros(size), np.zeros(size), np.zeros(size)
    for number, row in enumerate(data):
        first = round(windows.sliding_window[number].start * RATE / hop)
        part = slice(max(0, first), max(0, first) + frames)
        length = len(total[part])
        total[part] += row[:length]
        squares[part] += row[:length] ** 2
        count[part] += 1
    mean = total / np.maximum(count, 1)
    deviation = np.sqrt(np.maximum(squares / np.maximum(count, 1) - mean**2, 0.0))
    return np.clip(1.0 - deviation, 0.0, 1.0), hop
