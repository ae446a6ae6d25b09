"""What lies beside a manifest and must name the same sessions: ``labels.rttm``, audio files."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterator, Sequence
from pathlib import Path

import pandas as pd

from talkover.manifests.audit.cells import add_row, empty_lists
from talkover.manifests.audit.columns import arrow_table, to_frame
from talkover.manifests.audit.extract_labels import audio_files
from talkover.manifests.audit.inputs import Part
from talkover.manifests.errors import ManifestError

RTTM = "labels.rttm"


def disagreements(parts: Sequence[Part], sessions: pd.DataFrame) -> pd.DataFrame:
    """Sessions that a manifest has and the files beside it have not, and the other way round.

    Args:
        parts: As they were read.
        sessions: Their table.

    Returns:
        Rows of the table ``problems`` of the kind ``labels``.
    """
    lists = empty_lists()
    for file, kind in dict.fromkeys((part.path, part.kind) for part in parts):
        own = sessions[sessions["manifest"] == str(file)]
        found = _rttm(file, own) if kind == "cuts" else _audio(file, own)
        for session, reason in found:
            row = {"manifest": str(file), "line": 0, "session": session, "field": "id"}
            add_row(lists, "problems", {**row, "kind": "labels", "reason": reason})
    return to_frame(arrow_table("problems", lists["problems"]))


def _rttm(file: Path, sessions: pd.DataFrame) -> Iterator[tuple[str, str]]:
    beside = file.parent / RTTM
    if not beside.is_file():
        return
    counts = _lines_by_session(beside)
    for name in sorted(counts.keys() - set(sessions["session"])):
        yield name, f"is in {RTTM} and not in {file.name}"
    spoken = sessions.loc[sessions["num_speakers"] > 0, "session"]
    spoken = spoken[~spoken.str.contains(r"\s")]  # which no RTTM can hold: told as illegal ids
    for name in sorted(set(spoken) - counts.keys()):
        yield name, f"is in {file.name} and not in {RTTM}"


def _lines_by_session(rttm: Path) -> Counter[str]:
    try:
        lines = rttm.read_bytes().decode("utf8", "replace").splitlines()
    except OSError as error:
        raise ManifestError(f"cannot be read: {error.strerror}", path=rttm) from error
    names = (line.split(None, 2) for line in lines)
    return Counter(fields[1] for fields in names if len(fields) > 1 and fields[0] == "SPEAKER")


def _audio(file: Path, sessions: pd.DataFrame) -> Iterator[tuple[str, str]]:
    for name in sorted(audio_files(file.parent).keys() - set(sessions["session"])):
        yield name, f"is an audio file without a label in {file.name}"
