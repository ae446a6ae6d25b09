"""Voice activity: where somebody speaks.

The default is silero-vad (MIT), whose ONNX model for whole sequences comes with its package; the
other needs no model at all and serves where that package is missing.
"""

from __future__ import annotations

import importlib.metadata
import importlib.util
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkover.annotate.activity_spans import is_on, stretches_of
from talkover.annotate.backends.base import (
    Backend,
    BackendError,
    BackendInfo,
    BranchResult,
    Kind,
)
from talkover.annotate.events import Curve, Event
from talkover.annotate.media import RATE, DecodedAudio
from talkover.manifests.errors import MissingExtraError
from talkover.manifests.markers import file_sha256

HOP = 512
"""Samples of a decision of silero-vad at 16 kHz."""
CONTEXT = 64
"""Samples that silero-vad hears before each hop."""
HOPS_AT_ONCE = 1875
"""One minute; the state goes on from block to block, so the size changes nothing."""


class SpeechRegions:
    """Probability of speech per hop → regions, with hysteresis.

    Args:
        onset: Probability at which speech begins.
        offset: Probability under which it ends.
        shortest_speech: Seconds; shorter regions are dropped.
        shortest_silence: Seconds; shorter silences are filled.
        pad: Seconds added at both ends, never into a neighbour.
    """

    def __init__(
        self,
        onset: float = 0.5,
        offset: float = 0.35,
        shortest_speech: float = 0.1,
        shortest_silence: float = 0.1,
        pad: float = 0.03,
    ) -> None:
        """Take the values as they are."""
        if not 0 < offset <= onset < 1:
            raise ValueError(f"needs 0 < offset <= onset < 1, got {offset}, {onset}")
        self._onset, self._offset = onset, offset
        self._speech, self._silence, self._pad = shortest_speech, shortest_silence, pad

    def of(self, probability: NDArray[np.float32], hop: int, num_samples: int) -> list[Event]:
        """Regions of speech as turns of nobody in particular.

        Args:
            probability: One a hop.
            hop: Samples.
            num_samples: Length of the recording.
        """
        on = is_on(probability, self._onset, self._offset)
        spans = (stretches_of(on) * hop).tolist()
        joined: list[list[int]] = []
        for start, end in spans:
            if joined and start - joined[-1][1] < self._silence * RATE:
                joined[-1][1] = end
            else:
                joined.append([start, end])
        kept = [(a, b) for a, b in joined if b - a >= self._speech * RATE]
        return [
            Event(
                id=f"speech-{number:05d}",
                kind="turn",
                start=start,
                end=end,
                label="speech",
                confidence=float(np.clip(probability[start // hop : -(-end // hop)].mean(), 0, 1)),
            )
            for number, (start, end) in enumerate(self._padded(kept, num_samples))
        ]

    def _padded(self, spans: list[tuple[int, int]], num_samples: int) -> list[tuple[int, int]]:
        pad = round(self._pad * RATE)
        padded = []
        for number, (start, end) in enumerate(spans):
            before = spans[number - 1][1] if number else -pad
            after = spans[number + 1][0] if number + 1 < len(spans) else num_samples + pad
            first = max(0, start - min(pad, (start - before) // 2))
            last = min(num_samples, end + min(pad, (after - end) // 2))
            if first < last:
                padded.append((first, last))
        return padded


class SileroVad:
    """silero-vad 6 by ONNX, one numeric thread.

    Args:
        regions: Options of `SpeechRegions`.
    """

    def __init__(self, **regions: float) -> None:
        """Import nothing heavy yet."""
        self._regions = SpeechRegions(**regions)
        self._session: Any = None

    def info(self) -> BackendInfo:
        """As the installed package says."""
        return BackendInfo(
            name="silero-vad",
            version=importlib.metadata.version("silero-vad"),
            licence="MIT",
            weights_sha256=file_sha256(_weights()),
        )

    def available(self) -> tuple[bool, str]:
        """Needs the packages silero-vad and onnxruntime."""
        for module in ("silero_vad", "onnxruntime"):
            if importlib.util.find_spec(module) is None:
                return False, f"{module} is not installed: pip install talkover[annotate]"
        return _weights().exists(), f"{_weights().name} is not in the installed silero-vad"

    def load(self) -> None:
        """Open the model.

        Raises:
            MissingExtraError: If a package is missing.
        """
        ok, reason = self.available()
        if not ok:
            raise MissingExtraError("silero-vad", "annotate", f"voice activity ({reason})")
        import onnxruntime

        options = onnxruntime.SessionOptions()
        options.intra_op_num_threads = options.inter_op_num_threads = 1
        self._session = onnxruntime.InferenceSession(
            str(_weights()), options, providers=["CPUExecutionProvider"]
        )

    def run(self, audio: DecodedAudio, upstream: Mapping[Kind, BranchResult]) -> BranchResult:
        """Curve ``speech`` and its regions.

        Raises:
            BackendError: If the model is not loaded.
        """
        if self._session is None:
            raise BackendError("silero-vad was not loaded")
        state = np.zeros((2, 1, 1, 128), dtype=np.float32)
        parts = []
        for start, block in audio.blocks(HOPS_AT_ONCE * HOP, halo=CONTEXT):
            heard = min(HOPS_AT_ONCE * HOP, audio.num_samples - start)
            hops = -(-heard // HOP)
            padded = np.zeros(CONTEXT + hops * HOP, dtype=np.float32)
            padded[: CONTEXT + heard] = block[: CONTEXT + heard]
            windows = np.lib.stride_tricks.sliding_window_view(padded, CONTEXT + HOP)[::HOP]
            probability, *rest = self._session.run(
                None, {"input": np.ascontiguousarray(windows), "h": state[0], "c": state[1]}
            )
            state = np.stack(rest)
            parts.append(probability)
        values = np.concatenate(parts).astype(np.float32)
        return BranchResult(
            backend=self.info(),
            events=tuple(self._regions.of(values, HOP, audio.num_samples)),
            curves={"speech": Curve(name="speech", hop=HOP, values=values)},
        )


def _weights() -> Path:
    spec = importlib.util.find_spec("silero_vad")
    folder = Path(spec.origin).parent if spec is not None and spec.origin else Path()
    return folder / "data" / "silero_vad_16k_sequence.onnx"


class EnergyVad:
    """Speech where it is clearly louder than the noise floor; knows nothing of voices.

    Args:
        above_db: Level over the noise floor that counts as speech with probability one half.
        regions: Options of `SpeechRegions`.
    """

    FLOOR_SHARE = 0.1
    """The noise floor is this quantile of the levels within `FLOOR_SECONDS`."""
    FLOOR_SECONDS = 30.0
    SLOPE_DB = 3.0
    """Level over the threshold at which the probability is 0.73."""

    def __init__(self, above_db: float = 12.0, **regions: float) -> None:
        """Take the values as they are."""
        self._above = above_db
        self._regions = SpeechRegions(**regions)

    def info(self) -> BackendInfo:
        """No weights."""
        return BackendInfo(name="energy", version="1", licence="Apache-2.0")

    def available(self) -> tuple[bool, str]:
        """Always."""
        return True, ""

    def load(self) -> None:
        """Nothing to load."""

    def run(self, audio: DecodedAudio, upstream: Mapping[Kind, BranchResult]) -> BranchResult:
        """Curve ``speech`` and its regions."""
        levels = np.concatenate([_levels(block) for _, block in audio.blocks(HOP * HOPS_AT_ONCE)])
        size = max(1, round(self.FLOOR_SECONDS * RATE / HOP))
        floors = np.concatenate(
            [
                np.full(len(part), np.quantile(part, self.FLOOR_SHARE))
                for part in np.split(levels, range(size, len(levels), size))
            ]
        )
        over = (levels - floors - self._above) / self.SLOPE_DB
        values = (1.0 / (1.0 + np.exp(-over))).astype(np.float32)
        return BranchResult(
            backend=self.info(),
            events=tuple(self._regions.of(values, HOP, audio.num_samples)),
            curves={"speech": Curve(name="speech", hop=HOP, values=values)},
        )


SILENCE_DB = -100.0


def _levels(block: NDArray[np.float32]) -> NDArray[np.float64]:
    """Level of each hop in dB re full scale; a last part counts as a hop."""
    padded = np.zeros(-(-len(block) // HOP) * HOP)
    padded[: len(block)] = block
    power = (padded.reshape(-1, HOP) ** 2).mean(axis=1)
    return np.asarray(10 * np.log10(np.maximum(power, 10 ** (SILENCE_DB / 10))))


VADS: dict[str, type[Backend]] = {"silero": SileroVad, "energy": EnergyVad}
"""The built-in backends by name."""
