"""Writing shards: Lhotse Shar or WebDataset tar files, with the audio files as they are.

A shard is done when its record lies at the place, which is written after the shard's files; a run
that was killed trusts the records whose files are still there. The index comes last.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Any, Literal, cast, get_args

from pydantic import Field, ValidationError

from talkover.manifests.canonical import canonical_json
from talkover.manifests.errors import ConfigurationError, ManifestError, RunError
from talkover.manifests.jobs import Executor, make_executor
from talkover.manifests.lhotse_form import session_of_line, to_cut
from talkover.manifests.markers import sweep_temporaries
from talkover.manifests.schema import TIME_DIGITS, Contract, Session, Sha256
from talkover.manifests.shards.archive import (
    HashedFile,
    Span,
    add_bytes,
    add_file,
    add_line,
    finish,
)
from talkover.manifests.shards.index import (
    INDEX,
    Entry,
    Index,
    Shard,
    ShardFile,
    ShardFormat,
    index_text,
)
from talkover.manifests.shards.places import Place
from talkover.manifests.shards.plan import (
    CorpusPlan,
    ShardPlan,
    audio_size,
    lines_of,
    parse_size,
    plan_shards,
)

DEFAULT_SIZE = "256MB"
"""Some hours of one-channel FLAC: large enough for object stores, small enough to do again."""

_FOLDER = "shards"  # of its own: Lhotse takes every file of a Shar folder for a field of its cuts
_RECORDS = "run/sharding"
_PLAN = f"{_RECORDS}/plan.json"
_SUFFIXES = {"flac": "flac", "wav": "wav", "ogg": "ogg", "mp3": "mp3", "other": "audio"}


class ShardRecord(Contract):
    """Proof that a shard is done."""

    version: Literal[1] = 1
    inputs_hash: Sha256
    shard: Shard


class RunRecord(Contract):
    """What the shards at a place are of."""

    version: Literal[1] = 1
    inputs_hash: Sha256
    num_shards: int = Field(gt=0)


@dataclass(frozen=True, kw_only=True)
class _Files:
    """Open files of a shard; of WebDataset both are one."""

    labels: HashedFile
    audio: HashedFile


def write_shards(
    folder: Path | str,
    out: Path | str,
    *,
    format: ShardFormat = "shar",
    shard_size: int | str = DEFAULT_SIZE,
    jobs: int | None = 1,
    executor: str | Executor = "processes",
    storage_options: Mapping[str, Any] | None = None,
    progress: Callable[[float], object] | None = None,
) -> Index:
    """Write a corpus as shards, ``OUT/shards/…``, and their index, ``OUT/index.json``.

    The bytes depend on corpus, format and shard size alone. A run that was stopped goes on where it
    was. Stems and registration clips stay behind; every label is kept.

    Args:
        folder: Folder with ``cuts.jsonl``, or that file.
        out: Path or URL of a folder; empty, or of the same run.
        format: ``shar`` for Lhotse, ``webdataset`` for one tar file a shard.
        shard_size: Sessions, or bytes with a unit.
        jobs: Shards that are written at a time; all cores if None. ``memory://`` has one.
        executor: Name or object; see `talkover.manifests.jobs`.
        storage_options: For fsspec's file system.
        progress: Called with the seconds of audio of each finished shard.

    Raises:
        ManifestError: If the corpus is not whole: a line, an id, an audio file or its hash.
        RunError: If `out` holds other shards, or the disk is full.
        ConfigurationError: If an argument cannot work.
    """
    if format not in get_args(ShardFormat):
        raise ConfigurationError(
            f"unknown shard format {format!r}: choose one of {', '.join(get_args(ShardFormat))}"
        )
    size, place = parse_size(shard_size), Place.of(out, storage_options)
    place.require_writable()
    runner = make_executor("serial" if place.is_of_process else executor, jobs)
    plan = plan_shards(Path(folder), format, size)
    _claim(place, plan)
    shards: dict[int, Shard] = {}
    for number, shard in runner.run(partial(_write_shard, place, plan), plan.shards):
        shards[number] = shard
        if progress is not None:
            progress(shard.seconds)
    ordered = tuple(shards[number] for number in sorted(shards))
    index = Index(
        format=format,
        inputs_hash=plan.inputs_hash,
        num_sessions=sum(shard.num_sessions for shard in ordered),
        seconds=round(sum(shard.seconds for shard in ordered), TIME_DIGITS),
        shards=ordered,
    )
    place.write_text(INDEX, index_text(index))
    return index


def shard(
    folder: Path | str,
    out: Path | str,
    *,
    format: str = "shar",
    shard_size: int | str = DEFAULT_SIZE,
    jobs: int | None = 1,
    executor: str | Executor = "processes",
    progress: Callable[[float], object] | None = None,
) -> dict[str, str | int | float]:
    """Write shards and say what was written; the command ``talkover shard``. See `write_shards`."""
    index = write_shards(
        folder,
        out,
        format=cast(ShardFormat, format),
        shard_size=shard_size,
        jobs=jobs,
        executor=executor,
        progress=progress,
    )
    files = {file.path: file for one in index.shards for file in (one.labels, one.audio)}
    return {
        "index": f"{str(out).rstrip('/')}/{INDEX}",
        "format": index.format,
        "shards": len(index.shards),
        "sessions": index.num_sessions,
        "seconds": index.seconds,
        "bytes": sum(file.size for file in files.values()),
    }


def _claim(place: Place, plan: CorpusPlan) -> None:
    """See that the place is empty or ours, and say whose it is."""
    try:
        found: RunRecord | None = RunRecord.model_validate_json(place.read(_PLAN))
    except (ManifestError, ValidationError):
        found = None
    if found is None and place.is_empty(_FOLDER):
        record = RunRecord(inputs_hash=plan.inputs_hash, num_shards=len(plan.shards))
        place.write_text(_PLAN, canonical_json(record.model_dump(mode="json")) + "\n")
    elif found is None or found.inputs_hash != plan.inputs_hash:
        raise RunError(
            f"{place.url} holds shards of another corpus, format or size: choose an empty folder"
        )
    if place.local is not None:
        sweep_temporaries(place.local)


def _write_shard(place: Place, plan: CorpusPlan, shard: ShardPlan) -> Shard:
    """Write one shard and its record, or find them done."""
    record = f"{_RECORDS}/shard-{shard.number:06d}.json"
    done = _verified(place, record, shard.lines_sha256)
    if done is not None:
        return done
    names = _names(plan.format, shard.number)
    with ExitStack() as stack:
        opened = []
        for name in names:
            path = stack.enter_context(place.writing(name))
            opened.append(HashedFile(stack.enter_context(path.open("wb"))))
        files = _Files(labels=opened[0], audio=opened[-1])
        entries = []
        for line, raw in lines_of(plan, shard):
            session = session_of_line(raw, path=plan.cuts, line=line)
            entries.append(_add(files, plan, line, session, raw))
        finish(files.audio)
    written = [
        ShardFile(path=name, size=file.size, sha256=file.sha256)
        for name, file in zip(names, opened, strict=True)
    ]
    result = Shard(
        labels=written[0],
        audio=written[-1],
        num_sessions=len(entries),
        num_samples=sum(entry.num_samples for entry in entries),
        seconds=round(sum(entry.seconds for entry in entries), TIME_DIGITS),
        sessions=tuple(entries),
    )
    proof = ShardRecord(inputs_hash=shard.lines_sha256, shard=result)
    place.write_text(record, canonical_json(proof.model_dump(mode="json")) + "\n")
    return result


def _names(format: ShardFormat, number: int) -> tuple[str, ...]:
    """Files of a shard: of labels first, of audio last."""
    if format == "webdataset":
        return (f"{_FOLDER}/sessions-{number:06d}.tar",)
    return f"{_FOLDER}/cuts.{number:06d}.jsonl.gz", f"{_FOLDER}/recording.{number:06d}.tar"


def _verified(place: Place, name: str, inputs_hash: str) -> Shard | None:
    """The shard of a record, if its files are still as it says."""
    try:
        record = ShardRecord.model_validate_json(place.read(name))
    except (ManifestError, ValidationError):
        return None
    shard = record.shard
    if record.inputs_hash != inputs_hash:
        return None
    files = {file.path: file for file in (shard.labels, shard.audio)}.values()
    return shard if all(place.holds(one.path, one.size, one.sha256) for one in files) else None


def _add(files: _Files, plan: CorpusPlan, line: int, session: Session, raw: bytes) -> Entry:
    """Append a session's line, as it is, and its audio file, as it is."""
    audio = session.audio
    source, size = plan.cuts.parent / audio.path, audio_size(plan.cuts, line, session)
    suffix = _SUFFIXES[audio.format]
    if plan.format == "webdataset":
        # What follows the first dot of a member's name is its kind there, so ids lose theirs.
        key = session.id.replace(".", "%2E")
        labels: Span = add_bytes(files.labels, f"{key}.json", raw)
        where = add_file(files.audio, f"{key}.{suffix}", source, size, audio.sha256)
    else:
        labels = add_line(files.labels, raw)
        where = add_file(files.audio, f"{session.id}.{suffix}", source, size, audio.sha256)
        add_bytes(files.audio, f"{session.id}.json", _placeholder(session))
    return Entry(
        id=session.id,
        num_samples=audio.num_samples,
        seconds=audio.duration,
        labels=labels,
        audio=where,
    )


def _placeholder(session: Session) -> bytes:
    """Lhotse's recording whose source is the tar member before it (`lhotse.shar.utils`)."""
    recording = to_cut(session)["recording"]
    recording["sources"] = [
        {"type": "shar", "channels": recording["channel_ids"], "source": ""},
    ]
    return json.dumps(recording).encode() + b"\n"
