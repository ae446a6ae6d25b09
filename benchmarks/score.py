"""Time and memory of scoring one hour with eight speakers, beside meeteval in the same run.

    python benchmarks/score.py [--repeats 5] [--words 10700] [--limit 1.1]

The session is drawn from a seed: segments of 5 to 40 words in turn, starts up to a second early, a
hypothesis with one word in eight wrong. Each system runs in its own processes, ours and meeteval in
turn; the time is the median of CPU seconds of the second call (the first, on a short session, loads
what is loaded late), the memory the most that a process grew during it (RSS). Timing covers
normalising and splitting texts on our side, and meeteval's own preprocessing on its
side. Exits with 1 if cpWER takes longer than the limit times meeteval.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import subprocess
import sys
import time
from collections.abc import Callable

import numpy as np

from talkover.manifests.seeds import generator
from talkover.manifests.segments import Segment

NUM_SPEAKERS = 8
HOUR = 3600.0
WARM_UP_WORDS = 200
VOCABULARY = 5000
ERROR_RATE = 0.125  # of far-field meeting transcription today, roughly
OURS = ("cpwer", "tcpwer", "cpcer", "tcpcer", "wer", "cer", "orcwer", "dicpwer", "der", "jer")
PEERS = ("cpwer", "tcpwer", "orcwer", "dicpwer")


def make_session(num_words: int) -> tuple[list[Segment], list[Segment]]:
    rng = generator(11, 0, "benchmark/score")
    words = [f"w{n:04}" for n in range(VOCABULARY)]
    rank = rng.zipf(1.3, size=4 * num_words) % VOCABULARY
    reference, hypothesis = [], []
    used, clock, rate = 0, 0.0, num_words / HOUR
    while used < num_words:
        size = int(rng.integers(5, 41))
        text = [words[i] for i in rank[used : used + size]]
        used += size
        end = clock + size / rate
        speaker = int(rng.integers(NUM_SPEAKERS))
        reference.append(_segment(f"ref{speaker}", clock, end, text))
        heard = [w for w in text if rng.random() > ERROR_RATE / 2]
        heard = [
            words[int(rng.integers(VOCABULARY))] if rng.random() < ERROR_RATE / 2 else w
            for w in heard
        ]
        named = (speaker + 3) % NUM_SPEAKERS if rng.random() > 0.05 else 0
        hypothesis.append(_segment(f"hyp{named}", clock, end, heard))
        clock = max(0.0, end - float(rng.random()))
    return reference, hypothesis


def _segment(speaker: str, start: float, end: float, words: list[str]) -> Segment:
    return Segment(
        session="hour",
        speaker=speaker,
        start=round(start, 3),
        end=round(end, 3),
        text=" ".join(words),
    )


def run_ours(metric: str, sides: tuple[list[Segment], list[Segment]]) -> Callable[[], float]:
    from talkover.manifests.score import score

    reference, hypothesis = ({"hour": side} for side in sides)

    def call() -> float:
        result = score(reference, hypothesis, metrics=metric, bootstrap=0)
        return result.overall[metric].errors

    return call


def run_peer(metric: str, sides: tuple[list[Segment], list[Segment]]) -> Callable[[], float]:
    import meeteval

    reference, hypothesis = (
        meeteval.io.SegLST(
            [
                {
                    "session_id": s.session,
                    "speaker": s.speaker,
                    "start_time": s.start,
                    "end_time": s.end,
                    "words": s.text,
                }
                for s in side
            ]
        )
        for side in sides
    )
    calls: dict[str, Callable[[], dict[str, object]]] = {
        "cpwer": lambda: meeteval.wer.cpwer(reference, hypothesis),
        "tcpwer": lambda: meeteval.wer.tcpwer(reference, hypothesis, collar=5),
        "orcwer": lambda: meeteval.wer.greedy_orcwer(reference, hypothesis),
        "dicpwer": lambda: meeteval.wer.greedy_dicpwer(reference, hypothesis),
    }
    return lambda: calls[metric]()["hour"].errors  # type: ignore[attr-defined,no-any-return]


def work(system: str, metric: str, num_words: int) -> None:
    """Run one system once and print seconds, megabytes and errors."""
    runner = run_ours if system == "ours" else run_peer
    runner(metric, make_session(WARM_UP_WORDS))()
    call = runner(metric, make_session(num_words))
    before = _peak_mb()
    start = time.process_time()
    errors = call()
    seconds = time.process_time() - start
    print(json.dumps({"seconds": seconds, "mb": _peak_mb() - before, "errors": float(errors)}))


def _peak_mb() -> float:
    scale = 1 if sys.platform == "darwin" else 1024  # bytes there, kilobytes elsewhere
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * scale / 1e6


def measure(system: str, metric: str, num_words: int) -> dict[str, float]:
    command = [sys.executable, __file__, "--worker", system, metric, "--words", str(num_words)]
    done = subprocess.run(command, check=True, capture_output=True, text=True)
    result: dict[str, float] = json.loads(done.stdout.splitlines()[-1])
    return result


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--words", type=int, default=10_700)
    parser.add_argument("--limit", type=float, default=1.1)
    parser.add_argument("--metrics", nargs="+", default=list(OURS), choices=OURS)
    parser.add_argument("--worker", nargs=2, metavar=("SYSTEM", "METRIC"), help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.worker:
        work(*options.worker, options.words)
        return 0
    print(f"one hour, {NUM_SPEAKERS} speakers, {options.words} words, median of {options.repeats}")
    print(f"{'metric':10}{'ours s':>10}{'MB':>8}{'meeteval s':>12}{'MB':>8}{'ratio':>8}  errors")
    ratios: dict[str, float] = {}
    for metric in options.metrics:
        systems = ("ours", "peer") if metric in PEERS else ("ours",)
        runs: dict[str, list[dict[str, float]]] = {system: [] for system in systems}
        for _ in range(options.repeats):
            for system in systems:
                runs[system].append(measure(system, metric, options.words))
        ratios[metric] = _print_row(metric, runs)
    return int(ratios.get("cpwer", 0.0) > options.limit)


def _print_row(metric: str, runs: dict[str, list[dict[str, float]]]) -> float:
    seconds = {s: statistics.median(r["seconds"] for r in found) for s, found in runs.items()}
    memory = {s: float(np.max([r["mb"] for r in found])) for s, found in runs.items()}
    errors = ", ".join(f"{found[0]['errors']:g}" for found in runs.values())
    line = f"{metric:10}{seconds['ours']:>10.3f}{memory['ours']:>8.1f}"
    if "peer" not in runs:
        print(f"{line}{'–':>12}{'–':>8}{'–':>8}  {errors}")
        return 0.0
    ratio = seconds["ours"] / seconds["peer"]
    print(f"{line}{seconds['peer']:>12.3f}{memory['peer']:>8.1f}{ratio:>8.2f}  {errors}")
    return ratio


if __name__ == "__main__":
    sys.exit(main())
