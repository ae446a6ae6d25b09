r"""Backslash escapes, and the cutting of a text into tags and what stands between them.

One rule for every format with brackets: a backslash takes the meaning from the character after it
(``\[``, ``\<``, ``\\``), and ``\n`` is a line break where a line break would be a delimiter. Text
that holds none of the format's own delimiters is written as it is.
"""

from __future__ import annotations

import re
from abc import abstractmethod
from dataclasses import dataclass
from typing import Literal

from talkover.manifests.serialize.base import Parser
from talkover.manifests.serialize.transcript import Gender, speaker_label, speaker_number

UNKNOWN = "?"
"""How a label is written where nothing says who."""

GENDERS: dict[str, Gender] = {"f": "f", "m": "m", "o": "o"}


def escape(text: str, delimiters: str) -> str:
    r"""The text with a backslash before each delimiter and each backslash.

    >>> escape("a[b", "["), escape("a\nb", "\n")
    ('a\\[b', 'a\\nb')
    """
    pattern = "[" + re.escape(delimiters + "\\") + "]"
    return re.sub(pattern, lambda m: "\\n" if m[0] == "\n" else "\\" + m[0], text)


def escape_label(label: str, delimiters: str, reserved: re.Pattern[str]) -> str:
    r"""A name as a tag holds it: a backslash goes before a name that would read as something else.

    >>> escape_label("spk1", "<>", re.compile("spk[0-9]+"))
    '\\spk1'
    """
    if label == "":
        return UNKNOWN
    escaped = escape(label, delimiters)
    return "\\" + escaped if label == UNKNOWN or reserved.fullmatch(label) else escaped


def unescape(raw: str) -> tuple[str, str | None]:
    r"""The text without its escapes, and the first escape that means nothing, if any.

    Such an escape is kept as it is; a backslash at the very end is left out.

    >>> unescape("a\\[b"), unescape("C:\\dir"), unescape("end\\")
    (('a[b', None), ('C:\\dir', '\\d'), ('end', '\\'))
    """
    faults: list[str] = []

    def meaning(match: re.Match[str]) -> str:
        escaped = match[1]
        if escaped == "n":
            return "\n"
        if escaped and not escaped.isalnum():
            return escaped
        faults.append(match[0])
        return match[0] if escaped else ""

    return re.sub(r"\\(.?)", meaning, raw, flags=re.DOTALL), faults[0] if faults else None


def unescape_label(raw: str) -> str:
    r"""The name that a tag holds: as `unescape`, but a leading backslash may precede anything.

    >>> unescape_label("\\spk1"), unescape_label("?")
    ('spk1', '')
    """
    if raw == UNKNOWN:
        return ""
    if raw.startswith("\\") and len(raw) > 1 and raw[1].isalnum() and raw[1] != "n":
        return raw[1] + unescape(raw[2:])[0]
    return unescape(raw)[0]


def numbered_label(label: str, prefix: str, first: int) -> str | None:
    """An anonymous label in the numbering of a format, or None where the label is a name.

    >>> numbered_label("S01", "spk", 1), numbered_label("S01", "spk", 0)
    ('spk1', 'spk0')
    """
    number = speaker_number(label)
    return None if number is None else f"{prefix}{number - 1 + first}"


def label_of_number(digits: str, first: int) -> str | None:
    """The anonymous label for a number in a format's numbering; None out of its range.

    >>> label_of_number("0", 0), label_of_number("0", 1), label_of_number("07", 0)
    ('S01', None, None)
    """
    if not (digits.isascii() and digits.isdigit() and len(digits) < 8):
        return None
    label = speaker_label(int(digits) + 1 - first)
    return label if numbered_label(label, "", first) == digits else None


@dataclass(frozen=True, kw_only=True, slots=True)
class Lexeme:
    """A run of text of one kind; ``raw`` keeps the escapes and has no brackets around a tag."""

    kind: Literal["text", "tag", "broken", "cut"]
    """``broken``: a bracket that another one follows before it closes; ``cut``: at the end."""
    raw: str
    position: int


class TagLexer:
    """Cuts a text into tags and what stands between; chunks may end anywhere."""

    def __init__(self, opening: str, closing: str) -> None:
        """Take the two brackets."""
        self._opening, self._closing = opening, closing
        self._pending: list[str] = []
        self._begin = 0
        self.position = 0
        self._is_inside = False
        self._is_escaped = False

    def feed(self, chunk: str) -> list[Lexeme]:
        """The runs that became complete."""
        found: list[Lexeme] = []
        for character in chunk:
            if self._is_escaped:
                self._is_escaped = False
                self._pending.append(character)
            elif character == self._opening:
                self._end_run("broken" if self._is_inside else "text", found)
                self._is_inside, self._begin = True, self.position
            elif character == self._closing and self._is_inside:
                self._pending.append("")  # a tag may be empty and is still one
                self._end_run("tag", found)
                self._is_inside, self._begin = False, self.position + 1
            else:
                self._is_escaped = character == "\\"
                self._pending.append(character)
            self.position += 1
        return found

    def close(self) -> list[Lexeme]:
        """What is left at the end."""
        found: list[Lexeme] = []
        self._end_run("cut" if self._is_inside else "text", found)
        return found

    def _end_run(self, kind: Literal["text", "tag", "broken", "cut"], found: list[Lexeme]) -> None:
        if self._pending or kind in ("broken", "cut"):
            found.append(Lexeme(kind=kind, raw="".join(self._pending), position=self._begin))
        self._pending = []


class TaggedParser(Parser):
    """A parser that is told of each run of a text with tags."""

    def __init__(self, opening: str, closing: str) -> None:
        """Take the two brackets."""
        super().__init__()
        self._brackets = (opening, closing)
        self._lexer = TagLexer(opening, closing)

    @abstractmethod
    def _on_tag(self, position: int, raw: str) -> None:
        """Take in a tag, without its brackets."""

    @abstractmethod
    def _on_text(self, position: int, raw: str) -> None:
        """Take in text, with its escapes."""

    @abstractmethod
    def _on_end(self, position: int) -> None:
        """Complete what is open."""

    def _plain(self, position: int, raw: str) -> str:
        """The text without its escapes; a meaningless one is reported."""
        text, fault = unescape(raw)
        if fault is not None:
            self._repair(position, "bad_escape", fault)
        return text

    def _read(self, chunk: str) -> None:
        for lexeme in self._lexer.feed(chunk):
            self._take(lexeme)

    def _finish(self) -> None:
        for lexeme in self._lexer.close():
            self._take(lexeme)
        self._on_end(self._lexer.position)

    def _take(self, lexeme: Lexeme) -> None:
        if lexeme.kind == "tag":
            self._on_tag(lexeme.position, lexeme.raw)
        elif lexeme.kind == "text":
            self._on_text(lexeme.position, lexeme.raw)
        elif lexeme.kind == "cut":
            self._repair(lexeme.position, "truncated", self._brackets[0] + lexeme.raw)
        else:
            literal = self._brackets[0] + lexeme.raw
            self._repair(lexeme.position, "bad_tag", literal)
            self._on_text(lexeme.position, literal)
