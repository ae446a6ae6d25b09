"""A bank of responses on disk, by the hash of what they are of: made once, shared by all workers.

A response is a float32 ``.npy`` that is memory-mapped, beside a record with its hash and what
was measured. The record is written last and trusted only if the samples have its hash; anything
else is made again. So the bytes are the same with an empty bank, a full one and a damaged one.
"""

from __future__ import annotations

import hashlib
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from pydantic import ValidationError

from talkover.manifests.markers import publish
from talkover.manifests.schema import Contract, Ratio, Sha256
from talkover.simulate.providers import Response

SUBFOLDER_DIGITS = 2
"""Digits of the key that name a subfolder, so that no folder gets too full."""


class _Record(Contract):
    """What a stored response must look like."""

    sha256: Sha256
    """Of the samples, float32 little-endian, channel after channel."""
    shape: tuple[int, int]
    absorption: Ratio | None


@dataclass(frozen=True, slots=True)
class RoomBank:
    """Responses in a folder.

    Args:
        folder: Made when the first response is stored.
    """

    folder: Path

    def response(self, key: str, make: Callable[[], Response]) -> Response:
        """The stored response of a key, or a new one, which is stored.

        Args:
            key: Hash of everything that decides the samples.
            make: Makes the response.
        """
        stored = self._stored(key)
        if stored is not None:
            return stored
        samples, absorption = make()
        self._store(key, samples, absorption)
        return samples, absorption

    def _paths(self, key: str) -> tuple[Path, Path]:
        base = self.folder / key[:SUBFOLDER_DIGITS] / key
        return base.with_suffix(".npy"), base.with_suffix(".json")

    def _stored(self, key: str) -> Response | None:
        path, record_path = self._paths(key)
        try:
            record = _Record.model_validate_json(record_path.read_bytes())
            samples = np.load(path, mmap_mode="r", allow_pickle=False)
        except (OSError, ValidationError, ValueError, EOFError):
            return None  # absent or damaged: it is made again
        if samples.dtype != np.float32 or samples.shape != record.shape:
            return None
        if samples_sha256(samples) != record.sha256:
            return None
        return samples, record.absorption

    def _store(self, key: str, samples: NDArray[np.float32], absorption: float | None) -> None:
        path, record_path = self._paths(key)
        record = _Record(
            sha256=samples_sha256(samples),
            shape=(samples.shape[0], samples.shape[1]),
            absorption=absorption,
        )
        publish(path, lambda temporary: _save(temporary, samples))
        publish(
            record_path,
            lambda temporary: temporary.write_text(record.model_dump_json() + "\n", "utf8"),
        )


def samples_sha256(samples: NDArray[np.float32]) -> str:
    """Hash of samples as float32 little-endian, channel after channel."""
    return hashlib.sha256(np.ascontiguousarray(samples, dtype="<f4").data).hexdigest()


def _save(path: Path, samples: NDArray[np.float32]) -> None:
    with path.open("wb") as file:  # by handle: by name numpy would add a suffix
        np.save(file, np.ascontiguousarray(samples, dtype=np.float32), allow_pickle=False)
