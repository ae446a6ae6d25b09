"""What annotating costs: time on one core, memory by length, a very long file, 1,000 damaged ones.

    python benchmarks/annotate.py AUDIO… [--parts speed,memory,long,damaged] [--minutes 30]
        [--hours 10] [--damaged 1000] [--work DIR] [--json FILE]

AUDIO are recordings of speech; they are repeated, each time at another level, until the length that
is asked for. Time is processor time of all threads over the length of the audio, after a first
short file (models loaded); with and without opinion scores (DNSMOS). Memory is the highest resident
size of a process of its own, at 30 minutes and at 2 hours. Figures of quality are made by
`talkover annotate-eval`.
"""

from __future__ import annotations

import argparse
import json
import multiprocessing
import os
import resource
import shutil
import tempfile
import time
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import numpy as np
import soundfile

from talkover.annotate.config import load_config
from talkover.annotate.run import annotate_files

for name in ("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS"):
    os.environ.setdefault(name, "1")  # read by the measured processes, which begin afresh

RATE = 16000
SPEED_BARS = {"without": 0.05, "with": 0.15}
MEMORY_BAR_MB = 50.0
SHORT_MINUTES, LONG_MINUTES = 30.0, 120.0
LEVELS_DB = (0.0, -6.0, -12.0, 3.0)
"""Of the repetitions, so that they are no copies of each other."""
DNSMOS = "backends.quality.options={opinion: true}"


