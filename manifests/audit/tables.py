"""The tables of a part: made from its lines once, then kept as Parquet.

The name of a cached part is the hash of its bytes and of the version of these tables, so a changed
manifest is read again and an unchanged one is not.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

import numpy as np
import pandas as pd
import pyarrow as pa
import pyarrow.compute as pc
import pyarrow.parquet as pq

from talkover.manifests.audit import figures
from talkover.manifests.audit.columns import TABLES, Lists, arrow_table, to_frame
from talkover.manifests.audit.extract import extract_cuts
from talkover.manifests.audit.extract_labels import audio_files, extract_labels
from talkover.manifests.audit.inputs import Part
from talkover.manifests.errors import ManifestError
from talkover.manifests.markers import atomic_path

VERSION = "2"
"""Of the tables' content: another one makes every cached part anew."""
ROW_KEYS = ("session_row", "turn_row", "line")
_BLOCK = 1 << 22  # bytes read at a time for a hash


class Tables(Mapping[str, pd.DataFrame]):
    """Tables of one or more parts, read when they are asked for.

    Rows of several parts are numbered on, so that ``session_row`` and ``turn_row`` hold over all.

    Args:
        parts: The folder of Parquet files of each part.
        lines: Lines of the same manifest ahead of each part; none if not given.
    """

    def __init__(self, parts: Iterable[Path], lines: Sequence[int] | None = None) -> None:
        """Note the parts; nothing is read yet."""
        self.parts = list(parts)
        self._lines = [0] * len(self.parts) if lines is None else list(lines)
        self._frames: dict[str, pd.DataFrame] = {}
        self._offsets: list[dict[str, int]] | None = None

    def __getitem__(self, name: str) -> pd.DataFrame:
        """The table as a DataFrame; it is kept, so do not change it."""
        if name not in TABLES:
            raise KeyError(name)
        if name not in self._frames:
            self._frames[name] = self._merged(name)
        return self._frames[name]

    def __iter__(self) -> Iterator[str]:
        """Names of the tables."""
        return iter(TABLES)

    def __len__(self) -> int:
        """Number of tables."""
        return len(TABLES)

    def forget(self, *names: str) -> None:
        """Give the memory of tables back; they are read again when asked for."""
        for name in names:
            self._frames.pop(name, None)

    def put(self, name: str, frame: pd.DataFrame) -> None:
        """Put a frame in a table's place."""
        self._frames[name] = frame

    def arrow(self, name: str, part: int) -> pa.Table:
        """A table of one part, its rows numbered within the part."""
        file = self.parts[part] / f"{name}.parquet"
        if not file.is_file():
            return arrow_table(name, {c.name: [] for c in TABLES[name]})
        return pq.read_table(file, use_threads=False)

    def _merged(self, name: str) -> pd.DataFrame:
        tables = []
        for number, offset in enumerate(self._offset()):
            table = self.arrow(name, number)
            for key in ROW_KEYS:
                if key in table.column_names and offset[key]:
                    place = table.column_names.index(key)
                    moved = pc.add(table.column(key), offset[key])
                    table = table.set_column(place, table.schema.field(key), moved)
            tables.append(table)
        return to_frame(pa.concat_tables(tables).unify_dictionaries())

    def _offset(self) -> list[dict[str, int]]:
        """How many rows come before each part."""
        if self._offsets is None:
            self._offsets, sums = [], dict.fromkeys(ROW_KEYS, 0)
            for number, lines in enumerate(self._lines):
                self._offsets.append({**sums, "line": lines})
                sums["session_row"] += self._length("sessions", number)
                sums["turn_row"] += self._length("turns", number)
        return self._offsets

    def _length(self, name: str, part: int) -> int:
        return int(pq.read_metadata(self.parts[part] / f"{name}.parquet").num_rows)


def part_key(part: Part) -> str:
    """A name for the content of a part.

    Raises:
        ManifestError: If the file cannot be read.
    """
    digest = hashlib.sha256(f"{VERSION} {part.kind} {part.split} {part.path}".encode())
    try:
        with part.path.open("rb") as file:
            file.seek(part.start)
            left = None if part.stop is None else part.stop - part.start + _BLOCK
            while block := file.read(_BLOCK if left is None else min(_BLOCK, left)):
                digest.update(block)
                left = None if left is None else left - len(block)
                if left == 0:
                    break
    except OSError as error:
        raise ManifestError(f"cannot be read: {error.strerror}", path=part.path) from error
    if part.kind == "labels":
        for name, path in audio_files(part.folder).items():
            state = path.stat()
            digest.update(f"{name} {path} {state.st_size} {state.st_mtime_ns}".encode())
    return digest.hexdigest()[:32]


