"""Training and test sessions of benchmarks/arabic, from single words of Arabic speakers.

    python benchmarks/arabic/prepare.py SPEECH OUT [--hours 12] [--jobs 2]

SPEECH is a folder with `manifest.csv` (columns utterance_id, corpus, speaker, text, file,
start_sample, num_samples, …) and the audio that it names; the rows of the corpus
`arabic_speech_commands` are used. OUT gets `test/1`, `test/2`, `test/3` as `test.yaml` says, and
`train/1` … of the other speakers, made the same way with other seeds. More test sessions are made
than are asked for, and the first that are within the limits of `keep` are the test set.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from pathlib import Path
from typing import Any

import yaml

from talkover.manifests.io import read_sessions, write_sessions
from talkover.manifests.schema import Session
from talkover.simulate.config import load_config
from talkover.simulate.run import RunRequest, prepare, render_run

HERE = Path(__file__).parent
CORPUS = "arabic_speech_commands"
LICENCE = "CC-BY-4.0"
PAUSE = 0.2
"""Seconds: a longer silence of one speaker ends a run of words."""
STEPS = 5
"""Runs over which the range of overlaps is spread."""


def write_corpora(speech: Path, out: Path, held_out: list[str]) -> tuple[Path, Path]:
    """Tables of the training and of the held-out speakers, with absolute paths."""
    with (speech / "manifest.csv").open(encoding="utf8", newline="") as file:
        rows = [row for row in csv.DictReader(file) if row["corpus"] == CORPUS]
    paths = []
    for name, chosen in (
        ("train", [r for r in rows if r["speaker"] not in held_out]),
        ("test", [r for r in rows if r["speaker"] in held_out]),
    ):
        if not chosen:
            raise SystemExit(f"{speech}/manifest.csv: no row of {CORPUS} for {name}")
        path = out / f"{name}.csv"
        with path.open("w", encoding="utf8", newline="") as file:
            writer = csv.DictWriter(file, [*chosen[0], "licence"])
            writer.writeheader()
            for row in chosen:
                full = str((speech / row["file"]).resolve())
                writer.writerow({**row, "file": full, "licence": LICENCE})
        paths.append(path)
    return paths[0], paths[1]


def simulate(corpus: Path, out: Path, what: dict[str, Any], *, jobs: int) -> None:
    """One run; the overlap is asked only of conversations."""
    config = load_config(None, [f"{key}={json.dumps(value)}" for key, value in what["set"].items()])
    request = RunRequest(
        out=out,
        corpora=(str(corpus),),
        config=config,
        seed=what["seed"],
        sessions=what["sessions"],
        cache=out.parent.parent / "cache" / corpus.stem,
    )
    render_run(prepare(request, jobs=jobs), jobs=jobs)


def select(folders: list[Path], out: Path, count: int, keep: dict[str, Any]) -> int:
    """Write a manifest of the first sessions within the limits; returns how many were looked at."""
    chosen: list[Session] = []
    looked = 0
    for folder in folders:
        for session in read_sessions(folder):
            looked += 1
            if len(chosen) < count and is_within(session, keep):
                chosen.append(_moved(session, folder.relative_to(out.parent).as_posix()))
    if len(chosen) < count:
        raise SystemExit(f"{out}: only {len(chosen)} of {looked} sessions are within {keep}")
    write_sessions(out, chosen)
    return looked


def is_within(session: Session, keep: dict[str, Any]) -> bool:
    """Whether every run of words and the overlap are within the limits."""
    least, most = keep["words"]
    if not all(least <= words <= most for words in runs_of(session)):
        return False
    assert session.statistics is not None
    if session.statistics.num_speakers == 1:
        return True
    low, high = keep["overlap"]
    return bool(low <= session.statistics.overlap_of_speech <= high)


def runs_of(session: Session) -> list[int]:
    """Words of each inter-pausal unit of each speaker."""
    found: list[int] = []
    for speaker in {s.speaker_local for s in session.supervisions}:
        end = -math.inf
        for row in sorted(
            (s for s in session.supervisions if s.speaker_local == speaker), key=lambda s: s.start
        ):
            words = len((row.text or "").split())
            if row.start - end < PAUSE:
                found[-1] += words
            else:
                found.append(words)
            end = row.end
    return found


def _moved(session: Session, below: str) -> Session:
    """The session with the path of its audio from a folder higher up."""
    audio = session.audio.model_copy(update={"path": f"{below}/{session.audio.path}"})
    return session.model_copy(update={"audio": audio})


def flat(values: dict[str, Any], prefix: str = "") -> dict[str, Any]:
    """Nested settings by dotted name."""
    found: dict[str, Any] = {}
    for key, value in values.items():
        if isinstance(value, dict):
            found |= flat(value, f"{prefix}{key}.")
        else:
            found[prefix + key] = value
    return found


def runs(recipe: dict[str, Any], sessions: int, seed: int) -> list[tuple[str, dict[str, Any]]]:
    """Name and settings of every run of a set."""
    found = []
    base = {**flat(recipe["simulation"]), "turns.model": str(HERE / "turns.json")}
    low, high = recipe["overlap"]
    for talkers in recipe["talkers"]:
        speakers = {"session.speakers": [talkers, talkers]}
        if talkers == 1:
            found.append(("1", {"seed": seed + 1, "sessions": sessions, "set": base | speakers}))
            continue
        for step in range(STEPS):
            overlap = round(low + (high - low) * step / (STEPS - 1), 4)
            settings = base | speakers | {"turns.overlap": overlap}
            found.append(
                (
                    f"{talkers}-{step}",
                    {
                        "seed": seed + 10 * talkers + step,
                        "sessions": sessions // STEPS,
                        "set": settings,
                    },
                )
            )
    return found


def main() -> None:
    """Make both sets."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("speech", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--hours", type=float, default=12.0, help="of training sessions")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    recipe = yaml.safe_load((HERE / "test.yaml").read_text(encoding="utf8"))
    options.out.mkdir(parents=True, exist_ok=True)
    train, test = write_corpora(options.speech, options.out, recipe["held_out"])
    mean = sum(recipe["simulation"]["session"]["length"]) / 2
    each = round(options.hours * 3600 / mean / len(recipe["talkers"]) / STEPS) * STEPS
    count = recipe["sessions_per_talkers"]
    for run, what in runs(recipe, recipe["candidates"], recipe["seed"]):
        simulate(test, options.out / "test" / "made" / run, what, jobs=options.jobs)
    for talkers in recipe["talkers"]:
        made = sorted((options.out / "test" / "made").glob(f"{talkers}*"))
        out = options.out / "test" / f"{talkers}.jsonl"
        looked = select(made, out, count, recipe["keep"])
        print(f"test, {talkers} talkers: {count} of {looked} sessions -> {out}")
    for run, what in runs(recipe, each, recipe["seed"] + 1000):
        simulate(train, options.out / "train" / run, what, jobs=options.jobs)
        print("train", run, what["sessions"], "sessions")


if __name__ == "__main__":
    main()
