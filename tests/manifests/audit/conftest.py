"""A clean corpus with everything in it that an audit looks at, and copies of it to spoil."""

from __future__ import annotations

import hashlib
import json
import os
import shutil
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import numpy as np
import pandas as pd
import pytest
import soundfile as sf

from talkover.manifests.audio import file_sha256, pcm_sha256
from talkover.manifests.audit import Audit
from talkover.manifests.regions import join_regions
from talkover.manifests.schema import TIME_DIGITS
from talkover.manifests.seeds import generator
from talkover.manifests.statistics import session_statistics

RATE = 8000
SESSIONS = 24
SECONDS = 75
WORD = 2400  # samples
LETTERS = "abcdefghijklmnopqrstuvwxyz"
Json = dict[str, Any]


def digest(text: str) -> str:
    return hashlib.sha256(text.encode()).hexdigest()


def span(first: int, count: int) -> Json:
    return {
        "start": round(first / RATE, TIME_DIGITS),
        "duration": round(count / RATE, TIME_DIGITS),
        "start_sample": first,
        "num_samples": count,
    }


def ours(row: Json) -> Json:
    """Talkover's own fields of a cut or of a supervision."""
    return row["custom"]["talkover"]


def place(row: Json, first: int, count: int) -> None:
    """Put a supervision and its one region somewhere; words stay."""
    row["start"], row["duration"] = (
        round(first / RATE, TIME_DIGITS),
        round(count / RATE, TIME_DIGITS),
    )
    ours(row).update(start_sample=first, num_samples=count)
    ours(row)["regions"] = [span(first, count)] if count > 0 else []


def say(row: Json, symbols: list[str] | None, text: str | None) -> None:
    """Give a supervision other words (None: no word times) and another text."""
    if symbols is None:
        row.pop("alignment", None)
        ours(row).pop("word_samples", None)
    else:
        for word, symbol in zip(row["alignment"]["word"], symbols, strict=True):
            word[0] = symbol
    if text is None:
        row.pop("text", None)
    else:
        row["text"] = text


def restate(cut: Json) -> None:
    """Measure the statistics again, after labels were changed."""
    rows = []
    for row in cut["supervisions"]:
        regions = [
            SimpleNamespace(
                start_sample=r["start_sample"], end_sample=r["start_sample"] + r["num_samples"]
            )
            for r in ours(row)["regions"]
        ]
        rows.append(
            SimpleNamespace(
                speaker_local=row["speaker"], turn_id=ours(row)["turn_id"], regions=regions
            )
        )
    measured = session_statistics(rows, cut["recording"]["num_samples"], RATE)  # type: ignore[arg-type]
    stated = measured.model_dump(mode="json", exclude_none=True)
    ours(cut)["statistics"] = stated
    ours(cut)["asked"] = {
        "overlap_of_speech": measured.overlap_of_speech,
        "silence_of_time": measured.silence_of_time,
        "duration": SECONDS,
    }


