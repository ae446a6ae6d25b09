r"""Writers of the usual label files beside ``cuts.jsonl``: RTTM, STM, CTM, SegLST, UEM.

All times have `DIGITS` digits after the point, all files are UTF-8 with ``\n``, and the second
column (channel) is 1, except in CTM, where it names the speaker: the format has no other place, and
a word without its speaker would be of little use. Tools that follow the standard take it for a
channel. Speakers have their name across the corpus. RTTM has speech regions, STM and SegLST the
supervisions that have text, CTM the words that have times.
"""

from __future__ import annotations

import json
from collections.abc import Iterable, Mapping, Sequence
from contextlib import ExitStack
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Protocol

from talkover.manifests.labels import STM_LABEL, UNSCORED
from talkover.manifests.markers import atomic_path
from talkover.manifests.schema import Supervision, TimeSpan
from talkover.manifests.segments import Segment

DIGITS = 5
"""10 µs: a sixth of a sample at 16 kHz, so that rounding to samples gives them back (to 48 kHz)."""

RTTM = "labels.rttm"
STM = "labels.stm"
CTM = "labels.ctm"
SEGLST = "labels.seglst.json"
UEM = "labels.uem"
LABEL_FILES = (RTTM, STM, CTM, SEGLST, UEM)


class Labelled(Protocol):
    """What labels are written of: a `Session`, or a plan that has no audio yet."""

    @property
    def id(self) -> str: ...  # noqa: D102
    @property
    def supervisions(self) -> tuple[Supervision, ...]: ...  # noqa: D102
    @property
    def uem(self) -> tuple[TimeSpan, ...]: ...  # noqa: D102


@dataclass(frozen=True, kw_only=True, slots=True)
class LabelCounts:
    """What went into the label files, and what could not."""

    sessions: int
    supervisions: int
    without_text: int
    """Supervisions that are missing from STM and SegLST."""
    without_words: int
    """Supervisions that are missing from CTM."""


def write_labels(folder: Path | str, sessions: Iterable[Labelled]) -> LabelCounts:
    """Write all five label files of a folder, in one pass over its sessions.

    Each file appears whole or not at all; the same sessions give the same bytes.

    Raises:
        RunError: If there is no space left on the device.
    """
    count = supervisions = without_text = without_words = 0
    with ExitStack() as stack:
        files = {name: _open(stack, Path(folder) / name) for name in LABEL_FILES}
        files[SEGLST].write("[")
        mark = "\n"
        for session in sessions:
            files[RTTM].write(rttm_lines(session))
            files[STM].write(stm_lines(session))
            files[CTM].write(ctm_lines(session))
            files[UEM].write(uem_lines(session))
            for row in seglst_rows(session):
                files[SEGLST].write(mark + json.dumps(row, ensure_ascii=False))
                mark = ",\n"
            count += 1
            supervisions += len(session.supervisions)
            without_text += sum(s.text is None for s in session.supervisions)
            without_words += sum(s.words is None for s in session.supervisions)
        files[SEGLST].write("\n]\n")
    return LabelCounts(
        sessions=count,
        supervisions=supervisions,
        without_text=without_text,
        without_words=without_words,
    )


def rttm_lines(session: Labelled) -> str:
    """The speech regions of a session as lines of an RTTM, by start."""
    rows = sorted((r.start, r.end, s.speaker) for s in session.supervisions for r in s.regions)
    return "".join(rttm_line(session.id, speaker, start, end) for start, end, speaker in rows)


def rttm_line(session: str, speaker: str, start: float, end: float) -> str:
    """One line of an RTTM with its line end.

    The duration is the difference of the *written* start and end, so that the end is as exact.
    """
    first, last = round(start, DIGITS), round(end, DIGITS)
    return (
        f"SPEAKER {session} 1 {first:.{DIGITS}f} {last - first:.{DIGITS}f} "
        f"<NA> <NA> {speaker} <NA> <NA>\n"
    )


def stm_lines(session: Labelled) -> str:
    """The supervisions of a session that have text, as lines of an STM."""
    return "".join(
        stm_line(session.id, s.speaker, s.start, s.end, s.text)
        for s in session.supervisions
        if s.text is not None
    )


def stm_line(session: str, speaker: str, start: float, end: float, text: str | None) -> str:
    """One line of an STM with its line end; a text of None is a stretch not to be scored.

    A text that begins like a label of STM (``<O,F0>``) gets an empty one before it.
    """
    said = UNSCORED if text is None else " ".join(text.split())
    said = f"<,> {said}" if STM_LABEL.match(said) else said
    return f"{session} 1 {speaker} {start:.{DIGITS}f} {end:.{DIGITS}f} {said}".rstrip() + "\n"


def ctm_lines(session: Labelled) -> str:
    """The words of a session that have times, by start; white space in a symbol becomes ``_``."""
    rows = sorted(
        (w.start, w.end, s.speaker, "_".join(w.symbol.split()) or "_")
        for s in session.supervisions
        for w in s.words or ()
    )
    return "".join(
        ctm_line(session.id, speaker, start, end, symbol) for start, end, speaker, symbol in rows
    )


def ctm_line(session: str, speaker: str, start: float, end: float, symbol: str) -> str:
    """One line of a CTM with its line end; the symbol holds no white space."""
    first, last = round(start, DIGITS), round(end, DIGITS)
    return f"{session} {speaker} {first:.{DIGITS}f} {last - first:.{DIGITS}f} {symbol}\n"


def seglst_rows(session: Labelled) -> list[dict[str, str | float]]:
    """The supervisions of a session that have text, as objects of SegLST."""
    return [_seglst_row(session.id, s) for s in session.supervisions if s.text is not None]


def uem_lines(session: Labelled) -> str:
    """The labelled stretches of a session as lines of a UEM."""
    return "".join(uem_line(session.id, span.start, span.end) for span in session.uem)


def uem_line(session: str, start: float, end: float) -> str:
    """One line of a UEM with its line end."""
    return f"{session} 1 {start:.{DIGITS}f} {end:.{DIGITS}f}\n"


def write_rttm(path: Path | str, sessions: Mapping[str, Sequence[Segment]]) -> int:
    """Write segments of any origin as an RTTM and say how many lines it has."""
    count = 0
    with ExitStack() as stack:
        file = _open(stack, Path(path))
        for segments in sessions.values():
            for s in sorted(segments, key=lambda s: (s.start, s.end, s.speaker)):
                file.write(rttm_line(s.session, s.speaker, s.start, s.end))
                count += 1
    return count


def _open(stack: ExitStack, path: Path) -> IO[str]:
    """A text file that gets its name when the stack is closed without an error."""
    temporary = stack.enter_context(atomic_path(path))
    return stack.enter_context(temporary.open("w", encoding="utf-8", newline="\n"))


def _seglst_row(session: str, s: Supervision) -> dict[str, str | float]:
    return {
        "session_id": session,
        "speaker": s.speaker,
        "start_time": round(s.start, DIGITS),
        "end_time": round(s.end, DIGITS),
        "words": s.text or "",
    }
