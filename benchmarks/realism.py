"""Sampled timing of each preset beside the labels it was fitted on, and beside other simulators.

    python benchmarks/realism.py LABELS [--hours 300] [--presets ami,aishell4] [--rendered FOLDER]

The folder LABELS holds the files of `REAL`. For each preset: the figures of the real labels, of
timing sampled from the preset and, where a folder holds their labels (PRESET.rttm), of rendered
sessions; the bars of `talkover turns compare`, and three more. Then how fast timing is sampled: CPU
time on one core, median of several runs. Exits with 1 if a bar of the sampled timing is missed.
"""

from __future__ import annotations

import argparse
import statistics
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path

from talkover.manifests.labels import read_labels
from talkover.manifests.segments import Segment
from talkover.manifests.turn_taking import Comparison, TurnTakingSummary, compare
from talkover.simulate.turn_sampling import sample_sessions
from talkover.simulate.turns import TurnModel

REAL = {
    "ami": "ami_train.rttm.gz",
    "alimeeting": "alimeeting_eval8.rttm.gz",
    "aishell4": "aishell4_train18.rttm.gz",
    "voxconverse": "voxconverse_dev.rttm.gz",
}
SPREAD_SESSIONS = 30
"""Sessions of a corpus from which its spreads are held against."""
TURN_BAR, LAG_BAR, THREE_BAR = 0.3, 0.05, 0.005
"""Beyond the ruler: W1 of turn lengths (seconds, or the noise floor), correlation of consecutive
offsets, share of speech with three or more speakers."""
SPEED_BAR = 50_000
SPEED_HOURS, SPEED_RUNS = 20.0, 5

Labels = Mapping[str, Sequence[Segment]]
"""Segments of each session."""


@dataclass(frozen=True)
class Rival:
    """Another simulator after its own fit on AMI's training meetings, with four speakers."""

    name: str
    overlap: float
    """% of speech."""
    silence: float
    """% of time."""
    changes_per_minute: float
    w1_offsets: float
    """Seconds."""
    w1_pauses: float


RIVALS = (
    Rival("BUT EEND_dataprep (7947e54)", 5.5, 15.7, 6.6, 0.27, 0.36),
    Rival("NeMo, AMI's means and variances given (8cfedd7)", 13.7, 25.4, 10.0, 0.62, 1.00),
    Rival("FastMSS, Markov (3f15ef3)", 13.1, 26.2, 5.5, 0.68, 1.31),
    Rival("FastMSS, independent (3f15ef3)", 10.7, 28.8, 6.4, 1.02, 1.35),
    Rival("Lhotse, conversational (a79cc86)", 7.0, 33.2, 5.5, 1.10, 1.08),
    Rival("Lhotse, independent (a79cc86)", 27.9, 55.7, 4.1, 2.51, 3.80),
)
"""Measured once, in November 2026, by running each one's own code at the commit in brackets; unit
durations were AMI's own, except NeMo's, which had its toy corpus."""


def beyond(result: Comparison) -> dict[str, bool]:
    """Bars that the ruler does not have."""
    real, simulated = result.real, result.simulated
    lags = (real.fto_lag1, simulated.fto_lag1)
    same_lag = None not in lags and abs((lags[0] or 0.0) - (lags[1] or 0.0)) <= LAG_BAR
    return {
        "W1 of turn lengths": result.w1["turns"] <= max(TURN_BAR, result.noise_floor["turns"]),
        "correlation of consecutive offsets within 0.05": same_lag,
        "three or more within half a point": abs(simulated.three - real.three) <= THREE_BAR,
    }


def bars(result: Comparison) -> dict[str, bool]:
    """The ruler's bars, spreads only where the corpus has enough sessions, and those beyond."""
    few = result.real.sessions < SPREAD_SESSIONS
    kept = {name: ok for name, ok in result.bars.items() if not (few and "spread" in name)}
    return kept | beyond(result)


