"""The whole Arabic benchmark in one command: data, training, evaluation, result.

    python benchmarks/arabic/run.py SPEECH OUT [--hours 36] [--others 5] [--seed 0] [--jobs 2]

Calls what a user would call, each in a process of its own whose CPU and wall seconds are counted:
`prepare.py` (sessions of training, and the 300 fixed ones of the test), ``talkover train --preset
tiny --config train.yaml`` (by torchrun, a process for each job, where there is no GPU), ``talkover
evaluate`` on the test with the cascade of the oracle's segments. OUT gets ``data/``, ``model/``,
``evaluation/``, ``run.json`` (what each step took), ``result.json``: figures by number of talkers
with their intervals, seeds, hardware, times, and which of the bars hold. A step that is done is not
done again; a training that was stopped goes on, and its times add up.
"""

from __future__ import annotations

import argparse
import importlib.metadata
import json
import os
import platform
import subprocess
import sys
import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any

HERE = Path(__file__).parent
TALKERS = ("1", "2", "3")
PACKAGES = ("talkover", "torch", "transformers", "numpy", "lhotse")
MINUTES = 30.0
"""Of training, at most, wall clock on 2 cores."""
BARS: dict[str, dict[str, float]] = {
    "all": {"cpwer": 0.20, "fail_rate": 0.0, "boundary_error": 0.15},
    "2": {"cpwer": 0.30},
    "3": {"cpwer": 0.30},
}
"""Most that is allowed, by number of talkers."""


class Steps:
    """What was done in a folder, and what it took."""

    def __init__(self, folder: Path, threads: int) -> None:
        """Read what was done before."""
        self.file, self.threads = folder / "run.json", threads
        folder.mkdir(parents=True, exist_ok=True)
        self.done: dict[str, Any] = {}
        if self.file.is_file():
            self.done = json.loads(self.file.read_text(encoding="utf8"))

    def call(self, name: str, command: Sequence[str], threads: int | None = None) -> str:
        """Run a command unless this very command was done; gives what it printed.

        Args:
            name: Of the step.
            command: Words.
            threads: Of torch in each process; None for those of the run.

        Raises:
            SystemExit: If it fails, or the folder holds the step of another command.
        """
        step = self.done.setdefault(
            name, {"command": list(command), "wall_s": 0.0, "cpu_s": 0.0, "attempts": 0}
        )
        if step["command"] != list(command):
            raise SystemExit(f"{self.file}: {name} was done otherwise; choose another folder")
        if step.get("is_done"):
            return str(step["printed"])
        print("$", " ".join(command), file=sys.stderr, flush=True)
        step["attempts"] += 1
        code, printed = self._run(step, command, threads or self.threads)
        if code != 0:
            raise SystemExit(f"{name} failed with exit code {code}")
        step.update(is_done=True, printed=printed)
        self._write()
        return printed

    def _run(self, step: dict[str, Any], command: Sequence[str], threads: int) -> tuple[int, str]:
        """Run a process to its end and add what it took."""
        environment = {**os.environ, "OMP_NUM_THREADS": str(threads)}
        begun = time.monotonic()
        with subprocess.Popen(
            command, env=environment, stdout=subprocess.PIPE, text=True
        ) as process:
            assert process.stdout is not None
            printed = process.stdout.read()
            _, status, used = os.wait4(process.pid, 0)
            process.returncode = os.waitstatus_to_exitcode(status)
        step["wall_s"] = round(step["wall_s"] + time.monotonic() - begun, 3)
        step["cpu_s"] = round(step["cpu_s"] + used.ru_utime + used.ru_stime, 3)
        peak = used.ru_maxrss / 1024  # Linux counts KiB
        step["peak_mib"] = round(max(step.get("peak_mib", 0.0), peak), 1)
        self._write()
        return process.returncode, printed

    def times(self, name: str) -> dict[str, float]:
        """Seconds and peak memory of a step."""
        names = ("wall_s", "cpu_s", "peak_mib", "attempts")
        return {key: self.done[name][key] for key in names}

    def _write(self) -> None:
        temporary = self.file.with_suffix(".tmp")
        temporary.write_text(json.dumps(self.done, indent=1), encoding="utf8")
        temporary.replace(self.file)


def talkover(*words: str | Path) -> list[str]:
    """A command of the toolkit, by this Python."""
    return [sys.executable, "-m", "talkover.cli", *map(str, words)]


def hardware(threads: int) -> dict[str, Any]:
    """The machine, as far as figures depend on it."""
    cpu = platform.processor() or platform.machine()
    info = Path("/proc/cpuinfo")
    if info.is_file():
        lines = info.read_text(encoding="utf8").splitlines()
        cpu = next((r.partition(":")[2].strip() for r in lines if r.startswith("model name")), cpu)
    return {
        "cpu": cpu,
        "cores": os.cpu_count(),
        "torch_threads": threads,
        "load_average": [round(value, 2) for value in os.getloadavg()],
        "python": platform.python_version(),
        "packages": {name: _version(name) for name in PACKAGES},
        "date": datetime.now(UTC).date().isoformat(),
    }


def _version(name: str) -> str | None:
    try:
        return importlib.metadata.version(name)
    except importlib.metadata.PackageNotFoundError:
        return None


