"""Label files with or without audio beside them (RTTM and wav, say) as the tables of an audit."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path

from talkover.manifests.audio import probe
from talkover.manifests.audit.cells import add_row, empty_lists
from talkover.manifests.audit.columns import Lists
from talkover.manifests.audit.inputs import AUDIO_SUFFIXES, Part
from talkover.manifests.audit.text_facts import letters, text_fault
from talkover.manifests.errors import AudioError, ManifestError
from talkover.manifests.labels import read_labels
from talkover.manifests.schema import TIME_DIGITS
from talkover.manifests.segments import Segment


def extract_labels(part: Part) -> tuple[Lists, int]:
    """The raw tables of a label file and of the audio files in its folder and below.

    A session is the audio file of its name. A session lasts as long as its audio, or, without
    audio, to its last label. What cannot be read is told and passed over.
    """
    lists = empty_lists()

    def note(error: ManifestError) -> None:
        row = {"manifest": str(part.path), "line": error.line or 0, "field": error.field or ""}
        add_row(lists, "problems", {**row, "kind": "line", "reason": error.reason})

    sessions = read_labels(part.path, on_error=note)
    audio = audio_files(part.folder)
    for name, segments in sessions.items():
        _add_session(lists, part, name, segments, audio.get(name), bool(audio))
    return lists, 0


def audio_files(folder: Path) -> dict[str, Path]:
    """Audio files in a folder and below, by their name without suffix."""
    found: dict[str, Path] = {}
    for path in sorted(folder.rglob("*")):
        if path.suffix.lower() in AUDIO_SUFFIXES and path.is_file():
            found.setdefault(path.stem, path)
    return found


def _add_session(
    lists: Lists,
    part: Part,
    name: str,
    segments: Sequence[Segment],
    audio: Path | None,
    has_audio: bool,
) -> None:
    row = len(lists["sessions"]["session"])
    end = max((segment.end for segment in segments), default=0.0)
    facts: dict[str, object] = {"duration": end}
    path = None
    if has_audio:  # one that should be there and is not is told by the check of the files
        path = audio.relative_to(part.folder).as_posix() if audio else f"{name}.wav"
        add_row(
            lists, "files", {"session_row": row, "session": name, "role": "audio", "path": path}
        )
    if audio is not None:
        try:
            info = probe(audio)
            facts = {
                "duration": info.duration,
                "sampling_rate": info.sampling_rate,
                "num_samples": info.num_samples,
                "num_channels": info.channels,
            }
        except AudioError:
            pass  # told by the check of the files
    session = {"session_row": row, "session": name, "manifest": str(part.path), "line": 0}
    session |= {"split": part.split, "recording": name, "audio_path": path, **facts}
    session |= {
        "offset": 0.0,
        "is_whole": 1,
        "num_supervisions": len(segments),
        "num_stems": 0,
        "num_effects": 0,
    }
    add_row(lists, "sessions", {**session, "has_pre_channel": 0, "is_talkover": 0})
    for number, segment in enumerate(segments):
        _add_turn(lists, row, number, segment)


def _add_turn(lists: Lists, session_row: int, number: int, segment: Segment) -> None:
    turn_row = len(lists["turns"]["turn_row"])
    supervision = f"{segment.session}-{number:05d}"
    duration = round(segment.end - segment.start, TIME_DIGITS)
    said = letters(segment.text) if segment.text is not None else ""
    words = segment.words
    symbols = letters("".join(word.symbol for word in words or ()))
    agree = -1 if words is None or segment.text is None else int(symbols == said)
    row = {
        "turn_row": turn_row,
        "session_row": session_row,
        "session": segment.session,
        "supervision": supervision,
        "turn": supervision,
        "speaker": segment.speaker,
        "start": segment.start,
        "duration": duration,
        "spoken": duration,
        "text": segment.text,
        "num_characters": len(said),
        "num_tokens": len((segment.text or "").split()),
        "num_words": -1 if words is None else len(words),
        "text_is_words": agree,
        "text_fault": None if segment.text is None else text_fault(segment.text, said, None),
    }
    add_row(lists, "turns", row)
    if segment.end > segment.start:
        region = {"turn_row": turn_row, "session_row": session_row}
        add_row(lists, "regions", {**region, "start": segment.start, "end": segment.end})
    for word in words or ():
        length = round(word.end - word.start, TIME_DIGITS)
        timed = {"turn_row": turn_row, "symbol": word.symbol, "start": word.start}
        add_row(lists, "words", {**timed, "duration": length})
