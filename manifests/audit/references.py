"""A real corpus to hold turn-taking against."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from talkover.manifests.errors import ManifestError
from talkover.manifests.labels import guess_format, read_labels
from talkover.manifests.segments import Segment


@dataclass(frozen=True, kw_only=True)
class Reference:
    """Segments of real sessions."""

    name: str
    sessions: Mapping[str, Sequence[Segment]]


def read_reference(path: Path | str | Reference | None) -> Reference | None:
    """Labels of a real corpus: a label file, a manifest, or a folder of label files.

    Raises:
        ManifestError: If there is nothing to read.
    """
    if path is None or isinstance(path, Reference):
        return path
    path = Path(path)
    files = [path]
    if path.is_dir() and not any(path.glob("cuts.jsonl*")):
        files = sorted(f for f in path.iterdir() if f.is_file() and guess_format(f) is not None)
    sessions: dict[str, Sequence[Segment]] = {}
    for file in files:
        sessions.update(read_labels(file, regions=True))
    if not sessions:
        raise ManifestError("holds no labels", path=path)
    return Reference(name=path.stem or path.name, sessions=sessions)
