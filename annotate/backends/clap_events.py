"""Sound events that a user names in words, by a CLAP model of Hugging Face: no training needed."""

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
BACKGROUND = ("silence", "background noise", "people talking", "music")
"""What the asked sounds compete with; none of it becomes an event."""
PROMPT = "the sound of {}"


class ClapEvents:
    """Zero-shot events: each window's likeness to each label, against `BACKGROUND`.

    Args:
        labels: What to look for, in words; a list, or a text file with one a line.
        model: Folder of the model, or its name in the hub's local cache.
        licence: SPDX id of the weights' licence; what says NC is flagged.
        background: What the labels compete with.
        window: Seconds heard at a time.
        hop: Seconds from window to window.
        onset: Probability at which an event begins.
        offset: Probability under which it ends.
        batch: Windows at a time.
        device: As torch names it.
    """

    def __init__(
        self,
        labels: Sequence[str] | Path | str,
        model: Path | str,
        licence: str = "LicenseRef-unknown",
        background: Sequence[str] = BACKGROUND,
        window: float = 2.0,
        hop: float = 0.5,
        onset: float = 0.5,
        offset: float = 0.3,
        batch: int = 8,
        device: str = "cpu",
    ) -> None:
        """Import nothing heavy yet; read the labels.

        Raises:
            ConfigurationError: If there is no label.
        """
        self._labels = _labels(labels)
        self._background = tuple(background)
        self._source = model
        self._licence = licence
        rule = Hysteresis(onset=onset, offset=offset, shortest=hop / 2, gap=hop)
        self._config = WindowConfig(window=window, hop=hop, batch=batch, rule=rule)
        self._device = device
        self._model: Any = None

    def info(self) -> BackendInfo:
        """By the folder's files."""
        return folder_info("clap", resolved(self._source), self._licence, VERSION)

    def available(self) -> tuple[bool, str]:
        """Needs transformers and safetensors."""
        return available(self._source)

    def load(self) -> None:
        """Load the model, and hear what the labels mean.

        Raises:
            ConfigurationError: If the folder holds no CLAP model.
        """
        transformers = import_transformers()
        import torch

        folder = str(resolved(self._source))
        local: dict[str, Any] = {"local_files_only": True, "trust_remote_code": False}
        try:
            model = transformers.ClapModel.from_pretrained(folder, use_safetensors=True, **local)
            tokenizer = transformers.AutoTokenizer.from_pretrained(folder, **local)
            self._features = transformers.AutoFeatureExtractor.from_pretrained(folder, **local)
        except (OSError, ValueError, KeyError) as error:
            reason = " ".join(str(error).split())[:200]
            raise ConfigurationError(f"{folder}: no CLAP model: {reason}") from error
        self._model = model.to(self._device).eval()
        prompts = [PROMPT.format(name) for name in (*self._labels, *self._background)]
        tokens = tokenizer(prompts, padding=True, return_tensors="pt")
        with torch.inference_mode():
            inputs = {k: v.to(self._device) for k, v in tokens.items()}
            self._meanings = _unit(self._model.get_text_features(**inputs))  # [C, D]
            self._scale = self._model.logit_scale_a.exp()

    def run(self, audio: DecodedAudio, upstream: Mapping[Kind, BranchResult]) -> BranchResult:
        """Events of the labels.

        Raises:
            BackendError: If the model is not loaded.
        """
        if self._model is None:
            raise BackendError("CLAP was not loaded")
        events = window_events(audio, self._probabilities, self._labels, self._config)
        return BranchResult(backend=self.info(), events=events)

    def _probabilities(self, windows: NDArray[np.float32]) -> NDArray[np.float32]:
        import torch

        rate = int(self._features.sampling_rate)
        heard = list(windows if rate == RATE else resample(windows, RATE, rate))
        inputs = self._features(heard, sampling_rate=rate, return_tensors="pt")
        with torch.inference_mode():
            moved = {k: v.to(self._device) for k, v in inputs.items()}
            sounds = _unit(self._model.get_audio_features(**moved))  # [B, D]
            values = (self._scale * sounds @ self._meanings.T).softmax(-1)
        found: NDArray[np.float32] = values[:, : len(self._labels)].float().cpu().numpy()
        return found


def _unit(vectors: Any) -> Any:
    """Length 1; transformers 5 gives an output object where 4 gave the vectors."""
    vectors = getattr(vectors, "pooler_output", vectors)
    return vectors / vectors.norm(dim=-1, keepdim=True)


def _labels(labels: Sequence[str] | Path | str) -> tuple[str, ...]:
    if isinstance(labels, Path | str):
        try:
            lines = Path(labels).read_text("utf8").splitlines()
        except (OSError, UnicodeDecodeError) as error:
            raise ConfigurationError(f"{labels}: no readable list of labels: {error}") from error
        labels = [line.strip() for line in lines]
    found = tuple(dict.fromkeys(label for label in labels if label))
    if not found:
        raise ConfigurationError("CLAP needs labels: a list, or a file with one a line")
    return found
