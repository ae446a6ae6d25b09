"""Every preset's small form, trained for the same CPU time on the same data, side by side.

    python benchmarks/presets.py DATA OUT [--seconds 1800] [--sessions 100] [--presets A,B]
        [--minutes 1,10,60,90]

DATA is what `arabic/prepare.py` wrote. For each preset: a few updates of every stage tell what one
costs, and the steps of its stages are scaled together to fit the budget (CPU seconds of training,
reading of audio included); ``talkover train`` and ``talkover evaluate`` follow, on the first
sessions of each number of talkers, and decoding is timed by itself on one thread. OUT/NAME holds
all of it; a preset that is done is not done again, one that was stopped goes on. With ``--minutes``
each model also hears recordings so long, test sessions one behind the other, in the longest pieces
that it can, and writes a little about each. The table goes to
``benchmarks/presets.md`` (``--report``): what was reached in this time from random weights says how
fast a layout learns on little, not how good the published system is.
"""

from __future__ import annotations

import argparse
import json
import resource
import statistics
import sys
import time
from collections.abc import Mapping, Sequence
from dataclasses import replace
from itertools import cycle, islice, pairwise
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import Any

from arabic.run import (
    TALKERS,
    Steps,
    by_talkers,
    hardware,
    talkover,
    test_manifests,
    train_manifests,
)

HERE = Path(__file__)
SUFFIX = "-small"
PROBED = 4
"""Updates of each stage whose cost is measured, after one that is not."""
SPEED_SESSIONS = 8
"""Sessions of each number of talkers by which decoding is timed."""
WARM_S = 10.0
"""Seconds of audio that a model hears before it is timed."""
WRITTEN = 1.0
"""Tokens a second of audio at most in long recordings, beyond the 256 of every piece: so few that
an answer that never ends does not hide what hearing and reading take."""
AVERAGED = 10
"""The last tenths of the last stage, three of which are averaged."""
COLUMNS = ("cpwer", "delta_cp_wer", "der", "boundary_error", "fail_rate")


def all_names() -> list[str]:
    """`tiny` and the small form of every published system."""
    from talkover.model.presets import preset_names

    return [
        "tiny",
        *(name for name in preset_names() if name.endswith(SUFFIX) and "tiny" not in name),
    ]


def without_clips(name: str, manifests: Sequence[Path]) -> list[str]:
    """Settings that leave registration out where the sessions have no clips for it."""
    from talkover.manifests.io import read_sessions
    from talkover.model.presets import changed_preset

    if any(next(iter(read_sessions(path))).registration for path in manifests):
        return []
    stages = enumerate(changed_preset(name).training.stages)
    return [f"training.stages.{n}.data.registration={{}}" for n, s in stages if s.data.registration]


def probe(name: str, manifests: Sequence[Path], seed: int) -> dict[str, Any]:
    """CPU seconds of an update of each stage, and the steps that the preset asks for."""
    from talkover.model.presets import changed_preset
    from talkover.model.run import train

    wanted = changed_preset(name, seed=seed)
    stages = wanted.training.stages
    short = [f"training.stages.{number}.steps={PROBED + 1}" for number in range(len(stages))]
    assignments = [*short, "training.average=1", *without_clips(name, manifests)]
    chosen = changed_preset(name, assignments=assignments, seed=seed)
    stamps: list[float] = []
    with TemporaryDirectory() as folder:
        train(manifests, chosen, folder, report=lambda *_: stamps.append(time.process_time()))
    costs = [b - a for a, b in pairwise(stamps)]
    each = PROBED + 1
    return {
        "stages": [stage.name for stage in stages],
        "steps": [stage.steps for stage in stages],
        "seconds": [
            statistics.median(costs[number * each : number * each + PROBED])
            for number in range(len(stages))
        ],
    }


