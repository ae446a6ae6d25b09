"""A run: audio files in, a folder of sessions and segments out; the same bytes for any workers.

::

    OUT/cuts.jsonl          one session a recording, origin "annotated"
        segments.jsonl      one cut a segment
        labels.*            RTTM, STM, CTM, SegLST, UEM
        rejected.jsonl      what could not be used: path, stage, reason
        audio/ID.EXT        the recordings, unchanged
        run/                cache of stages, parts, markers, times: what differs between runs

The unit of work is a file. A run that was killed goes on where it stopped, and a run with another
configuration makes again only the stages that depend on what was changed.
"""

from __future__ import annotations

import json
import platform
import shutil
import time
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path

from pydantic import JsonValue

from talkover.annotate.config import AnnotationConfig
from talkover.annotate.export import TOOL
from talkover.annotate.inputs import (
    Rejected,
    check_counts,
    count_for,
    find_audio,
    parse_count,
    read_counts,
)
from talkover.annotate.join import Annotated, join
from talkover.annotate.offline import go_offline
from talkover.annotate.pipeline import Branches
from talkover.annotate.speaker_count import SpeakerCount
from talkover.annotate.work import Item, Keep, annotate_file, read_part
from talkover.manifests.audio import file_sha256
from talkover.manifests.canonical import canonical_json
from talkover.manifests.errors import ConfigurationError, ManifestError, WorkerDied
from talkover.manifests.extras import installed_version
from talkover.manifests.io import read_sessions
from talkover.manifests.jobs import make_executor, select_shard
from talkover.manifests.lines import CUTS_NAMES
from talkover.manifests.markers import sweep_temporaries
from talkover.manifests.seeds import content_id

Advance = Callable[[float], None]
"""Told of each file's seconds when it is done."""


@dataclass(frozen=True, kw_only=True)
class PreparedRun:
    """A run whose files are found and whose backends can be loaded, before anything is heard."""

    out: Path
    items: tuple[Item, ...]
    rejected: tuple[Rejected, ...]


def annotate_files(
    audio: Sequence[Path | str],
    out: Path | str,
    *,
    config: AnnotationConfig | None = None,
    speakers: str | Path | SpeakerCount | None = None,
    enrol: Path | str | None = None,
    jobs: int = 1,
    executor: str = "processes",
    shard: str | None = None,
    keep: Keep = "link",
    licence: str | None = None,
    cache: Path | str | None = None,
    progress: Advance = lambda seconds: None,
) -> Annotated | None:
    """Annotate files, and folders of them, into a produced folder.

    A file that cannot be used is written to ``rejected.jsonl`` with the reason, and the rest goes
    on.

    Args:
        audio: Files of any rate and number of channels, and folders, searched below.
        out: Folder to write.
        config: What is asked; the defaults if None.
        speakers: ``N``, ``MIN-MAX``, a table by file (CSV or YAML), or a count.
        enrol: Folder of known voices: ``NAME.wav`` or ``NAME/*.wav``.
        jobs: Workers.
        executor: Name of an executor.
        shard: ``i/n`` of an array job: only these files are annotated.
        keep: How recordings come into the folder: ``link``, ``copy`` or ``reference``.
        licence: SPDX id of the recordings' licence, where it is known.
        cache: Folder of the stages' results; default ``run/cache`` of `out`.
        progress: Told of each file.

    Returns:
        What came of the whole run, or None where other array jobs still have files to do.

    Raises:
        ConfigurationError: If the request cannot work, or `out` holds something else.
        RunError: If not one file could be annotated, or the disk is full.
    """
    run = prepare(
        audio,
        out,
        config=config,
        speakers=speakers,
        enrol=enrol,
        keep=keep,
        licence=licence,
        cache=cache,
    )
    work = run.out / "run"
    if shard is None:  # other array jobs may be at work: what is unfinished may be theirs
        sweep_temporaries(run.out)
        shutil.rmtree(work / "scratch", ignore_errors=True)
        mine: Sequence[Item] = run.items
    else:
        mine = [run.items[n] for n in select_shard(len(run.items), shard)]
    started = time.monotonic()
    seconds = _work(mine, executor, jobs, progress)
    if shard is None:
        shutil.rmtree(work / "scratch", ignore_errors=True)
    _record(work, time.monotonic() - started, seconds, executor, jobs, shard)
    if shard is not None:
        own = {item.unit for item in mine}
        if any(read_part(item) is None for item in run.items if item.unit not in own):
            return None
    return join(run.out, run.items, run.rejected)


