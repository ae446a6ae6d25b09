"""The unit of work: consecutive sessions, which a worker plans, renders and labels in one go."""

from __future__ import annotations

import json
from dataclasses import dataclass
from functools import lru_cache
from pathlib import Path

from talkover.manifests.io import read_sessions, session_line
from talkover.manifests.markers import Marker, atomic_path, verified_marker, write_marker
from talkover.simulate.config import SimulationConfig
from talkover.simulate.planner import Planner
from talkover.simulate.planner_opening import make_planner
from talkover.simulate.session import OutputFormat, make_session
from talkover.simulate.source_cache import SourceCache


@dataclass(frozen=True, kw_only=True)
class Shard:
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
        """Its name in its done-marker."""
        return f"shard-{self.number:06d}"

    @property
    def lines(self) -> Path:
        """File with the lines of its sessions, to be joined into ``cuts.jsonl``."""
        return self.out / "run" / "shards" / f"{self.unit}.jsonl"

    @property
    def markers(self) -> Path:
        """Folder of the done-markers."""
        return self.out / "run" / "markers"

    @property
    def is_done(self) -> bool:
        """Whether it was made of these very inputs, and all its files are as they were."""
        return verified_marker(self.markers, self.out, self.unit, self.inputs_hash) is not None

    @property
    def seconds(self) -> float:
        """Seconds of audio of its sessions, once it is done."""
        return sum(session.audio.duration for session in read_sessions(self.lines))


def render_shard(item: Shard) -> float:
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
    item.lines.parent.mkdir(parents=True, exist_ok=True)
    with atomic_path(item.lines) as temporary:
        temporary.write_text("".join(line + "\n" for line in lines), encoding="utf8")
    marker = Marker.over(item.unit, item.inputs_hash, item.out, [item.lines, *files])
    write_marker(item.markers, marker)
    return seconds


@lru_cache(maxsize=1)
def _worker_planner(config: SimulationConfig, digest: str, cache: Path, seed: int) -> Planner:
    """The planner of this process, opened once for all its shards."""
    return make_planner(config, digest, SourceCache.open(cache), seed)
