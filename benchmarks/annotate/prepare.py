"""Training, calibration and test sessions of the annotation models, as split.yaml says.

    python benchmarks/annotate/prepare.py DATA OUT [--sets train,calibrate,test] [--jobs 2]
        [--more-sounds esc10/manifest.csv…] [--more-speech readers/manifest.csv]

DATA holds `speech/manifest.csv` and `sounds/manifest.csv` with the audio that they name. OUT gets
one folder of sessions a set and condition (`train/table`, …), made by `talkover simulate`, beside
the tables they were made of. `--more-sounds` are tables of further clips: those of `esc10.py`, of
which split.yaml says, too, which set each is for, and those of `more_sounds.py`, all for training.

Its further sets hold more training sessions. `sounds` has many sounds and little speech, for the
tagger; `meetings` much overlap, headsets and tables, the voices of `train` at other speeds, for the
segmentation and the embedding. `crowd` has the voices of `--more-speech`, a table such as
librispeech.py makes: other people, for the same two; `people` has thirty of them, who are for
calibration alone. `places` is for the tagger: sounds in recorded noise, of all tables.
"""

from __future__ import annotations

import argparse
import csv
from collections.abc import Iterable
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import soundfile
import yaml
from render_music import render_pieces
from scipy.signal import resample_poly

from talkover.simulate.config import SimulationConfig
from talkover.simulate.request import RunRequest
from talkover.simulate.run import prepare, render_run

HERE = Path(__file__).parent
SETS = ("train", "calibrate", "test")
SPEECH_LICENCE = "CC-BY-4.0"
GAP = 800
"""Samples of silence between the utterances of a warped voice's file."""
Row = dict[str, str]


def read_rows(path: Path) -> list[Row]:
    """Rows of a table, `file` made absolute."""
    with path.open(encoding="utf8", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{**row, "file": str((path.parent / row["file"]).resolve())} for row in rows]


def write_rows(path: Path, rows: Iterable[Row]) -> Path:
    """Write a table; returns its path."""
    rows = list(rows)
    path.parent.mkdir(parents=True, exist_ok=True)
    with path.open("w", encoding="utf8", newline="") as file:
        writer = csv.DictWriter(file, list(rows[0]), extrasaction="ignore")
        writer.writeheader()
        writer.writerows(rows)
    return path