@dataclass
class Corpus:
    """A folder, its cuts as they are being changed, and what the audit is given besides."""

    folder: Path
    cuts: list[Json]
    rng: np.random.Generator
    cache: Path | None = None
    voices: pd.DataFrame | None = None
    lines: list[str] | None = None
    """The manifest as it is written, where it is no longer made of cuts."""
    rttm: list[Json] | None = None
    """Cuts that labels.rttm is made of, where those are others."""
    limits: Any = None
    expected: list[tuple[str | None, str]] = field(default_factory=list)

    def expect(self, cut: Json | None, token: object = "") -> None:
        """Note a planted place: its session, and a text that the finding must hold."""
        self.expected.append((None if cut is None else cut["id"], str(token)))

    def some(self, count: int) -> list[Json]:
        """Random sessions, in order."""
        chosen = sorted(self.rng.choice(len(self.cuts), count, replace=False).tolist())
        return [self.cuts[n] for n in chosen]

    def turn(self, cut: Json, *, least: int = 1, first: int = 0) -> Json:
        """A random supervision of a session, with so many words and more, from some place on."""
        rows = [r for r in cut["supervisions"][first:] if len(r["alignment"]["word"]) >= least]
        return rows[int(self.rng.integers(len(rows)))]

    def own_file(self, path: str) -> Path:
        """A file that may be changed: its link to the clean corpus is cut."""
        file = self.folder / path
        data = file.read_bytes()
        file.unlink()
        file.write_bytes(data)
        return file

    def rewrite(self, cut: Json, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Another sound of the mixture, its hashes as they are then, no stems."""
        audio = ours(cut)["audio"]
        file = self.own_file(audio["path"])
        signal, _ = sf.read(file, dtype="float64")
        sf.write(file, np.clip(change(signal), -1, 32767 / 32768), RATE, subtype="PCM_16")
        audio["sha256"], audio["pcm_sha256"] = file_sha256(file), pcm_sha256(file)
        ours(cut)["mix"].pop("stems", None)

    def stem(self, cut: Json, kind: str, change: Callable[[np.ndarray], np.ndarray]) -> None:
        """Another sound of a stem, its hash as it is then."""
        stems = [s for s in ours(cut)["mix"]["stems"] if s["kind"] == kind]
        one = stems[int(self.rng.integers(len(stems)))]
        file = self.own_file(one["path"])
        signal, _ = sf.read(file, dtype="float64")
        sf.write(file, change(signal), RATE, subtype="PCM_24")
        one["sha256"] = file_sha256(file)

    def write(self) -> Path:
        lines = self.lines
        if lines is None:
            lines = [json.dumps(cut, ensure_ascii=False) + "\n" for cut in self.cuts]
        (self.folder / "cuts.jsonl").write_text("".join(lines), encoding="utf8")
        rttm = []
        for cut in self.cuts if self.rttm is None else self.rttm:
            for row in cut["supervisions"]:
                for r in ours(row)["regions"]:
                    times = f"{r['start']:.3f} {r['duration']:.3f}"
                    name = cut["id"].replace(" ", "_")
                    rttm.append(f"SPEAKER {name} 1 {times} <NA> <NA> x <NA> <NA>\n")
        (self.folder / "labels.rttm").write_text("".join(rttm), encoding="utf8")
        return self.folder

    def audit(self, **options: Any) -> Audit:
        if self.limits is not None:
            options["limits"] = self.limits
        return Audit.from_manifests(
            self.write(),
            cache=self.cache,
            embeddings=self.voices,
            **{"executor": "serial", **options},
        )


def supervision(
    rng: np.random.Generator, session: str, n: int, who: int, first: int, count: int
) -> Json:
    speaker = f"{session}-p{who}"
    symbols = ["".join(rng.choice(list(LETTERS), 4)) for _ in range(count)]
    return {
        "id": f"{session}-{n:03d}",
        "recording_id": session,
        "start": round(first / RATE, TIME_DIGITS),
        "duration": round(count * WORD / RATE, TIME_DIGITS),
        "channel": 0,
        "text": " ".join(symbols).capitalize() + ".",
        "language": "en",
        "speaker": speaker,
        "custom": {
            "talkover": {
                "turn_id": f"{session}-t{n:03d}",
                "speaker_local": "",
                "role": "turn",
                "start_sample": first,
                "num_samples": count * WORD,
                "regions": [span(first, count * WORD)],
                "word_samples": [[first + k * WORD, WORD] for k in range(count)],
                "source": {
                    "corpus": "made-up",
                    "recording_id": f"rec-{session}-{n}",
                    "utterance_id": f"utt-{session}-{n}",
                    "offset": 0.0,
                    "duration": count * WORD / RATE,
                    "licence": "CC0-1.0",
                },
            }
        },
        "alignment": {
            "word": [
                [
                    s,
                    round((first + k * WORD) / RATE, TIME_DIGITS),
                    round(WORD / RATE, TIME_DIGITS),
                    None,
                ]
                for k, s in enumerate(symbols)
            ]
        },
    }


def name_locals(rows: list[Json]) -> None:
    """S01, S02, … by first appearance."""
    names: dict[str, str] = {}
    for row in rows:
        ours(row)["speaker_local"] = names.setdefault(row["speaker"], f"S{len(names) + 1:02d}")


def schedule(rng: np.random.Generator, session: str) -> list[Json]:
    """Three speakers in turn; every third change is an overlap."""
    rows, end, who = [], RATE, 0
    while True:
        count = 12 if len(rows) % 6 == 2 else int(rng.integers(3, 9))
        offset = (
            -int(rng.uniform(0.3, 0.6) * RATE)
            if len(rows) % 3 == 1
            else int(rng.uniform(0.4, 1) * RATE)
        )
        first = end + offset
        if first + count * WORD > (SECONDS - 2) * RATE:
            break
        rows.append(supervision(rng, session, len(rows), who, first, count))
        end = first + count * WORD
        who = (who + 1 + int(rng.integers(2))) % 3
    name_locals(rows)
    return rows


def render(rng: np.random.Generator, rows: list[Json]) -> dict[str, np.ndarray]:
    """A stem a speaker, each sound in 24 bits, and noise."""
    count = SECONDS * RATE
    stems = {name: np.zeros(count) for name in sorted({ours(r)["speaker_local"] for r in rows})}
    for row in rows:
        first, long = ours(row)["start_sample"], ours(row)["num_samples"]
        loudness = 0.05 * (1 + 0.4 * np.sin(np.arange(long) / RATE * rng.uniform(3, 9)))
        stems[ours(row)["speaker_local"]][first : first + long] += (
            rng.standard_normal(long) * loudness
        )
    stems["noise"] = rng.standard_normal(count) * 0.001
    return {name: np.round(signal * 2**23) / 2**23 for name, signal in stems.items()}


def make_cut(folder: Path, n: int) -> Json:
    session = f"s{n:03d}"
    rng = generator(3, n, "test/audit")
    rows = schedule(rng, session)
    signals = render(rng, rows)
    stems = []
    for name, signal in signals.items():
        path = f"stems/{session}-{name}.wav"
        sf.write(folder / path, signal, RATE, subtype="PCM_24")
        kind = {"kind": "noise"} if name == "noise" else {"kind": "speaker", "speaker_local": name}
        stems.append(
            {**kind, "path": path, "sha256": file_sha256(folder / path), "subtype": "PCM_24"}
        )
    audio = folder / f"audio/{session}.wav"
    sf.write(audio, sum(signals.values()), RATE, subtype="PCM_16")
    speech = sum(signal**2 for name, signal in signals.items() if name != "noise")
    spans = [
        (ours(r)["start_sample"], ours(r)["start_sample"] + ours(r)["num_samples"]) for r in rows
    ]
    active = np.zeros(SECONDS * RATE, bool)
    for first, last in join_regions(spans, RATE, 0.01).tolist():
        active[first:last] = True
    snr = float(10 * np.log10(speech[active].sum() / (signals["noise"][active] ** 2).sum()))
    split = "train" if n < SESSIONS // 2 else "test"
    seats = [
        {
            "speaker_local": f"S{k + 1:02d}",
            "distance_m": 1.5 + k,
            "drr_db": 3.0,
            "rir_id": f"rir-{n}-{k}",
        }
        for k in range(3)
    ]
    clips = []
    for k, name in enumerate(sorted(signals)[:3]):
        path = f"registration/{session}-{name}.wav"
        sf.write(folder / path, signals[name][: 2 * RATE] + 0.01, RATE, subtype="PCM_16")
        speaker = next(r["speaker"] for r in rows if ours(r)["speaker_local"] == name)
        clips.append(
            {"speaker": speaker, "speaker_local": name, "path": path,
             "sha256": file_sha256(folder / path), "duration": 2.0,
             "utterance_ids": [f"reg-{session}-{k}"], "in_session": False}
        )  # fmt: skip
    cut = {
        "id": session, "start": 0.0, "duration": float(SECONDS), "channel": 0, "supervisions": rows,
        "recording": {
            "id": session,
            "sources": [{"type": "file", "channels": [0], "source": f"audio/{session}.wav"}],
            "sampling_rate": RATE, "num_samples": SECONDS * RATE, "duration": float(SECONDS),
            "channel_ids": [0],
        },
        "type": "MonoCut",
        "custom": {"talkover": {
            "schema_version": "1.0", "origin": "simulated", "split": split,
            "audio": {
                "path": f"audio/{session}.wav", "sha256": file_sha256(audio),
                "pcm_sha256": pcm_sha256(audio), "sampling_rate": RATE,
                "num_samples": SECONDS * RATE, "num_channels": 1, "format": "wav",
                "subtype": "PCM_16",
            },
            "events": [],
            "scene": {
                "room": {"kind": "shoebox", "id": f"room-{n}", "t60_asked": 0.4,
                         "t60_measured": 0.42},
                "microphones": {"name": "single"}, "seats": seats,
            },
            "noise": [{
                "id": f"noise-{n}", "kind": "ambient", "sha256": digest(f"noise-{n}"),
                "licence": "CC0-1.0", "snr_db_asked": round(snr, 3),
                "snr_db_measured": round(snr, 3), "snr_definition": "as it is",
            }],
            "mix": {"gain_db": 0.0, "peak_dbfs": -6.0, "clipped_samples": 0, "stems": stems},
            "channel": [], "registration": clips,
            "provenance": {
                "tool": "a test", "version": "1", "configuration": {},
                "configuration_hash": digest("{}"), "root_seed": 3, "session_index": n,
                "plan_hash": digest(session),
            },
            "licences": {"spdx": ["CC0-1.0"]}, "uem": [span(0, SECONDS * RATE)],
        }},
    }  # fmt: skip
    restate(cut)
    return cut


@pytest.fixture(scope="session")
def clean_once(tmp_path_factory: pytest.TempPathFactory) -> tuple[Path, list[Json], Path]:
    """Folder, cuts and cache of the clean corpus; not to be changed."""
    folder = tmp_path_factory.mktemp("clean")
    for name in ("audio", "stems", "registration"):
        (folder / name).mkdir()
    return folder, [make_cut(folder, n) for n in range(SESSIONS)], tmp_path_factory.mktemp("cache")


@pytest.fixture(scope="session")
def clean_voices(clean_once: tuple[Path, list[Json], Path]) -> pd.DataFrame:
    """Voice vectors of every speaker, all apart."""
    rng = np.random.default_rng(5)
    speakers = sorted({r["speaker"] for cut in clean_once[1] for r in cut["supervisions"]})
    means = rng.standard_normal((len(speakers), 96))
    rows = [
        {"speaker": name, "vector": list(means[n] + 0.1 * rng.standard_normal(96))}
        for n, name in enumerate(speakers)
        for _ in range(3)
    ]
    return pd.DataFrame(rows)


@pytest.fixture
def corpus(
    clean_once: tuple[Path, list[Json], Path], clean_voices: pd.DataFrame, tmp_path: Path
) -> Iterator[Corpus]:
    """A copy of the clean corpus to spoil; its files are links until they are changed."""
    folder, cuts, cache = clean_once
    target = tmp_path / "corpus"
    shutil.copytree(folder, target, copy_function=os.link)
    yield Corpus(
        folder=target,
        cuts=json.loads(json.dumps(cuts)),
        rng=np.random.default_rng(1),
        cache=cache,
        voices=clean_voices.copy(),
    )


@pytest.fixture(scope="session")
def helpers() -> SimpleNamespace:
    """The functions of this file, for tests that change cuts."""
    return SimpleNamespace(
        ours=ours, place=place, say=say, restate=restate, span=span, digest=digest,
        name_locals=name_locals, supervision=supervision, RATE=RATE, SECONDS=SECONDS, WORD=WORD,
    )  # fmt: skip
