"""``[{"Start":0.0,"End":7.56,"Speaker":0,"Content":"…"}]``: a JSON list, one object a turn.

The format of VibeVoice-ASR: speakers count from 0 in order of appearance. Additions: a name as a
string and null for an unknown speaker or time, ``"Overlap":true``, ``"Gender":"f"``, and objects
``{"Start":…,"End":…,"Event":"door"}``. JSON's own escapes; nothing outside ASCII is escaped.
"""

from __future__ import annotations

import json
import re
from dataclasses import dataclass
from typing import ClassVar

from talkover.manifests.serialize.base import (
    Feature,
    Format,
    Parser,
    PieceList,
    RepairKind,
    in_time_order,
    read_time,
)
from talkover.manifests.serialize.tags import GENDERS, label_of_number, numbered_label
from talkover.manifests.serialize.transcript import (
    MAX_TIME,
    Piece,
    Transcript,
    Turn,
    time_text,
)

FIRST = 0
RESTART = '{"Start"'
"""Stands only where an object begins: within a string its quotes would be escaped."""

NUMBER = r'"{}"\s*:\s*([0-9.]+)\s*[,}}]'
STRING = r'"{}"\s*:\s*"((?:[^"\\]|\\.)*)'
BROKEN_START = re.compile(NUMBER.format("Start"))
BROKEN_END = re.compile(NUMBER.format("End"))
BROKEN_SPEAKER = re.compile(NUMBER.format("Speaker"))
BROKEN_NAME = re.compile(STRING.format("Speaker"), re.DOTALL)
BROKEN_CONTENT = re.compile(STRING.format("Content"), re.DOTALL)
CUT_ESCAPE = re.compile(r"\\u[0-9a-fA-F]{0,3}$")


@dataclass(frozen=True, kw_only=True)
class Objects(Format):
    """A JSON list of flat objects."""

    name: ClassVar[str] = "json"
    carries: ClassVar[frozenset[Feature]] = frozenset(
        {"speakers", "times", "overlap", "gender", "events"}
    )

    def pieces(self, transcript: Transcript) -> list[Piece]:
        """The target text in pieces; keys and quotes are ``fmt``."""
        out = PieceList()
        out.fmt("[")
        for position, (kind, index) in enumerate(in_time_order(transcript, with_events=True)):
            out.turn = index if kind == "turn" else None
            out.event = index if kind == "event" else None
            item = transcript.turns[index] if kind == "turn" else transcript.events[index]
            out.fmt("," if position else "")
            out.fmt('{"Start":')
            out.time(number_text(item.start, self.digits))
            out.fmt(',"End":')
            out.time(number_text(item.end, self.digits))
            if isinstance(item, Turn):
                self._turn(item, out)
            else:
                out.fmt(',"Event":"')
                out.word(string_text(item.label))
                out.fmt('"}')
        out.turn = out.event = None
        out.fmt("]")
        return out.pieces

    def parser(self) -> ObjectsParser:
        """A fresh streaming parser."""
        return ObjectsParser()

    def _turn(self, turn: Turn, out: PieceList) -> None:
        out.fmt(',"Speaker":')
        number = numbered_label(turn.speaker, "", FIRST)
        if number is not None or turn.speaker == "":
            out.speaker(number or "null")
        else:
            out.fmt('"')
            out.speaker(string_text(turn.speaker))
            out.fmt('"')
        out.fmt(',"Overlap":true' if turn.overlap else "")
        out.fmt(f',"Gender":"{turn.gender}"' if turn.gender else "")
        out.fmt(',"Content":"')
        out.word(string_text(turn.text))
        out.fmt('"}')


def string_text(text: str) -> str:
    """The inside of a JSON string."""
    return json.dumps(text, ensure_ascii=False)[1:-1]


def number_text(time: float | None, digits: int) -> str:
    """A time as JSON, with no zeros at its end but the first.

    >>> number_text(0, 2), number_text(7.56, 2), number_text(7.5, 2), number_text(None, 2)
    ('0.0', '7.56', '7.5', 'null')
    """
    if time is None:
        return "null"
    whole, _, rest = time_text(time, digits).partition(".")
    return f"{whole}.{rest.rstrip('0') or '0'}"


class ObjectsParser(Parser):
    """Reads `Objects`, object by object; of a broken object the fields that can be read."""

    def __init__(self) -> None:
        """Begin before the list."""
        super().__init__()
        self._position = 0
        self._list: str = ""
        self._stray: list[str] = []
        self._object: list[str] = []
        self._begin = 0
        self._depth = 0
        self._tail = ""
        self._is_string = False
        self._is_escaped = False

    def _read(self, chunk: str) -> None:
        for character in chunk:
            if self._depth:
                self._inside(character)
            else:
                self._outside(character)
            self._position += 1

    def _outside(self, character: str) -> None:
        if character not in "{[], \t\r\n":
            self._stray.append(character)
            return
        self._end_stray()
        if character == "{":
            self._begin, self._depth, self._object, self._tail = self._position, 1, ["{"], "{"
            self._is_string = self._is_escaped = False
        elif character in "[]":
            self._list += character if len(self._list) < 2 else ""

    def _inside(self, character: str) -> None:
        self._object.append(character)
        self._tail = (self._tail + character)[-len(RESTART) :]
        if self._tail == RESTART and len(self._object) > len(RESTART):
            self._restart()
        elif self._is_escaped:
            self._is_escaped = False
        elif self._is_string:
            self._is_escaped = character == "\\"
            self._is_string = character != '"'
        elif character == '"':
            self._is_string = True
        elif character in "{}":
            self._depth += 1 if character == "{" else -1
            if self._depth == 0:
                self._end_object()

    def _restart(self) -> None:
        """A new object begins inside one that was never closed."""
        self._salvage("".join(self._object[: -len(RESTART)]), "bad_object")
        self._begin = self._position + 1 - len(RESTART)
        self._object, self._depth = list(RESTART), 1
        self._is_string = self._is_escaped = False

    def _end_stray(self) -> None:
        if self._stray:
            text = "".join(self._stray)
            self._repair(self._position - len(text), "stray_text", text)
            self._stray = []

    def _end_object(self) -> None:
        raw, self._object = "".join(self._object), []
        try:
            fields = json.loads(raw, strict=False)
        except (ValueError, RecursionError):
            self._salvage(raw, "bad_object")
            return
        start = self._time(fields, "Start", "missing_start")
        end = self._time(fields, "End", "missing_end")
        content, event = fields.get("Content"), fields.get("Event")
        if isinstance(content, str):
            gender = fields.get("Gender")
            self._add_turn(
                self._begin,
                speaker=self._speaker(fields.get("Speaker", False)),
                text=content,
                start=start,
                end=end,
                overlap=fields.get("Overlap") is True,
                gender=GENDERS.get(gender) if isinstance(gender, str) else None,
            )
        elif isinstance(event, str):
            self._add_event(self._begin, label=event, start=start, end=end)
        else:
            self._repair(self._begin, "bad_object", raw)

    def _time(self, fields: dict[str, object], key: str, missing: RepairKind) -> float | None:
        if key not in fields:
            self._repair(self._begin, missing, key)
            return None
        value = fields[key]
        if value is None:
            return None
        if isinstance(value, int | float) and not isinstance(value, bool):
            if 0 <= value <= MAX_TIME:
                return float(value)
        self._repair(self._begin, "bad_time", str(value)[:40] if isinstance(value, str) else key)
        return read_time(value) if isinstance(value, str) else None

    def _speaker(self, value: object) -> str:
        if value is None or isinstance(value, str):
            return value or ""
        if isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 10**7:
            label = label_of_number(str(value), FIRST)
            if label is not None:
                return label
        self._repair(self._begin, "bad_label", "Speaker")
        return ""

    def _salvage(self, raw: str, kind: RepairKind) -> None:
        """Keep what a broken object says, if it says any words."""
        self._repair(self._begin, kind, raw)
        content = BROKEN_CONTENT.search(raw)
        if content is None:
            return
        start, end = BROKEN_START.search(raw), BROKEN_END.search(raw)
        number, name = BROKEN_SPEAKER.search(raw), BROKEN_NAME.search(raw)
        label = label_of_number(number[1], FIRST) if number else None
        self._add_turn(
            self._begin,
            speaker=label or (broken_string(name[1]) if name else ""),
            text=broken_string(content[1]),
            start=read_time(start[1]) if start else None,
            end=read_time(end[1]) if end else None,
        )

    def _finish(self) -> None:
        self._end_stray()
        if self._depth:
            self._salvage("".join(self._object), "truncated")
        elif self._list == "[":
            self._repair(self._position, "truncated")
        elif self._list != "[]":
            self._repair(self._position, "missing_frame")


def broken_string(raw: str) -> str:
    r"""What the inside of a JSON string says, as far as it can be read.

    >>> broken_string("so \\u00e"), broken_string("a\\qb")
    ('so ', 'a\\qb')
    """
    try:
        return str(json.loads(f'"{CUT_ESCAPE.sub("", raw)}"', strict=False))
    except ValueError:
        return raw