def train_manifests(data: Path) -> list[Path]:
    """The training sets of `prepare.py`, in a fixed order."""
    found = sorted(path.parent for path in (data / "train").glob("*/cuts.jsonl"))
    if not found:
        raise SystemExit(f"{data}/train: no cuts.jsonl in any folder of it")
    return found


def other_manifests(data: Path) -> list[Path]:
    """Sessions of `prepare.py` whose words are not known; there may be none."""
    return sorted(path.parent for path in (data / "others").glob("*/cuts.jsonl"))


def launched(words: Sequence[str | Path], processes: int) -> list[str]:
    """A command of the toolkit in so many processes."""
    if processes == 1:
        return talkover(*words)
    torchrun = ["-m", "torch.distributed.run", "--standalone", f"--nproc-per-node={processes}"]
    return [sys.executable, *torchrun, "-m", "talkover.cli", *map(str, words)]


def has_gpu() -> bool:
    """Whether torch sees one."""
    import torch

    return bool(torch.cuda.is_available())


def test_manifests(data: Path) -> list[Path]:
    """The fixed sets of 1, 2 and 3 talkers."""
    return [data / "test" / f"{talkers}.jsonl" for talkers in TALKERS]


def by_talkers(table: Sequence[dict[str, Any]]) -> dict[str, dict[str, Any]]:
    """System, then number of talkers or ``all``, to the figures of an evaluation's table."""
    found: dict[str, dict[str, Any]] = {}
    for row in table:
        label = "all" if row["speakers"] is None else str(row["speakers"])
        found.setdefault(row["system"], {})[label] = {
            "sessions": row["sessions"],
            **row["figures"],
        }
    return found


def judged(figures: dict[str, Any], training: dict[str, float]) -> dict[str, Any]:
    """Every bar with what was reached and whether it holds."""
    bars: dict[str, Any] = {
        "training_minutes": {
            "got": round(training["wall_s"] / 60, 2),
            "most": MINUTES,
            "holds": training["wall_s"] <= 60 * MINUTES,
        }
    }
    for label, limits in BARS.items():
        for name, most in limits.items():
            figure = figures.get(label, {}).get(name)
            got = None if figure is None else figure["value"]
            holds = got is not None and got <= most
            bars[f"{name}/{label}"] = {"got": got, "most": most, "holds": holds}
    return bars


def main() -> None:
    """Do all steps that are not done."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("speech", type=Path, help="folder with manifest.csv")
    parser.add_argument("out", type=Path)
    parser.add_argument("--hours", type=float, default=36.0, help="of training sessions")
    parser.add_argument("--others", type=float, default=5.0, help="hours of voices without text")
    parser.add_argument("--seed", type=int, default=0, help="of the training")
    parser.add_argument("--jobs", type=int, default=2, help="workers; processes of the training")
    parser.add_argument("--preset", default="tiny")
    parser.add_argument("--config", type=Path, default=HERE / "train.yaml")
    parser.add_argument(
        "--set", action="append", default=[], metavar="a.b=c", help="one setting of the training"
    )
    options = parser.parse_args()
    out, jobs = options.out, str(options.jobs)
    steps = Steps(out, options.jobs)
    data, model, evaluation = out / "data", out / "model", out / "evaluation"
    prepare = [sys.executable, str(HERE / "prepare.py"), str(options.speech), str(data)]
    hours = ["--hours", f"{options.hours:g}", "--others", f"{options.others:g}"]
    steps.call("prepare", [*prepare, *hours, "--jobs", jobs])
    manifests = [*train_manifests(data), *other_manifests(data)]
    words = ["train", *manifests, "--preset", options.preset, "--out", model]
    if options.config.is_file():
        words += ["--config", options.config]
    settings = [word for setting in options.set for word in ("--set", setting)]
    words += [*settings, "--seed", str(options.seed), "--json"]
    processes = 1 if has_gpu() else options.jobs
    steps.call("train", launched(words, processes), threads=1 if processes > 1 else options.jobs)
    words = ["evaluate", model, *test_manifests(data), "--out", evaluation, "--diarizer", "oracle"]
    steps.call("evaluate", talkover(*words, "--json"))
    found = json.loads((evaluation / "result.json").read_text(encoding="utf8"))
    figures = by_talkers(found["table"])
    result = {
        "figures": figures,
        "bars": judged(figures["model"], steps.times("train")),
        "seeds": {"training": options.seed, "bootstrap": found["settings"]["seed"]},
        "hours": {"transcribed": options.hours, "others": options.others},
        "training_processes": processes,
        "preset": options.preset,
        "config": options.config.read_text(encoding="utf8") if options.config.is_file() else None,
        "set": options.set,
        "trained": json.loads(steps.done["train"]["printed"]),
        "checkpoint": found["checkpoint"],
        "audio_seconds": found["audio_seconds"],
        "times": {name: steps.times(name) for name in ("prepare", "train", "evaluate")},
        "hardware": hardware(options.jobs),
    }
    text = json.dumps(result, indent=1, ensure_ascii=False) + "\n"
    (out / "result.json").write_text(text, encoding="utf8")
    for name, bar in result["bars"].items():
        state = "ok   " if bar["holds"] else "SHORT"
        print(f"{state} {name}: {bar['got']} (most {bar['most']})")
    print(f"-> {out}/result.json")


if __name__ == "__main__":
    main()
