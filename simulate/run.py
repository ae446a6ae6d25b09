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
from dataclasses import dataclass
from pathlib import Path

from talkover.manifests.canonical import canonical_json, json_sha256
from talkover.manifests.errors import ConfigurationError, RunError
from talkover.manifests.exports import write_labels
from talkover.manifests.io import read_sessions
from talkover.manifests.jobs import make_executor, select_shard
from talkover.manifests.markers import atomic_path, sweep_temporaries
from talkover.manifests.seeds import content_id
from talkover.simulate.corpus import Rejection, open_corpora
from talkover.simulate.labels import LabelledSession, labelled
from talkover.simulate.plan_tally import PlanTally
from talkover.simulate.planner import Planner
from talkover.simulate.planner_opening import make_planner, portable_configuration
from talkover.simulate.report import write_report
from talkover.simulate.request import RunRequest, check_channels, sized
from talkover.simulate.shards import Shard, render_shard
from talkover.simulate.source_cache import SourceCache
from talkover.simulate.summary import Summary, summarise
from talkover.simulate.surroundings import clip_rejections

SHARDS_WANTED = 64
"""A run is cut into about this many shards, so that any number of workers has enough to do…"""
LARGEST_SHARD = 64
"""…but a shard holds at most this many sessions, so that a kill loses little work."""


@dataclass(frozen=True, kw_only=True)
class PreparedRun:
    """A run whose corpus is decoded and whose work is cut, before anything is rendered."""

    request: RunRequest
    planner: Planner
    num_sessions: int
    shards: tuple[Shard, ...]
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
    request, count = sized(request)
    check_channels(request, count)
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
        Shard(
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
        mine: Sequence[Shard] = run.shards
    else:
        mine = [run.shards[n] for n in select_shard(len(run.shards), shard)]
    done: set[int] = set()
    for item in mine:
        if item.is_done:
            done.add(item.number)
            progress(item.seconds)
    todo = [item for item in mine if item.number not in done]
    started = time.monotonic()
    rendered = 0.0
    for _, seconds in make_executor(executor, jobs).run(render_shard, todo):
        rendered += seconds
        progress(seconds)
    _record(out, time.monotonic() - started, rendered, executor, jobs, shard)
    others = [item for item in run.shards if item not in mine]
    return _join(run) if all(item.is_done for item in others) else None


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
            file.write(item.lines.read_bytes())
    with atomic_path(out / "rejected.jsonl") as temporary:
        temporary.write_text("".join(r.line() + "\n" for r in run.rejected), encoding="utf8")
    write_labels(out, read_sessions(cuts))
    summary = summarise(read_sessions(cuts), run.rejected, shortfalls=run.planner.shortfalls)
    write_report(out / "report.html", summary)
    return summary
