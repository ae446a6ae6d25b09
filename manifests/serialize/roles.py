r"""``spk0: hello``: one line a turn with its role, no times.

The format of SpeakerLM (arXiv 2508.06372): ``spk0``, ``spk1``, … for anonymous speakers, else the
registered name. An unknown speaker is ``?``. Escaped: a line break (``\n``) and a backslash
anywhere, ``:`` in a name, and names that would read as ``spk0`` or ``?``.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from talkover.manifests.serialize.base import Feature, Format, PieceList
from talkover.manifests.serialize.lines import LineParser
from talkover.manifests.serialize.tags import (
    escape,
    escape_label,
    label_of_number,
    numbered_label,
    unescape,
    unescape_label,
)
from talkover.manifests.serialize.transcript import Piece, Transcript

PREFIX, FIRST = "spk", 0
RESERVED = re.compile(r"spk[0-9]+")
LABEL = re.compile(r"((?:[^\\:]|\\.)*):( ?)")
"""Up to the first colon that is not escaped."""


@dataclass(frozen=True, kw_only=True)
class Roles(Format):
    """One line a turn."""

    name: ClassVar[str] = "roles"
    carries: ClassVar[frozenset[Feature]] = frozenset({"speakers"})

    def pieces(self, transcript: Transcript) -> list[Piece]:
        """The target text in pieces; a line break belongs to the turn that it begins."""
        out = PieceList()
        for index, turn in enumerate(transcript.turns):
            out.turn = index
            out.fmt("\n" if index else "")
            number = numbered_label(turn.speaker, PREFIX, FIRST)
            out.speaker(number or escape_label(turn.speaker, ":\n", RESERVED))
            out.fmt(": ")
            out.word(escape(turn.text, "\n"))
        return out.pieces

    def parser(self) -> RolesParser:
        """A fresh streaming parser."""
        return RolesParser()


class RolesParser(LineParser):
    """Reads `Roles`; a line without a role goes to the speaker before it."""

    def _on_line(self, position: int, line: str, is_cut: bool) -> None:
        match = LABEL.match(line)
        if match is None:
            self._on_bare_line(position, line, is_cut)
            return
        if not match[2]:
            self._repair(position, "truncated" if is_cut else "missing_frame", line)
        number = match[1].removeprefix(PREFIX) if match[1].startswith(PREFIX) else ""
        speaker = label_of_number(number, FIRST) or unescape_label(match[1])
        self._add_turn(position, speaker=speaker, text=self._plain(position, line[match.end() :]))

    def _on_bare_line(self, position: int, line: str, is_cut: bool) -> None:
        if not line.strip():
            self._repair(position, "stray_text", line)
        elif is_cut and ":" not in line and not any(c.isspace() for c in line):
            self._repair(position, "truncated", line)  # most likely the beginning of a role
        else:
            self._repair(position, "missing_speaker", line)
            last = self._turns[-1].speaker if self._turns else ""
            self._add_turn(position, speaker=last, text=self._plain(position, line))

    def _on_end(self, position: int) -> None:
        """Nothing is open between lines."""

    def _plain(self, position: int, raw: str) -> str:
        text, fault = unescape(raw)
        if fault is not None:
            self._repair(position, "bad_escape", fault)
        return text
