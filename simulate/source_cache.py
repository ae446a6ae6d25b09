"""Sources decoded once: memory-mapped samples and a columnar index, cheap for a million utterances.

Nothing is held per utterance until it is asked for; pages come from the disk and are shared between
the workers of a machine. `talkover.simulate.source_build` writes what is read here.
"""

from __future__ import annotations

import json
import math
from collections import OrderedDict
from collections.abc import Iterable, Iterator
from functools import cached_property
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import RunError
from talkover.manifests.jobs import Executor
from talkover.simulate.corpus import Rejection, Utterance
from talkover.simulate.source_build import CACHE_VERSION, Progress, build_source_cache
from talkover.simulate.source_decode import PCM, CachedUtterance

__all__ = ["CachedUtterance", "SourceCache"]

OPEN_FILES = 128
"""Files of shards that are mapped at one time; a million utterances have 4,000."""
REMEMBERED = 4096
"""Utterances whose parsed rows are kept."""


class SourceCache:
    """The utterances of a run's corpora, numbered from 0 in the order of the corpora.

    Speakers, languages and topics are numbered in the order of their names. Pickles as its folder.

    Args:
        folder: Of a finished cache.

    Raises:
        RunError: If it is not one, or of another version.
    """

    def __init__(self, folder: Path) -> None:
        """Open the index."""
        self.folder = folder
        record = _record(folder)
        self.sampling_rate: int = record["sampling_rate"]
        self.num_utterances: int = record["num_utterances"]
        self.speakers: list[str] = record["speakers"]
        self.languages: list[str] = record["languages"]
        self.topics: list[str] = record["topics"]
        self.corpus_hash: str = record["corpus_hash"]
        """Of all utterances, their samples and what is known of them; of no path."""
        # Mapped at once: a later build in this folder writes another index under the same name.
        self._index = _mapped(folder / "index.bin", np.dtype(np.uint8))
        self._places: dict[str, dict[str, Any]] = record["columns"]
        self._columns: dict[str, NDArray[Any]] = {}
        self._files: OrderedDict[tuple[str, int], NDArray[Any]] = OrderedDict()
        self._rows: OrderedDict[int, CachedUtterance] = OrderedDict()

    def __reduce__(self) -> tuple[object, ...]:
        """Pickle as the folder; the other side opens it again."""
        return SourceCache, (self.folder,)

    def __len__(self) -> int:
        """Number of utterances."""
        return self.num_utterances

    @classmethod
    def open(cls, folder: Path) -> SourceCache:
        """The finished cache in a folder.

        Raises:
            RunError: If it is not one, or of another version.
        """
        return cls(folder)

    @classmethod
    def build(
        cls,
        utterances: Iterable[Utterance | Rejection],
        folder: Path,
        sampling_rate: int,
        *,
        executor: str | Executor = "serial",
        jobs: int | None = None,
        progress: Progress | None = None,
    ) -> SourceCache:
        """Decode all utterances, or what is missing of them, and open the result.

        Args:
            utterances: From `talkover.simulate.corpus.open_corpora`.
            folder: Of the cache and nothing else.
            sampling_rate: Of the cache, in Hz.
            executor: Name of an executor, or one.
            jobs: Workers, where `executor` is a name.
            progress: Called with the number of utterances done and of all.

        Raises:
            ManifestError: If not one utterance can be used, or a corpus cannot be read.
            RunError: If the disk is full or a worker dies.
        """
        build_source_cache(
            utterances, folder, sampling_rate, executor=executor, jobs=jobs, progress=progress
        )
        return cls(folder)

    @property
    def rejected(self) -> Iterator[Rejection]:
        """What could not be used, in the order of the corpora."""
        with (self.folder / "rejected.jsonl").open(encoding="utf8") as file:
            for line in file:
                yield Rejection.parse(line)

    @cached_property
    def speaker_no(self) -> NDArray[np.int32]:
        """Number of each utterance's speaker, ``[N]``."""
        return self._column("speaker_no")

    @cached_property
    def language_no(self) -> NDArray[np.int32]:
        """Number of each utterance's language, ``[N]``; -1 where it is not known."""
        return self._column("language_no")

    @cached_property
    def topic_no(self) -> NDArray[np.int32]:
        """Number of each utterance's book, chapter or topic, ``[N]``; -1 where it is not known."""
        return self._column("topic_no")

    @cached_property
    def speech_duration(self) -> NDArray[np.float32]:
        """Seconds from the first to the last sample of speech, ``[N]``."""
        return self._column("speech_duration")

    @cached_property
    def num_regions(self) -> NDArray[np.int64]:
        """Stretches of speech of each utterance, ``[N]``."""
        return np.diff(np.asarray(self._column("regions_ends")), prepend=0)

    @cached_property
    def region_duration(self) -> NDArray[np.float64]:
        """Seconds of each utterance's stretches of speech, without its pauses, ``[N]``."""
        regions = np.asarray(self._column("regions"))
        total = np.concatenate([[0], np.cumsum(regions[:, 1] - regions[:, 0])])
        ends = np.asarray(self._column("regions_ends"))
        return np.asarray(np.diff(total[ends], prepend=0) / self.sampling_rate)

    @cached_property
    def level_dbfs(self) -> NDArray[np.float32]:
        """Level of each utterance's speech, ``[N]``."""
        return self._column("level_dbfs")

    @cached_property
    def num_samples(self) -> NDArray[np.int64]:
        """Length of each utterance, ``[N]``."""
        return self._column("num_samples")

    @cached_property
    def has_text(self) -> NDArray[np.bool_]:
        """Whether a transcript is known, ``[N]``."""
        return self._column("has_text")

    def utterances_of(self, speaker_no: int) -> NDArray[np.int64]:
        """Numbers of one speaker's utterances, ascending."""
        return self._grouped("by_speaker", speaker_no)

    def regions(self, number: int) -> NDArray[np.int64]:
        """First sample and end of each stretch of speech of an utterance, ``[R, 2]``."""
        return self._grouped("regions", number)

    def pieces(self, number: int) -> NDArray[np.int64]:
        """First sample and end of what must stay whole: words, or regions where none are known."""
        return self._grouped("pieces", number)

    def utterance(self, number: int) -> CachedUtterance:
        """All that is known of one utterance.

        Raises:
            IndexError: If there is no such utterance.
        """
        number = self._valid(number)
        if number in self._rows:
            self._rows.move_to_end(number)
            return self._rows[number]
        start, length = (
            int(self._column("row_offset")[number]),
            int(self._column("row_length")[number]),
        )
        row = CachedUtterance.parse(self._file("rows", number)[start : start + length].tobytes())
        self._rows[number] = row
        if len(self._rows) > REMEMBERED:
            self._rows.popitem(last=False)
        return row

    def samples(self, number: int) -> NDArray[np.int16]:
        """Samples of one utterance, ``[T]``: a read-only view of the file.

        Raises:
            IndexError: If there is no such utterance.
        """
        number = self._valid(number)
        start = int(self._column("offset")[number])
        return self._file("pcm", number)[start : start + int(self.num_samples[number])]

    def _valid(self, number: int) -> int:
        if not 0 <= number < self.num_utterances:
            raise IndexError(f"utterance {number} of {self.num_utterances}")
        return int(number)

    def _grouped(self, table: str, group: int) -> NDArray[np.int64]:
        ends = self._column(f"{table}_ends")
        if not 0 <= group < len(ends):
            raise IndexError(f"{table}: {group} of {len(ends)}")
        return np.asarray(
            self._column(table)[int(ends[group - 1]) if group else 0 : int(ends[group])]
        )

    def _column(self, name: str) -> NDArray[Any]:
        """A view into the index."""
        if name not in self._columns:
            place = self._places[name]
            dtype, count = np.dtype(place["dtype"]), math.prod(place["shape"])
            flat = np.frombuffer(self._index, dtype, count, place["offset"])
            self._columns[name] = flat.reshape(place["shape"])
        return self._columns[name]

    def _file(self, kind: str, number: int) -> NDArray[Any]:
        """The samples or rows of an utterance's shard, mapped; the least used is let go."""
        key = kind, int(self._column("shard")[number])
        if key in self._files:
            self._files.move_to_end(key)
            return self._files[key]
        suffix, dtype = ("i16", PCM) if kind == "pcm" else ("jsonl", np.dtype(np.uint8))
        path = self.folder / kind / f"{key[1]:05d}.{suffix}"
        mapped = _mapped(path, dtype)
        self._files[key] = mapped
        if len(self._files) > OPEN_FILES:
            self._files.popitem(last=False)
        return mapped


def _mapped(path: Path, dtype: np.dtype[Any]) -> NDArray[Any]:
    """A file as a read-only array: a plain one, which is indexed faster than a `memmap`.

    Raises:
        RunError: If the file is not there or not whole.
    """
    try:
        return np.asarray(np.memmap(path, dtype=dtype, mode="r"))
    except (OSError, ValueError) as error:
        folder = path.parent if (path.parent / "cache.json").exists() else path.parent.parent
        raise RunError(f"{path}: {error}: remove {folder} to build it again") from error


def _record(folder: Path) -> dict[str, Any]:
    path = folder / "cache.json"
    try:
        record: dict[str, Any] = json.loads(path.read_bytes())
        version = record["version"]
    except FileNotFoundError as error:
        raise RunError(f"{folder}: not a finished source cache: no cache.json") from error
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise RunError(f"{path}: not the record of a source cache: {error}") from error
    if version != CACHE_VERSION:
        raise RunError(
            f"{path}: a cache of version {version}, not {CACHE_VERSION}: remove {folder}"
        )
    return record
