"""Vectors of recordings that somebody else made, for encoders of the kind ``vectors``.

They lie beside a manifest in ``vectors.safetensors``: one tensor ``[T, D]`` for each recording,
named by the recording's path in the manifest (beside audio files, by the file's name), at the
encoder's rate, the first at sample 0. So any model may make them, once. They are read window by
window.

Shapes: ``T`` vectors, ``D`` width.
"""

from __future__ import annotations

import os
from collections.abc import Sequence
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import ConfigurationError, ManifestError
from talkover.manifests.schema import Session
from talkover.model.data.examples import Unusable
from talkover.model.data.windows import Window

FILE = "vectors.safetensors"
"""Name of the file, beside ``cuts.jsonl`` or the audio."""

SLACK = 2
"""Vectors by which a recording may have more or fewer than its length says: other tools count
frames at its ends in other ways. The last one stands for those that are missing."""

LOOSE = 0.01
"""The same as a share of them: beyond it they are of another rate, or of another recording."""

Vectors = NDArray[np.float32]
"""``[T, D]``."""


@dataclass(frozen=True, kw_only=True)
class Given:
    """What a model takes instead of sound; see `given_of`."""

    width: int
    rate: float
    """Hz."""
    model: Any
    """Says how many vectors a stretch needs."""

    def count(self, num_samples: int) -> int:
        """Vectors of so many samples at the model's rate."""
        return max(
            int(encoder.num_frames(self.model.parts.features.num_frames(num_samples)))
            for encoder in _encoders(self.model)
        )

    def window(self, folder: Path, session: Session, window: Window, num_samples: int) -> Vectors:
        """The vectors of a window.

        Args:
            folder: Of the manifest.
            session: The whole one.
            window: In samples of its audio.
            num_samples: Of the window, at the model's rate.

        Raises:
            Unusable: If there are none, or they are not of this audio.
            ManifestError: If there is no file with vectors.
        """
        audio = session.audio
        start = window.start_sample / audio.sampling_rate
        return self.read(
            folder, audio.path, audio.duration, start=start, count=self.count(num_samples)
        )

    def read(
        self, folder: Path, name: str, duration: float, *, start: float = 0.0, count: int
    ) -> Vectors:
        """A stretch of the vectors of a recording.

        Args:
            folder: Where the file with the vectors is.
            name: Of the recording in it.
            duration: Seconds of the whole recording.
            start: Seconds at which the stretch begins.
            count: Vectors of the stretch.

        Raises:
            Unusable: If there are none, or they are not of this audio.
            ManifestError: If there is no file with vectors.
        """
        file = folder / FILE
        opened = _opened(file)
        if name not in _names(str(file), os.getpid()):
            raise Unusable(f"no vectors in {FILE}")
        rows = opened.get_slice(name)
        shape = list(rows.get_shape())
        if len(shape) != 2 or shape[1] != self.width:
            raise Unusable(f"vectors of shape {shape}, the encoder takes [T, {self.width}]")
        wanted = duration * self.rate
        if abs(shape[0] - wanted) > SLACK + LOOSE * wanted:
            raise Unusable(
                f"{shape[0]} vectors, {duration:g} s at {self.rate:g} Hz have {wanted:.0f}"
            )
        first = min(round(start * self.rate), max(0, shape[0] - 1))
        found = np.asarray(rows[first : first + count].float().numpy(), np.float32)
        return self.filled(found, count)

    def cut(self, vectors: Vectors, start: float, num_samples: int) -> Vectors:
        """A stretch of the vectors of a recording that are in memory.

        Args:
            vectors: Of the recording.
            start: Seconds.
            num_samples: Of the stretch, at the model's rate.
        """
        count = self.count(num_samples)
        first = min(round(start * self.rate), max(0, len(vectors) - 1))
        return self.filled(vectors[first : first + count], count)

    def filled(self, vectors: Vectors, count: int) -> Vectors:
        """With the last one in the place of those that are missing at the end.

        Raises:
            Unusable: If there is none, or a value is not finite.
        """
        if not len(vectors) or not np.isfinite(vectors).all():
            raise Unusable("vectors that are not finite, or none at all")
        missing = max(0, count - len(vectors))
        return np.concatenate([vectors, np.repeat(vectors[-1:], missing, axis=0)])

    def joined(
        self, parts: Sequence[Vectors], offsets: Sequence[float], num_samples: int
    ) -> Vectors:
        """Vectors of recordings one behind the other; zeros in the silence between.

        Args:
            parts: Of each.
            offsets: Seconds at which each begins.
            num_samples: Of all, at the model's rate.
        """
        table = np.zeros((self.count(num_samples), self.width), np.float32)
        for vectors, offset in zip(parts, offsets, strict=True):
            first = round(offset * self.rate)
            table[first : first + len(vectors)] = vectors[: max(0, len(table) - first)]
        return table


def given_of(model: Any) -> Given | None:
    """What vectors a model takes; None if it hears.

    Raises:
        ConfigurationError: If its encoders take different ones.
    """
    forms = {(int(encoder.width), float(encoder.rate_hz)) for encoder in _encoders(model)}
    if len(forms) > 1:
        raise ConfigurationError(
            f"the two encoders of the kind vectors take different ones ({sorted(forms)}): a "
            "recording has one table of vectors, of one width and rate"
        )
    return None if not forms else Given(width=min(forms)[0], rate=min(forms)[1], model=model)


def _encoders(model: Any) -> list[Any]:
    found = (getattr(model, name, None) for name in ("semantic", "speaker"))
    return [encoder for encoder in found if getattr(encoder, "hears", None) == "vectors"]


def _opened(file: Path) -> Any:
    """The file, opened once in each process.

    Raises:
        ManifestError: If it is not there, or cannot be read.
    """
    from safetensors import SafetensorError

    try:
        return _handle(str(file), os.getpid())
    except (OSError, SafetensorError) as error:
        raise ManifestError(
            f"this model takes vectors, and there are none: {error}", path=file
        ) from error


@lru_cache(maxsize=64)
def _handle(file: str, process: int) -> Any:
    from safetensors import safe_open

    opened: Any = safe_open(file, framework="pt")
    return opened.__enter__()


@lru_cache(maxsize=64)
def _names(file: str, process: int) -> frozenset[str]:
    return frozenset(_handle(file, process).keys())
