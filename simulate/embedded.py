"""The embedded corpus: synthetic dialogue that every command can run on, with no data at hand.

Lines and voices are files beside this module; the speech comes from the espeak-ng engine of the
extra ``demo``, is made once (about an hour of it) and kept in a cache. It is there so that
everything has something to run on. It is not natural speech, and results on it say nothing about
recognition of people.
"""

from __future__ import annotations

import contextlib
import csv
import hashlib
import io
import json
import os
from collections.abc import Callable, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor, as_completed
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Literal

import numpy as np
import soundfile
from numpy.typing import NDArray

from talkover.manifests.errors import RunError
from talkover.manifests.seeds import content_id
from talkover.simulate.espeak import Engine, engine_files, engine_version
from talkover.simulate.spoken_line import SAMPLING_RATE, UnalignedLine, spoken_line

CORPUS = "embedded"
CORPUS_VERSION = "1"
"""Raise it whenever the code that shapes audio or labels changes."""
LICENCE = "CC0-1.0"
"""Of the text and the audio; the engine's GPL covers the engine, not what it says."""
COLUMNS = (
    "utterance_id",
    "corpus",
    "corpus_version",
    "speaker",
    "gender",
    "language",
    "text",
    "file",
    "sample_rate",
    "num_samples",
    "licence",
    "scene",
    "line",
    "words",
)
SCENES_PER_SPEAKER = 4
BACKCHANNELS_PER_SPEAKER = 12
BACKCHANNELS = "backchannels"
"""Name of the scene whose lines are single short answers, in no order."""

Language = Literal["en", "zh"]

_DATA = Path(__file__).parent / "data" / "embedded"


@dataclass(frozen=True, kw_only=True, slots=True)
class Voice:
    """One speaker: a language, a variant of the engine's voice, and how it is driven.

    Args:
        id: The speaker's name in the corpus.
        base: The engine's voice, which sets the accent, such as ``"en-us"``.
        variant: The engine's variant, which sets formants and register, such as ``"f3"``.
        rate_wpm: Words per minute.
        pitch: 0 to 99; 50 is the variant's own.
    """

    id: str
    language: Language
    base: str
    variant: str
    rate_wpm: int
    pitch: int
    gender: Literal["female", "male"]

    @property
    def engine_name(self) -> str:
        """What the engine calls it, such as ``"en-us+f3"``."""
        return f"{self.base}+{self.variant}"


@dataclass(frozen=True, kw_only=True, slots=True)
class Line:
    """One line of a dialogue.

    Args:
        scene: The dialogue; unique within the language.
        number: From 1 within the scene.
        role: Which of the people of the scene says it.
        text: Words with spaces between; a comma is a short pause and no part of the transcription.
    """

    language: Language
    scene: str
    number: int
    role: str
    text: str


def _read_voices() -> tuple[Voice, ...]:
    with (_DATA / "voices.tsv").open(encoding="utf-8", newline="") as file:
        rows: list[dict[str, Any]] = list(csv.DictReader(file, delimiter="\t"))
    return tuple(
        Voice(**{**row, "rate_wpm": int(row["rate_wpm"]), "pitch": int(row["pitch"])})
        for row in rows
    )


VOICES: tuple[Voice, ...] = _read_voices()


@cache
def dialogue(language: Language) -> tuple[Line, ...]:
    """All lines of a language, scene after scene, in the order in which they are said."""
    lines: list[Line] = []
    scene, number = "", 0
    for raw in (_DATA / f"{language}.txt").read_text(encoding="utf-8").splitlines():
        row = raw.strip()
        if not row or row.startswith("#"):
            continue
        if row.startswith("["):
            scene, number = row.strip("[]"), 0
            continue
        role, _, text = row.partition(":")
        number += 1
        lines.append(
            Line(language=language, scene=scene, number=number, role=role, text=text.strip())
        )
    return tuple(lines)