def speed(checkpoint: Path, manifests: Sequence[Path]) -> dict[str, float]:
    """Decoding of some sessions: × real time by CPU time of one thread."""
    import torch

    from talkover.manifests.audio import read_audio
    from talkover.manifests.io import read_sessions
    from talkover.model.inference.recognize import Recording, load_recognizer

    torch.set_num_threads(1)
    recognizer = load_recognizer(checkpoint)
    recordings = [
        Recording(
            id=session.id,
            samples=read_audio(
                manifest.parent / session.audio.path,
                sampling_rate=recognizer.sampling_rate,
                channel=0,
            ),
        )
        for manifest in manifests
        for session in islice(read_sessions(manifest), SPEED_SESSIONS)
    ]
    recognizer.recognize(recordings[:1])  # what is made once is made now
    begun = time.process_time()
    recognizer.recognize(recordings)
    spent = time.process_time() - begun
    seconds = sum(len(one.samples) for one in recordings) / recognizer.sampling_rate
    parameters = sum(parameter.numel() for parameter in recognizer.model.parameters())
    return {
        "x_real_time": round(seconds / spent, 1),
        "audio_seconds": round(seconds, 1),
        "parameters": parameters,
    }


def latency(checkpoint: Path, manifests: Sequence[Path], minutes: float) -> dict[str, float]:
    """One long recording: CPU seconds to its first segment and to all of them, and peak memory.

    Each piece is answered once, with a small budget: models that were trained so shortly loop, and
    would write on and on, and be asked again, where a trained one is done.
    """
    import numpy as np
    import torch

    from talkover.manifests.audio import read_audio
    from talkover.manifests.io import read_sessions
    from talkover.model.inference.pieces import example_of_samples, plan_pieces
    from talkover.model.inference.recognize import load_recognizer

    torch.set_num_threads(1)
    recognizer = load_recognizer(checkpoint)
    writer, rate, window = recognizer.transcriber, recognizer.sampling_rate, recognizer.window
    writer.options = replace(writer.options, retries=(), tokens_per_second=WRITTEN)
    parts, missing = [], round(minutes * 60 * rate)
    paths = [
        manifest.parent / session.audio.path
        for manifest in manifests
        for session in read_sessions(manifest)
    ]
    for path in cycle(paths):
        parts.append(read_audio(path, sampling_rate=rate, channel=0)[:missing])
        missing -= len(parts[-1])
        if missing == 0:
            break
    samples = np.concatenate(parts)
    pieces = [
        example_of_samples(f"{n}", samples[piece.start_sample : piece.end_sample], rate)
        for n, piece in enumerate(plan_pieces(samples, rate, window, overlap=recognizer.overlap))
    ]
    # what is made once is made now
    writer.answers([example_of_samples("warm", samples[: round(WARM_S * rate)], rate)])
    begun = time.process_time()
    next(writer.stream(pieces[0]), None)
    first = time.process_time() - begun
    begun = time.process_time()
    answers = writer.answers(pieces)
    return {
        "minutes": minutes,
        "first_s": round(first, 2),
        "all_s": round(time.process_time() - begun, 1),
        "tokens": sum(answer.num_tokens for answer in answers),
        "peak_mib": round(resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024),
        "window_s": round(window, 1),
    }


def scaled(probed: Mapping[str, Any], budget: float) -> list[int]:
    """Steps of each stage so that all together take the budget.

    >>> scaled({"steps": [100, 300], "seconds": [1.0, 1.0]}, 40)
    [10, 30]
    """
    whole = sum(n * s for n, s in zip(probed["steps"], probed["seconds"], strict=True))
    return [max(1, round(steps * budget / whole)) for steps in probed["steps"]]


def subset(data: Path, out: Path, sessions: int) -> list[Path]:
    """The first sessions of each test set, with their audio where it is."""
    from talkover.manifests.io import read_sessions, write_sessions

    out.mkdir(parents=True, exist_ok=True)
    for folder in (path for path in (data / "test").iterdir() if path.is_dir()):
        link = out / folder.name
        if not link.exists():
            link.symlink_to(folder.resolve(), target_is_directory=True)
    paths = []
    for manifest in test_manifests(data):
        paths.append(out / manifest.name)
        write_sessions(paths[-1], islice(read_sessions(manifest), sessions))
    return paths


