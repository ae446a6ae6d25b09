"""How fast sessions are made, beside a bare overlap-add prototype in the same run.

    python benchmarks/simulate.py [--seconds 120] [--runs 7] [--json FILE] [--rival "COMMAND"]
    python benchmarks/simulate.py --workers      two processes, beside two bare FFT loops
    python benchmarks/simulate.py --memory       a million utterances; 30 minutes to 3 hours

One core, CPU time, medians. The first form prints for dry and reverberant speech, 1 and 8 channels:
× real time of the whole way from plan to labels and a 16-bit WAV file (4 speakers, room of 0.6 s,
room bank warm), the share of each stage, and × real time of `benchmarks/floor.py`, measured in turn
with ours. The speech is synthetic and made here. A rival's command is timed as a process of its
own; say with --rival-hours how much audio it makes.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import resource
import shlex
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import scipy.fft
import soundfile as sf

from talkover.manifests.attempts import one_numeric_thread
from talkover.manifests.canonical import json_sha256
from talkover.manifests.io import session_line
from talkover.manifests.jobs import make_executor
from talkover.simulate.config import load_config
from talkover.simulate.corpus import open_corpora
from talkover.simulate.labels import active_intervals, supervisions_of
from talkover.simulate.planner import Planner
from talkover.simulate.planner_opening import make_planner
from talkover.simulate.render import MEMORY_LIMIT, render_to_files
from talkover.simulate.responses import responses
from talkover.simulate.session import OutputFormat, make_session
from talkover.simulate.source_cache import SourceCache

sys.path.insert(0, str(Path(__file__).parent))
from floor import make_material, render_bare
from million import million_utterances

RATE = 16000
T60 = 0.6
SPEAKERS = 4
LENGTHS = {"30 minutes": 1800.0, "90 minutes": 5400.0, "3 hours": 10800.0}
"""Of sessions whose memory is measured: the last two do not fit into `MEMORY_LIMIT`, so that they
differ in length and not in the way that they are made."""
ROOMS = (("dry", "single", 1), ("shoebox", "single", 1), ("shoebox", "circular8", 8))


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


def build_cache(corpus: Path, work: Path) -> SourceCache:
    """The corpus decoded."""
    return SourceCache.build(
        open_corpora([str(corpus)]), work / "cache", RATE, executor=make_executor("serial", 1)
    )


def planner_over(cache: SourceCache, seconds: float, room: str, microphones: str) -> Planner:
    """A planner of sessions of one length."""
    config = load_config(
        None,
        [
            f"session.length=[{seconds},{seconds}]",
            f"session.speakers=[{SPEAKERS},{SPEAKERS}]",
            f"room.kind={room}",
            f"room.t60=[{T60},{T60}]",
            f"room.microphones={microphones}",
            "registration.lengths=[]",
        ],
    )
    return make_planner(config, json_sha256(config.plain()), cache, 1)


def make_whole(planner: Planner, index: int, out: Path) -> list[Path]:
    """One session from plan to its line of the manifest; returns its files."""
    made = make_session(
        planner.plan(index),
        planner,
        out=out,
        folder="whole",
        configuration={},
        output=OutputFormat(format="wav"),
    )
    session_line(made.session)
    return made.files


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
    files = timed("whole", lambda: make_whole(planner, index, out))
    for path in [*files, out / f"render/{index}.wav"]:
        path.unlink()  # no session of a run is written over another
    return times


def measure(seconds: float, runs: int) -> list[dict[str, Any]]:
    """A row per room and number of channels; medians over the runs, ours and the floor in turn."""
    rows = []
    with tempfile.TemporaryDirectory() as folder, one_numeric_thread():
        root = Path(folder)
        cache = build_cache(synthetic_corpus(root / "corpus"), root)
        for room, microphones, channels in ROOMS:
            planner = planner_over(cache, seconds, room, microphones)
            material = make_material(channels, seconds)
            for _ in range(2):  # warm
                stage_times(planner, 0, root)
                render_bare(material, root / "floor.wav")
            collected, bare = [], []
            for _ in range(runs):
                collected.append(stage_times(planner, 0, root))
                begun = time.process_time()
                render_bare(material, root / "floor.wav")
                bare.append(time.process_time() - begun)
            median = {
                name: statistics.median(times[name] for times in collected) for name in collected[0]
            }
            floor, whole = statistics.median(bare), median["whole"]
            stages = median["plan"] + median["labels"] + median["render"]
            rows.append(
                {
                    "room": room,
                    "channels": channels,
                    "times_real_time": seconds / whole,
                    "floor_times_real_time": seconds / floor if room != "dry" else None,
                    "share_of_floor": floor / whole if room != "dry" else None,
                    "stage_shares": {
                        "plan": median["plan"] / whole,
                        "labels": median["labels"] / whole,
                        "render": median["render"] / whole,
                        "rest": 1 - stages / whole,
                    },
                }
            )
    return rows


def sessions_loop(cache: Path, out: Path, seconds: float, wall: float) -> float:
    """Make sessions for some seconds of wall time; returns sessions a second."""
    planner = planner_over(SourceCache.open(cache), 120.0, "shoebox", "single")

    def one() -> None:
        for path in make_whole(planner, 0, out):
            path.unlink()

    one()  # warm
    return _rate(one, wall)


def fft_loop(wall: float) -> float:
    """Bare transforms of a block for some seconds of wall time; returns transforms a second."""
    block = np.random.default_rng(0).standard_normal((8, 32768), dtype=np.float32)
    return _rate(lambda: scipy.fft.irfft(scipy.fft.rfft(block, workers=1), workers=1), wall)


def _rate(work: Callable[[], Any], wall: float) -> float:
    begun, count = time.monotonic(), 0
    while time.monotonic() - begun < wall:
        work()
        count += 1
    return count / (time.monotonic() - begun)


def measure_workers(wall: float, runs: int) -> dict[str, float]:
    """Gain of two processes over one, ours and that of bare FFT loops, measured in turn."""
    with tempfile.TemporaryDirectory() as folder, one_numeric_thread():
        root = Path(folder)
        cache = build_cache(synthetic_corpus(root / "corpus"), root).folder
        gains: dict[str, list[float]] = {"ours": [], "fft": []}
        context = multiprocessing.get_context("spawn")
        with context.Pool(2) as pool:
            for _ in range(runs):
                for name in ("fft", "ours"):
                    alone = _together(pool, name, 1, cache, root, wall)
                    both = _together(pool, name, 2, cache, root, wall)
                    gains[name].append(both / alone)
    ours, bare = (statistics.median(gains[name]) for name in ("ours", "fft"))
    return {"gain": ours, "bare_fft_gain": bare, "share": ours / bare}


def _together(pool: Any, name: str, count: int, cache: Path, root: Path, wall: float) -> float:
    jobs = [
        pool.apply_async(fft_loop, (wall,))
        if name == "fft"
        else pool.apply_async(sessions_loop, (cache, root / f"w{n}", 120.0, wall))
        for n in range(count)
    ]
    return float(sum(job.get() for job in jobs))


def measure_memory() -> dict[str, float]:
    """Largest resident memory in MB of workers, each a process of its own."""
    with tempfile.TemporaryDirectory() as folder, one_numeric_thread():
        root = Path(folder)
        cache = build_cache(synthetic_corpus(root / "corpus"), root)
        large = million_utterances(cache, root / "million")
        found = {
            "empty worker": _peak_mb(cache.folder, root, 0.0, "single"),
            "million utterances, 8 channels": _peak_mb(large, root, 120.0, "circular8"),
        }
        for name, seconds in LENGTHS.items():
            held = "memory" if seconds * RATE * 4 <= MEMORY_LIMIT else "a scratch file"
            found[f"{name}, 1 channel, speech in {held}"] = _peak_mb(
                cache.folder, root, seconds, "single"
            )
    *_, shorter, longest = found.values()
    found["growth from 90 minutes to 3 hours"] = longest - shorter
    return found


def _peak_mb(cache: Path, root: Path, seconds: float, microphones: str) -> float:
    context = multiprocessing.get_context("spawn")
    with context.Pool(1) as pool:
        result: float = pool.apply(worker_peak, (cache, root / "out", seconds, microphones))
    return result


def worker_peak(cache: Path, out: Path, seconds: float, microphones: str) -> float:
    """Make one session, none for 0 s, and give the largest resident memory in MB."""
    if seconds:
        planner = planner_over(SourceCache.open(cache), seconds, "shoebox", microphones)
        for path in make_whole(planner, 0, out):
            path.unlink()
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024  # kB on Linux


def time_rival(command: str, hours: float) -> dict[str, Any]:
    """CPU time of another tool, run as a process of its own."""
    before = resource.getrusage(resource.RUSAGE_CHILDREN)
    subprocess.run(shlex.split(command), check=True)
    after = resource.getrusage(resource.RUSAGE_CHILDREN)
    spent = after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime
    return {"command": command, "cpu_seconds": spent, "times_real_time": hours * 3600 / spent}


def print_rows(rows: list[dict[str, Any]]) -> None:
    """As a table."""
    columns = "room channels ×_real_time floor share plan labels render rest".split()
    print("| " + " | ".join(name.replace("_", " ") for name in columns) + " |")
    print("|" + "---|" * len(columns))
    for row in rows:
        bare, share = row["floor_times_real_time"], row["share_of_floor"]
        print(
            f"| {row['room']} | {row['channels']} | {row['times_real_time']:,.0f} | "
            + (f"{bare:,.0f} | {share:.2f} | " if bare else "– | – | ")
            + " | ".join(f"{100 * s:.0f} %" for s in row["stage_shares"].values())
            + " |"
        )


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("--seconds", type=float, default=120.0, help="length of a session")
    parser.add_argument("--runs", type=int, default=7)
    parser.add_argument("--workers", action="store_true", help="gain of two processes")
    parser.add_argument("--memory", action="store_true", help="resident memory of workers")
    parser.add_argument("--rival", help="command of another tool, timed in the same run")
    parser.add_argument("--rival-hours", type=float, default=1.0, help="audio that it makes")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: Any
    if options.workers:
        found = measure_workers(6.0, options.runs)
        print(json.dumps(found, indent=1))
    elif options.memory:
        found = measure_memory()
        for name, value in found.items():
            print(f"{name}: {value:,.0f} MB")
    else:
        found = measure(options.seconds, options.runs)
        print_rows(found)
        if options.rival:
            found.append(time_rival(options.rival, options.rival_hours))
            print(f"{found[-1]['command']}: {found[-1]['times_real_time']:,.0f} x real time")
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
