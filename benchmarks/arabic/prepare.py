"""Training and test sessions of benchmarks/arabic, from single words of Arabic speakers.

    python benchmarks/arabic/prepare.py SPEECH OUT [--hours 36] [--others 5] [--dev] [--jobs 2]

SPEECH is a folder with `manifest.csv` (columns utterance_id, corpus, speaker, text, file,
start_sample, num_samples, …) and the audio that it names. OUT gets

* `test/1.jsonl`, `2.jsonl`, `3.jsonl` as `test.yaml` says, of the held-out speakers. More sessions
  are made than are asked for, and the first that are within the limits of `keep` are the set;
* `train/1` … of the other speakers of Arabic words, made the same way with other seeds. Each of
  them is there at several speeds, pitch and all, as so many voices;
* `others/2` … of the speakers of LibriSpeech, whose words are not known: who speaks when.

With `--dev` three speakers of the training set are kept out of it and become `dev/1.jsonl` …, so
that choices are not made on the test set.
"""

from __future__ import annotations

import argparse
import csv
import json
import math
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml

from talkover.manifests.audio import read_audio, resample
from talkover.manifests.io import read_sessions, write_sessions
from talkover.manifests.schema import Session
from talkover.simulate.config import load_config
from talkover.simulate.request import RunRequest
from talkover.simulate.run import prepare, render_run

HERE = Path(__file__).parent
CORPUS = "arabic_speech_commands"
OTHERS = "librispeech"
LICENCE = "CC-BY-4.0"
PAUSE = 0.2
"""Seconds: a longer silence of one speaker ends a run of words."""
PIECE = (0.5, 1.6)
"""Seconds, shortest and longest, of the pieces of read sentences: one to four words."""
FRAMES_PER_SECOND = 100
STEPS = 5
"""Runs over which the range of overlaps is spread."""


def read_rows(speech: Path) -> list[dict[str, str]]:
    """Rows of the table of utterances."""
    with (speech / "manifest.csv").open(encoding="utf8", newline="") as file:
        return list(csv.DictReader(file))


def write_corpus(path: Path, speech: Path, rows: list[dict[str, str]]) -> Path:
    """A table of some utterances, with absolute paths."""
    if not rows:
        raise SystemExit(f"{speech}/manifest.csv: no utterance for {path.stem}")
    with path.open("w", encoding="utf8", newline="") as file:
        writer = csv.DictWriter(file, [*rows[0], "licence"])
        writer.writeheader()
        for row in rows:
            full = str((speech / row["file"]).resolve())
            writer.writerow({**row, "file": full, "licence": LICENCE})
    return path


def played_at(
    rows: list[dict[str, str]], speech: Path, out: Path, speeds: list[float]
) -> list[dict[str, str]]:
    """Utterances of every speaker at every speed, each speed a voice of its own (Ko et al. 2015).

    Whole files are resampled, so that the cuts between words stay where they are.
    """
    out.mkdir(parents=True, exist_ok=True)
    found: list[dict[str, str]] = []
    for speed in speeds:
        if speed == 1.0:
            found += rows
            continue
        for name in sorted({row["file"] for row in rows}):
            rate = int(next(row["sample_rate"] for row in rows if row["file"] == name))
            path = out / f"{Path(name).stem}-{speed:g}.flac"
            if not path.exists():
                samples = read_audio(speech / name)
                soundfile.write(path, resample(samples, round(rate * speed), rate), rate)
            for row in (row for row in rows if row["file"] == name):
                moved = {
                    key: str(int(int(row[key]) / speed)) for key in ("start_sample", "num_samples")
                }
                seconds = {
                    key: f"{int(moved[sample]) / rate:.4f}"
                    for key, sample in (("start", "start_sample"), ("duration", "num_samples"))
                }
                names = {
                    "utterance_id": f"{row['utterance_id']}-{speed:g}",
                    "speaker": f"{row['speaker']}-{speed:g}",
                    "file": str(path.resolve()),
                }
                found.append({**row, **moved, **seconds, **names})
    return found


