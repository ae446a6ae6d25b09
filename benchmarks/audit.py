"""Time and memory of auditing a million turns: cold from ``cuts.jsonl``, and from kept tables.

    python benchmarks/audit.py [--turns 1000000] [--jobs 2] [--keep DIR]

The corpus is a few simulated-looking sessions written over and over with other ids: 20 turns a
session, 8 words a turn, two speakers and more, sources, rooms and noises, about 2 kB of manifest a
turn. Every audit runs in a process of its own: once cold (no table kept), then three times with the
tables kept in a cache, then three times from `Audit.from_tables`. Told are wall seconds, CPU
seconds of all processes together, and the most memory of any process. Audio is not read. Exits with
1 if the cold audit takes more than 60 s, the one from tables alone more than 10 s, or either 2 GB.
"""

from __future__ import annotations

import argparse
import json
import statistics
import subprocess
import sys
import tempfile
from pathlib import Path

from talkover.manifests.seeds import content_id, generator

TURNS_A_SESSION, WORDS_A_TURN, RATE = 20, 8, 16000
TEMPLATES = 200
COLD_LIMIT, WARM_LIMIT, MEMORY_LIMIT = 60.0, 10.0, 2e9  # seconds, seconds, bytes
REPEATS = 3
MARK = "@@"

CHILD = """
import json, resource, sys, time
begun = time.perf_counter()
from talkover.manifests.audit import Audit
mode, path, cache, jobs = sys.argv[1:5]
if mode == "tables":
    audit = Audit.from_tables(path)
else:
    audit = Audit.from_manifests(path, audio=False, cache=cache, jobs=int(jobs))
seconds = time.perf_counter() - begun
if mode == "save":
    audit.save(sys.argv[5])
usage = [resource.getrusage(who) for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN)]
print(json.dumps({
    "wall": seconds, "cpu": sum(u.ru_utime + u.ru_stime for u in usage),
    "peak": max(u.ru_maxrss for u in usage) * 1024, "turns": len(audit.turns),
    "findings": len(audit.findings), "states": audit.checks["status"].value_counts().to_dict(),
}))
"""


def span(first: int, count: int) -> dict[str, float | int]:
    return {
        "start": round(first / RATE, 8),
        "duration": round(count / RATE, 8),
        "start_sample": first,
        "num_samples": count,
    }


def template(n: int) -> str:
    """A line of a manifest with `MARK` where its own id goes."""
    rng = generator(7, n, "benchmark/audit")
    rows, clock, num_speakers = [], 0, int(rng.integers(2, 5))
    name = f"s{MARK}"
    for k in range(TURNS_A_SESSION):
        who = k % num_speakers
        symbols = ["".join(rng.choice(list("abcdefghijkl"), 4)) for _ in range(WORDS_A_TURN)]
        start = max(0, clock + int(rng.normal(0.2, 0.4) * RATE))
        lengths = rng.integers(2000, 6000, WORDS_A_TURN).tolist()
        starts = [start + sum(lengths[:w]) for w in range(WORDS_A_TURN)]
        clock = start + sum(lengths)
        source = {
            "corpus": "made-up",
            "corpus_version": "1",
            "recording_id": f"audio/sp{who}/{MARK}-{k}.flac",
            "utterance_id": f"u{MARK}-{k}",
            "offset": 0.02,
            "duration": round((clock - start) / RATE, 8),
            "licence": "CC0-1.0",
            "sha256": content_id(str(n), str(k), length=64),
        }
        extras = {
            "turn_id": f"{name}-t{k:05d}",
            "speaker_local": f"S{who + 1:02d}",
            "role": "turn",
            "start_sample": start,
            "num_samples": clock - start,
            "regions": [span(start, clock - start)],
            "word_samples": [list(pair) for pair in zip(starts, lengths, strict=True)],
            "word_source": "reference",
            "source": source,
            "gain_db": -2.696,
            "level_dbfs": -28.747,
            "speed": 1.0,
        }
        words = [
            [symbol, round(a / RATE, 8), round(b / RATE, 8), None]
            for symbol, a, b in zip(symbols, starts, lengths, strict=True)
        ]
        rows.append(
            {
                "id": f"{name}-{k:05d}",
                "recording_id": name,
                "start": round(start / RATE, 8),
                "duration": round((clock - start) / RATE, 8),
                "channel": 0,
                "text": " ".join(symbols),
                "language": "en",
                "speaker": f"speaker-{(n * 7 + who) % 499}",
                "custom": {"talkover": extras},
                "alignment": {"word": words},
            }
        )
    rows.sort(key=lambda row: row["start"])
    length = clock + RATE
    audio = {"path": f"audio/{name}.flac", "sampling_rate": RATE, "num_samples": length}
    audio |= {
        "num_channels": 1,
        "format": "flac",
        "subtype": "PCM_16",
        "pcm_sha256": f"{MARK:>064}",
    }
    extras = {
        "schema_version": "1.0",
        "origin": "simulated",
        "split": ("train", "dev", "test")[n % 3],
        "audio": audio,
        "scene": {
            "room": {"kind": "shoebox", "id": f"room-{n}", "t60_asked": 0.3, "t60_measured": 0.31},
            "seats": [{"speaker_local": f"S{k + 1:02d}", "rir_id": f"rir-{n}-{k}", "drr_db": 3.0,
                       "distance_m": 1.5} for k in range(num_speakers)],
        },
        "noise": [{"id": f"noise-{n}", "kind": "ambient", "licence": "CC0-1.0",
                   "snr_db_asked": 15.0, "snr_db_measured": 15.0}],
        "provenance": {"tool": "benchmark", "version": "1", "configuration": {},
                       "configuration_hash": "0" * 64, "root_seed": 7, "session_index": n,
                       "plan_hash": f"{MARK:>064}"},
        "licences": {"spdx": ["CC0-1.0"]},
        "uem": [span(0, length)],
    }  # fmt: skip
    cut = {
        "id": name,
        "start": 0.0,
        "duration": round(length / RATE, 8),
        "channel": 0,
        "supervisions": rows,
        "recording": {
            "id": name,
            "sources": [{"type": "file", "channels": [0], "source": audio["path"]}],
            "sampling_rate": RATE,
            "num_samples": length,
            "duration": round(length / RATE, 8),
            "channel_ids": [0],
        },
        "custom": {"talkover": extras},
        "type": "MonoCut",
    }
    return json.dumps(cut) + "\n"


