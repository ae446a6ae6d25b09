"""How fast sessions are made, beside a bare overlap-add prototype in the same run.

    python benchmarks/simulate.py [--seconds 600] [--runs 5] [--json FILE]

One core, CPU time. For dry and reverberant speech, 1 and 8 channels: × real time of the whole way
from plan to labels and a 16-bit WAV file (4 speakers, room of 0.6 s, room bank warm), the share of
each stage, and × real time of `benchmarks/floor.py`. The speech is synthetic and made here.
"""

from __future__ import annotations

import argparse
import json
import statistics
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import soundfile as sf

from talkover.manifests.attempts import one_numeric_thread
from talkover.manifests.canonical import json_sha256
from talkover.manifests.io import session_line
from talkover.manifests.jobs import make_executor
from talkover.simulate.config import load_config
from talkover.simulate.corpus import open_corpora
from talkover.simulate.labels import active_intervals, supervisions_of
from talkover.simulate.planner import Planner
from talkover.simulate.render import render_to_files
from talkover.simulate.responses import responses
from talkover.simulate.run import make_planner
from talkover.simulate.session import OutputFormat, make_session
from talkover.simulate.source_cache import SourceCache

sys.path.insert(0, str(Path(__file__).parent))
from floor import floor

RATE = 16000
T60 = 0.6
SPEAKERS = 4


def synthetic_corpus(folder: Path, utterances: int = 60) -> Path:
    """A tree of noise bursts shaped like syllables, 1 to 10 s each."""
    rng = np.random.default_rng(0)
    for s in range(SPEAKERS):
        (folder / f"spk{s}").mkdir(parents=True)
        for u in range(utterances):
            length = int(rng.uniform(1, 10) * RATE)
            t = np.arange(length) / RATE
            syllables = np.clip(np.sin(2 * np.pi * 4 * t + rng.uniform(0, 6)), 0.05, None)
            audio = 0.1 * syllables * rng.standard_normal(length)
            sf.write(folder / f"spk{s}" / f"spk{s}-{u:03d}.wav", audio, RATE, subtype="PCM_16")
    return folder


def planner_for(corpus: Path, work: Path, seconds: float, room: str, microphones: str) -> Planner:
    """A planner of sessions of one length."""
    config = load_config(
        None,
        [
            f"session.length=[{seconds},{seconds}]",
            f"session.speakers=[{SPEAKERS},{SPEAKERS}]",
            f"room.kind={room}",
            f"room.t60=[{T60},{T60}]",
            f"room.microphones={microphones}",
            "registration.length=null",
        ],
    )
    cache = SourceCache.build(
        open_corpora([str(corpus)]), work / "cache", RATE, executor=make_executor("serial", 1)
    )
    return make_planner(config, json_sha256(config.plain()), cache, 1)


def stage_times(planner: Planner, index: int, out: Path) -> dict[str, float]:
    """CPU seconds of each stage of one session, with the room already in the bank."""
    times: dict[str, float] = {}

    def timed(name: str, work: Callable[[], Any]) -> Any:
        begun = time.process_time()
        result = work()
        times[name] = time.process_time() - begun
        return result

    plan = timed("plan", lambda: planner.plan(index))
    responses(plan.room, plan.sampling_rate, kind="full", rirs=None)
    supervisions = timed("labels", lambda: supervisions_of(plan, planner.cache))
    timed(
        "render",
        lambda: render_to_files(
            plan,
            planner.cache,
            active=active_intervals(supervisions),
            root=out,
            audio_path=f"render/{index}.wav",
            format="wav",
        ),
    )

    def whole() -> None:
        made = make_session(
            planner.plan(index),
            planner,
            out=out,
            folder="whole",
            configuration={},
            output=OutputFormat(format="wav"),
        )
        session_line(made.session)

    timed("whole", whole)
    return times


def measure(seconds: float, runs: int) -> list[dict[str, Any]]:
    """A row per room and number of channels; medians over the runs."""
    rows = []
    with tempfile.TemporaryDirectory() as folder, one_numeric_thread():
        root = Path(folder)
        corpus = synthetic_corpus(root / "corpus")
        for room, microphones, channels in (
            ("dry", "single", 1),
            ("shoebox", "single", 1),
            ("shoebox", "circular8", 8),
        ):
            planner = planner_for(corpus, root, seconds, room, microphones)
            stage_times(planner, 0, root)  # warm
            collected = [stage_times(planner, 0, root) for _ in range(runs)]
            median = {
                name: statistics.median(times[name] for times in collected) for name in collected[0]
            }
            bare = [floor(channels, seconds, runs=1) for _ in range(runs)] if room != "dry" else []
            whole = median["whole"]
            rows.append(
                {
                    "room": room,
                    "channels": channels,
                    "times_real_time": seconds / whole,
                    "floor_times_real_time": statistics.median(bare) if bare else None,
                    "share_of_floor": seconds / whole / statistics.median(bare) if bare else None,
                    "stage_shares": {
                        "plan": median["plan"] / whole,
                        "labels": median["labels"] / whole,
                        "render": median["render"] / whole,
                        "rest": 1 - (median["plan"] + median["labels"] + median["render"]) / whole,
                    },
                }
            )
    return rows


def main() -> None:
    """Measure and print a table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=600.0)
    parser.add_argument("--runs", type=int, default=5)
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    rows = measure(options.seconds, options.runs)
    columns = (
        "room",
        "channels",
        "× real time",
        "floor",
        "share",
        "plan",
        "labels",
        "render",
        "rest",
    )
    print("| " + " | ".join(columns) + " |")
    print("|---|---|---|---|---|---|---|---|---|")
    for row in rows:
        bare, share = row["floor_times_real_time"], row["share_of_floor"]
        print(
            f"| {row['room']} | {row['channels']} | {row['times_real_time']:,.0f} | "
            + (f"{bare:,.0f} | {share:.2f} | " if bare else "– | – | ")
            + " | ".join(f"{100 * s:.0f} %" for s in row["stage_shares"].values())
            + " |"
        )
    if options.json:
        options.json.write_text(json.dumps(rows, indent=1) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
