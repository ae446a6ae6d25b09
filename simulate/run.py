"""A run: corpora in, a folder of sessions out; the same bytes however the work was done.

The unit of work is a shard of consecutive sessions. A worker plans, renders and labels its
sessions, publishes every file under its final name, and last writes the shard's done-marker; a run
that was killed trusts only markers whose files still have their hashes. When all shards are done,
their lines are joined into ``cuts.jsonl`` and the label files. Everything that differs between runs
(times, host, markers, caches) is under ``run/``.
"""

from __future__ import annotations

import json
import platform
import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from functools import lru_cache
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from talkover.manifests.audio_writing import MOST_FLAC_CHANNELS
from talkover.manifests.canonical import canonical_json, json_sha256
from talkover.manifests.errors import ConfigurationError, RunError
from talkover.manifests.exports import write_labels
from talkover.manifests.io import read_sessions, session_line
from talkover.manifests.jobs import make_executor, select_shard
from talkover.manifests.markers import (
    Marker,
    atomic_path,
    file_sha256,
    sweep_temporaries,
    verified_marker,
    write_marker,
)
from talkover.manifests.seeds import content_id
from talkover.simulate.config import SimulationConfig
from talkover.simulate.conversation import open_turn_taking
from talkover.simulate.corpus import Rejection, open_corpora
from talkover.simulate.devices import count_channels
from talkover.simulate.labels import LabelledSession, labelled
from talkover.simulate.lengths import SessionLengths, check_amount
from talkover.simulate.noise import NoiseCollection
from talkover.simulate.plan_tally import PlanTally
from talkover.simulate.planner import Planner
from talkover.simulate.providers import make_provider
from talkover.simulate.report import write_report
from talkover.simulate.responses import ResponseSet
from talkover.simulate.room_bank import RoomBank
from talkover.simulate.session import OutputFormat, make_session
from talkover.simulate.source_cache import SourceCache
from talkover.simulate.summary import Summary, summarise
from talkover.simulate.surroundings import (
    clip_rejections,
    open_collections,
    portable_collections,
)
from talkover.simulate.turn_targets import MAX_SPEAKERS

SHARDS_WANTED = 64
"""A run is cut into about this many shards, so that any number of workers has enough to do…"""
LARGEST_SHARD = 64
"""…but a shard holds at most this many sessions, so that a kill loses little work."""

LEAST_SESSIONS = 4
"""Of a run whose lengths come from the turn-taking model."""
SIZES_LOOKED_AT = 100
"""Sessions whose number of speakers is drawn where nobody asked for one, to estimate sizes."""
BANK_FOLDER = "rooms"
"""Of the responses of shared rooms, beside the cache of sources."""
NOISE_FOLDER = "noises"
"""Beside the cache of sources: decoded noises."""
FLAC_SHARE = 0.6
"""Size of 16-bit FLAC over PCM, as seen on simulated meetings with noise at 10 to 25 dB."""
EXPECTED_SPEED = 2000.0
"""Times real time of one worker that renders one channel, for `estimate`: rounded down from
``benchmarks/simulate.py`` (4 speakers, room of 0.6 s, WAV) on a quiet core."""
CHANNEL_COST = 1 / 3
"""Of one more channel, as a share of the whole cost of the first: 600 times real time for eight."""


@dataclass(frozen=True, kw_only=True)
class RunRequest:
    """Everything that a run needs; what decides its bytes and what does not."""

    out: Path
    corpora: tuple[str, ...]
    config: SimulationConfig = field(default_factory=SimulationConfig)
    seed: int = 0
    hours: float | None = None
    sessions: int | None = None
    output: OutputFormat = field(default_factory=OutputFormat)
    channel: int | Literal["mean"] = "mean"
    """Which channel of a multichannel source is used."""
    cache: Path | None = None
    """Folder of decoded sources; default ``run/cache`` of `out`."""


@dataclass(frozen=True, kw_only=True)
class _Shard:
    """What a worker gets: cheap to pickle, opens everything by path."""

    number: int
    first: int
    count: int
    out: Path
    cache: Path
    config: SimulationConfig
    configuration: str
    configuration_hash: str
    seed: int
    output: OutputFormat
    inputs_hash: str

    @property
    def unit(self) -> str:
        return f"shard-{self.number:06d}"


@dataclass(frozen=True, kw_only=True)
class PreparedRun:
    """A run whose corpus is decoded and whose work is cut, before anything is rendered."""

    request: RunRequest
    planner: Planner
    num_sessions: int
    shards: tuple[_Shard, ...]
    rejected: tuple[Rejection, ...]

    @property
    def asked_seconds(self) -> float:
        """Seconds of audio that the sessions were asked to have, for a progress bar."""
        return sum(self.planner.lengths.of(index) for index in range(self.num_sessions))