def lines_of(voice: Voice) -> tuple[Line, ...]:
    """What one speaker says: whole scenes, shared with other speakers, and some backchannels.

    Neighbours in `VOICES` share scenes, so that a scene can be played by people who all know it.
    """
    place = [other.id for other in VOICES if other.language == voice.language].index(voice.id)
    lines = dialogue(voice.language)
    scenes = list(dict.fromkeys(line.scene for line in lines if line.scene != BACKCHANNELS))
    chosen = {scenes[(place + offset) % len(scenes)] for offset in range(SCENES_PER_SPEAKER)}
    answers = [line for line in lines if line.scene == BACKCHANNELS]
    # A step that shares no factor with their number: neighbours differ, and all get used.
    first = 7 * place
    picked = {answers[(first + k) % len(answers)] for k in range(BACKCHANNELS_PER_SPEAKER)}
    return tuple(line for line in lines if line.scene in chosen or line in picked)


def default_cache() -> Path:
    """Where talkover keeps what it can make again: see the environment variables it reads.

    ``TALKOVER_CACHE``, or ``talkover`` in ``XDG_CACHE_HOME``, or ``~/.cache/talkover``.
    """
    if folder := os.environ.get("TALKOVER_CACHE"):
        return Path(folder).expanduser()
    if folder := os.environ.get("XDG_CACHE_HOME"):
        return Path(folder).expanduser() / "talkover"
    return Path.home() / ".cache" / "talkover"


def corpus_id(voices: Sequence[Voice] = VOICES) -> str:
    """A hash of all that decides the corpus: lines, voices, this code's version, the engine.

    Raises:
        MissingExtraError: If the engine is not installed.
    """
    library, _ = engine_files()
    texts = [(_DATA / f"{language}.txt").read_text(encoding="utf-8") for language in ("en", "zh")]
    engine = hashlib.sha256(library.read_bytes()).hexdigest()
    return content_id(CORPUS_VERSION, *texts, repr(tuple(voices)), engine_version(), engine)


def embedded_folder() -> Path:
    """The folder of the whole embedded corpus in the cache, there or not yet.

    Raises:
        MissingExtraError: If the engine is not installed.
    """
    return default_cache() / f"{CORPUS}-{corpus_id()}"


def build_embedded_corpus(
    folder: Path | None = None,
    *,
    jobs: int = 1,
    voices: Sequence[Voice] = VOICES,
    progress: Callable[[int, int], None] | None = None,
) -> Path:
    """Make the embedded corpus, or what is missing of it, and return its manifest.

    The folder receives ``manifest.csv``, ``audio/<speaker>/<utterance_id>.flac`` (16 kHz, mono,
    16 bit), ``rejected.jsonl`` (lines that the engine gave no usable word times for) and
    ``parts/<speaker>.json``, the markers that say what is finished, with hashes. The same bytes
    for any number of jobs. A second process that wants the same folder waits for the first.

    Args:
        folder: Where to; the cache if not given.
        jobs: Speakers worked on at the same time.
        voices: The speakers.
        progress: Called with the number of finished speakers and of all.

    Returns:
        The path of ``manifest.csv``.

    Raises:
        MissingExtraError: If the engine is not installed.
        RunError: If the engine fails, or the folder cannot be written.
    """
    if jobs < 1:
        raise ValueError(f"jobs must be 1 or more, got {jobs}")
    content = corpus_id(voices)
    folder = embedded_folder() if folder is None else folder
    try:
        with _only_builder(folder):
            parts = _build_parts(folder, content, jobs, voices, progress)
            return _publish_manifest(folder, [parts[voice.id] for voice in voices])
    except OSError as error:
        raise RunError(f"cannot write the embedded corpus to {folder}: {error}") from error


def _build_parts(
    folder: Path,
    content: str,
    jobs: int,
    voices: Sequence[Voice],
    progress: Callable[[int, int], None] | None,
) -> dict[str, dict[str, Any]]:
    """The finished part of every speaker, by id: read and verified where there, else made."""
    parts: dict[str, dict[str, Any]] = {}
    for voice in voices:
        part = _verified_part(folder, voice, content)
        if part is not None:
            parts[voice.id] = part
    missing = [voice for voice in voices if voice.id not in parts]
    with ThreadPoolExecutor(jobs) as pool:  # the work is in the engine's processes and in C code
        futures = {pool.submit(_build_part, folder, voice, content): voice for voice in missing}
        try:
            for future in as_completed(futures):
                parts[futures[future].id] = future.result()
                if progress is not None:
                    progress(len(parts), len(voices))
        except BaseException:
            pool.shutdown(cancel_futures=True)
            raise
    return parts


