"""How good a recording is, in figures; it flags and never drops.

Without opinion scores this costs next to nothing. With them (``opinion=True``) DNSMOS hears every
four seconds, which costs several times as much as all other branches together.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping
from dataclasses import asdict

import numpy as np
from pydantic import JsonValue

from talkover.annotate.backends.base import (
    Backend,
    BackendError,
    BackendInfo,
    BranchResult,
    Kind,
)
from talkover.annotate.duplicates import fingerprint
from talkover.annotate.events import Curve
from talkover.annotate.levels import frame_levels
from talkover.annotate.media import RATE, DecodedAudio
from talkover.annotate.quality.native import measure
from talkover.annotate.quality.noise import FRAME, seconds_of, speech_to_noise_db
from talkover.annotate.quality.opinion import HOP_SECONDS, SCORES, Opinion, weights
from talkover.manifests.errors import AudioError
from talkover.manifests.markers import file_sha256

VERSION = "1"
SILENT_DBFS = -65.0
"""Level under which a frame is silent where no activity branch says so."""
DIGITS = 4
"""Digits after the point of a figure."""


class SignalQuality:
    """Levels, noise, clipping, bandwidth, loudness, a fingerprint and, if asked, opinion scores.

    Args:
        opinion: Also give DNSMOS scores.
        opinion_hop: Seconds from score to score.
    """

    def __init__(self, opinion: bool = False, opinion_hop: float = HOP_SECONDS) -> None:
        """Import nothing heavy yet."""
        if opinion_hop < 1:
            raise ValueError(f"opinion_hop must be 1 s or more, got {opinion_hop}")
        self._asked = opinion
        self._hop = round(opinion_hop * RATE)
        self._opinion: Opinion | None = None

    def info(self) -> BackendInfo:
        """Without weights unless opinions are asked."""
        path = weights() if self._asked else None
        if path is None:
            return BackendInfo(name="talkover-quality", version=VERSION, licence="Apache-2.0")
        return BackendInfo(
            name="talkover-quality+dnsmos",
            version=f"{VERSION}+{importlib.metadata.version('speechmos')}",
            licence="MIT",
            weights_sha256=file_sha256(path),
        )

    def available(self) -> tuple[bool, str]:
        """Opinion scores need speechmos and onnxruntime."""
        if not self._asked:
            return True, ""
        if weights() is None:
            return False, "speechmos is not installed: pip install talkover[annotate]"
        if importlib.util.find_spec("onnxruntime") is None:
            return False, "onnxruntime is not installed: pip install talkover[annotate]"
        return True, ""

    def load(self) -> None:
        """Open the opinion network, if asked for.

        Raises:
            MissingExtraError: If a package is missing.
        """
        if self._asked:
            self._opinion = Opinion()

    def run(self, audio: DecodedAudio, upstream: Mapping[Kind, BranchResult]) -> BranchResult:
        """Figures of the recording, and curves ``level_dbfs`` and ``dnsmos_overall``.

        Raises:
            BackendError: If the recording cannot be read at its own rate.
        """
        levels = frame_levels(audio, FRAME)
        vad = upstream.get("vad")
        speech = () if vad is None else vad.events
        figures: dict[str, JsonValue] = {
            "snr_db": _rounded(speech_to_noise_db(levels, speech)),
            "speech_seconds": _rounded(seconds_of(speech)),
            "silence_share": _rounded(_silence_share(levels, upstream)),
            "fingerprint": fingerprint(audio).text(),
        }
        if audio.recording is not None:
            try:
                native = measure(audio.recording)
            except AudioError as error:
                raise BackendError(str(error)) from error
            figures |= {name: _rounded(value) for name, value in asdict(native).items()}
        curves = {
            "level_dbfs": Curve(name="level_dbfs", hop=FRAME, values=levels.astype(np.float32))
        }
        if self._opinion is not None and audio.num_samples:
            scores = self._opinion.scores(audio, self._hop)
            curves["dnsmos_overall"] = Curve(
                name="dnsmos_overall", hop=self._hop, values=scores[:, 2].astype(np.float32)
            )
            for number, name in enumerate(SCORES):
                heard = scores[:, number][np.isfinite(scores[:, number])]
                figures[f"dnsmos_{name}"] = _rounded(float(heard.mean()) if len(heard) else None)
        return BranchResult(backend=self.info(), figures=figures, curves=curves)


def _silence_share(levels: np.ndarray, upstream: Mapping[Kind, BranchResult]) -> float:
    activity = upstream.get("activity")
    share = None if activity is None else activity.figures.get("silence_share")
    if isinstance(share, int | float):
        return float(share)
    return float((levels < SILENT_DBFS).mean()) if len(levels) else 1.0


def _rounded(value: float | None) -> float | None:
    return None if value is None else round(float(value), DIGITS)


QUALITIES: dict[str, type[Backend]] = {"talkover": SignalQuality}
"""The built-in backends by name."""
