"""Sound events from an audio classifier of Hugging Face, such as AST trained on AudioSet."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.activity_spans import Hysteresis
from talkover.annotate.backends.base import BackendError, BackendInfo, BranchResult, Kind
from talkover.annotate.backends.local_models import (
    available,
    folder_info,
    import_transformers,
    resolved,
)
from talkover.annotate.backends.window_events import WindowConfig, window_events
from talkover.annotate.media import RATE, DecodedAudio
from talkover.manifests.audio import resample
from talkover.manifests.errors import ConfigurationError

VERSION = "1"
OTHER_BRANCHES = (
    "speech",
    "male speech, man speaking",
    "female speech, woman speaking",
    "child speech, kid speaking",
    "conversation",
    "narration, monologue",
    "music",
    "silence",
    "inside, small room",
    "inside, large room or hall",
    "outside, urban or manmade",
    "outside, rural or natural",
)
"""AudioSet's names of what other branches tell better, and of places, which are no events."""


class AudioTagger:
    """An `AutoModelForAudioClassification` over short windows.

    Args:
        model: Folder of the model, or its name in the hub's local cache.
        licence: SPDX id of the weights' licence; what says NC is flagged.
        ignore: Labels that are no events, whatever their case.
        window: Seconds heard at a time; times are about half of it exact.
        hop: Seconds from window to window.
        onset: Probability at which an event begins.
        offset: Probability under which it ends.
        batch: Windows at a time.
        device: As torch names it.
    """

    def __init__(
        self,
        model: Path | str,
        licence: str = "LicenseRef-unknown",
        ignore: Sequence[str] = OTHER_BRANCHES,
        window: float = 2.0,
        hop: float = 0.5,
        onset: float = 0.3,
        offset: float = 0.15,
        batch: int = 8,
        device: str = "cpu",
    ) -> None:
        """Import nothing heavy yet."""
        self._source = model
        self._licence = licence
        self._ignored = {name.casefold() for name in ignore}
        rule = Hysteresis(onset=onset, offset=offset, shortest=hop / 2, gap=hop)
        self._config = WindowConfig(window=window, hop=hop, batch=batch, rule=rule)
        self._device = device
        self._model: Any = None

    def info(self) -> BackendInfo:
        """By the folder's files."""
        return folder_info("audio-tagger", resolved(self._source), self._licence, VERSION)

    def available(self) -> tuple[bool, str]:
        """Needs transformers and safetensors."""
        return available(self._source)

    def load(self) -> None:
        """Load model and features.

        Raises:
            ConfigurationError: If the folder holds no audio classifier.
        """
        transformers = import_transformers()
        folder = str(resolved(self._source))
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            self._features = transformers.AutoFeatureExtractor.from_pretrained(folder, **local)
            model = transformers.AutoModelForAudioClassification.from_pretrained(
                folder, use_safetensors=True, **local
            )
        except (OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ConfigurationError(f"{folder}: no audio classifier: {reason}") from error
        self._model = model.to(self._device).eval()
        names = [str(model.config.id2label[n]) for n in range(model.config.num_labels)]
        self._columns = [n for n, name in enumerate(names) if name.casefold() not in self._ignored]
        self._labels = [names[n] for n in self._columns]
        self._is_multi_label = model.config.problem_type != "single_label_classification"

    def run(self, audio: DecodedAudio, upstream: Mapping[Kind, BranchResult]) -> BranchResult:
        """Events of every class that is not ignored.

        Raises:
            BackendError: If the model is not loaded.
        """
        if self._model is None:
            raise BackendError("the audio tagger was not loaded")
        events = window_events(audio, self._probabilities, self._labels, self._config)
        return BranchResult(backend=self.info(), events=events)

    def _probabilities(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        rate = int(self._features.sampling_rate)
        heard = list(windows if rate == RATE else resample(windows, RATE, rate))
        inputs = self._features(heard, sampling_rate=rate, return_tensors="pt")
        with torch.inference_mode():
            logits = self._model(**{k: v.to(self._device) for k, v in inputs.items()}).logits
        values = logits.sigmoid() if self._is_multi_label else logits.softmax(-1)
        found: NDArray[np.float32] = values[:, self._columns].float().cpu().numpy()
        return found
