r"""Praat TextGrids, one a session: a tier of intervals a speaker, beside it one of their words.

Read are the long and the short text form, UTF-8 or UTF-16 (the manual's page "TextGrid file
formats": numbers, ``<flags>`` and strings in quotes count, a quote in a string is doubled, all else
is comment). Written is the long form. A tier cannot hold two intervals at once, so a speaker who
overlaps themselves gets two tiers of one name; the word tiers ``NAME - words`` follow the tier that
they belong to (the naming of the Montreal Forced Aligner). An empty interval is silence, so
``<unknown>`` stands for a text that is not known and ``<empty>`` for one that says nothing; a real
text of this form gets a backslash before it. Tiers of points and of phones are passed over.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from pathlib import Path

from talkover.manifests.convert.base import (
    AudioNeed,
    Faults,
    WriteOptions,
    session_files,
    session_name,
    write_session_files,
)
from talkover.manifests.convert.conversation import (
    Conversation,
    SpokenWord,
    Utterance,
    make_conversation,
    runs_of_words,
)
from talkover.manifests.convert.losses import LOSSES
from talkover.manifests.errors import ManifestError

WORD_TIER = " - words"
PHONE_TIERS = (" - phones", " - phone")
UNKNOWN, EMPTY = "<unknown>", "<empty>"

_MARKED = re.compile(r"\\*<(?:unknown|empty)>")
_TOKEN = re.compile(
    r'"((?:[^"]|"")*)"'  # a string
    r"|(?:^|(?<=[\s=:]))([-+]?[0-9.]+(?:[eE][-+]?[0-9]+)?)(?=\s|$)"  # a number that stands alone
    r"|<(exists|absent)>"
    r"|![^\n]*"  # a comment
    r"|\[[^\]\n]*\]",  # the index of an item
)
Token = tuple[str, int]
"""Text and line number."""


@dataclass
class _Lane:
    """A tier of utterances that do not touch each other's inside, and its words."""

    speaker: str
    utterances: list[Utterance] = field(default_factory=list)
    words: list[SpokenWord] = field(default_factory=list)


class TextGrid:
    """Reads and writes TextGrids."""

    name = "textgrid"
    suffixes: tuple[str, ...] = (".textgrid",)
    is_folder = False
    audio: AudioNeed = "none"
    losses = LOSSES["textgrid"]

    def read(self, path: Path, faults: Faults) -> Iterator[Conversation]:
        """A conversation of each file; the session is the file's name."""
        for file in session_files(path, self.suffixes):
            try:
                yield make_conversation(session_name(file, self.suffixes), _utterances(file))
            except ManifestError as error:
                faults.take(error)

    def write(
        self, path: Path, conversations: Iterable[Conversation], options: WriteOptions
    ) -> None:
        """One file a session."""
        write_session_files(path, ".TextGrid", conversations, _text)


def _utterances(path: Path) -> list[Utterance]:
    lanes: list[_Lane] = []
    for name, intervals in _tiers(path):
        if name.endswith(PHONE_TIERS) or name in ("phones", "phone"):
            continue
        if name.endswith(WORD_TIER) or name == WORD_TIER.removeprefix(" - "):
            speaker = name.removesuffix(WORD_TIER) if name.endswith(WORD_TIER) else ""
            if not lanes or lanes[-1].speaker != speaker:
                lanes.append(_Lane(speaker))
            lanes[-1].words += [
                SpokenWord(symbol=text, start=start, end=end) for start, end, text in intervals
            ]
            continue
        rows = [
            Utterance(speaker=name, start=start, end=end, text=_plain(text))
            for start, end, text in intervals
        ]
        lanes.append(_Lane(name, rows))
    return [u for lane in lanes for u in _with_words(lane)]


def _with_words(lane: _Lane) -> list[Utterance]:
    """The utterances of a lane, each with the words that lie in it by their middle."""
    if not lane.utterances:
        return runs_of_words(lane.speaker, lane.words)
    rows, left = [], lane.words
    for u in lane.utterances:
        inside = [w for w in left if u.start <= (w.start + w.end) / 2 < u.end]
        left = [w for w in left if w not in inside]
        inside.sort(key=lambda w: (w.start, w.end))
        rows.append(replace(u, words=tuple(inside) or None))
    return rows + runs_of_words(lane.speaker, left)


def _tiers(path: Path) -> list[tuple[str, list[tuple[float, float, str]]]]:
    """Name and labelled intervals of each interval tier."""
    tokens = _Tokens(path)
    tokens.expect("TextGrid")
    tokens.number("xmin")
    tokens.number("xmax")
    if tokens.word() == "absent":
        return []
    found = []
    for _ in range(tokens.count("size")):
        kind = tokens.word()
        if kind not in ("IntervalTier", "TextTier"):
            raise tokens.error("class", f"must be IntervalTier or TextTier, got {kind[:40]!r}")
        name = tokens.word()
        tokens.number("xmin")
        tokens.number("xmax")
        intervals = []
        for _ in range(tokens.count("size")):
            start = tokens.number("xmin")
            end = tokens.number("xmax") if kind == "IntervalTier" else start
            text = tokens.word().replace("\r\n", "\n").replace("\r", "\n").strip()
            if end < start:
                raise tokens.error("xmax", f"is {end}, before xmin, {start}")
            if text and kind == "IntervalTier":
                intervals.append((start, end, text))
        if kind == "IntervalTier":
            found.append((name, intervals))
    return found