def write_corpus(folder: Path, turns: int) -> Path:
    folder.mkdir(parents=True, exist_ok=True)
    file = folder / "cuts.jsonl"
    templates = [template(n) for n in range(TEMPLATES)]
    with file.open("w", encoding="utf8") as out:
        for n in range(turns // TURNS_A_SESSION):
            out.write(templates[n % TEMPLATES].replace(MARK, f"{n:06d}"))
    return file


def run(mode: str, path: Path, cache: Path, jobs: int, *more: str) -> dict:
    words = [sys.executable, "-c", CHILD, mode, str(path), str(cache), str(jobs), *more]
    return json.loads(subprocess.run(words, check=True, capture_output=True, text=True).stdout)


def show(name: str, runs: list[dict]) -> dict:
    middle = {key: statistics.median(run[key] for run in runs) for key in ("wall", "cpu", "peak")}
    print(
        f"{name:28} {middle['wall']:6.1f} s wall {middle['cpu']:6.1f} s CPU "
        f"{middle['peak'] / 1e9:5.2f} GB  {runs[0]['turns']:,} turns, "
        f"{runs[0]['findings']:,} findings"
    )
    return middle


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--turns", type=int, default=1_000_000)
    parser.add_argument("--jobs", type=int, default=2)
    parser.add_argument("--keep", type=Path)
    options = parser.parse_args()
    with tempfile.TemporaryDirectory() as scratch:
        folder = options.keep or Path(scratch)
        file = write_corpus(folder, options.turns)
        print(f"{file.stat().st_size / 1e9:.2f} GB of cuts.jsonl")
        with tempfile.TemporaryDirectory(dir=folder) as cache:
            cold = show("cold", [run("kept", file, Path(cache), options.jobs)])
            kept = [run("kept", file, Path(cache), options.jobs) for _ in range(REPEATS)]
            run("save", file, Path(cache), options.jobs, str(folder / "tables"))
            warm = show("kept tables, by the manifest", kept)
        tables = [run("tables", folder / "tables", Path(), 1) for _ in range(REPEATS)]
        alone = show("kept tables alone", tables)
        print(kept[0]["states"])
    fits = cold["wall"] <= COLD_LIMIT and alone["wall"] <= WARM_LIMIT
    return 0 if fits and max(warm["peak"], alone["peak"]) <= MEMORY_LIMIT else 1


if __name__ == "__main__":
    sys.exit(main())
