"""Tempo of pieces whose tempo is known."""

from __future__ import annotations

import csv
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from talkover.annotate.evaluation.sides import Annotated
from talkover.manifests.audio import file_sha256
from talkover.manifests.errors import ConfigurationError
from talkover.manifests.schema import SoundEvent

TOLERANCE = 0.04
"""Share of the tempo that it may be off (Gouyon et al. 2006, accuracy 2)."""
OCTAVES = (0.5, 1.0, 2.0)
"""Factors at which a tempo counts as found: half and double are heard as well."""


@dataclass(frozen=True, kw_only=True)
class Piece:
    """A recording of one piece."""

    path: Path
    bpm: float


@dataclass(frozen=True, kw_only=True)
class Tempo:
    """What was said of one piece."""

    name: str
    bpm: float
    said: float | None
    """None where no music was found, or its tempo was not clear."""

    @property
    def is_right(self) -> bool:
        """Within the tolerance, an octave aside."""
        return self.said is not None and any(
            abs(self.said - factor * self.bpm) <= TOLERANCE * factor * self.bpm
            for factor in OCTAVES
        )


def read_pieces(table: Path) -> list[Piece]:
    """Pieces of a CSV with the columns ``file`` and ``bpm``; rows without a tempo are left out.

    Raises:
        ConfigurationError: If it has no such columns, or no piece.
    """
    with table.open(encoding="utf8", newline="") as file:
        rows = list(csv.DictReader(file))
    if not rows or not {"file", "bpm"} <= set(rows[0]):
        raise ConfigurationError(f"{table}: needs the columns file and bpm, and rows")
    pieces = []
    for number, row in enumerate(rows, start=2):
        if not row["bpm"]:
            continue
        try:
            bpm = float(row["bpm"])
        except ValueError as error:
            raise ConfigurationError(f"{table}:{number}: bpm: {row['bpm']!r}") from error
        pieces.append(Piece(path=table.parent / row["file"], bpm=bpm))
    if not pieces:
        raise ConfigurationError(f"{table}: no row has a tempo")
    return pieces


def tempos(pieces: Sequence[Piece], annotated: Annotated) -> list[Tempo]:
    """What was said of each piece: the tempo of its longest stretch of music that has one."""
    said: Mapping[str, float] = {
        digest: tempo
        for digest, session in annotated.sessions.items()
        if (tempo := _tempo(session.events)) is not None
    }
    return [
        Tempo(name=piece.path.stem, bpm=piece.bpm, said=said.get(file_sha256(piece.path)))
        for piece in pieces
    ]


def _tempo(events: Sequence[SoundEvent]) -> float | None:
    """Of the longest stretch of music with a tempo."""
    found = []
    for event in events:
        tempo = (event.attributes or {}).get("tempo_bpm")
        if event.kind == "music" and isinstance(tempo, int | float):
            found.append((event.duration, float(tempo)))
    return max(found)[1] if found else None
