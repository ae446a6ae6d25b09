"""The whole of ESC-10 as a table of sounds, as prepare.py takes it beside the clips that it has.

    python benchmarks/annotate/esc10.py CHECKOUT OUT

CHECKOUT is a git checkout of github.com/karolpiczak/ESC-10 at commit 553c8f1 (the last one with the
clips; 400 of five seconds, 41 MB): folders ``001 - Dog bark`` with Ogg files, and a README.md that
names author and licence of each clip. OUT gets 16 kHz FLAC files and ``manifest.csv``. Clips under
other licences than CC0 and CC-BY are left out.
"""

from __future__ import annotations

import argparse
import csv
import re
from pathlib import Path

import soundfile
from scipy.signal import resample_poly

RATE = 16000
LICENCES = {"publicdomain/zero": "CC0", "licenses/by/": "CC-BY 3.0"}
LINE = re.compile(
    r"- \*\*\[(?P<clip>[\w-]+)\.ogg\].*clip derived from \[(?P<name>.*)\]"
    r"\((?P<source>http://www\.freesound\.org\S+)\) by \*(?P<author>.+)\* "
    r"\(\[[^]]+\]\((?P<licence>\S+?)\)\)"
)
"""A clip in the README: its file, what it was cut from, by whom, under what."""
COLUMNS = "clip_id label kind file duration sample_rate licence author source note".split()
Row = dict[str, str]


def credits_of(readme: str) -> dict[str, Row]:
    """Author, source and licence of each clip that may be used for anything.

    >>> line = (
    ...     "- **[1-23-A.ogg](x)**: clip derived from [a [b].wav](http://www.freesound.org/people/"
    ...     "ann/sounds/23/) by *ann* ([CC0](http://creativecommons.org/publicdomain/zero/1.0/))"
    ... )
    >>> credits_of(line)["1-23-A"]["licence"]
    'CC0'
    """
    found = {}
    for line in readme.splitlines():
        match = LINE.match(line)
        if match is None:
            continue
        licence = [spdx for part, spdx in LICENCES.items() if part in match["licence"]]
        if licence:
            found[match["clip"]] = {
                "licence": licence[0],
                "author": match["author"],
                "source": match["source"],
                "note": f'ESC-10 fold {match["clip"][0]}; derived from "{match["name"]}"',
            }
    return found


def main() -> None:
    """Write the table and its files."""
    parser = argparse.ArgumentParser(description=__doc__.split("\n")[0])
    parser.add_argument("checkout", type=Path)
    parser.add_argument("out", type=Path)
    options = parser.parse_args()
    known = credits_of((options.checkout / "README.md").read_text(encoding="utf8"))
    rows = []
    for path in sorted(options.checkout.glob("*/*.ogg")):
        if path.stem not in known:
            continue
        label = path.parent.name.partition(" - ")[2].lower().replace(" ", "_")
        samples, rate = soundfile.read(path)
        heard = resample_poly(samples, RATE, rate)
        file = options.out / label / f"{path.stem}.flac"
        file.parent.mkdir(parents=True, exist_ok=True)
        soundfile.write(file, heard.clip(-1, 1), RATE, subtype="PCM_16")
        facts = {"clip_id": f"esc10-{path.stem}", "label": label, "kind": "environment"}
        facts |= {"file": str(file.relative_to(options.out)), "sample_rate": str(RATE)}
        rows.append({**facts, "duration": f"{len(heard) / RATE:.3f}", **known[path.stem]})
    with (options.out / "manifest.csv").open("w", encoding="utf8", newline="") as file:
        writer = csv.DictWriter(file, COLUMNS)
        writer.writeheader()
        writer.writerows(rows)
    print(f"{len(rows)} clips of {len({row['label'] for row in rows})} classes")


if __name__ == "__main__":
    main()