def _build_part(folder: Path, voice: Voice, content: str) -> dict[str, Any]:
    """Say, write and describe all lines of one speaker; the marker comes last."""
    rows: list[dict[str, Any]] = []
    rejected: list[dict[str, str]] = []
    files: dict[str, str] = {}
    (folder / "audio" / voice.id).mkdir(parents=True, exist_ok=True)
    with Engine() as engine:
        for line in lines_of(voice):
            name = f"{voice.id}-{line.scene}-{line.number:02d}"
            speech = engine.say_checked(
                line.text, voice=voice.engine_name, rate_wpm=voice.rate_wpm, pitch=voice.pitch
            )
            try:
                spoken = spoken_line(line.text, speech)
            except UnalignedLine as error:
                rejected.append({"utterance_id": name, "text": line.text, "reason": str(error)})
                continue
            file = f"audio/{voice.id}/{name}.flac"
            files[file] = _write(folder / file, _flac(spoken.samples))
            rows.append(
                {
                    "utterance_id": name,
                    "corpus": CORPUS,
                    "corpus_version": CORPUS_VERSION,
                    "speaker": voice.id,
                    "gender": voice.gender,
                    "language": voice.language,
                    "text": spoken.text,
                    "file": file,
                    "sample_rate": SAMPLING_RATE,
                    "num_samples": len(spoken.samples),
                    "licence": LICENCE,
                    "scene": f"{voice.language}-{line.scene}",
                    "line": line.number,
                    "words": json.dumps(spoken.words, ensure_ascii=False, separators=(",", ":")),
                }
            )
    part = {"content": content, "files": files, "rows": rows, "rejected": rejected}
    marker = json.dumps(part, ensure_ascii=False, indent=1, sort_keys=True) + "\n"
    _write(_marker(folder, voice), marker.encode())
    return part


def _publish_manifest(folder: Path, parts: Sequence[dict[str, Any]]) -> Path:
    """Write the list of rejected lines and, last, the manifest; left alone where already right."""
    table = io.StringIO()
    writer = csv.DictWriter(table, COLUMNS, lineterminator="\n")
    writer.writeheader()
    rejected = io.StringIO()
    for part in parts:
        writer.writerows(part["rows"])
        for entry in part["rejected"]:
            rejected.write(json.dumps(entry, ensure_ascii=False, sort_keys=True) + "\n")
    for name, text in (("rejected.jsonl", rejected), ("manifest.csv", table)):
        data = text.getvalue().encode()
        if not (folder / name).is_file() or (folder / name).read_bytes() != data:
            _write(folder / name, data)
    return folder / "manifest.csv"


def _marker(folder: Path, voice: Voice) -> Path:
    return folder / "parts" / f"{voice.id}.json"


def _verified_part(folder: Path, voice: Voice, content: str) -> dict[str, Any] | None:
    """A finished part whose files are all as they were written, or nothing."""
    try:
        part: dict[str, Any] = json.loads(_marker(folder, voice).read_bytes())
        if part["content"] != content:
            return None
        for file, digest in part["files"].items():
            if hashlib.sha256((folder / file).read_bytes()).hexdigest() != digest:
                return None
    except (FileNotFoundError, ValueError, KeyError):
        return None
    return part


def _flac(samples: NDArray[np.int16]) -> bytes:
    buffer = io.BytesIO()
    soundfile.write(buffer, samples, SAMPLING_RATE, format="FLAC", subtype="PCM_16")
    return buffer.getvalue()


def _write(path: Path, data: bytes) -> str:
    """Write a file in one step and return its sha256; `_only_builder` makes the name safe."""
    path.parent.mkdir(parents=True, exist_ok=True)
    temporary = path.with_name(f".{path.name}.tmp")
    temporary.write_bytes(data)  # not synced: a file that a crash tears no longer has its hash
    os.replace(temporary, path)
    return hashlib.sha256(data).hexdigest()


@contextlib.contextmanager
def _only_builder(folder: Path) -> Iterator[None]:
    """Hold a lock on the folder, released by the system if this process dies."""
    folder.mkdir(parents=True, exist_ok=True)
    try:
        import fcntl
    except ImportError:  # no such locks on this system: two builders would do the same work twice
        yield
        return
    with (folder / ".lock").open("wb") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield
