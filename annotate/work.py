"""One recording, from file to published part: what a worker does, alike in any process.

A part is a JSON file with the recording's line of ``cuts.jsonl`` (or why there is none) and, beside
it, its lines of ``segments.jsonl``. The marker comes last; a part whose marker still tells the
truth about the same input is not made again.
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Literal

from talkover.annotate.backends.base import BranchResult
from talkover.annotate.config import AnnotationConfig
from talkover.annotate.cutting import cut_up
from talkover.annotate.events import Curve
from talkover.annotate.export import Facts, session_of
from talkover.annotate.media import Recording, open_recording
from talkover.annotate.pipeline import DECODER, Branches, Heard, Pipeline, StageError
from talkover.annotate.reconcile import reconcile
from talkover.annotate.segment_export import SegmentWriter
from talkover.annotate.speaker_count import SpeakerCount
from talkover.annotate.stages import StageCache, StageKey
from talkover.manifests.audio import pcm_sha256, probe
from talkover.manifests.convert.recordings import placed
from talkover.manifests.errors import AudioError, ManifestError
from talkover.manifests.io import session_line
from talkover.manifests.markers import Marker, atomic_path, publish, verified_marker, write_marker
from talkover.manifests.schema import Audio
from talkover.manifests.seeds import content_id
from talkover.manifests.segment_lines import segment_text

Keep = Literal["link", "copy", "reference"]
"""How recordings come into the folder: as hard links (copies where there are none), as copies, or
not at all, because they lie below it already."""
MOST_ATTEMPTS = 2
"""A file that was begun so often and never ended is left out: once among others, and once alone."""


@dataclass(frozen=True, kw_only=True)
class Item:
    """What a worker gets: cheap to pickle, opens everything by path."""

    path: Path
    out: Path
    cache: Path
    config: AnnotationConfig
    speakers: SpeakerCount
    voices: Path | None
    voices_sha256: str | None
    keep: Keep
    licence: str | None
    request_hash: str
    """Of everything that decides the labels besides the recording."""

    @property
    def unit(self) -> str:
        """Name of the unit of work, from the path as it was given."""
        return f"file-{content_id(str(self.path), length=16)}"

    @property
    def part(self) -> Path:
        """The part's JSON file."""
        return self.out / "run" / "parts" / f"{self.unit}.json"

    @property
    def segments(self) -> Path:
        """Lines of ``segments.jsonl`` of this recording."""
        return self.out / "run" / "parts" / f"{self.unit}.segments.jsonl"

    @property
    def markers(self) -> Path:
        """Folder of done-markers."""
        return self.out / "run" / "markers"

    @property
    def attempts(self) -> Path:
        """Begun and not ended attempts, a byte each."""
        return self.out / "run" / "attempts" / self.unit

    def __repr__(self) -> str:
        """As messages name it."""
        return str(self.path)


@dataclass(frozen=True, kw_only=True, slots=True)
class Part:
    """What came of a file."""

    path: str
    sha256: str
    """Of the file; empty where it could not be read."""
    session: str | None = None
    """Line of ``cuts.jsonl``."""
    seconds: float = 0.0
    fingerprint: str | None = None
    reason: str | None = None
    """Why there is no session."""
    stage: str = ""
    is_final: bool = True
    """False where a backend failed, which may go better another time."""

    def text(self) -> str:
        """As JSON."""
        row = {name: getattr(self, name) for name in self.__dataclass_fields__}
        return json.dumps(row, ensure_ascii=False, sort_keys=True) + "\n"


def read_part(item: Item) -> Part | None:
    """The part of a file, if its marker still tells the truth; None if it must be made."""
    try:
        part = Part(**json.loads(item.part.read_text(encoding="utf8")))
    except (OSError, ValueError, TypeError):
        return None
    inputs = _inputs_hash(item, part.sha256)
    return part if verified_marker(item.markers, item.out, item.unit, inputs) else None


def annotate_file(item: Item) -> float:
    """Annotate one file, or write down why not. Returns its seconds.

    Raises:
        ConfigurationError: If a backend cannot be loaded.
        RunError: If the disk is full.
    """
    sha256, stage = "", "probe"
    try:
        recording = open_recording(item.path)
        sha256 = recording.sha256
        kept = read_part(item)
        if kept is not None and kept.sha256 == sha256 and kept.is_final:
            return kept.seconds
        _begin(item)  # what is rejected here is tried again by the next run
        stage = "decode"
        part, files = _annotated(item, recording)
    except AudioError as error:
        part, files = _rejected(item, sha256, stage, error.reason), []
    except ManifestError as error:
        part, files = _rejected(item, sha256, "audio", str(error)), []
    except StageError as error:
        failed = _rejected(item, sha256, error.stage, error.reason)
        part, files = replace(failed, is_final=False), []
    _write(item.part, part.text())
    marker = Marker.over(item.unit, _inputs_hash(item, sha256), item.out, [item.part, *files])
    write_marker(item.markers, marker)
    item.attempts.unlink(missing_ok=True)
    return part.seconds


