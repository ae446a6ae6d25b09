"""Audio files to a produced folder: what `talkover transcribe` calls.

::

    OUT/cuts.jsonl             one session a recording, origin "annotated"
        labels.*               RTTM, STM, CTM, SegLST, UEM
        audio/ID.EXT           the recording, byte for byte
        subtitles/ID.srt       for people
        transcripts/ID.json    for other programs
        rejected.jsonl         what could not be used, and why
"""

from __future__ import annotations

import json
import re
import shutil
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Literal

from pydantic import JsonValue

from talkover.manifests.audio import SHORTEST, pcm_sha256, probe, read_audio
from talkover.manifests.errors import AudioError, ConfigurationError, ManifestError, RunError
from talkover.manifests.exports import write_labels
from talkover.manifests.io import read_sessions, write_sessions
from talkover.manifests.lines import CUTS_NAMES
from talkover.manifests.markers import atomic_path, file_sha256, publish
from talkover.manifests.schema import Audio, Claim, Session
from talkover.model.data.examples import Unusable
from talkover.model.data.given import Vectors
from talkover.model.inference.recognize import (
    Linking,
    LinkOptions,
    Recognized,
    Recognizer,
    Recording,
    load_recognizer,
)
from talkover.model.inference.sessions import LONGEST_ID, annotated_session, claim_of
from talkover.model.inference.subtitles import to_json, to_srt

TOOL = "talkover transcribe"
SUFFIXES = (".wav", ".flac", ".ogg", ".opus", ".mp3", ".aif", ".aiff", ".au")
"""What is looked for in a folder; a file that is named itself may be called anything."""

Advance = Callable[[float], None]
"""Told of each recording's seconds when it is done."""


@dataclass(frozen=True, kw_only=True)
class Rejected:
    """A file that is not among the sessions."""

    path: str
    """As it was given."""
    reason: str


@dataclass(frozen=True, kw_only=True)
class Transcribed:
    """What came of it."""

    sessions: int
    seconds: float
    """Of audio in the sessions."""
    rejected: tuple[Rejected, ...]
    truncated: tuple[str, ...]
    """Sessions of which an answer ended with its budget and the rest was not heard."""
    looped: tuple[str, ...]
    """Sessions of which an answer got stuck in a loop and the rest was not heard."""
    partial: tuple[str, ...]
    """Sessions of which some stretch is not known; `Rejected` names them too."""


@dataclass(frozen=True, kw_only=True)
class _Job:
    id: str
    path: Path
    audio: Audio
    """As it will stand in the folder."""


@dataclass(kw_only=True)
class _Made:
    """What has come of it so far."""

    sessions: list[Session] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    truncated: list[str] = field(default_factory=list)
    looped: list[str] = field(default_factory=list)
    partial: list[str] = field(default_factory=list)

    def note(self, job: _Job, heard: Recognized) -> None:
        """Keep what went wrong with a recording."""
        for fault in dict.fromkeys(heard.faults):
            self.rejected.append(Rejected(path=str(job.path), reason=_share(fault, heard)))
        if heard.faults and not heard.is_failed:
            self.partial.append(job.id)
        if heard.num_truncated and not heard.is_failed:
            self.truncated.append(job.id)
        if heard.num_looped and not heard.is_failed:
            self.looped.append(job.id)


