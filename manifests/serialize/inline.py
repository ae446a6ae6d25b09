"""``[0.48][S01]Welcome everyone[1.66]``: times and speakers between the words.

The format of MOSS-Transcribe-Diarize (arXiv 2601.01554); the head marks ``<ovl>`` and ``<f>`` are
of the same form as its extended prompt's. An unknown time is ``[]``, an unknown speaker ``[?]``; an
event is ``[12.00][#door][12.50]``. Escaped: ``[`` and a backslash anywhere, ``<`` at the start of a
text, ``]`` in a label. All tags but the times go when every ``[…]`` and ``<…>`` is deleted.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar

from talkover.manifests.serialize.base import (
    Feature,
    Format,
    PieceList,
    in_time_order,
    read_time,
)
from talkover.manifests.serialize.tags import (
    GENDERS,
    TaggedParser,
    escape,
    escape_label,
    unescape,
    unescape_label,
)
from talkover.manifests.serialize.transcript import (
    Event,
    Gender,
    Piece,
    Transcript,
    Turn,
    speaker_number,
    time_text,
)

EVENT_MARK = "#"
RESERVED = re.compile(r"[0-9.]*|#.*", re.DOTALL)
"""Names that would read as a time or an event."""
HEAD_MARK = re.compile(r"<(ovl|f|m|o)>")


@dataclass(frozen=True, kw_only=True)
class Inline(Format):
    """Bracketed times and speakers in one line."""

    name: ClassVar[str] = "inline"
    carries: ClassVar[frozenset[Feature]] = frozenset(
        {"speakers", "times", "overlap", "gender", "events"}
    )

    def pieces(self, transcript: Transcript) -> list[Piece]:
        """The target text in pieces; the brackets are ``fmt``."""
        out = PieceList()
        for kind, index in in_time_order(transcript, with_events=True):
            if kind == "turn":
                out.turn, out.event = index, None
                self._turn(transcript.turns[index], out)
            else:
                out.turn, out.event = None, index
                self._event(transcript.events[index], out)
        return out.pieces

    def parser(self) -> InlineParser:
        """A fresh streaming parser."""
        return InlineParser()

    def _turn(self, turn: Turn, out: PieceList) -> None:
        out.fmt("[")
        out.time(time_text(turn.start, self.digits))
        out.fmt("][")
        out.speaker(escape_label(turn.speaker, "[]", RESERVED))
        marks = ("<ovl>" if turn.overlap else "") + (f"<{turn.gender}>" if turn.gender else "")
        out.fmt("]" + marks)
        text = escape(turn.text, "[")
        out.word("\\" + text if text.startswith("<") else text)
        out.fmt("[")
        out.time(time_text(turn.end, self.digits))
        out.fmt("]")

    def _event(self, event: Event, out: PieceList) -> None:
        out.fmt("[")
        out.time(time_text(event.start, self.digits))
        out.fmt("][" + EVENT_MARK)
        out.word(escape(event.label, "[]"))
        out.fmt("][")
        out.time(time_text(event.end, self.digits))
        out.fmt("]")


@dataclass(slots=True)
class Opened:
    """A turn or event whose end has not been read."""

    position: int
    start: float | None
    speaker: str = ""
    event: str | None = None
    parts: list[str] = field(default_factory=list)
    overlap: bool = False
    gender: Gender | None = None


def take_marks(opened: Opened, raw: str) -> str:
    """Note the marks at the head of a turn's raw text; gives the rest of it."""
    while match := HEAD_MARK.match(raw):
        if match[1] == "ovl":
            opened.overlap = True
        else:
            opened.gender = GENDERS[match[1]]
        raw = raw[match.end() :]
    return raw


class InlineParser(TaggedParser):
    """Reads `Inline`.

    A bracket in the words that holds neither a time nor a label stays text: only ``S01``-like
    labels and names that were seen at the head of a turn may begin a turn without a start.
    """

    def __init__(self) -> None:
        """Begin outside any turn."""
        super().__init__("[", "]")
        self._start: tuple[int, float | None] | None = None
        self._open: Opened | None = None
        self._names: set[str] = set()

    def _on_tag(self, position: int, raw: str) -> None:
        time = read_time(raw)
        if raw == "" or time is not None:
            self._on_time(position, time)
        elif raw.startswith(EVENT_MARK):
            self._on_head(position, raw, event=unescape(raw[1:])[0])
        else:
            self._on_head(position, raw, event=None)

    def _on_time(self, position: int, time: float | None) -> None:
        if self._open is not None:
            self._end(position, time)
        else:
            if self._start is not None:
                self._repair(self._start[0], "missing_speaker", f"[{self._start[1]}]")
            self._start = (position, time)

    def _on_head(self, position: int, raw: str, event: str | None) -> None:
        speaker = unescape_label(raw) if event is None else ""
        if self._open is not None:
            is_name = speaker in self._names or speaker_number(speaker) is not None
            if event is None and not is_name:
                self._repair(position, "bad_tag", f"[{raw}]")
                self._open.parts.append(f"[{raw}]")
                return
            self._repair(position, "missing_end", f"[{raw}]")
            self._end(position, None)
        if self._start is None:
            self._repair(position, "missing_start", f"[{raw}]")
            begin: tuple[int, float | None] = (position, None)
        else:
            begin, self._start = self._start, None
            self._names.add(speaker)
        self._open = Opened(position=begin[0], start=begin[1], speaker=speaker, event=event)

    def _on_text(self, position: int, raw: str) -> None:
        if self._open is None and self._start is not None and raw.strip():
            self._repair(position, "missing_speaker", raw)
            self._open = Opened(position=self._start[0], start=self._start[1])
            self._start = None
        if self._open is None or self._open.event is not None:
            self._repair(position, "stray_text", raw)
            return
        if not self._open.parts:
            raw = take_marks(self._open, raw)
        self._open.parts.append(self._plain(position, raw))

    def _end(self, position: int, time: float | None) -> None:
        opened, self._open = self._open, None
        assert opened is not None
        if opened.event is not None:
            self._add_event(opened.position, label=opened.event, start=opened.start, end=time)
            return
        self._add_turn(
            opened.position,
            speaker=opened.speaker,
            text="".join(opened.parts),
            start=opened.start,
            end=time,
            overlap=opened.overlap,
            gender=opened.gender,
        )

    def _on_end(self, position: int) -> None:
        if self._open is not None:
            self._repair(self._open.position, "truncated")
            self._end(position, None)
        elif self._start is not None:
            self._repair(self._start[0], "truncated", f"[{self._start[1]}]")
