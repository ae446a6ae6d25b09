"""Two blocks, first what and when, then who and when.

::

    <text>
    0.00-1.21>UH NO
    </text>
    <speaker>
    <spk id="1" g="f" t="0.00-1.21"/>
    </speaker>

The format of TagSpeech (arXiv 2601.06896), which mirrors its two audio streams; ids count from 1 in
order of appearance. Additions: ``o="1"`` in overlap, names as ids, ``?`` for an unknown speaker, a
third block ``<event>`` with ``<ev l="door" t="12.00-12.50"/>``. Escaped as in XML: ``<`` and a line
break, ``>`` and ``"`` in an attribute, and ``&`` only where it would begin one of these escapes.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import ClassVar

from talkover.manifests.serialize.base import Feature, Format, PieceList, read_time
from talkover.manifests.serialize.lines import LineParser
from talkover.manifests.serialize.tags import GENDERS, UNKNOWN, label_of_number, numbered_label
from talkover.manifests.serialize.transcript import Piece, Transcript, time_text

FIRST = 1
RESERVED = re.compile(r"[0-9]+|\?")
"""Names that would read as a number or as unknown."""
ENTITY = re.compile(r"&(?:(lt|gt|amp|quot)|#([0-9]{1,3}));")
NAMED = {"lt": "<", "gt": ">", "amp": "&", "quot": '"'}
ENTITIES = {"<": "&lt;", ">": "&gt;", '"': "&quot;", "\n": "&#10;"}

JOIN_WINDOW = 64
"""Waiting lines among which a speaker without an exact match is looked for: far more than overlap
at once, and few enough that a text wrong in every line is still read in linear time."""

TEXT_LINE = re.compile(r"([0-9.]*)-([0-9.]*)>(.*)", re.DOTALL)
STRUCTURE = re.compile(r"<(/?)(text|speaker|event)>|<(spk|ev)((?:\s[^<>]*)?)>")
ATTRIBUTE = re.compile(r'([a-z]+)="([^"<>]*)"')
SPAN = re.compile(r"([0-9.]*)-([0-9.]*)")


def escape_entities(text: str, delimiters: str) -> str:
    """The text with its delimiters as entities.

    >>> escape_entities("AT&T <3 &lt;", "<")
    'AT&T &lt;3 &amp;lt;'
    """
    text = ENTITY.sub(lambda match: "&amp;" + match[0][1:], text)
    return re.sub(f"[{delimiters}]", lambda match: ENTITIES[match[0]], text)


def unescape_entities(raw: str) -> str:
    """The inverse of `escape_entities`; what is no entity stays as it is."""
    return ENTITY.sub(lambda match: NAMED[match[1]] if match[1] else chr(int(match[2])), raw)


@dataclass(frozen=True, kw_only=True)
class Blocks(Format):
    """A block of texts and a block of speakers."""

    name: ClassVar[str] = "xml"
    carries: ClassVar[frozenset[Feature]] = frozenset(
        {"speakers", "times", "overlap", "gender", "events"}
    )

    def pieces(self, transcript: Transcript) -> list[Piece]:
        """The target text in pieces; the second time of a turn is ``time`` again."""
        out = PieceList()
        out.fmt("<text>\n")
        for index, turn in enumerate(transcript.turns):
            out.turn = index
            self._span(turn.start, turn.end, out)
            out.fmt(">")
            out.word(escape_entities(turn.text, "<\n"))
            out.fmt("\n")
        out.turn = None
        out.fmt("</text>\n<speaker>\n")
        for index, turn in enumerate(transcript.turns):
            out.turn = index
            out.fmt('<spk id="')
            out.speaker(speaker_id(turn.speaker))
            out.fmt((f'" g="{turn.gender}' if turn.gender else "") + '" t="')
            self._span(turn.start, turn.end, out)
            out.fmt('" o="1"/>\n' if turn.overlap else '"/>\n')
        out.turn = None
        out.fmt("</speaker>")
        self._events(transcript, out)
        return out.pieces

    def parser(self) -> BlocksParser:
        """A fresh streaming parser."""
        return BlocksParser()

    def _events(self, transcript: Transcript, out: PieceList) -> None:
        if not transcript.events:
            return
        out.fmt("\n<event>\n")
        for index, event in enumerate(transcript.events):
            out.event = index
            out.fmt('<ev l="')
            out.word(escape_entities(event.label, '<>"\n'))
            out.fmt('" t="')
            self._span(event.start, event.end, out)
            out.fmt('"/>\n')
        out.event = None
        out.fmt("</event>")

    def _span(self, start: float | None, end: float | None, out: PieceList) -> None:
        out.time(time_text(start, self.digits))
        out.fmt("-")
        out.time(time_text(end, self.digits))


def speaker_id(label: str) -> str:
    """The value of ``id``.

    >>> speaker_id("S02"), speaker_id("ana"), speaker_id("2"), speaker_id("")
    ('2', 'ana', '&#50;', '?')
    """
    if label == "":
        return UNKNOWN
    escaped = escape_entities(label, '<>"\n')
    if RESERVED.fullmatch(label):
        escaped = f"&#{ord(label[0])};" + escaped[1:]
    return numbered_label(label, "", FIRST) or escaped


@dataclass(slots=True)
class TextLine:
    """A line of the first block that waits for its speaker."""

    position: int
    start: float | None
    end: float | None
    text: str


def similarity(line: TextLine, start: float | None, end: float | None) -> float:
    """Intersection over union of two spans; 1 for equal ones, known or not."""
    if (line.start, line.end) == (start, end):
        return 1.0
    if line.start is None or line.end is None or start is None or end is None:
        return 0.0
    union = max(line.end, end) - min(line.start, start)
    return max(0.0, min(line.end, end) - max(line.start, start)) / union if union > 0 else 0.0


class BlocksParser(LineParser):
    """Reads `Blocks`.

    A turn is complete when its speaker is read. Of the next `JOIN_WINDOW` waiting lines
    a speaker gets the first with its exact span, else the one that it overlaps most, else the next:
    exact spans alone lose text when the blocks differ by one digit, and merge two speakers with
    equal spans.
    """

    def __init__(self) -> None:
        """Begin before the first block."""
        super().__init__()
        self._block: str | None = None
        self._seen: set[str] = set()
        self._waiting: list[TextLine] = []

    def _on_line(self, position: int, line: str, is_cut: bool) -> None:
        done = 0
        for match in STRUCTURE.finditer(line):
            if line[done : match.start()].strip():
                self._on_content(position + done, line[done : match.start()], False)
            done = match.end()
            if match[2]:
                self._on_frame(position + match.start(), match[2], bool(match[1]))
            else:
                self._on_element(position + match.start(), match[3], match[4])
        if done == 0 or line[done:].strip():
            self._on_content(position + done, line[done:], is_cut)

    def _on_frame(self, position: int, name: str, is_closing: bool) -> None:
        expected = name if is_closing else None
        if self._block != expected or (not is_closing and name in self._seen):
            self._repair(position, "missing_frame", f"<{'/' if is_closing else ''}{name}>")
        if is_closing and name == "speaker":
            self._release_waiting()
        self._seen.add(name)
        self._block = None if is_closing else name

    def _on_content(self, position: int, content: str, is_cut: bool) -> None:
        if is_cut and "<" in content:
            cut = content.index("<")
            self._repair(position + cut, "truncated", content[cut:])
            content = content[:cut]
            if not content:
                return
        match = TEXT_LINE.fullmatch(content)
        if match and self._block is None and "speaker" not in self._seen:
            self._repair(position, "missing_frame", content)
            self._block = "text"
        if self._block != "text":
            self._repair(position, "stray_text", content)
        elif match:
            self._on_text_line(position, match)
        elif is_cut and SPAN.match(content + "-").end() >= len(content):  # type: ignore[union-attr]
            self._repair(position, "truncated", content)
        else:
            self._on_broken_line(position, content)

    def _on_text_line(self, position: int, match: re.Match[str]) -> None:
        start, end = self._read_span(position, match[1], match[2])
        if "<" in match[3]:
            self._repair(position, "bad_tag", match[3])
        self._waiting.append(TextLine(position, start, end, unescape_entities(match[3])))

    def _on_broken_line(self, position: int, content: str) -> None:
        """Join a line without a span to the one before it, as a line break in its text."""
        if self._waiting:
            self._repair(position, "bad_escape", content)
            self._waiting[-1].text += "\n" + unescape_entities(content)
        else:
            self._repair(position, "missing_start", content)
            self._waiting.append(TextLine(position, None, None, unescape_entities(content)))

    def _on_element(self, position: int, name: str, raw: str) -> None:
        attributes: dict[str, str] = dict(ATTRIBUTE.findall(raw))
        if self._block != ("speaker" if name == "spk" else "event"):
            self._repair(position, "missing_frame", f"<{name}{raw}>")
        span = SPAN.fullmatch(attributes.get("t", ""))
        if span is None:
            self._repair(position, "bad_time", raw)
        start, end = self._read_span(position, span[1], span[2]) if span else (None, None)
        if name == "spk":
            self._on_speaker(position, raw, attributes, start, end)
        elif "l" in attributes:
            label = unescape_entities(attributes["l"])
            self._add_event(position, label=label, start=start, end=end)
        else:
            self._repair(position, "bad_label", raw)

    def _on_speaker(
        self,
        position: int,
        raw: str,
        attributes: dict[str, str],
        start: float | None,
        end: float | None,
    ) -> None:
        line = self._take_line(position, raw, start, end)
        if line is None:
            self._repair(position, "speaker_without_text", raw)
            return
        name = attributes.get("id", UNKNOWN)
        if "id" not in attributes:
            self._repair(position, "bad_label", raw)
        label = label_of_number(name, FIRST) or unescape_entities(name)
        self._add_turn(
            line.position,
            speaker="" if name == UNKNOWN else label,
            text=line.text,
            start=line.start,
            end=line.end,
            overlap=attributes.get("o") == "1",
            gender=GENDERS.get(attributes.get("g", "")),
        )

    def _take_line(
        self, position: int, raw: str, start: float | None, end: float | None
    ) -> TextLine | None:
        if not self._waiting:
            return None
        best = 0
        if similarity(self._waiting[0], start, end) < 1.0:
            scores = [similarity(line, start, end) for line in self._waiting[:JOIN_WINDOW]]
            best = scores.index(max(scores))
            if scores[best] < 1.0:
                kind = "joined_by_overlap" if scores[best] > 0 else "joined_by_order"
                self._repair(position, kind, raw)  # type: ignore[arg-type]
        return self._waiting.pop(best)

    def _read_span(self, position: int, start: str, end: str) -> tuple[float | None, float | None]:
        for text in (start, end):
            if text and read_time(text) is None:
                self._repair(position, "bad_time", text)
        return self._times(position, read_time(start), read_time(end))

    def _release_waiting(self) -> None:
        for line in self._waiting:
            self._repair(line.position, "text_without_speaker", line.text)
            self._add_turn(
                line.position, speaker="", text=line.text, start=line.start, end=line.end
            )
        self._waiting = []

    def _on_end(self, position: int) -> None:
        if self._block is not None or self._seen == {"text"}:
            self._repair(position, "truncated")
        elif not self._seen:
            self._repair(position, "missing_frame")
        self._release_waiting()