def transcribe_files(
    audio: Sequence[Path | str],
    checkpoint: Path | str,
    out: Path | str,
    *,
    batch_size: int = 16,
    device: str = "auto",
    window: float | None = None,
    channel: int | Literal["mean"] = "mean",
    linking: Linking = "auto",
    overlap: float | None = None,
    speakers: int | None = None,
    word_times: bool = True,
    registered: Path | str | None = None,
    progress: Advance | None = None,
) -> Transcribed:
    """Transcribe files, and folders of them, into a produced folder.

    A file that cannot be used is written to ``rejected.jsonl`` with the reason, and the rest goes
    on. A file that is given twice is transcribed once.

    Args:
        audio: Files of any rate and number of channels, and folders, searched below.
        checkpoint: Folder of a trained model.
        out: Folder to write.
        batch_size: Pieces that are decoded at a time.
        device: As torch names it, or ``auto``.
        window: Seconds of a piece at most; None for all that the model can hear.
        channel: What is heard of a file: one channel, from 0, or the mean of all.
        linking: How speakers are carried over the pieces of a recording.
        overlap: Seconds that two pieces share; None for 3 s in windows of 30 s or more.
        speakers: How many there are in each recording, if that is known (linking cluster).
        word_times: Look for the times of words, where the checkpoint has CTC.
        registered: Speakers whose voices are known: a manifest, or a folder of NAME.wav.
        progress: Told of each recording.

    Raises:
        ConfigurationError: If the checkpoint cannot be used, or the folder holds something else.
        RunError: If not one file could be transcribed.
    """
    out = Path(out)
    check_folder(out, audio)
    recognizer = load_recognizer(
        checkpoint,
        batch_size=batch_size,
        device=device,
        window=window,
        options=LinkOptions(
            linking=linking, overlap=overlap, num_speakers=speakers, word_times=word_times
        ),
        registered=registered,
    )
    made = _Made()
    jobs = _jobs(find_audio(audio, made.rejected), made.rejected)
    claim = claim_of(Path(checkpoint))
    configuration: dict[str, JsonValue] = {
        "window": recognizer.window,
        "channel": channel,
        "linking": recognizer.linking,
        "overlap": recognizer.overlap,
        "speakers": speakers,
        "registered": [p.name for p in (*recognizer.registered, *recognizer.known)],
    }
    for job, heard in _heard(jobs, recognizer, channel, made.rejected):
        if progress is not None:
            progress(job.audio.duration)
        made.note(job, heard)
        if not heard.is_failed:
            session = _session(job, heard, claim, configuration)
            _keep(job, session, out)
            made.sessions.append(session)
    write_rejected(out / "rejected.jsonl", made.rejected)
    if not made.sessions:
        shown = "; ".join(f"{r.path}: {r.reason}" for r in made.rejected[:3])
        raise RunError(
            f"none of {len(made.rejected)} files could be transcribed ({shown}): see "
            f"{out / 'rejected.jsonl'}"
        )
    write_labels(out, made.sessions)
    write_sessions(out / "cuts.jsonl", made.sessions)  # last: it says that the folder is whole
    return Transcribed(
        sessions=len(made.sessions),
        seconds=sum(session.audio.duration for session in made.sessions),
        rejected=tuple(made.rejected),
        truncated=tuple(made.truncated),
        looped=tuple(made.looped),
        partial=tuple(made.partial),
    )


def check_folder(out: Path, audio: Sequence[Path | str]) -> None:
    """Refuse to overwrite a corpus, or to write among the recordings that are read.

    Raises:
        ConfigurationError: If the folder is not ours to write.
    """
    for given in audio:
        if Path(given).is_dir() and out.resolve().is_relative_to(Path(given).resolve()):
            raise ConfigurationError(
                f"--out {out} lies in {given}, whose audio is read: choose a folder outside"
            )
    for name in CUTS_NAMES:
        if (out / name).exists() and not _is_ours(out / name):
            raise ConfigurationError(
                f"{out / name} is not a transcription of talkover: choose another folder"
            )


def _is_ours(manifest: Path) -> bool:
    try:
        session = next(read_sessions(manifest), None)
    except ManifestError:
        return False
    return session is None or session.provenance.tool == TOOL


def find_audio(audio: Iterable[Path | str], rejected: list[Rejected]) -> list[Path]:
    """Files, and audio files below folders by name, each once; empty folders are rejected."""
    found: dict[Path, Path] = {}
    for given in map(Path, audio):
        files = [given]
        if given.is_dir():
            files = sorted(p for p in given.rglob("*") if p.suffix.lower() in SUFFIXES)
            files = [p for p in files if p.is_file()]
            if not files:
                reason = f"a folder without audio ({', '.join(SUFFIXES)})"
                rejected.append(Rejected(path=str(given), reason=reason))
        for file in files:
            found.setdefault(file.resolve(), file)
    return list(found.values())


def session_ids(paths: Sequence[Path]) -> list[str]:
    """Ids from the names of files; equal ones are told apart by a number.

    >>> session_ids([Path("a/one two.wav"), Path("b/one two.wav"), Path("ünï.wav")])
    ['one_two', 'one_two-2', '_n_']
    """
    taken: set[str] = set()
    found = []
    for path in paths:
        name = re.sub(r"[^A-Za-z0-9_.-]", "_", path.stem)[: LONGEST_ID - 10]
        name = name if not name.startswith(".") else f"_{name[1:]}"
        id, number = name, 1
        while id.casefold() in taken:  # some file systems know no case
            number += 1
            id = f"{name}-{number}"
        taken.add(id.casefold())
        found.append(id)
    return found