def cut_at_pauses(rows: list[dict[str, str]], speech: Path) -> list[dict[str, str]]:
    """Long utterances as pieces of `PIECE` seconds, cut where they are quietest."""
    found: list[dict[str, str]] = []
    for row in rows:
        rate, start = int(row["sample_rate"]), int(row["start_sample"])
        total = int(row["num_samples"])
        samples = read_audio(speech / row["file"], start_sample=start, num_samples=total)
        hop = rate // FRAMES_PER_SECOND
        frames = samples[: len(samples) // hop * hop].reshape(-1, hop)
        level = np.convolve(np.square(frames).mean(1), np.ones(5) / 5, mode="same")
        at, number = 0, 0
        least, most = (int(seconds * FRAMES_PER_SECOND) for seconds in PIECE)
        while at + most < len(level):
            end = at + least + int(np.argmin(level[at + least : at + most]))
            found.append(
                {
                    **row,
                    "utterance_id": f"{row['utterance_id']}-{number}",
                    "start_sample": str(start + at * hop),
                    "num_samples": str((end - at) * hop),
                    "start": f"{(start + at * hop) / rate:.4f}",
                    "duration": f"{(end - at) * hop / rate:.4f}",
                }
            )
            at, number = end, number + 1
    return found


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
    """Whether all is transcribed, and every run of words and the overlap are within the limits."""
    if not all(row.text for row in session.supervisions):  # a word that was cut at a pause in it
        return False
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


def make_fixed(
    corpus: Path, out: Path, recipe: dict[str, Any], candidates: int, seed: int, *, jobs: int
) -> None:
    """A set of sessions within the limits of the recipe."""
    for run, what in runs(recipe, candidates, seed):
        simulate(corpus, out / "made" / run, what, jobs=jobs)
    for talkers in recipe["talkers"]:
        made = sorted((out / "made").glob(f"{talkers}*"))
        count = recipe["sessions_per_talkers"] * candidates // recipe["candidates"]
        looked = select(made, out / f"{talkers}.jsonl", count, recipe["keep"])
        print(f"{out.name}, {talkers} talkers: {count} of {looked} sessions")


def main() -> None:
    """Make all sets."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("speech", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--hours", type=float, default=36.0, help="of training sessions")
    parser.add_argument("--others", type=float, default=5.0, help="hours of voices without text")
    parser.add_argument("--dev", action="store_true", help="keep three more speakers out")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    recipe = yaml.safe_load((HERE / "test.yaml").read_text(encoding="utf8"))
    voices = yaml.safe_load((HERE / "voices.yaml").read_text(encoding="utf8"))
    speech, out, jobs = options.speech, options.out, options.jobs
    out.mkdir(parents=True, exist_ok=True)
    words = [row for row in read_rows(speech) if row["corpus"] == CORPUS]
    others = [row for row in read_rows(speech) if row["corpus"].startswith(OTHERS)]

    def of(rows: list[dict[str, str]], names: list[str]) -> list[dict[str, str]]:
        return [row for row in rows if row["speaker"] in names]

    dev = voices["dev"] if options.dev else []
    kept = sorted({row["speaker"] for row in words} - {*recipe["held_out"], *dev})
    test = write_corpus(out / "test.csv", speech, of(words, recipe["held_out"]))
    make_fixed(test, out / "test", recipe, recipe["candidates"], recipe["seed"], jobs=jobs)
    if options.dev:
        corpus = write_corpus(out / "dev.csv", speech, of(words, dev))
        make_fixed(
            corpus, out / "dev", recipe, voices["dev_candidates"], recipe["seed"] + 500, jobs=jobs
        )
    spoken = played_at(of(words, kept), speech, out / "voices", voices["speeds"])
    unknown = cut_at_pauses(others, speech)
    unknown = played_at(unknown, speech, out / "voices", voices["other_speeds"])
    for name, rows, hours, seed in (
        ("train", spoken, options.hours, 1000),
        ("others", unknown, options.others, 2000),
    ):
        corpus = write_corpus(out / f"{name}.csv", speech, rows)
        mean = sum(recipe["simulation"]["session"]["length"]) / 2
        each = round(hours * 3600 / mean / len(recipe["talkers"]) / STEPS) * STEPS
        wanted = {**recipe, "overlap": voices["overlap"]}
        for run, what in runs(wanted, each, recipe["seed"] + seed):
            if each:
                simulate(corpus, out / name / run, what, jobs=jobs)
                print(name, run, what["sessions"], "sessions")


if __name__ == "__main__":
    main()
