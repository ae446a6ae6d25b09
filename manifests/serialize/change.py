"""``<sc><spk1>hello<sc><spk2>hi``: a mark at every change of speaker, no times.

The marks of serialised output training; with speakers as in "Balancing ASR and diarization"
(arXiv 2606.13095), whose exact spelling is not published. Anonymous speakers are ``<spk1>``,
``<spk2>``, …; a name stands as it is; an unknown speaker has no tag. Escaped: ``<`` and a backslash
anywhere, ``>`` in a name, and names that would read as a tag of the format.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import ClassVar

from talkover.manifests.serialize.base import Feature, Format, PieceList
from talkover.manifests.serialize.tags import (
    GENDERS,
    TaggedParser,
    escape,
    escape_label,
    label_of_number,
    numbered_label,
    unescape_label,
)
from talkover.manifests.serialize.transcript import Gender, Piece, Transcript

PREFIX, FIRST = "spk", 1
RESERVED = re.compile(r"sc|ovl|f|m|o|spk[0-9]+")


@dataclass(frozen=True, kw_only=True)
class SpeakerChange(Format):
    """A mark before every turn, with or without the speaker."""

    name: ClassVar[str] = "sc"
    carries: ClassVar[frozenset[Feature]] = frozenset({"speakers", "overlap", "gender"})

    with_speakers: bool = True
    """Write who speaks after each mark; without it this is plain serialised output."""

    @property
    def features(self) -> frozenset[Feature]:
        """Without speakers only the words and their order are left."""
        return self.carries if self.with_speakers else frozenset()

    def pieces(self, transcript: Transcript) -> list[Piece]:
        """The target text in pieces; ``<`` and ``>`` around a speaker are ``fmt``."""
        out = PieceList()
        for index, turn in enumerate(self.lossless_view(transcript).turns):
            out.turn = index
            out.fmt("<sc>")
            if turn.speaker:
                out.fmt("<")
                number = numbered_label(turn.speaker, PREFIX, FIRST)
                out.speaker(number or escape_label(turn.speaker, "<>", RESERVED))
                out.fmt(">")
            out.fmt("<ovl>" if turn.overlap else "")
            out.fmt(f"<{turn.gender}>" if turn.gender else "")
            out.word(escape(turn.text, "<"))
        return out.pieces

    def parser(self) -> SpeakerChangeParser:
        """A fresh streaming parser."""
        return SpeakerChangeParser()


@dataclass(slots=True)
class Head:
    """A turn that the next mark will end."""

    position: int
    speaker: str | None = None
    parts: list[str] = field(default_factory=list)
    overlap: bool = False
    gender: Gender | None = None


class SpeakerChangeParser(TaggedParser):
    """Reads `SpeakerChange`; a turn is complete when the next mark or the end is read."""

    def __init__(self) -> None:
        """Begin before the first mark."""
        super().__init__("<", ">")
        self._open: Head | None = None
        self._names: set[str] = set()

    def _on_tag(self, position: int, raw: str) -> None:
        if raw == "sc":
            self._on_end(position)
            self._open = Head(position)
            return
        is_at_head = self._open is not None and not self._open.parts
        if self._open is not None and is_at_head and (raw == "ovl" or raw in GENDERS):
            self._open.overlap = self._open.overlap or raw == "ovl"
            self._open.gender = GENDERS.get(raw, self._open.gender)
            return
        number = raw.removeprefix(PREFIX) if raw.startswith(PREFIX) else ""
        anonymous = label_of_number(number, FIRST)
        speaker = anonymous or unescape_label(raw)
        if self._open is not None and is_at_head and self._open.speaker is None and speaker:
            self._names.add(speaker)
            self._open.speaker = speaker
        elif anonymous or speaker in self._names:
            self._repair(position, "missing_frame", f"<{raw}>")
            self._on_end(position)
            self._open = Head(position, speaker=speaker)
        else:
            self._repair(position, "bad_tag", f"<{raw}>")
            self._on_text(position, f"<{raw}>")

    def _on_text(self, position: int, raw: str) -> None:
        if self._open is None:
            if not raw.strip():
                self._repair(position, "stray_text", raw)
                return
            self._repair(position, "missing_frame", raw)
            self._open = Head(position)
        self._open.parts.append(self._plain(position, raw))

    def _on_end(self, position: int) -> None:
        opened, self._open = self._open, None
        if opened is not None:
            self._add_turn(
                opened.position,
                speaker=opened.speaker or "",
                text="".join(opened.parts),
                overlap=opened.overlap,
                gender=opened.gender,
            )