def _annotated(item: Item, recording: Recording) -> tuple[Part, list[Path]]:
    cache = StageCache(item.cache)
    pipeline = Pipeline(item.config, cache, _branches(item))
    scratch = item.out / "run" / "scratch" / item.unit
    try:
        heard = pipeline.hear(recording, scratch, item.speakers)
    finally:
        shutil.rmtree(scratch, ignore_errors=True)
    found = reconcile(recording.id, heard, item.config.turns)
    segments = cut_up(recording.id, found.timeline, item.config.segmentation)
    facts = Facts(
        recording=recording,
        audio=_audio(item, recording, cache),
        config=item.config,
        speakers=item.speakers,
        licence=item.licence,
    )
    session = session_of(facts, heard, found, len(segments))
    writer = SegmentWriter(
        session=session, clock=facts.clock, curves=_quality_curves(heard), flags=item.config.flags
    )
    _write(item.segments, "".join(segment_text(s) + "\n" for s in writer.lines(segments)))
    part = Part(
        path=str(item.path),
        sha256=recording.sha256,
        session=session_line(session),
        seconds=round(recording.duration, 6),
        fingerprint=_fingerprint(heard),
        is_final=not any(part.degraded for part in heard),
    )
    return part, [item.segments, item.out / session.audio.path]


def _rejected(item: Item, sha256: str, stage: str, reason: str) -> Part:
    return Part(path=str(item.path), sha256=sha256, stage=stage, reason=" ".join(reason.split()))


def _inputs_hash(item: Item, sha256: str) -> str:
    return content_id(item.request_hash, sha256, length=64)


def _begin(item: Item) -> None:
    """Count an attempt, and refuse a file over which workers died before.

    Raises:
        StageError: If they did too often.
    """
    item.attempts.parent.mkdir(parents=True, exist_ok=True)
    before = item.attempts.stat().st_size if item.attempts.exists() else 0
    if before >= MOST_ATTEMPTS:
        raise StageError("worker", f"the worker died over it {before} times")
    with item.attempts.open("ab") as file:
        file.write(b".")


def _audio(item: Item, recording: Recording, cache: StageCache) -> Audio:
    """The recording as it stands in the folder, where it is put if need be."""
    info = probe(item.path)
    key = StageKey(stage="pcm", backend=DECODER, configuration={}, audio=recording.sha256)
    figures = cache.get(
        key,
        lambda: BranchResult(backend=DECODER, figures={"pcm_sha256": pcm_sha256(item.path)}),
    ).figures
    return Audio(
        path=_place(item, recording),
        sha256=recording.sha256,
        pcm_sha256=str(figures["pcm_sha256"]),
        sampling_rate=info.sampling_rate,
        num_samples=info.num_samples,
        num_channels=info.channels,
        format=info.format,
        subtype=info.subtype,
    )


def _place(item: Item, recording: Recording) -> str:
    """Path of the recording below the folder.

    Raises:
        ManifestError: If it must lie there already and does not, or its name cannot be kept.
    """
    suffix = item.path.suffix.lower()
    suffix = suffix if re.fullmatch(r"\.[a-z0-9]{1,8}", suffix) else ""
    preferred = f"audio/{recording.id}{suffix}"
    source = item.path.absolute()
    if item.keep == "copy":
        publish(item.out / preferred, lambda temporary: shutil.copyfile(source, temporary))
        return preferred
    root = item.out.absolute()
    if source.is_relative_to(root):
        inside = source.relative_to(root).as_posix()
        if re.search(r"[\\\x00-\x1f]|(^|/)\.\.(/|$)", inside):
            raise ManifestError("its name cannot stand in a manifest", path=item.path)
        return inside
    if item.keep == "reference":
        raise ManifestError(f"does not lie below {item.out}: use --audio link", path=item.path)
    return placed(source, item.out, preferred)


def _fingerprint(heard: tuple[Heard, ...]) -> str | None:
    for part in heard:
        if "quality" in part.results:
            value = part.results["quality"].figures.get("fingerprint")
            return None if value is None else str(value)
    return None


def _quality_curves(heard: tuple[Heard, ...]) -> Mapping[str, Curve]:
    for part in heard:
        if "quality" in part.results:
            return part.results["quality"].curves
    return {}


def _write(path: Path, text: str) -> None:
    with atomic_path(path) as temporary:
        temporary.write_text(text, encoding="utf8", newline="\n")


_open: dict[str, Any] = {}


def _branches(item: Item) -> Branches:
    """The backends of this process, opened once for all its files."""
    asked = (item.config, item.voices, item.voices_sha256)
    if _open.get("asked") != asked:
        _open["asked"] = asked
        _open["branches"] = Branches(*asked)
    branches: Branches = _open["branches"]
    return branches