def repeated(sources: Sequence[Path], seconds: float, path: Path) -> Path:
    """A file of so many seconds: the sources one after the other, over and over."""
    clips = []
    for source in sources:
        samples, rate = soundfile.read(source, dtype="float32", always_2d=True)
        if rate != RATE:
            raise SystemExit(f"{source}: {rate} Hz, needed are {RATE} Hz")
        clips.append(samples.mean(axis=1))
    left, turn = round(seconds * RATE), 0
    with soundfile.SoundFile(path, "w", RATE, 1, "PCM_16") as file:
        while left > 0:
            gain = 10 ** (LEVELS_DB[turn // len(clips) % len(LEVELS_DB)] / 20)
            piece = np.clip(gain * clips[turn % len(clips)], -1, 1)[:left]
            file.write(piece)
            left -= len(piece)
            turn += 1
    return path


def cost(audio: Path, out: Path, settings: Sequence[str]) -> dict[str, float]:
    """Processor and wall seconds of one run in this process, and its highest memory."""
    begun, processor = time.monotonic(), time.process_time()
    done = annotate_files([audio], out, config=load_config(None, settings), executor="serial")
    assert done is not None
    return {
        "audio_seconds": done.seconds,
        "segments": done.segments,
        "cpu_seconds": time.process_time() - processor,
        "wall_seconds": time.monotonic() - begun,
        "peak_mb": resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024,
    }


def _child(pipe: Any, runs: Sequence[tuple[Path, Path, Sequence[str]]]) -> None:
    import torch

    torch.set_num_threads(1)
    pipe.send([cost(*run) for run in runs])


def in_own_process(runs: Sequence[tuple[Path, Path, Sequence[str]]]) -> list[dict[str, float]]:
    """`cost` of several runs, one after the other in a fresh process."""
    context = multiprocessing.get_context("spawn")
    here, there = context.Pipe()
    process = context.Process(target=_child, args=(there, runs))
    process.start()
    there.close()
    try:
        found: list[dict[str, float]] = here.recv()
    except EOFError:
        raise SystemExit("a run died, see above") from None
    process.join()
    return found


def speed(sources: Sequence[Path], minutes: float, work: Path) -> dict[str, Any]:
    """Real-time factors without and with opinion scores."""
    first = repeated(sources, 20.0, work / "first.wav")
    main = repeated(sources, 60 * minutes, work / "speed.wav")
    found: dict[str, Any] = {}
    for name, settings in (("without", ()), ("with", (DNSMOS,))):
        runs = [(p, work / f"speed-{name}-{p.stem}", settings) for p in (first, main)]
        row = in_own_process(runs)[1]
        factor = row["cpu_seconds"] / row["audio_seconds"]
        bar = SPEED_BARS[name]
        found[name] = {**row, "real_time_factor": factor, "bar": bar, "holds": factor <= bar}
    return found


def memory(sources: Sequence[Path], work: Path) -> dict[str, Any]:
    """Highest memory at two hours over that at half an hour."""
    rows = {}
    for minutes in (SHORT_MINUTES, LONG_MINUTES):
        audio = repeated(sources, 60 * minutes, work / f"memory-{minutes:g}.wav")
        rows[minutes] = in_own_process([(audio, work / f"memory-{minutes:g}", ())])[0]
        audio.unlink()
    more = rows[LONG_MINUTES]["peak_mb"] - rows[SHORT_MINUTES]["peak_mb"]
    at = {f"{minutes:g} min": row for minutes, row in rows.items()}
    return {**at, "more_mb": more, "bar": MEMORY_BAR_MB, "holds": more <= MEMORY_BAR_MB}


def long_file(sources: Sequence[Path], hours: float, work: Path) -> dict[str, float]:
    """One very long file, all branches."""
    audio = repeated(sources, 3600 * hours, work / "long.wav")
    row = in_own_process([(audio, work / "long", ())])[0]
    audio.unlink()
    return {**row, "real_time_factor": row["cpu_seconds"] / row["audio_seconds"]}


def damaged(sources: Sequence[Path], count: int, work: Path) -> dict[str, Any]:
    """Files with a piece cut out, overwritten or doubled, and what became of them."""
    folder = work / "damaged"
    folder.mkdir()
    rng = np.random.default_rng(0)
    data = [source.read_bytes() for source in sources]
    for number in range(count):
        body = bytearray(data[number % len(data)])
        size = len(body)
        start, length = int(rng.integers(0, size)), int(rng.integers(1, max(2, size // 4)))
        if number % 4 == 0:
            del body[start:]
        elif number % 4 == 1:
            body[start : start + length] = rng.bytes(len(body[start : start + length]))
        elif number % 4 == 2:
            del body[start : start + length]
        else:
            body[:200] = rng.bytes(min(200, size))
        name = f"{number:04d}{sources[number % len(data)].suffix}"
        (folder / name).write_bytes(bytes(body))
    good = work / "good.wav"
    repeated(sources, 20.0, good)
    begun = time.monotonic()
    done = annotate_files([folder, good], work / "damaged-out", executor="serial")
    assert done is not None
    return {
        "files": count + 1,
        "annotated": done.recordings,
        "rejected_with_reason": sum(bool(row.reason) for row in done.rejected),
        "all_accounted_for": done.recordings + len(done.rejected) == count + 1,
        "wall_seconds": time.monotonic() - begun,
    }


def main() -> None:
    """Measure what is asked and print it."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("audio", nargs="+", type=Path)
    parser.add_argument("--parts", default="speed,memory")
    parser.add_argument("--minutes", type=float, default=30.0, help="of audio, for speed")
    parser.add_argument("--hours", type=float, default=10.0, help="of the very long file")
    parser.add_argument("--damaged", type=int, default=1000)
    parser.add_argument("--work", type=Path, help="folder for audio and results; default temporary")
    parser.add_argument("--json", type=Path)
    options = parser.parse_args()
    found: dict[str, Any] = {}
    if options.work is not None:
        options.work.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=options.work) as name:
        work = Path(name)
        parts = {
            "speed": lambda: speed(options.audio, options.minutes, work),
            "memory": lambda: memory(options.audio, work),
            "long": lambda: long_file(options.audio, options.hours, work),
            "damaged": lambda: damaged(options.audio, options.damaged, work),
        }
        for part in options.parts.split(","):
            if part not in parts:
                raise SystemExit(f"--parts {part}: choose some of {', '.join(parts)}")
            found[part] = parts[part]()
            print(json.dumps({part: found[part]}, indent=1), flush=True)
            for folder in work.iterdir():
                shutil.rmtree(folder) if folder.is_dir() else folder.unlink()
    if options.json:
        options.json.write_text(json.dumps(found, indent=1) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