def run_one(name: str, options: argparse.Namespace, tests: Sequence[Path]) -> dict[str, Any]:
    """All steps of a preset that are not done; gives its result."""
    out: Path = options.out / name
    steps = Steps(out, options.threads)
    again = [sys.executable, str(HERE), str(options.data), str(options.out)]
    seed = ["--seed", str(options.seed)]
    probed = json.loads(steps.call("probe", [*again, "--probe", name, *seed]))
    numbers = scaled(probed, options.seconds)
    settings = [f"training.stages.{place}.steps={n}" for place, n in enumerate(numbers)]
    settings.append(f"training.save_every={max(1, numbers[-1] // AVERAGED)}")
    manifests = train_manifests(options.data)
    missing = without_clips(name, manifests)
    settings += missing
    words = ["train", *manifests, "--preset", name, "--out", out / "model"]
    words += [word for setting in settings for word in ("--set", setting)]
    trained = json.loads(steps.call("train", talkover(*words, *seed, "--json")))
    words = ["evaluate", out / "model", *tests, "--out", out / "evaluation", "--json"]
    steps.call("evaluate", talkover(*words))
    timed = json.loads(steps.call("speed", [*again, "--speed", str(out / "model")]))
    long = []
    for minutes in options.minutes:
        words = [*again, "--long", f"{minutes:g}", "--checkpoint", str(out / "model")]
        long.append(json.loads(steps.call(f"long-{minutes:g}", words)))
    found = json.loads((out / "evaluation" / "result.json").read_text(encoding="utf8"))
    result = {
        "preset": name,
        "figures": by_talkers(found["table"])["model"],
        "stages": dict(zip(probed["stages"], numbers, strict=True)),
        "is_registered": not missing,
        "losses": trained["losses"],
        "decoding": timed,
        "long": long,
        "times": {step: steps.times(step) for step in ("train", "evaluate", "speed")},
        "weights_sha256": found["checkpoint"]["weights_sha256"],
    }
    (out / "result.json").write_text(json.dumps(result, indent=1, ensure_ascii=False) + "\n")
    return result


def report(results: Sequence[Mapping[str, Any]], options: argparse.Namespace) -> str:
    """The page: one table over all sessions, one by number of talkers."""
    machine = hardware(options.threads)
    done = [result for result in results if "figures" in result]
    head = ["preset", "parameters", "updates", "training CPU s", *COLUMNS, "decode × real time"]
    rows = [[*head, "peak MiB (training, decoding)"]]
    for result in done:
        figures, times = result["figures"]["all"], result["times"]
        rows.append(
            [
                result["preset"],
                f"{result['decoding']['parameters'] / 1e6:.2f} M",
                f"{sum(result['stages'].values())}",
                f"{times['train']['cpu_s']:.0f}",
                *(shown(name, figures.get(name)) for name in COLUMNS),
                f"{result['decoding']['x_real_time']:.0f}",
                f"{times['train']['peak_mib']:.0f}, {times['speed']['peak_mib']:.0f}",
            ]
        )
    talkers = [["preset", *(f"{what}, {n}" for what in ("cpwer", "der") for n in TALKERS)]]
    for result in done:
        cells = [
            shown(what, result["figures"].get(n, {}).get(what))
            for what in ("cpwer", "der")
            for n in TALKERS
        ]
        talkers.append([result["preset"], *cells])
    lines = [
        "# Presets side by side",
        "",
        f"`python benchmarks/presets.py`: {options.seconds:g} CPU seconds of training each, seed "
        f"{options.seed}, {options.sessions} test sessions of each number of talkers; "
        f"{machine['cpu']}, {machine['cores']} cores, {machine['torch_threads']} threads in "
        f"training and one in decoding, torch {machine['packages']['torch']}, {machine['date']}. "
        "In brackets the 95 % interval over resampled sessions. From random weights: how fast a "
        "layout learns on little, not how good the published system is.",
        "",
        *markdown(rows),
        "",
        "By number of talkers:",
        "",
        *markdown(talkers),
    ]
    if options.minutes:
        lines += ["", *long_lines(done)]
    for result in results:
        if not result.get("is_registered", True):
            lines += [
                "",
                f"{result['preset']}: without registration, for which there are no clips.",
            ]
        if "figures" not in result:
            lines += ["", f"{result['preset']}: {result['failed']}"]
    return "\n".join(lines) + "\n"


