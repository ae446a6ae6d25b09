"""Sessions of an RTTM file by their place in it, so that a long file need not be in memory."""

from __future__ import annotations

from dataclasses import dataclass, field
from pathlib import Path
from typing import Self

from talkover.manifests.errors import ManifestError
from talkover.manifests.labels import segments_of_rttm
from talkover.manifests.segments import Segment


@dataclass(slots=True)
class RttmIndex:
    """Where the lines of each session are: runs of (first byte, number of bytes, first line)."""

    path: Path
    exists: bool = False
    runs: dict[str, list[tuple[int, int, int]]] = field(default_factory=dict)

    @classmethod
    def of(cls, path: Path) -> Self:
        """Look through a file once; one that does not exist has no session."""
        index = cls(path)
        if not path.is_file():
            return index
        index.exists = True
        position, last = 0, None
        with path.open("rb") as file:
            for number, raw in enumerate(file, start=1):
                fields = raw.split(None, 2)
                name = fields[1].decode(errors="replace") if len(fields) > 2 else ""
                if name != last:
                    index.runs.setdefault(name, []).append((position, 0, number))
                first, length, line = index.runs[name][-1]
                index.runs[name][-1] = (first, length + len(raw), line)
                position, last = position + len(raw), name
        return index

    @property
    def sessions(self) -> set[str]:
        """All sessions that the file has lines of."""
        return {name for name in self.runs if name}

    def segments(self, session: str) -> list[Segment]:
        """The segments of a session, in the order of the file.

        Raises:
            ManifestError: If one of its lines is no RTTM.
        """
        if session not in self.runs:
            return []
        segments: list[Segment] = []
        with self.path.open("rb") as file:
            for first, length, line in self.runs[session]:
                file.seek(first)
                try:
                    text = file.read(length).decode()
                except UnicodeDecodeError as error:
                    raise ManifestError(f"not UTF-8: {error}", path=self.path, line=line) from error
                segments += segments_of_rttm(text.split("\n"), path=self.path, first_line=line)
        return segments
