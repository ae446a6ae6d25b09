"""Building the source cache: each utterance decoded once, in shards, by any number of workers.

::

    FOLDER/cache.json            what the cache is; written last
           rejected.jsonl        what could not be used, and why
           index.bin             columns with a value for each utterance, one after the other
           pcm/00000.i16         samples of one shard's utterances, one after the other
           rows/00000.jsonl      everything else about them, one line each
           parts/ requests/ markers/    what a build that was killed goes on from

A shard is a fixed number of consecutive utterances, so the bytes depend on no number of workers.
"""

from __future__ import annotations

import fcntl
import hashlib
import json
import os
from collections import Counter
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field
from itertools import islice
from pathlib import Path
from typing import Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from talkover.manifests.errors import ManifestError
from talkover.manifests.jobs import Executor, make_executor
from talkover.manifests.markers import (
    Marker,
    atomic_path,
    publish,
    sweep_temporaries,
    verified_marker,
    write_marker,
)
from talkover.manifests.seeds import content_id
from talkover.simulate.corpus import Rejection, Utterance, topic_of_id
from talkover.simulate.source_decode import PCM, CachedUtterance, decode, from_request, to_request

CACHE_VERSION = "2"
"""Raised with every change that gives other samples or measurements for the same sources."""
SHARD_SIZE = 256
"""Utterances in a shard: minutes of work at most, and under 256 MB at 30 s and 16 kHz each."""

_INDEX = "index"  # name of the unit of work that comes after all shards
_ALIGNMENT = 64  # bytes; no value of a column lies across two cache lines

Progress = Callable[[int, int], None]
"""Called with the number of utterances that are decoded or rejected, and of all."""

COLUMNS: dict[str, type[np.generic]] = {
    "shard": np.int32,
    "offset": np.int64,
    "num_samples": np.int64,
    "row_offset": np.int64,
    "row_length": np.int32,
    "speaker_no": np.int32,
    "language_no": np.int32,
    "topic_no": np.int32,
    "has_text": np.bool_,
    "level_dbfs": np.float32,
    "speech_duration": np.float32,
}
"""One value an utterance: where it is, whose it is, and what a planner looks at."""
TABLES = {"regions": 2, "pieces": 2}
"""Several rows an utterance: table and its width; ``TABLE_ends`` says where they end."""


@dataclass(frozen=True, slots=True)
class _Shard:
    """What a worker gets: cheap to pickle, however many utterances there are."""

    number: int
    folder: Path
    sampling_rate: int
    num_items: int
    inputs_hash: str

    @property
    def unit(self) -> str:
        return f"shard-{self.number:05d}"

    def file(self, kind: str, suffix: str) -> Path:
        return self.folder / kind / f"{self.number:05d}.{suffix}"


def build_source_cache(
    utterances: Iterable[Utterance | Rejection],
    folder: Path,
    sampling_rate: int,
    *,
    executor: str | Executor = "serial",
    jobs: int | None = None,
    progress: Progress | None = None,
) -> None:
    """Decode all utterances into a folder, or what is missing of them.

    A build that was killed goes on with the shards whose markers are missing or wrong; the result
    is the same bytes. A second process that wants the same folder waits for the first.

    Args:
        utterances: In the order that they will have; rejections among them are written down.
        folder: Of the cache and nothing else.
        sampling_rate: Of the cache, in Hz.
        executor: Name of an executor, or one.
        jobs: Workers, where `executor` is a name.
        progress: Told after each shard.

    Raises:
        ManifestError: If not one utterance can be used; ``rejected.jsonl`` says why.
        RunError: If the disk is full or a worker dies.
    """
    folder.mkdir(parents=True, exist_ok=True)
    with _only_builder(folder):
        sweep_temporaries(folder)
        shards = _write_requests(utterances, folder, sampling_rate)
        todo = [shard for shard in shards if not _is_done(shard)]
        inputs = content_id(CACHE_VERSION, *(s.inputs_hash for s in shards), length=64)
        if not todo and _is_joined(folder, inputs):
            return
        if todo:
            (folder / "cache.json").unlink(missing_ok=True)
        total = sum(shard.num_items for shard in shards)
        done = total - sum(shard.num_items for shard in todo)
        for place, _ in make_executor(executor, jobs).run(_decode_shard, todo):
            done += todo[place].num_items
            if progress is not None:
                progress(done, total)
        _remove_others(folder, len(shards))
        _join(folder, shards, sampling_rate, inputs)