def prepare(request: RunRequest, *, executor: str = "processes", jobs: int = 1) -> PreparedRun:
    """Open and decode the corpora, check the targets and cut the work.

    Raises:
        ConfigurationError: If the request cannot work, or `out` holds another run.
        InfeasibleTarget: If no session of this corpus could meet the targets.
        ManifestError: If a corpus' manifest cannot be read.
    """
    request, count = _sized(request)
    _check_channels(request, count)
    request.out.mkdir(parents=True, exist_ok=True)
    work = request.out / "run"
    work.mkdir(exist_ok=True)
    cache = SourceCache.build(
        open_corpora(request.corpora, channel=request.channel, jobs=jobs),
        request.cache or work / "cache",
        request.config.sampling_rate,
        executor=make_executor(executor, jobs),
    )
    configuration = portable_configuration(request.config)
    digest = json_sha256(configuration)
    planner = make_planner(request.config, digest, cache, request.seed)
    planner.check()
    inputs = content_id(
        digest,
        planner.prepare(count),
        cache.corpus_hash,
        str(request.seed),
        str(count),
        request.output.model_dump_json(),
        length=64,
    )
    _claim(work, inputs, request)
    size = max(1, min(LARGEST_SHARD, count // SHARDS_WANTED))
    shards = tuple(
        _Shard(
            number=number,
            first=first,
            count=min(size, count - first),
            out=request.out,
            cache=cache.folder,
            config=request.config,
            configuration=canonical_json(configuration),
            configuration_hash=digest,
            seed=request.seed,
            output=request.output,
            inputs_hash=inputs,
        )
        for number, first in enumerate(range(0, count, size))
    )
    return PreparedRun(
        request=request,
        planner=planner,
        num_sessions=count,
        shards=shards,
        rejected=(*cache.rejected, *clip_rejections(planner.sounds, planner.microphones)),
    )


def estimate(request: RunRequest, *, jobs: int = 1) -> dict[str, float | int | str]:
    """What a run would make, from its configuration alone; decodes and writes nothing.

    Sizes are of 16-bit FLAC at `FLAC_SHARE` of PCM, or of WAV; minutes are those of rendering at
    `EXPECTED_SPEED` and `CHANNEL_COST` per worker, without decoding the corpus and without
    channel effects, walking speakers, stems and targets.

    Raises:
        ConfigurationError: If the request cannot work.
        ManifestError: If a corpus' manifest cannot be read.
    """
    request, count = _sized(request)
    turn_taking = open_turn_taking(request.config.turns.model)
    lengths = SessionLengths(request.config, turn_taking, request.seed)
    seconds = sum(lengths.of(index) for index in range(count))
    most_speakers = _most_speakers(request, count)
    channels = _most_channels(request.config, most_speakers)
    share = FLAC_SHARE if request.output.format == "flac" else 1.0
    pcm = seconds * request.config.sampling_rate * channels * 2
    targets = request.output.all_targets
    stems = pcm * 1.5 * share * (most_speakers * len(targets) + bool(targets))  # 24 bit
    utterances = rejected = 0
    for row in open_corpora(request.corpora, channel=request.channel):
        if isinstance(row, Rejection):
            rejected += 1
        else:
            utterances += 1
    speed = EXPECTED_SPEED / (1 + CHANNEL_COST * (channels - 1))
    return {
        "sessions": count,
        "hours": round(seconds / 3600, 3),
        "utterances": utterances,
        "rejected_rows": rejected,
        "gigabytes": round((pcm * share + stems) / 1e9, 3),
        "minutes": round(seconds / speed / jobs / 60, 2),
        "out": str(request.out),
    }


def _most_speakers(request: RunRequest, count: int) -> int:
    """Speakers of the largest session, as asked, or of the first sessions as drawn."""
    if request.config.session.speakers is not None:
        return request.config.session.speakers[1]
    turn_taking = open_turn_taking(request.config.turns.model)
    return max(
        turn_taking.draw_size(request.seed, n, request.config, MAX_SPEAKERS).speakers
        for n in range(min(count, SIZES_LOOKED_AT))
    )


def _most_channels(config: SimulationConfig, most_speakers: int) -> int:
    """Channels of the largest session; 1 where measured responses decide."""
    if make_provider(config.room.kind).geometry != "shoebox":
        return 1
    return count_channels(config.room.microphones, most_speakers)


def _check_channels(request: RunRequest, count: int) -> None:
    channels = _most_channels(request.config, _most_speakers(request, count))
    if request.output.format == "flac" and channels > MOST_FLAC_CHANNELS:
        raise ConfigurationError(
            f"room.microphones {request.config.room.microphones!r} has {channels} channels, but "
            f"FLAC holds at most {MOST_FLAC_CHANNELS}: use --format wav"
        )


def plan_only(run: PreparedRun, tally: PlanTally | None = None) -> Path:
    """Write ``plans.jsonl``, one line a session, and the label files; no audio.

    Args:
        run: From `prepare`.
        tally: Is told of every session and its labels.
    """
    path = run.request.out / "plans.jsonl"
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf8") as file:

        def sessions() -> Iterator[LabelledSession]:
            for index in range(run.num_sessions):
                plan = run.planner.plan(index)
                file.write(plan.canonical() + "\n")
                session = labelled(plan, run.planner.cache)
                if tally is not None:
                    tally.add(plan, session.supervisions)
                yield session

        write_labels(run.request.out, sessions())
    return path


def _sized(request: RunRequest) -> tuple[RunRequest, int]:
    """The request and its number of sessions; hours bound the lengths that a model may draw.

    A run of few hours gets at least `LEAST_SESSIONS` sessions, so that a look at it shows more than
    one conversation, and its length comes out near what was asked.

    Raises:
        ConfigurationError: If the amount is said twice or is not positive, or a model is wrong.
    """
    check_amount(request.hours, request.sessions)
    config = request.config
    turn_taking = open_turn_taking(config.turns.model)
    longest = turn_taking.longest(config)
    hours = request.hours
    if hours is not None and config.session.length is None and longest is not None:
        bound = hours * 3600 / LEAST_SESSIONS
        if bound < longest:
            session = config.session.model_copy(update={"longest": bound})
            config = config.model_copy(update={"session": session})
            request = replace(request, config=config)
    lengths = SessionLengths(config, turn_taking, request.seed)
    return request, lengths.count(request.hours, request.sessions)


def render_run(
    run: PreparedRun,
    *,
    executor: str = "processes",
    jobs: int = 1,
    shard: str | None = None,
    progress: Callable[[float], None] = lambda seconds: None,
) -> Summary | None:
    """Render what is not done yet and, when all shards are done, join them.

    Args:
        run: From `prepare`.
        executor: Name of an executor.
        jobs: Workers.
        shard: ``i/n`` of an array job: only these shards are rendered.
        progress: Called with the seconds of audio of each finished shard.

    Returns:
        Figures of the whole run, or None where other array jobs still have shards to do.
    """
    out = run.request.out
    if shard is None:  # other array jobs may be writing: their temporaries are not ours to sweep
        sweep_temporaries(out)
        mine: Sequence[_Shard] = run.shards
    else:
        mine = [run.shards[n] for n in select_shard(len(run.shards), shard)]
    done: set[int] = set()
    for item in mine:
        if _is_done(item):
            done.add(item.number)
            progress(_seconds_of(item))
    todo = [item for item in mine if item.number not in done]
    started = time.monotonic()
    rendered = 0.0
    for _, seconds in make_executor(executor, jobs).run(_render_shard, todo):
        rendered += seconds
        progress(seconds)
    _record(out, time.monotonic() - started, rendered, executor, jobs, shard)
    others = [item for item in run.shards if item not in mine]
    return _join(run) if all(_is_done(item) for item in others) else None


def _render_shard(item: _Shard) -> float:
    """Make one shard's sessions; the same bytes in any process. Returns seconds of audio."""
    planner = _worker_planner(item.config, item.configuration_hash, item.cache, item.seed)
    configuration = json.loads(item.configuration)
    files: list[Path] = []
    lines: list[str] = []
    seconds = 0.0
    for index in range(item.first, item.first + item.count):
        made = make_session(
            planner.plan(index),
            planner,
            out=item.out,
            configuration=configuration,
            output=item.output,
            folder=f"{item.number:06d}",
        )
        files += made.files
        lines.append(session_line(made.session))
        seconds += made.session.audio.duration
    part = _part(item)
    part.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(part) as temporary:
        temporary.write_text("".join(line + "\n" for line in lines), encoding="utf8")
    write_marker(
        _marker_folder(item.out),
        Marker.over(item.unit, item.inputs_hash, item.out, [part, *files]),
    )
    return seconds


@lru_cache(maxsize=1)
def _worker_planner(config: SimulationConfig, digest: str, cache: Path, seed: int) -> Planner:
    """The planner of this process, opened once for all its shards."""
    return make_planner(config, digest, SourceCache.open(cache), seed)


def make_planner(config: SimulationConfig, digest: str, cache: SourceCache, seed: int) -> Planner:
    """A planner with the turn-taking model, noises and responses that a configuration names."""
    noises = rirs = None
    if config.noise.any_clips:
        if config.noise.path is None:
            raise ConfigurationError(
                "noise.kind ambient and noise.spectrum clip need noise.path, a folder of clips"
            )
        noises = NoiseCollection.open(
            config.noise.path, config.sampling_rate, kept=cache.folder.parent / NOISE_FOLDER
        )
    if config.room.kind == "measured":
        if config.room.rirs is None:
            raise ConfigurationError("room.kind measured needs room.rirs, a folder of responses")
        rirs = ResponseSet.open(config.room.rirs, config.sampling_rate)
    sounds, microphones = open_collections(config)
    return Planner(
        config=config,
        sounds=sounds,
        microphones=microphones,
        configuration_hash=digest,
        cache=cache,
        turn_taking=open_turn_taking(config.turns.model),
        seed=seed,
        noises=noises,
        rirs=rirs,
        bank=None if config.room.bank is None else RoomBank(cache.folder.parent / BANK_FOLDER),
    )


def portable_configuration(config: SimulationConfig) -> dict[str, JsonValue]:
    """The configuration as JSON values, with what paths point to in place of the paths.

    Two machines that keep the same noises in different folders thus have the same hash.
    """
    values = config.model_dump(mode="json")
    values["turns"]["model"] = open_turn_taking(config.turns.model).identity
    if config.text.script is not None and config.text.order == "script":
        values["text"]["script"] = f"sha256:{_file_hash(config.text.script)}"
    if config.noise.path is not None and config.noise.any_clips:
        noises = NoiseCollection.open(config.noise.path, config.sampling_rate)
        values["noise"]["path"] = f"sha256:{noises.sha256()}"
    values.update(portable_collections(config))
    if config.room.rirs is not None and config.room.kind == "measured":
        values["room"]["rirs"] = (
            f"sha256:{ResponseSet.open(config.room.rirs, config.sampling_rate).sha256()}"
        )
    return values


def _file_hash(path: Path) -> str:
    try:
        return file_sha256(path)
    except OSError as error:
        raise ConfigurationError(f"{path}: {error.strerror}") from error


def _claim(work: Path, inputs: str, request: RunRequest) -> None:
    """Write down what this folder is for, or check that it is for the same."""
    path = work / "run.json"
    if path.exists():
        try:
            found = json.loads(path.read_text(encoding="utf8"))["inputs_hash"]
        except (ValueError, KeyError, TypeError) as error:
            raise RunError(f"{path}: not a run record: {error}; remove {request.out}") from error
        if found != inputs:
            raise ConfigurationError(
                f"{request.out} holds another run (configuration, corpus, seed or amount differ): "
                "choose another --out or remove it"
            )
        return
    record = {
        "inputs_hash": inputs,
        "seed": request.seed,
        "hours": request.hours,
        "sessions": request.sessions,
        "corpora": list(request.corpora),
    }
    with atomic_path(path) as temporary:
        temporary.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")


def _marker_folder(out: Path) -> Path:
    return out / "run" / "markers"


def _is_done(item: _Shard) -> bool:
    return (
        verified_marker(_marker_folder(item.out), item.out, item.unit, item.inputs_hash) is not None
    )


def _part(item: _Shard) -> Path:
    return item.out / "run" / "shards" / f"{item.unit}.jsonl"


def _seconds_of(item: _Shard) -> float:
    return sum(session.audio.duration for session in read_sessions(_part(item)))


def _record(
    out: Path, wall: float, rendered: float, executor: str, jobs: int, shard: str | None
) -> None:
    """Append what this call did to ``run/log.jsonl``: speed, host, time."""
    row = {
        "finished": time.strftime("%Y-%m-%dT%H:%M:%SZ", time.gmtime()),
        "host": platform.node(),
        "python": platform.python_version(),
        "executor": executor,
        "jobs": jobs,
        "shard": shard,
        "seconds_rendered": round(rendered, 3),
        "seconds_wall": round(wall, 3),
        "times_real_time": round(rendered / wall, 1) if wall > 0 else None,
    }
    with (out / "run" / "log.jsonl").open("a", encoding="utf8") as file:
        file.write(json.dumps(row) + "\n")


def _join(run: PreparedRun) -> Summary:
    """Join the shards' lines into the files at the top of the folder."""
    out = run.request.out
    cuts = out / "cuts.jsonl"
    with atomic_path(cuts) as temporary, temporary.open("wb") as file:
        for item in run.shards:
            file.write(_part(item).read_bytes())
    with atomic_path(out / "rejected.jsonl") as temporary:
        temporary.write_text("".join(r.line() + "\n" for r in run.rejected), encoding="utf8")
    write_labels(out, read_sessions(cuts))
    summary = summarise(read_sessions(cuts), run.rejected, shortfalls=run.planner.shortfalls)
    write_report(out / "report.html", summary)
    return summary
