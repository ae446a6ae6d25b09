"""Single utterances of LibriSpeech as a table of voices, as prepare.py takes it with --more-speech.

    python benchmarks/annotate/librispeech.py OUT FOLDER… --known DATA/speech/manifest.csv

A FOLDER holds utterances under their names in the corpus, READER-CHAPTER-NUMBER, at any depth, and
perhaps the corpus's SPEAKERS.TXT. A few minutes of many readers make a better model of voices than
hours of few, and some repositories hold just that: github.com/resemble-ai/Resemblyzer (commit
15d828e, `audio_data`: one utterance of each reader of train-clean-100, ten each of ten readers of
test-other) and github.com/google/speaker-id (commit 044ce3d, `clean` and `reference` below
`publications/VoiceFilter/audios`: two each of ten readers of the clean development and test sets).
LibriSpeech is CC-BY 4.0 (Panayotov and others 2015).

OUT gets `manifest.csv`; audio stays where it is. Readers who are in the table of --known are left
out: split.yaml has given them to a set already.
"""

from __future__ import annotations

import argparse
import csv
import re
from pathlib import Path

import soundfile

RATE = 16000
NAME = re.compile(r"(?P<reader>\d+)-(?P<chapter>\d+)-(?P<number>\d{4})")
"""Stem of an utterance's file."""
SEX = {"F": "female", "M": "male"}
CORPUS = "librispeech_utterances"
COLUMNS = (
    "utterance_id corpus speaker gender accent language text gloss file start duration "
    "start_sample num_samples sample_rate source"
).split()


def sexes_of(table: str) -> dict[str, str]:
    r"""Sex of each reader, of the text of SPEAKERS.TXT.

    >>> sexes_of("; a comment\n14   | F | train-clean-360  | 25.03 | Kristin LeMoine")
    {'14': 'female'}
    """
    rows = [line.split("|") for line in table.splitlines() if not line.startswith(";")]
    return {row[0].strip(): SEX[row[1].strip()] for row in rows if len(row) > 2}


def main() -> None:
    """Write the table."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("folders", type=Path, nargs="+")
    parser.add_argument("--known", type=Path, required=True, help="table of voices that are placed")
    options = parser.parse_args()
    with options.known.open(encoding="utf8", newline="") as file:
        known = {row["speaker"] for row in csv.DictReader(file)}
    sexes: dict[str, str] = {}
    found: dict[str, Path] = {}
    for folder in options.folders:
        for path in sorted(folder.rglob("SPEAKERS.TXT")):
            sexes |= sexes_of(path.read_text(encoding="utf8"))
        for path in sorted([*folder.rglob("*.flac"), *folder.rglob("*.wav")]):
            found.setdefault(path.stem, path)
    rows = []
    for name, path in sorted(found.items()):
        match = NAME.fullmatch(name)
        if match is None or f"ls{match['reader']}" in known:
            continue
        facts = soundfile.info(path)
        if facts.samplerate != RATE:
            raise SystemExit(f"{path}: has {facts.samplerate} Hz, needs {RATE}")
        rows.append(
            {
                "utterance_id": f"ls-{name}",
                "corpus": CORPUS,
                "speaker": f"ls{match['reader']}",
                "gender": sexes.get(match["reader"], ""),
                "language": "en",
                "file": str(path.resolve()),
                "start": "0.0000",
                "duration": f"{facts.duration:.4f}",
                "start_sample": "0",
                "num_samples": str(facts.frames),
                "sample_rate": str(RATE),
                "source": path.name,
            }
        )
    options.out.mkdir(parents=True, exist_ok=True)
    with (options.out / "manifest.csv").open("w", encoding="utf8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS, restval="")
        writer.writeheader()
        writer.writerows(rows)
    minutes = sum(float(row["duration"]) for row in rows) / 60
    readers = {row["speaker"] for row in rows}
    print(f"{len(rows)} utterances of {len(readers)} readers, {minutes:.1f} min")


if __name__ == "__main__":
    main()