def prepare(
    audio: Sequence[Path | str],
    out: Path | str,
    *,
    config: AnnotationConfig | None = None,
    speakers: str | Path | SpeakerCount | None = None,
    enrol: Path | str | None = None,
    keep: Keep = "link",
    licence: str | None = None,
    cache: Path | str | None = None,
) -> PreparedRun:
    """Find the files and check that the request can work; see `annotate_files`.

    Raises:
        ConfigurationError: If it cannot, or `out` holds something else.
    """
    go_offline()
    out = Path(out)
    config = config or AnnotationConfig()
    _check_folder(out, audio)
    voices = None if enrol is None else _voices(Path(enrol), config)
    voices_sha256 = None if voices is None else _folder_hash(voices)
    found = find_audio(audio)
    counts, general = _counts(speakers)
    check_counts(counts, found.files)
    branches = Branches(config, voices, voices_sha256)
    branches.check()
    request = _request(config, branches, voices_sha256, keep, licence)
    (out / "run").mkdir(parents=True, exist_ok=True)
    items = []
    for path in found.files:
        count = count_for(path, counts, general)
        items.append(
            Item(
                path=path,
                out=out,
                cache=Path(cache) if cache is not None else out / "run" / "cache",
                config=config,
                speakers=count,
                voices=voices,
                voices_sha256=voices_sha256,
                keep=keep,
                licence=licence,
                request_hash=content_id(request, str(count.limits), length=64),
            )
        )
    return PreparedRun(out=out, items=tuple(items), rejected=found.rejected)


def _request(
    config: AnnotationConfig,
    branches: Branches,
    voices_sha256: str | None,
    keep: str,
    licence: str | None,
) -> str:
    """Everything that decides the labels besides recordings and numbers of speakers."""
    values: dict[str, JsonValue] = {
        "tool": installed_version("talkover"),
        "configuration": config.plain(),
        "backends": {kind: asdict(branches.info(kind)) for kind in branches.kinds},
        "voices": voices_sha256,
        "keep": keep,
        "licence": licence,
    }
    return canonical_json(values)


def _work(items: Sequence[Item], executor: str, jobs: int, progress: Advance) -> float:
    """Annotate all items; a worker that dies over a file takes nobody else's with it.

    When one dies its siblings are stopped, too. So whatever was begun and not ended is then done
    again, each file by itself: only one that is really to blame is begun once more in vain, and is
    rejected when its turn comes.
    """
    if jobs > 1:  # else a death is the end of this process, and is remembered by the next
        for item in items:
            item.attempts.unlink(missing_ok=True)
    left = list(items)
    total = 0.0

    def run(batch: Sequence[Item], workers: int) -> bool:
        nonlocal left, total
        done: set[str] = set()
        try:
            for index, seconds in make_executor(executor, workers).run(annotate_file, batch):
                done.add(batch[index].unit)
                total += seconds
                progress(seconds)
        except WorkerDied:
            return False
        finally:
            left = [item for item in left if item.unit not in done]
        return True

    while left and not run(left, jobs):
        for item in [item for item in left if item.attempts.exists()]:
            run([item], max(2, jobs))  # with one worker, some executors work in this process
    return total


def _counts(
    speakers: str | Path | SpeakerCount | None,
) -> tuple[dict[str, SpeakerCount], SpeakerCount]:
    """Counts by file, and the one for all others."""
    if speakers is None or isinstance(speakers, SpeakerCount):
        return {}, speakers or SpeakerCount()
    if isinstance(speakers, Path) or Path(speakers).suffix.lower() in (".csv", ".yaml", ".yml"):
        return read_counts(Path(speakers)), SpeakerCount()
    return {}, parse_count(speakers)


def _voices(folder: Path, config: AnnotationConfig) -> Path:
    if not folder.is_dir():
        raise ConfigurationError(f"--enrol {folder}: not a folder of voices")
    for kind in ("diarizer", "embedder"):
        if getattr(config.backends, kind).is_off:
            raise ConfigurationError(f"--enrol needs backends.{kind}, which is none")
    return folder


def _folder_hash(folder: Path) -> str:
    """Of all files below a folder and their names."""
    files = sorted(path for path in folder.rglob("*") if path.is_file())
    parts = [part for f in files for part in (f.relative_to(folder).as_posix(), file_sha256(f))]
    return content_id(*parts, length=64)


def _check_folder(out: Path, audio: Sequence[Path | str]) -> None:
    """Refuse to write over a corpus, or among the recordings that are read.

    Raises:
        ConfigurationError: If the folder is not ours to write.
    """
    if not audio:
        raise ConfigurationError("no audio was given: name files or folders")
    for given in map(Path, audio):
        if given.is_dir() and out.resolve().is_relative_to(given.resolve()):
            raise ConfigurationError(
                f"--out {out} lies in {given}, whose audio is read: choose a folder outside"
            )
    for name in CUTS_NAMES:
        if (out / name).exists() and not _is_ours(out / name):
            raise ConfigurationError(
                f"{out / name} was not written by {TOOL}: choose another folder"
            )


def _is_ours(manifest: Path) -> bool:
    try:
        session = next(read_sessions(manifest), None)
    except ManifestError:
        return False
    return session is None or session.provenance.tool == TOOL


def _record(
    work: Path, wall: float, seconds: float, executor: str, jobs: int, shard: str | None
) -> None:
    """Append what this call did to ``run/log.jsonl``: speed, host, time."""
    row = {
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "host": platform.node(),
        "python": platform.python_version(),
        "executor": executor,
        "jobs": jobs,
        "shard": shard,
        "seconds_of_audio": round(seconds, 3),
        "seconds_wall": round(wall, 3),
    }
    with (work / "log.jsonl").open("a", encoding="utf8") as file:
        file.write(json.dumps(row) + "\n")