def rows(real: Labels, labels: Mapping[str, Labels]) -> list[list[str]]:
    """A table: a heading, a row for each figure, and the number of bars held.

    Args:
        real: Segments of each session.
        labels: The same of each simulation, by what its column is called.
    """
    results = {name: compare(real, simulated) for name, simulated in labels.items()}
    first = next(iter(results.values()))
    table = [["", "real", *results]]
    for name, show in FIGURES.items():
        table.append([name, show(first.real), *(show(r.simulated) for r in results.values())])
    for key, name in (("fto", "offsets"), ("pauses", "pauses"), ("turns", "turn lengths")):
        cells = [f"{result.w1[key]:.3f}" for result in results.values()]
        table.append([f"W1 of {name}, s", f"({first.noise_floor[key]:.3f})", *cells])
    held = [bars(result) for result in results.values()]
    table.append(["bars held", "", *(f"{sum(h.values())} of {len(h)}" for h in held)])
    return table


def _percent(key: str) -> Callable[[TurnTakingSummary], str]:
    return lambda summary: f"{100 * getattr(summary, key):.1f}"


FIGURES: dict[str, Callable[[TurnTakingSummary], str]] = {
    "sessions": lambda s: str(s.sessions),
    "hours": lambda s: f"{s.hours:.1f}",
    "speakers": lambda s: f"{s.speakers:.2f}",
    "overlap, % of speech": _percent("overlap"),
    "... its spread": _percent("overlap_sd"),
    "three or more, % of speech": _percent("three"),
    "silence, % of time": _percent("silence"),
    ".... its spread": _percent("silence_sd"),
    "changes a minute": lambda s: f"{s.changes_per_min:.2f}",
    "hold/switch/interruption/backchannel, %": lambda s: "/".join(
        f"{100 * share:.1f}" for share in s.types
    ),
    "correlation of consecutive offsets": lambda s: f"{s.fto_lag1 or 0:.3f}",
}


def sampled(model: TurnModel, hours: float, seed: int) -> Labels:
    """Timing sampled from a model, as labels."""
    return {
        name: [
            Segment(session=name, speaker=f"S{u.speaker + 1:02d}", start=u.start, end=u.end)
            for u in units
        ]
        for name, units in sample_sessions(model, hours, seed=seed)
    }


def speed(model: TurnModel) -> float:
    """Hours of timing sampled in an hour of CPU time on one core."""
    rates = []
    for run in range(SPEED_RUNS + 1):  # the first warms up
        start = time.process_time()
        for _ in sample_sessions(model, SPEED_HOURS, seed=run):
            pass
        rates.append(SPEED_HOURS * 3600 / (time.process_time() - start))
    return statistics.median(rates[1:])


def print_table(table: list[list[str]]) -> None:
    """Columns under each other."""
    widths = [max(len(row[n]) for row in table) for n in range(len(table[0]))]
    for row in table:
        print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)))


def print_rivals() -> None:
    """What other simulators do after their own fit on the same labels."""
    heads = ["other simulators", "overlap %", "silence %", "changes/min", "W1 offsets", "W1 pauses"]
    print_table(
        [heads]
        + [
            [
                r.name,
                f"{r.overlap:.1f}",
                f"{r.silence:.1f}",
                f"{r.changes_per_minute:.1f}",
                f"{r.w1_offsets:.2f}",
                f"{r.w1_pauses:.2f}",
            ]
            for r in RIVALS
        ]
    )


def main() -> int:
    """Print the tables; 1 if a bar is missed."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("labels", type=Path)
    parser.add_argument("--hours", type=float, default=300.0)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--presets", default=",".join(REAL))
    parser.add_argument(
        "--rendered", type=Path, help="folder with PRESET.rttm of rendered sessions"
    )
    arguments = parser.parse_args()
    missed = 0
    for name in arguments.presets.split(","):
        model = TurnModel.load(name)
        real = read_labels(arguments.labels / REAL[name], regions=True)
        columns = {"sampled": sampled(model, arguments.hours, arguments.seed)}
        if arguments.rendered is not None:
            columns["rendered"] = read_labels(arguments.rendered / f"{name}.rttm", regions=True)
        print(f"\n{name}")
        print_table(rows(real, columns))
        for bar, holds in bars(compare(real, columns["sampled"])).items():
            if not holds:
                print(f"missed: {bar}")
                missed += 1
        rate = speed(model)
        print(f"sampled at {rate:,.0f} x real time on one core (bar {SPEED_BAR:,})")
        missed += rate < SPEED_BAR
        if name == "ami":
            print_rivals()
    return 1 if missed else 0


if __name__ == "__main__":
    raise SystemExit(main())