def voices_of(
    rows: list[Row], recipe: dict[str, Any], part: str, corpora: list[str]
) -> dict[str, list[Row]]:
    """Utterances of the voices of a set."""
    named = recipe["voices"]
    away = {v for other, voices in named.items() for v in voices if other != part}
    found: dict[str, list[Row]] = {}
    for row in rows:
        voice = row["speaker"]
        if row["corpus"] not in corpora or voice in away:
            continue
        if part in named and voice not in named[part]:
            continue
        found.setdefault(voice, []).append(row)
    step = {v: max(1, -(-len(own) // recipe["most_utterances"])) for v, own in found.items()}
    return {voice: own[:: step[voice]] for voice, own in found.items()}


def speech_table(voices: dict[str, list[Row]], warps: list[float], folder: Path) -> Path:
    """Voices of a set and, as further voices, the same at other speeds."""
    table = []
    for voice, own in voices.items():
        table += [{**row, "licence": SPEECH_LICENCE} for row in own]
        for warp in warps:
            table += warped(voice, own, warp, folder / "voices")
    return write_rows(folder / "speech.csv", table)


def warped(voice: str, rows: list[Row], speed: float, folder: Path) -> list[Row]:
    """The utterances of a voice played at another speed, in one file."""
    name = f"{voice}-x{round(100 * speed)}"
    ratio = Fraction(speed).limit_denominator(100)
    parts, found, at = [], [], 0
    for row in rows:
        first, count = int(row["start_sample"]), int(row["num_samples"])
        samples, rate = soundfile.read(row["file"], start=first, stop=first + count)
        changed = resample_poly(samples, ratio.denominator, ratio.numerator)
        parts += [changed, np.zeros(GAP)]
        times = {"start_sample": str(at), "num_samples": str(len(changed))}
        times |= {"start": f"{at / rate:.4f}", "duration": f"{len(changed) / rate:.4f}"}
        ids = {"utterance_id": f"{row['utterance_id']}-x{round(100 * speed)}", "speaker": name}
        path = {"file": str((folder / f"{name}.flac").resolve()), "licence": SPEECH_LICENCE}
        found.append({**row, **times, **ids, **path})
        at += len(changed) + GAP
    folder.mkdir(parents=True, exist_ok=True)
    joined = np.clip(np.concatenate(parts), -1, 1)
    soundfile.write(folder / f"{name}.flac", joined, rate, subtype="PCM_16")
    return found


def clip_tables(
    rows: list[Row], recipe: dict[str, Any], part: str, out: Path, further_labels: list[str]
) -> dict[str, Path]:
    """Tables of sounds, noises and music of a set; sounds of ESC-10's classes and some others."""
    sounds = recipe["sounds"]
    esc = [row for row in rows if row["clip_id"].startswith("esc10-")]
    held_out = held_out_sources(esc, sounds)
    kept = [r for r in esc if held_out.get(_source(r), "train") == part]
    if part == "train":
        folder = out / part / "sounds"
        kept += [warped_clip(r, speed, folder) for speed in sounds["warps"] for r in list(kept)]
        labels = {r["label"] for r in esc} | set(further_labels)
        kept += [r for r in rows if r["label"] in labels and r not in esc]
    noise = [r for r in rows if r["kind"] == "noise"]
    named = {name for names in sounds["noise"].values() for name in names}
    own_noise = set(sounds["noise"].get(part, ()))
    kept_noise = [
        r for r in noise if (r["clip_id"] in own_noise if own_noise else r["clip_id"] not in named)
    ]
    made = read_rows(
        render_pieces(out / part / "music", recipe["rendered_music"][part], SETS.index(part))
    )
    music = [r for r in rows if r["kind"] == "music"]
    of_test = set(sounds["music"]["test"])
    if part == "calibrate":
        music = []
    else:
        music = [r for r in music if (r["clip_id"] in of_test) == (part == "test")]
    return {
        "sounds": write_rows(out / part / "sounds.csv", kept),
        "noise": write_rows(out / part / "noise.csv", kept_noise),
        "music": write_rows(out / part / "music.csv", [*music, *made]),
    }


def held_out_sources(esc: list[Row], sounds: dict[str, Any]) -> dict[str, str]:
    """Set of each source recording that is not for training."""
    held_out: dict[str, str] = {}
    for label in sorted({row["label"] for row in esc}):
        own = [row for row in esc if row["label"] == label]
        held = {_source(row) for row in own if _fold(row) == sounds["held_out_fold"]}
        *_, calibrate, test = sorted(held)
        held_out |= {calibrate: "calibrate", test: "test"}
        shared = sorted({_source(row) for row in own if _fold(row) == sounds["shared_fold"]})
        held_out |= dict.fromkeys(shared[len(shared) // 2 :], "calibrate")
    return held_out | {_source(r): "test" for r in esc if _fold(r) == sounds["test_fold"]}


def warped_clip(row: Row, speed: float, folder: Path) -> Row:
    """A clip played at another speed: one more dog, rooster or saw."""
    name = f"{row['clip_id']}-x{round(100 * speed)}"
    ratio = Fraction(speed).limit_denominator(100)
    samples, rate = soundfile.read(row["file"])
    changed = resample_poly(samples, ratio.denominator, ratio.numerator)
    folder.mkdir(parents=True, exist_ok=True)
    path = folder / f"{name}.flac"
    soundfile.write(path, np.clip(changed, -1, 1), rate, subtype="PCM_16")
    return {**row, "clip_id": name, "file": str(path.resolve())}


def _fold(row: Row) -> int:
    return int(row["clip_id"].split("-")[1])


def _source(row: Row) -> str:
    return row["clip_id"].split("-")[2]


def settings_of(condition: dict[str, Any], tables: dict[str, Path]) -> SimulationConfig:
    """Configuration of a condition, with the clips of the set."""
    settings = {name: dict(section) for name, section in condition["settings"].items()}
    if condition.get("clips"):
        settings["sounds"]["path"] = tables["sounds"]
    if condition.get("pieces"):
        settings["music"]["path"] = tables["music"]
    if condition.get("recorded_noise"):
        settings["noise"]["path"] = tables["noise"]
    return SimulationConfig.model_validate(settings)


def main() -> None:
    """Make the sets."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("data", type=Path)
    parser.add_argument("out", type=Path)
    parser.add_argument("--sets", default=",".join(SETS))
    parser.add_argument(
        "--more-sounds", type=Path, nargs="+", default=[], help="tables of further clips"
    )
    parser.add_argument("--more-speech", type=Path, help="voices, as of librispeech.py")
    parser.add_argument("--hours", type=float, help="of the first of the sets; else of split.yaml")
    parser.add_argument("--jobs", type=int, default=2)
    options = parser.parse_args()
    recipe = yaml.safe_load((HERE / "split.yaml").read_text(encoding="utf8"))
    speech = read_rows(options.data / "speech" / "manifest.csv")
    sounds = read_rows(options.data / "sounds" / "manifest.csv")
    for path in options.more_sounds:
        known = {row["clip_id"] for row in sounds}
        sounds += [row for row in read_rows(path) if row["clip_id"] not in known]
    if options.more_speech is not None:
        speech += read_rows(options.more_speech)
    order = [*SETS, *recipe["further"]]  # by which a set is seeded
    for name in options.sets.split(","):
        further = recipe["further"].get(name, {})
        part = further.get("part", "train" if further else name)
        warps = further.get("warps", recipe["warps"])
        own_voices = not further or "warps" in further or "corpora" in further
        folder = options.out / (name if own_voices else part)
        corpora = further.get("corpora", recipe["corpora"])
        voices = voices_of(speech, recipe, further.get("voices", part), corpora)
        if not voices:
            raise SystemExit(f"{name}: no voice of {', '.join(corpora)}; see --more-speech")
        table = speech_table(voices, warps, folder)
        labels = further.get("labels", [])
        tables = clip_tables(sounds, recipe, part, options.out, labels)
        conditions = further.get("conditions", recipe["conditions"])
        hours = options.hours or recipe["hours"][name]
        for number, (kind, condition) in enumerate(conditions.items()):
            request = RunRequest(
                out=folder / kind,
                corpora=(str(table),),
                config=settings_of(condition, tables),
                seed=recipe["seed"] + 100 * order.index(name) + number,
                hours=hours * condition["share"],
                cache=options.out / "cache" / folder.name,
            )
            made = render_run(prepare(request, jobs=options.jobs), jobs=options.jobs)
            if made is not None:  # all shards are ours, so it never is
                print(f"{folder.name}/{kind}: {made.sessions} sessions, {made.hours:.2f} h")


if __name__ == "__main__":
    main()
