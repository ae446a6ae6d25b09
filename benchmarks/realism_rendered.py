"""Labels of planned sessions, as realistic as the speech corpus allows; the half with speech.

    python benchmarks/realism_rendered.py LABELS_FOLDER [--corpus MANIFEST] [--hours 40]

Plans sessions with each preset over a corpus like LibriSpeech with word times (durations alone,
`timing_corpus.py`), the same without word times, and a real corpus if one is named, writes their
label files, and holds them against the real labels that the preset was fitted on. Also prints the
Wasserstein-1 distance between unit durations that the model wanted and that were said.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path

import numpy as np
from timing_corpus import TimingCorpus

from talkover.manifests.exports import write_rttm
from talkover.manifests.jobs import make_executor
from talkover.manifests.labels import read_labels
from talkover.manifests.segments import Segment
from talkover.manifests.turn_taking import Comparison, compare, wasserstein
from talkover.simulate.config import load_config
from talkover.simulate.corpus import open_corpora
from talkover.simulate.labels import labelled
from talkover.simulate.planner import Planner
from talkover.simulate.planner_opening import make_planner
from talkover.simulate.source_cache import SourceCache

REAL = {
    "ami": "ami_train.rttm.gz",
    "alimeeting": "alimeeting_eval8.rttm.gz",
    "aishell4": "aishell4_train18.rttm.gz",
    "voxconverse": "voxconverse_dev.rttm.gz",
}
FIRST = "read sentences, word times"
"""The corpus whose labels `--out` keeps: `realism.py --rendered` prints them beside the rivals."""
Labels = dict[str, list[Segment]]


def planned_labels(planner: Planner, hours: float) -> Labels:
    """Speech regions of planned sessions, from the labels that their audio would have."""
    sessions: Labels = {}
    total, index = 0.0, 0
    while total < hours * 3600:
        session = labelled(planner.plan(index), planner.cache)
        sessions[session.id] = [
            Segment(session=session.id, speaker=s.speaker, start=r.start, end=r.end)
            for s in session.supervisions
            for r in s.regions
        ]
        total += session.uem[0].end
        index += 1
    return sessions


def duration_distance(planner: Planner, sessions: int) -> float:
    """W1 in seconds between the durations of units wanted and said."""
    wanted: list[float] = []
    said: list[float] = []
    for index in range(sessions):
        conversation, _, _ = planner.converse(index)
        wanted += conversation.wanted
        said += conversation.placed
    return wasserstein(np.array(wanted), np.array(said))


def planner_over(cache: SourceCache, model: str, *settings: str) -> Planner:
    """Sessions as the preset has them: its lengths, its numbers of speakers, dry."""
    config = load_config(
        None, [f"turns.model={model}", "room.kind=dry", "noise.kind=none", *settings]
    )
    return make_planner(config, "0" * 64, cache, 0)


def corpora(manifest: Path | None, scratch: Path) -> dict[str, SourceCache]:
    """The corpora to plan over, by name."""
    caches: dict[str, SourceCache] = {
        FIRST: TimingCorpus(words=True),
        "read sentences, none": TimingCorpus(words=False),
    }
    if manifest is not None:
        caches[manifest.parent.name] = SourceCache.build(
            open_corpora([str(manifest)]), scratch, 16000, executor=make_executor("serial", 1)
        )
    return caches


def row(name: str, result: Comparison, distance: float) -> str:
    """One line of the table."""
    s, w1 = result.simulated, result.w1
    figures: list[float] = [
        100 * s.overlap, 100 * s.overlap_sd, 100 * s.three, 100 * s.silence, 100 * s.silence_sd,
        s.changes_per_min, *(100 * share for share in s.types), w1["fto"], w1["pauses"],
        w1["turns"], distance,
    ]  # fmt: skip
    missed = ", ".join(bar for bar, holds in result.bars.items() if not holds) or "none"
    held = f"{sum(result.bars.values())}/{len(result.bars)}"
    return f"{name:28}" + "".join(f"{v:7.2f}" for v in figures) + f"  {held}  missed: {missed}"


HEAD = f"{'':28}" + "".join(
    f"{name:>7}"
    for name in (
        "ovl%", "sd", ">=3%", "sil%", "sd", "chg/m", "TH%", "TS%", "IR%", "BC%", "W1fto", "W1pau",
        "W1trn", "W1unit",
    )
)  # fmt: skip


def main() -> None:
    """Print a table for each preset."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--corpus", type=Path)
    parser.add_argument("--hours", type=float, default=40.0)
    parser.add_argument("--presets", default="ami,alimeeting,aishell4,voxconverse")
    parser.add_argument("--out", type=Path, help="folder for PRESET.rttm, for realism.py")
    arguments = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        for model in arguments.presets.split(","):
            real = read_labels(arguments.labels / REAL[model], regions=True)
            print(f"\n{model}\n{HEAD}")
            itself = compare(real, real)
            print(row("real", itself, 0.0))
            for name, cache in corpora(arguments.corpus, Path(scratch)).items():
                planner = planner_over(cache, model)
                labels = planned_labels(planner, arguments.hours)
                if arguments.out is not None and name == FIRST:
                    arguments.out.mkdir(parents=True, exist_ok=True)
                    write_rttm(arguments.out / f"{model}.rttm", labels)
                distance = duration_distance(planner, min(20, len(labels)))
                print(row(name, compare(real, labels), distance))
                for line in planner.shortfalls:
                    print(f"  {line}")


if __name__ == "__main__":
    main()