class _Tokens:
    """The numbers, flags and strings of a file, one after the other."""

    def __init__(self, path: Path) -> None:
        self._path, self._line = path, 1
        self._tokens = self._read()

    def error(self, field: str, reason: str) -> ManifestError:
        return ManifestError(reason, path=self._path, line=self._line, field=field)

    def expect(self, kind: str) -> None:
        """Pass the head, which says what object the file holds."""
        head = self.word()
        if head != "ooTextFile":
            raise self.error("File type", f"must be 'ooTextFile', got {head[:40]!r}")
        head = self.word()
        if head != kind:
            raise self.error("Object class", f"must be {kind!r}, got {head[:40]!r}")

    def word(self) -> str:
        """The next string, flag or number as it stands."""
        token = next(self._tokens, None)
        if token is None:
            raise self.error("", "the file ends in the middle of something")
        text, self._line = token
        return text

    def number(self, field: str) -> float:
        text = self.word()
        try:
            return float(text)
        except ValueError:
            raise self.error(field, f"must be a number of seconds, got {text[:40]!r}") from None

    def count(self, field: str) -> int:
        text = self.word()
        if not (text.isascii() and text.isdigit()):
            raise self.error(field, f"must be a whole number, got {text[:40]!r}")
        return int(text)

    def _read(self) -> Iterator[Token]:
        text, line, position = _decoded(self._path), 1, 0
        for match in _TOKEN.finditer(text):
            line += text.count("\n", position, match.start())
            position = match.start()
            string, number, flag = match.groups()
            if string is not None:
                yield string.replace('""', '"'), line
            elif number is not None or flag is not None:
                yield number or flag, line


def _decoded(path: Path) -> str:
    """The text of a file; Praat writes UTF-16 with a mark where ASCII does not do."""
    try:
        raw = path.read_bytes()
    except OSError as error:
        raise ManifestError(f"cannot be read: {error.strerror}", path=path) from error
    encoding = "utf-16" if raw[:2] in (b"\xff\xfe", b"\xfe\xff") else "utf-8-sig"
    try:
        return raw.decode(encoding)
    except UnicodeDecodeError as error:
        raise ManifestError(f"neither UTF-8 nor UTF-16: {error.reason}", path=path) from error


def _text(conversation: Conversation) -> str:
    """A conversation in the long form."""
    last = max([conversation.duration, *(u.end for u in conversation.utterances)])
    tiers = [
        (name, _filled(rows, last))
        for lane in _lanes(conversation)
        for name, rows in _tiers_of(lane)
    ]
    end = _seconds(last)
    lines = [
        'File type = "ooTextFile"',
        'Object class = "TextGrid"',
        "",
        "xmin = 0",
        f"xmax = {end}",
        "tiers? <exists>",
        f"size = {len(tiers)}",
        "item []:",
    ]
    for n, (name, intervals) in enumerate(tiers, start=1):
        lines += [
            f"    item [{n}]:",
            '        class = "IntervalTier"',
            f"        name = {_quoted(name)}",
            "        xmin = 0",
            f"        xmax = {end}",
            f"        intervals: size = {len(intervals)}",
        ]
        for m, (start, stop, text) in enumerate(intervals, start=1):
            lines += [
                f"        intervals [{m}]:",
                f"            xmin = {_seconds(start)}",
                f"            xmax = {_seconds(stop)}",
                f"            text = {_quoted(text)}",
            ]
    return "\n".join(lines) + "\n"


def _lanes(conversation: Conversation) -> list[_Lane]:
    """Utterances in as few tiers a speaker as hold them, speakers by first appearance."""
    lanes: dict[str, list[_Lane]] = {}
    for u in conversation.utterances:
        if u.speaker.endswith((WORD_TIER, *PHONE_TIERS)) or u.speaker in ("words", "phones"):
            raise ManifestError(
                f"session {conversation.id!r}: a speaker named {u.speaker!r} would be taken for a "
                "tier of words or phones: rename the speaker"
            )
        mine = lanes.setdefault(u.speaker, [])
        free = next((lane for lane in mine if lane.utterances[-1].end <= u.start), None)
        if free is None:
            mine.append(free := _Lane(u.speaker))
        free.utterances.append(u)
    return [lane for name in lanes for lane in lanes[name]]


def _tiers_of(lane: _Lane) -> Iterator[tuple[str, list[tuple[float, float, str]]]]:
    """The tier of a lane and those of its words, without the silence."""
    rows = [(u.start, u.end, _marked(u.text)) for u in lane.utterances]
    yield lane.speaker, rows
    waiting = sorted(
        ((w.start, w.end, w.symbol) for u in lane.utterances for w in u.words or ()),
    )
    while waiting:  # words that overlap each other go to another tier of the same name
        tier: list[tuple[float, float, str]] = []
        rest: list[tuple[float, float, str]] = []
        for word in waiting:
            (rest if tier and word[0] < tier[-1][1] else tier).append(word)
        yield lane.speaker + WORD_TIER, tier
        waiting = rest


def _filled(rows: list[tuple[float, float, str]], last: float) -> list[tuple[float, float, str]]:
    """The intervals with the silence between them, up to the end of the file."""
    filled, end = [], 0.0
    for start, stop, text in rows:
        if start > end:
            filled.append((end, start, ""))
        filled.append((start, stop, text))
        end = stop
    return [*filled, (end, last, "")] if end < last else filled


def _marked(text: str | None) -> str:
    if text is None:
        return UNKNOWN
    return "\\" + text if _MARKED.fullmatch(text) else text or EMPTY


def _plain(text: str) -> str | None:
    if text == UNKNOWN:
        return None
    if text == EMPTY:
        return ""
    return text[1:] if _MARKED.fullmatch(text) else text


def _quoted(text: str) -> str:
    return '"' + text.replace('"', '""') + '"'


def _seconds(time: float) -> str:
    return f"{time:.8f}".rstrip("0").rstrip(".")
