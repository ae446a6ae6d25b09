"""Stages: pure functions of content, configuration and what came before, each kept by its key.

A stage's key is a hash of its name, its version, its configuration, the hash of the audio and the
keys of the stages that it reads. What it gave is published under that key, atomically; a later run,
another worker or a changed stage further down takes it from there. Nothing else is trusted: not
times, not names of files.
"""

from __future__ import annotations

import io
import json
import zipfile
from collections.abc import Callable, Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

import numpy as np
from pydantic import JsonValue

from talkover.annotate.backends.base import BackendInfo, BranchResult
from talkover.annotate.events import Curve, Event
from talkover.manifests.canonical import canonical_json
from talkover.manifests.markers import atomic_path
from talkover.manifests.seeds import content_id

FORMAT = "1"
"""Of the files; part of every key."""
EPOCH = (1980, 1, 1, 0, 0, 0)
"""Earliest time that a zip file can hold: the same result is the same bytes."""


@dataclass(frozen=True, kw_only=True, slots=True)
class StageKey:
    """What decides a stage's result."""

    stage: str
    backend: BackendInfo
    configuration: Mapping[str, JsonValue]
    audio: str
    """Hash of the recording and of the way it was decoded."""
    upstream: tuple[str, ...] = ()
    """Keys of the stages that it reads."""

    def text(self) -> str:
        """32 hexadecimal digits."""
        return content_id(
            FORMAT,
            self.stage,
            canonical_json(asdict(self.backend)),
            canonical_json(dict(self.configuration)),
            self.audio,
            *self.upstream,
            length=32,
        )


class StageCache:
    """Results on disk, one file a key.

    Args:
        folder: Where; made when first needed.
    """

    def __init__(self, folder: Path) -> None:
        """Remember the folder."""
        self._folder = folder

    def get(self, key: StageKey, make: Callable[[], BranchResult]) -> BranchResult:
        """The result of a stage: what is kept, or what is made now and kept from then on."""
        path = self._path(key)
        if path.exists():
            kept = _loaded(path)
            if kept is not None:
                return kept
        data = packed(make())
        with atomic_path(path) as temporary:
            temporary.write_bytes(data)
        return unpacked(data)  # the very values that a later run will read

    def _path(self, key: StageKey) -> Path:
        text = key.text()
        return self._folder / key.stage / text[:2] / f"{text}.zip"


def packed(result: BranchResult) -> bytes:
    """A result as a zip of JSON and arrays; the same result gives the same bytes."""
    document: dict[str, Any] = {
        "backend": asdict(result.backend),
        "events": [asdict(event) for event in result.events],
        "curves": {name: curve.hop for name, curve in sorted(result.curves.items())},
        "figures": dict(result.figures),
        "warnings": list(result.warnings),
    }
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_STORED) as archive:
        archive.writestr(zipfile.ZipInfo("result.json", EPOCH), canonical_json(document))
        for name, curve in sorted(result.curves.items()):
            values = io.BytesIO()
            np.save(values, curve.values.astype("<f4"), allow_pickle=False)
            archive.writestr(zipfile.ZipInfo(f"curves/{name}.npy", EPOCH), values.getvalue())
    return buffer.getvalue()


def unpacked(data: bytes) -> BranchResult:
    """What `packed` packed.

    Raises:
        ValueError: If the bytes are not such a file.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            document = json.loads(archive.read("result.json"))
            curves = {
                name: Curve(
                    name=name,
                    hop=hop,
                    values=np.load(
                        io.BytesIO(archive.read(f"curves/{name}.npy")), allow_pickle=False
                    ),
                )
                for name, hop in document["curves"].items()
            }
        return BranchResult(
            backend=BackendInfo(**document["backend"]),
            events=tuple(
                Event(**{**row, "bars": tuple(row["bars"])}) for row in document["events"]
            ),
            curves=curves,
            figures=document["figures"],
            warnings=tuple(document["warnings"]),
        )
    except (zipfile.BadZipFile, KeyError, TypeError) as error:
        raise ValueError(f"not a stage result: {error}") from error


def _loaded(path: Path) -> BranchResult | None:
    """A kept result; None for what a full disk or a crash of the machine left unreadable."""
    try:
        return unpacked(path.read_bytes())
    except (OSError, ValueError):
        return None