def _write_requests(
    utterances: Iterable[Utterance | Rejection], folder: Path, sampling_rate: int
) -> list[_Shard]:
    """Write down what each shard is to decode, and how the files look that it depends on."""
    shards: list[_Shard] = []
    items = iter(utterances)
    states: dict[Path, tuple[int, int] | None] = {}
    while batch := list(islice(items, SHARD_SIZE)):
        lines = []
        for item in batch:
            if isinstance(item, Rejection):
                request: dict[str, Any] = {"rejected": item.line()}
            else:
                if item.path not in states:
                    states = {item.path: _state(item.path)}  # corpora list files one by one
                request = {"utterance": to_request(item), "file_state": states[item.path]}
            lines.append(json.dumps(request, sort_keys=True) + "\n")
        data = "".join(lines).encode()
        head = f"{CACHE_VERSION} {sampling_rate}\n".encode()
        shard = _Shard(
            number=len(shards),
            folder=folder,
            sampling_rate=sampling_rate,
            num_items=len(batch),
            inputs_hash=hashlib.sha256(head + data).hexdigest(),
        )
        path = shard.file("requests", "jsonl")
        if not path.is_file() or path.read_bytes() != data:
            publish(path, lambda temporary, data=data: temporary.write_bytes(data))  # type: ignore[misc]
        shards.append(shard)
    return shards


def _state(path: Path) -> tuple[int, int] | None:
    """Size and time of change, by which a resumed build sees that a source is another one."""
    try:
        found = path.stat()
    except (OSError, ValueError):
        return None
    return found.st_size, found.st_mtime_ns


def _is_done(shard: _Shard) -> bool:
    markers = shard.folder / "markers"
    return verified_marker(markers, shard.folder, shard.unit, shard.inputs_hash) is not None


@dataclass(kw_only=True, slots=True)
class _Part:
    """The index of one shard, with speakers and languages by name."""

    num_samples: list[int] = field(default_factory=list)
    row_length: list[int] = field(default_factory=list)
    speaker: list[str] = field(default_factory=list)
    language: list[str | None] = field(default_factory=list)
    topic: list[str | None] = field(default_factory=list)
    has_text: list[bool] = field(default_factory=list)
    level_dbfs: list[float] = field(default_factory=list)
    speech_samples: list[int] = field(default_factory=list)
    regions: list[list[tuple[int, int]]] = field(default_factory=list)
    pieces: list[list[tuple[int, int]]] = field(default_factory=list)
    row_sha256: list[str] = field(default_factory=list)
    rejected: list[str] = field(default_factory=list)
    """Lines of `Rejection`."""

    def add(self, row: CachedUtterance, line: bytes) -> None:
        self.num_samples.append(row.num_samples)
        self.row_length.append(len(line))
        self.speaker.append(row.speaker)
        self.language.append(row.language)
        self.topic.append(row.topic or topic_of_id(row.utterance_id))
        self.has_text.append(row.text is not None)
        self.level_dbfs.append(row.level_dbfs)
        self.speech_samples.append(row.speech_samples)
        self.regions.append(list(row.regions))
        words = row.words or ()
        self.pieces.append([(at, at + n) for _, at, n in words] or list(row.regions))
        self.row_sha256.append(hashlib.sha256(line).hexdigest())

    def write(self, path: Path) -> None:
        values = {name: getattr(self, name) for name in self.__slots__}
        path.write_text(json.dumps(values, sort_keys=True) + "\n", encoding="utf8")

    @classmethod
    def read(cls, path: Path) -> _Part:
        return cls(**json.loads(path.read_bytes()))


