"""Cries, coughs and places of open repositories as a table of sounds, as prepare.py takes it.

    python benchmarks/annotate/more_sounds.py OUT --cries CHECKOUT --places CHECKOUT
        --coughs CHECKOUT

--cries is a checkout of github.com/gveres/donateacry-corpus at commit 6baf5ac: infants recorded by
their parents' telephones, at 8 kHz, one clip taken of each telephone (contents under DbCL 1.0, the
collection under ODbL 1.0). --places is one of github.com/rafaelmardojai/blanket at commit 8b1c27a:
minutes of rain, waves and fire, which become pieces of eight seconds, and of places where one works
or rests, which become noise (CC0, CC-BY and public domain, as its SOUNDS_LICENSING.md says).
--coughs is one of github.com/covid19-cough/dataset at commit cf494ae: coughs into telephones (CC0).
OUT gets 16 kHz FLAC files and ``manifest.csv``. All of these are for training alone.
"""

from __future__ import annotations

import argparse
from pathlib import Path

import numpy as np
import soundfile
from esc10 import RATE
from numpy.typing import NDArray
from prepare import Row, write_rows
from scipy.signal import resample_poly

CRIES = "donateacry_corpus_cleaned_and_updated_data"
TELEPHONE = 36
"""Letters of a file's name that say whose telephone it was."""
MOST_CRIES = 100
MOST_COUGHS = 150
LONGEST_COUGH = 4.0
"""Seconds, from where it is first loud."""
QUIET_DB = -30.0
"""Below its peak, what comes before a cough."""
PIECE = 8.0
"""Seconds."""
MOST_PIECES = 10
PLACES = {
    # file: label, kind, author, licence
    "rain": ("rain", "environment", "alex36917", "CC-BY"),
    "waves": ("sea_waves", "environment", "Luftrum", "CC-BY"),
    "fireplace": ("fire_crackling", "environment", "ezwa", "public domain"),
    "birds": ("birds", "noise", "kvgarlic", "CC0"),
    "boat": ("boat", "noise", "Falcet", "CC0"),
    "city": ("city", "noise", "gezortenplotz", "CC-BY"),
    "coffee-shop": ("coffee_shop", "noise", "stephan", "public domain"),
    "summer-night": ("crickets", "noise", "Lisa Redfern", "public domain"),
    "train": ("train", "noise", "SDLx", "CC-BY 3.0"),
    "wind": ("wind", "noise", "felix.blume", "CC0"),
}


def cries(checkout: Path, out: Path) -> list[Row]:
    """One clip of each telephone, evenly spread."""
    first: dict[str, Path] = {}
    for path in sorted((checkout / CRIES).rglob("*.wav")):
        first.setdefault(path.name[:TELEPHONE].lower(), path)
    chosen = list(first.values())
    chosen = [chosen[number * len(chosen) // MOST_CRIES] for number in range(MOST_CRIES)]
    facts = {"label": "baby_cry", "kind": "environment", "licence": "DbCL-1.0"}
    facts |= {"author": "Donate-a-cry contributors", "source": "gveres/donateacry-corpus"}
    return [
        {**facts, **_written(f"cry-{number:03d}", _heard(path), out), "note": path.stem[:TELEPHONE]}
        for number, path in enumerate(chosen)
    ]


def coughs(checkout: Path, out: Path) -> list[Row]:
    """Evenly spread clips, from their first cough on."""
    every = sorted((checkout / "raw").glob("*.mp3"))
    chosen = [every[number * len(every) // MOST_COUGHS] for number in range(MOST_COUGHS)]
    facts = {"label": "cough", "kind": "environment", "licence": "CC0"}
    facts |= {"author": "covid19-cough contributors", "source": "covid19-cough/dataset"}
    rows = []
    for number, path in enumerate(chosen):
        heard = _heard(path)
        loud = np.flatnonzero(np.abs(heard) >= np.abs(heard).max() * 10 ** (QUIET_DB / 20))
        kept = heard[loud[0] : loud[0] + round(LONGEST_COUGH * RATE)]
        name = f"cough-{number:03d}"
        rows.append({**facts, **_written(name, kept, out), "note": path.stem})
    return rows


def places(checkout: Path, out: Path) -> list[Row]:
    """Pieces of rain, waves and fire; whole recordings of the rest."""
    rows = []
    for name, (label, kind, author, licence) in PLACES.items():
        heard = _heard(checkout / "data" / "resources" / "sounds" / f"{name}.ogg")
        facts = {"label": label, "kind": kind, "author": author, "licence": licence}
        facts |= {"source": "rafaelmardojai/blanket", "note": ""}
        if kind == "noise":
            rows.append({**facts, **_written(f"blanket-{name}", heard, out)})
            continue
        length = round(PIECE * RATE)
        for number in range(min(MOST_PIECES, len(heard) // length)):
            piece = heard[number * length : (number + 1) * length]
            rows.append({**facts, **_written(f"blanket-{name}-{number:02d}", piece, out)})
    return rows


def _heard(path: Path) -> NDArray[np.float64]:
    samples, rate = soundfile.read(path, always_2d=True)
    return np.asarray(resample_poly(samples.mean(axis=1), RATE, rate))


def _written(name: str, heard: NDArray[np.float64], out: Path) -> Row:
    out.mkdir(parents=True, exist_ok=True)
    soundfile.write(out / f"{name}.flac", heard.clip(-1, 1), RATE, subtype="PCM_16")
    length = {"duration": f"{len(heard) / RATE:.3f}", "sample_rate": str(RATE)}
    return {"clip_id": name, "file": f"{name}.flac", **length}


def main() -> None:
    """Write the table and its files."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("out", type=Path)
    parser.add_argument("--cries", type=Path, required=True)
    parser.add_argument("--places", type=Path, required=True)
    parser.add_argument("--coughs", type=Path, required=True)
    options = parser.parse_args()
    rows = cries(options.cries, options.out) + places(options.places, options.out)
    rows += coughs(options.coughs, options.out)
    write_rows(options.out / "manifest.csv", rows)
    print(f"{len(rows)} clips of {len({row['label'] for row in rows})} labels")


if __name__ == "__main__":
    main()