def _jobs(paths: Sequence[Path], rejected: list[Rejected]) -> Iterator[_Job]:
    for path, id in zip(paths, session_ids(paths), strict=True):
        try:
            info = probe(path)
            if info.duration < SHORTEST:
                raise AudioError(path, f"shorter than {SHORTEST} s")
            audio = Audio(
                path=f"audio/{id}{path.suffix.lower()}",
                sha256=file_sha256(path),
                pcm_sha256=pcm_sha256(path),
                sampling_rate=info.sampling_rate,
                num_samples=info.num_samples,
                num_channels=info.channels,
                format=info.format,
                subtype=info.subtype,
            )
        except AudioError as error:
            rejected.append(Rejected(path=str(path), reason=error.reason))
            continue
        yield _Job(id=id, path=path, audio=audio)


def _heard(
    jobs: Iterable[_Job],
    recognizer: Recognizer,
    channel: int | Literal["mean"],
    rejected: list[Rejected],
) -> Iterator[tuple[_Job, Recognized]]:
    """Recordings are gathered until they fill a batch, so that short ones share one."""
    enough = recognizer.window * recognizer.transcriber.options.batch_size  # seconds
    waiting: list[tuple[_Job, Recording]] = []
    seconds = 0.0
    for job in jobs:
        try:
            samples = read_audio(job.path, sampling_rate=recognizer.sampling_rate, channel=channel)
        except AudioError as error:
            rejected.append(Rejected(path=str(job.path), reason=error.reason))
            continue
        try:
            vectors = _vectors(job, recognizer, len(samples))
        except (Unusable, ManifestError) as error:
            rejected.append(Rejected(path=str(job.path), reason=str(error)))
            continue
        waiting.append((job, Recording(id=job.id, samples=samples, vectors=vectors)))
        seconds += job.audio.duration
        if seconds >= enough:
            yield from _recognized(waiting, recognizer)
            waiting, seconds = [], 0.0
    yield from _recognized(waiting, recognizer)


def _vectors(job: _Job, recognizer: Recognizer, num_samples: int) -> Vectors | None:
    """Given vectors beside a file, where the model takes them."""
    given = recognizer.transcriber.collator.given
    if given is None:
        return None
    count = given.count(num_samples)
    return given.read(job.path.parent, job.path.name, job.audio.duration, count=count)


def _recognized(
    waiting: Sequence[tuple[_Job, Recording]], recognizer: Recognizer
) -> Iterator[tuple[_Job, Recognized]]:
    heard = recognizer.recognize([recording for _, recording in waiting])
    yield from zip((job for job, _ in waiting), heard, strict=True)


def _session(
    job: _Job, heard: Recognized, claim: Claim, configuration: dict[str, JsonValue]
) -> Session:
    return annotated_session(
        job.id,
        heard.spoken,
        job.audio,
        claim.model_copy(
            update={
                "truncated": heard.num_truncated > 0,
                "looped": heard.num_looped > 0,
                "coverage": None if heard.coverage is None else round(heard.coverage, 4),
            }
        ),
        tool=TOOL,
        configuration=configuration,
        prefix=f"{job.id}-",
    )


def _keep(job: _Job, session: Session, out: Path) -> None:
    """The recording itself and what people read of it."""
    target = out / job.audio.path
    if not (target.exists() and target.samefile(job.path)):
        publish(target, lambda temporary: shutil.copyfile(job.path, temporary))
    for name, text in (
        (f"subtitles/{job.id}.srt", to_srt(session)),
        (f"transcripts/{job.id}.json", to_json(session)),
    ):
        with atomic_path(out / name) as temporary:
            temporary.write_text(text, encoding="utf8", newline="\n")


def _share(fault: str, heard: Recognized) -> str:
    """A fault with how much of the recording it concerns."""
    if heard.num_pieces == 1:
        return fault
    return f"{fault} ({heard.faults.count(fault)} of {heard.num_pieces} pieces)"


def write_rejected(path: Path, rejected: Iterable[Rejected]) -> None:
    """One JSON object a line, in the order of the files."""
    with atomic_path(path) as temporary, temporary.open("w", encoding="utf8", newline="\n") as file:
        for row in rejected:
            line = {"path": row.path, "reason": row.reason}
            file.write(json.dumps(line, ensure_ascii=False) + "\n")