def _decode_shard(shard: _Shard) -> None:
    """Decode a shard's utterances and publish its three files, the marker last."""
    part = _Part()
    lines: list[bytes] = []
    pcm = shard.file("pcm", "i16")
    with atomic_path(pcm) as temporary, temporary.open("wb") as file:
        for line in shard.file("requests", "jsonl").read_bytes().splitlines():
            request = json.loads(line)
            if "rejected" in request:
                part.rejected.append(request["rejected"])
                continue
            decoded = decode(from_request(request["utterance"]), shard.sampling_rate)
            if isinstance(decoded, Rejection):
                part.rejected.append(decoded.line())
                continue
            row, samples = decoded
            file.write(samples.astype(PCM, copy=False).tobytes())
            lines.append(row.line().encode() + b"\n")
            part.add(row, lines[-1])
    rows, index = shard.file("rows", "jsonl"), shard.file("parts", "json")
    publish(rows, lambda temporary: temporary.write_bytes(b"".join(lines)))
    publish(index, part.write)
    marker = Marker.over(shard.unit, shard.inputs_hash, shard.folder, [pcm, rows, index])
    write_marker(shard.folder / "markers", marker)


def _join(folder: Path, shards: list[_Shard], sampling_rate: int, inputs: str) -> None:
    """Write the index over all shards, the rejections, and last ``cache.json``."""
    index = _Index()
    with atomic_path(folder / "rejected.jsonl") as path, path.open("w", encoding="utf8") as file:
        reasons: Counter[str] = Counter()
        for shard in shards:
            part = _Part.read(shard.file("parts", "json"))
            index.add(shard.number, part, sampling_rate)
            for line in part.rejected:
                reasons[Rejection.parse(line).reason] += 1
                file.write(line + "\n")
    if not index.num_utterances:
        why = f", most for: {reasons.most_common(1)[0][0]}" if reasons else ""
        raise ManifestError(
            f"no utterance can be used: {reasons.total()} of {reasons.total()} rejected{why}",
            path=folder / "rejected.jsonl",
        )
    speakers, languages, topics = index.number_names()
    with atomic_path(folder / "index.bin") as path, path.open("wb") as binary:
        columns = _write_columns(binary, index.arrays())
    record = {
        "version": CACHE_VERSION,
        "sampling_rate": sampling_rate,
        "num_utterances": index.num_utterances,
        "num_rejected": reasons.total(),
        "speakers": speakers,
        "languages": languages,
        "topics": topics,
        "corpus_hash": index.corpus_hash(sampling_rate),
        "columns": columns,
    }
    text = json.dumps(record, indent=1, sort_keys=True) + "\n"
    publish(folder / "cache.json", lambda path: path.write_text(text, encoding="utf8"))
    files = [folder / name for name in ("cache.json", "index.bin", "rejected.jsonl")]
    write_marker(folder / "markers", Marker.over(_INDEX, inputs, folder, files))


def _is_joined(folder: Path, inputs: str) -> bool:
    return verified_marker(folder / "markers", folder, _INDEX, inputs) is not None