def extract(part: Part) -> tuple[dict[str, pa.Table], int]:
    """The tables of a part, and how many lines it has.

    Raises:
        ManifestError: If the file cannot be read.
    """
    lists, lines = (extract_cuts if part.kind == "cuts" else extract_labels)(part)
    return _with_figures(lists), lines


def save(tables: Mapping[str, pa.Table], folder: Path) -> None:
    """Write tables as Parquet files that appear whole or not at all."""
    folder.mkdir(parents=True, exist_ok=True)
    for name, table in tables.items():
        with atomic_path(folder / f"{name}.parquet") as temporary:
            pq.write_table(table, temporary, compression="zstd", compression_level=1)


def _with_figures(lists: Lists) -> dict[str, pa.Table]:
    """Arrow tables with what follows from the regions."""
    tables = {
        name: arrow_table(name, lists[name]) for name in ("turns", "words", "regions", "sources")
    }
    sessions: dict[str, Any] = dict(lists["sessions"])
    count = len(sessions["session"])
    names = np.asarray(sessions["session"], dtype=object)
    turns = to_frame(tables["turns"].select(["session_row", "turn", "speaker"]))
    regions = to_frame(tables["regions"])
    units = figures.units_of(regions, turns)
    durations = np.asarray(sessions["duration"], dtype=np.float64)
    sums, overlaps = figures.occupancy(units, durations)
    gaps = figures.walk(units)
    speakers, shares = figures.talk(units, count)
    sessions |= sums | shares | _ratios(sums, durations)
    pairs = turns[["session_row", "turn"]].drop_duplicates()
    sessions["num_turns"] = np.bincount(pairs["session_row"], minlength=count)
    sessions |= _floor(gaps, count)
    said = turns.groupby(["session_row", "speaker"]).size().rename("num_supervisions")
    speakers = speakers.join(said, on=["session_row", "speaker"])
    speakers["num_supervisions"] = speakers["num_supervisions"].fillna(0).astype("int64")
    for name, frame in {"gaps": gaps, "overlaps": overlaps, "speakers": speakers}.items():
        frame["session"] = names[frame["session_row"].to_numpy(dtype=np.int64)]
        tables[name] = arrow_table(name, {c.name: frame[c.name].tolist() for c in TABLES[name]})
    tables["sessions"] = arrow_table("sessions", sessions)
    tables["files"] = arrow_table("files", lists["files"])
    tables["events"] = arrow_table("events", lists["events"])
    tables["problems"] = arrow_table("problems", lists["problems"])
    return tables


def _ratios(sums: Mapping[str, Any], durations: Any) -> dict[str, Any]:
    speech, overlap = sums["speech"], sums["overlap"]
    spoken, whole = np.where(speech > 0, speech, 1.0), np.where(durations > 0, durations, np.nan)
    return {
        "overlap_of_speech": overlap / spoken,
        "overlap_of_time": overlap / whole,
        "silence_of_time": 1 - speech / whole,
    }


def _floor(gaps: pd.DataFrame, count: int) -> dict[str, Any]:
    """Counts and quantiles of floor-transfer offsets and pauses, by session."""
    rows, offset = (
        gaps["session_row"].to_numpy(dtype=np.int64),
        gaps["offset"].to_numpy(dtype=float),
    )
    change = gaps["kind"].isin(["switch", "interruption"]).to_numpy(dtype=bool)
    pause = (gaps["kind"] == "hold").to_numpy(dtype=bool) & (offset > 0)
    p10, p50, p90 = figures.quantiles(rows[change], offset[change], count, [0.1, 0.5, 0.9])
    (pause_p50,) = figures.quantiles(rows[pause], offset[pause], count, [0.5])
    return {
        "fto_count": np.bincount(rows[change], minlength=count),
        "fto_p10": p10,
        "fto_p50": p50,
        "fto_p90": p90,
        "pause_count": np.bincount(rows[pause], minlength=count),
        "pause_p50": pause_p50,
    }