def long_lines(results: Sequence[Mapping[str, Any]]) -> list[str]:
    """The table of long recordings."""
    head = ["preset", "minutes", "pieces of", "first segment", "all", "tokens written"]
    rows = [[*head, "× real time", "peak MiB"]]
    for result in results:
        for one in result["long"]:
            rows.append(
                [
                    result["preset"],
                    f"{one['minutes']:g}",
                    f"{one['window_s']:g} s",
                    f"{one['first_s']:.2f} s",
                    f"{one['all_s']:.1f} s",
                    f"{one['tokens']}",
                    f"{60 * one['minutes'] / one['all_s']:.0f}",
                    f"{one['peak_mib']:.0f}",
                ]
            )
    return [
        "Long recordings, CPU seconds of one thread. The first segment is there when the first "
        "turn of the first piece is written; a model that hears all at once reads all before it:",
        "",
        *markdown(rows),
    ]


def shown(name: str, figure: Mapping[str, Any] | None) -> str:
    """A figure with its interval."""
    if figure is None:
        return "–"
    digits, factor, unit = (3, 1, " s") if name == "boundary_error" else (1, 100, " %")
    text = f"{factor * figure['value']:.{digits}f}{unit}"
    if "interval" in figure:
        low, high = (f"{factor * bound:.{digits}f}" for bound in figure["interval"])
        text += f" ({low}–{high})"
    return text


def markdown(rows: Sequence[Sequence[str]]) -> list[str]:
    """A table; the first row is its head."""
    lines = [rows[0], ["---"] * len(rows[0]), *rows[1:]]
    return ["| " + " | ".join(line) + " |" for line in lines]


def main() -> None:
    """Do all presets, or one part of one (called by itself)."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path, help="what arabic/prepare.py wrote")
    parser.add_argument("out", type=Path)
    parser.add_argument("--presets", help="names with commas; default tiny and all small forms")
    parser.add_argument("--seconds", type=float, default=1800.0, help="CPU of training, each")
    parser.add_argument("--sessions", type=int, default=100, help="of each number of talkers")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=int, default=2, help="of torch in training")
    parser.add_argument(
        "--minutes",
        type=lambda text: [float(part) for part in text.split(",")],
        default=[],
        help="lengths of long recordings, with commas",
    )
    parser.add_argument("--report", type=Path, default=HERE.with_suffix(".md"))
    parser.add_argument("--probe", help=argparse.SUPPRESS)
    parser.add_argument("--speed", type=Path, help=argparse.SUPPRESS)
    parser.add_argument("--long", type=float, help=argparse.SUPPRESS)
    parser.add_argument("--checkpoint", type=Path, help=argparse.SUPPRESS)
    options = parser.parse_args()
    if options.probe:
        print(json.dumps(probe(options.probe, train_manifests(options.data), options.seed)))
        return
    if options.speed:
        print(json.dumps(speed(options.speed, test_manifests(options.data))))
        return
    if options.long:
        tests = test_manifests(options.data)
        print(json.dumps(latency(options.checkpoint, tests, options.long)))
        return
    names = options.presets.split(",") if options.presets else all_names()
    tests = subset(options.data, options.out / "test", options.sessions)
    results: list[dict[str, Any]] = []
    for name in names:
        try:
            results.append(run_one(name, options, tests))
        except SystemExit as stopped:  # the next preset may work
            results.append({"preset": name, "failed": str(stopped), "long": []})
        options.report.write_text(report(results, options), encoding="utf8")
        print(f"{name}: {results[-1].get('failed', 'done')} -> {options.report}", flush=True)


if __name__ == "__main__":
    main()