class _Index:
    """Collects the columns of all shards, part by part."""

    def __init__(self) -> None:
        self.num_utterances = 0
        self._parts: dict[str, list[NDArray[Any]]] = {name: [] for name in COLUMNS}
        self._tables: dict[str, list[NDArray[Any]]] = {name: [] for name in TABLES}
        self._counts: dict[str, list[NDArray[Any]]] = {name: [] for name in TABLES}
        self._speakers: dict[str, int] = {}
        self._languages: dict[str, int] = {}
        self._topics: dict[str, int] = {}
        self._rows = hashlib.sha256()

    def add(self, number: int, part: _Part, sampling_rate: int) -> None:
        count = len(part.num_samples)
        self.num_utterances += count
        lengths = np.array(part.num_samples, dtype=np.int64)
        row_lengths = np.array(part.row_length, dtype=np.int64)
        speakers, languages, topics = self._speakers, self._languages, self._topics
        columns = {
            "shard": [number] * count,
            "offset": np.cumsum(lengths) - lengths,
            "num_samples": lengths,
            "row_offset": np.cumsum(row_lengths) - row_lengths,
            "row_length": row_lengths,
            "speaker_no": [speakers.setdefault(s, len(speakers)) for s in part.speaker],
            "language_no": [
                -1 if name is None else languages.setdefault(name, len(languages))
                for name in part.language
            ],
            "topic_no": [
                -1 if name is None else topics.setdefault(name, len(topics)) for name in part.topic
            ],
            "has_text": part.has_text,
            "level_dbfs": part.level_dbfs,
            "speech_duration": np.array(part.speech_samples, dtype=np.float64) / sampling_rate,
        }
        for name, values in columns.items():
            self._parts[name].append(np.asarray(values, dtype=COLUMNS[name]))
        for name, rows in (("regions", part.regions), ("pieces", part.pieces)):
            flat = [pair for pairs in rows for pair in pairs]
            self._tables[name].append(np.array(flat, dtype=np.int64).reshape(-1, TABLES[name]))
            self._counts[name].append(np.array([len(pairs) for pairs in rows], dtype=np.int64))
        for digest in part.row_sha256:
            self._rows.update(bytes.fromhex(digest))

    def number_names(self) -> tuple[list[str], list[str], list[str]]:
        """Sort speakers, languages and topics by name, and number the utterances by that."""
        for column, names in (
            ("speaker_no", self._speakers),
            ("language_no", self._languages),
            ("topic_no", self._topics),
        ):
            place = {name: n for n, name in enumerate(sorted(names))}
            # One more at the end, where -1 (no language, no topic) finds itself.
            new = np.array([*(place[name] for name in names), -1], dtype=COLUMNS[column])
            self._parts[column] = [new[np.concatenate(self._parts[column])]]
        return sorted(self._speakers), sorted(self._languages), sorted(self._topics)

    def arrays(self) -> dict[str, NDArray[Any]]:
        """All files of the index by name."""
        arrays = {name: np.concatenate(parts) for name, parts in self._parts.items()}
        for name in TABLES:
            arrays[name] = np.concatenate(self._tables[name])
            arrays[f"{name}_ends"] = np.cumsum(np.concatenate(self._counts[name]))
        speaker_no = arrays["speaker_no"]
        arrays["by_speaker"] = np.argsort(speaker_no, kind="stable").astype(np.int64)
        arrays["by_speaker_ends"] = np.cumsum(np.bincount(speaker_no)).astype(np.int64)
        return arrays

    def corpus_hash(self, sampling_rate: int) -> str:
        """Hash of all that the cache says about its utterances, in their order."""
        head = f"{CACHE_VERSION} {sampling_rate} {self.num_utterances}\n".encode()
        return hashlib.sha256(head + self._rows.digest()).hexdigest()


def _write_columns(file: BinaryIO, arrays: Mapping[str, NDArray[Any]]) -> dict[str, dict[str, Any]]:
    """Write arrays one after the other, little-endian, and say where each is."""
    columns = {}
    for name, values in arrays.items():
        file.write(bytes(-file.tell() % _ALIGNMENT))
        dtype = values.dtype.newbyteorder("<")
        columns[name] = {"offset": file.tell(), "dtype": dtype.str, "shape": list(values.shape)}
        file.write(values.astype(dtype, copy=False).tobytes())
    return columns


def _remove_others(folder: Path, num_shards: int) -> None:
    """Remove the shards of a larger build that was here before."""
    for kind in ("pcm", "rows", "parts", "requests"):
        for path in (folder / kind).glob("[0-9]*.*"):
            if path.name.split(".")[0].isdecimal() and int(path.name.split(".")[0]) >= num_shards:
                path.unlink()
    for path in (folder / "markers").glob("shard-*.done.json"):
        number = path.name.removeprefix("shard-").removesuffix(".done.json")
        if number.isdecimal() and int(number) >= num_shards:
            path.unlink()


@contextmanager
def _only_builder(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder, which the system drops if this process dies."""
    descriptor = os.open(folder / ".lock", os.O_CREAT | os.O_RDWR, 0o666)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        except OSError:  # a file system without locks: two builders would do the same work twice
            pass
        yield
    finally:
        os.close(descriptor)
