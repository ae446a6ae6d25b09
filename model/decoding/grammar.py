"""The automaton: which bytes may follow, so that the parser of a format needs no repair.

A format is a row of blocks; a block is an opening, turns with something between them, and a
closing. A turn is a row of elements: literal bytes, a start, an end, a speaker, words. The second
block of ``xml`` repeats the times of the first. States are values, so that what is known of one can
be kept, and rows of a batch may be reordered.

Numeric guards: starts never go back, ends lie behind their starts, both within the audio; a speaker
is one of those who spoke, a registered one, or the next number. Bytes are those of UTF-8, and text
is kept legal UTF-8.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Literal

from talkover.model.decoding.numbers import completion, is_whole, ticks_of, ticks_text

Kind = Literal["literal", "start", "end", "speaker", "words", "again"]


@dataclass(frozen=True, slots=True)
class Element:
    """A part of a turn."""

    kind: Kind
    text: bytes = b""
    """Of a literal."""


@dataclass(frozen=True, slots=True)
class Escapes:
    """What words may not hold, and how escapes look."""

    forbidden: bytes
    mark: bytes = b""
    """Begins an escape; after it one of `after`."""
    after: bytes = b""


@dataclass(frozen=True, slots=True)
class Block:
    """Turns in a row."""

    opening: bytes
    between: bytes
    turn: tuple[Element, ...]
    closing: bytes
    repeats: bool = False
    """One turn for each of the block before, with its times."""


@dataclass(frozen=True, slots=True)
class State:
    """Where a text stands."""

    block: int = 0
    element: int = -1
    """Index in the turn; `HEAD`, `OPENING`, `CLOSING` and `DONE` are below 0."""
    text: bytes = b""
    """What has been written of the element, for words: an open escape or character."""
    low: int = 0
    """Ticks before which no turn may start; the start of the last one."""
    start: int = 0
    end: int = 0
    speakers: int = 0
    """Anonymous speakers so far."""
    spans: tuple[tuple[int, int], ...] = ()
    """Times of the turns, kept where a block repeats them."""
    repeated: int = 0
    has_turns: bool = False
    """In this block."""


OPENING, HEAD, CLOSING, DONE = -1, -2, -3, -4


class Grammar:
    """See the module; one per recording, since it knows its length and speakers."""

    def __init__(
        self,
        blocks: Sequence[Block],
        escapes: Escapes,
        *,
        duration: float,
        digits: int,
        labels: Sequence[bytes] = (),
        label: tuple[bytes, int, int] = (b"S", 1, 2),
        least_digits: int | None = None,
    ) -> None:
        """Take a format and what is known of a recording.

        Args:
            blocks: The format.
            escapes: Of its words.
            duration: Seconds.
            digits: Digits behind the point of a time.
            labels: Names of registered speakers, as they are written.
            label: Prefix, first number and least digits of the labels of others.
            least_digits: Digits behind the point that must be there; None for all.
        """
        self.least_digits = digits if least_digits is None else least_digits
        self.blocks, self.escapes = tuple(blocks), escapes
        self._digits = (self.least_digits, digits)
        self.digits, self.high = digits, max(0, int(duration * 10**digits + 1e-6))
        self.labels, self.label = tuple(labels), label
        self.keeps_spans = any(block.repeats for block in blocks)
        self.start_state = State(element=OPENING if blocks[0].opening else HEAD)

    def advance(self, state: State, text: bytes) -> State | None:
        """The state after some bytes, or None if they may not follow."""
        for byte in text:
            after = self.step(state, byte)
            if after is None:
                return None
            state = after
        return state

    def step(self, state: State, byte: int) -> State | None:
        """The state after one byte, or None if it may not follow."""
        block = self.blocks[state.block]
        if state.element == DONE:
            return None
        if state.element == OPENING:
            return self._literal(state, block.opening, byte, replace(state, element=HEAD, text=b""))
        if state.element == CLOSING:
            return self._literal(state, block.closing, byte, self._closed(state))
        if state.element == HEAD:
            return self._at_head(state, block, byte)
        return self._inside(state, block, byte)

    def is_final(self, state: State) -> bool:
        """Whether the text may end here."""
        if state.element == DONE:
            return True
        block = self.blocks[state.block]
        is_last = state.block == len(self.blocks) - 1
        if state.element == HEAD:
            return is_last and not block.closing and self._may_close(state) and not state.text
        is_words = state.element >= 0 and block.turn[state.element].kind == "words"
        at_end = state.element == len(block.turn) - 1
        return is_last and is_words and at_end and not block.closing and not state.text

    def is_in_words(self, state: State) -> bool:
        """Whether any whole character that needs no escape may follow and changes nothing."""
        if state.element < 0 or state.text:
            return False
        return self.blocks[state.block].turn[state.element].kind == "words"

    def is_plain(self, text: bytes) -> bool:
        """Whether some bytes are whole characters that words may hold as they are."""
        if not text or any(byte in self.special for byte in text):
            return False
        try:
            text.decode()
        except UnicodeDecodeError:
            return False
        return True

    @property
    def special(self) -> bytes:
        """Bytes that mean something among words."""
        return self.escapes.forbidden + self.escapes.mark

    def closing(self, state: State) -> bytes:
        """The shortest way to an end, as bytes; empty where the text may end."""
        out = bytearray()
        while not self.is_final(state):
            piece = self._shortest(state)
            after = self.advance(state, piece)
            assert piece and after is not None, (state, piece)
            out += piece
            state = after
        return bytes(out)

    def _shortest(self, state: State) -> bytes:
        """The next few bytes on the shortest way."""
        block = self.blocks[state.block]
        if state.element == OPENING:
            return block.opening[len(state.text) :]
        if state.element == CLOSING:
            return block.closing[len(state.text) :]
        if state.element == HEAD:
            if self._may_close(state):
                return self._rest(block.closing, state)
            return self._rest(self._turn_opening(state, block), state)
        element = block.turn[state.element]
        if element.kind == "words" and state.text:
            return self._finish_character(state.text)
        if element.kind in ("literal", "words"):
            # Words end where the next literal, or what separates turns, begins.
            place = state.element + (element.kind == "words")
            if place < len(block.turn):
                text = state.text if element.kind == "literal" else b""
                return block.turn[place].text[len(text) :]
            return block.closing
        return min(self._completions(state, element), key=len)

    def _rest(self, wanted: bytes, state: State) -> bytes:
        return wanted[len(state.text) :]

    def _turn_opening(self, state: State, block: Block) -> bytes:
        """How the next turn begins, as far as that is fixed."""
        separator = block.between if state.has_turns else b""
        first = block.turn[0]
        if separator:
            return separator
        if first.kind == "literal":
            return first.text
        probe = replace(state, element=0, text=b"")
        return min(self._completions(probe, first), key=len)

    def _at_head(self, state: State, block: Block, byte: int) -> State | None:
        """Between turns: another turn, or the end of the block."""
        text = state.text + bytes([byte])
        separator = block.between if state.has_turns else b""
        if self._may_open(state, block) and separator.startswith(text) and separator:
            after = replace(state, text=text)
            return after if text != separator else replace(state, element=0, text=b"")
        if not state.text and not separator and self._may_open(state, block):
            opened = self._inside(replace(state, element=0), block, byte)
            if opened is not None:
                return opened
        if self._may_close(state) and block.closing.startswith(text):
            closing = replace(state, element=CLOSING, text=state.text)
            return self._literal(closing, block.closing, byte, self._closed(state))
        return None

    def _may_open(self, state: State, block: Block) -> bool:
        return not block.repeats or state.repeated < len(state.spans)

    def _may_close(self, state: State) -> bool:
        block = self.blocks[state.block]
        return not block.repeats or state.repeated == len(state.spans)

    def _closed(self, state: State) -> State:
        if state.block + 1 == len(self.blocks):
            return replace(state, element=DONE, text=b"")
        opening = self.blocks[state.block + 1].opening
        return replace(
            state,
            block=state.block + 1,
            element=OPENING if opening else HEAD,
            text=b"",
            has_turns=False,
        )

    def _literal(self, state: State, wanted: bytes, byte: int, after: State) -> State | None:
        text = state.text + bytes([byte])
        if text == wanted:
            return after
        return replace(state, text=text) if wanted.startswith(text) else None

    def _inside(self, state: State, block: Block, byte: int) -> State | None:
        element = block.turn[state.element]
        if element.kind == "literal":
            return self._literal(state, element.text, byte, self._next(state, block))
        if element.kind == "words":
            return self._in_words(state, block, byte)
        text = state.text + bytes([byte])
        if any(self._continues(state, element, text)):
            return self._settled(replace(state, text=text), block)
        if self._is_complete(state, element):
            after = self._next(self._stored(state, element), block)
            return self.step(after, byte)
        return None

    def _settled(self, state: State, block: Block) -> State:
        """Past an element that can only end here, so that equal places are equal states."""
        element = block.turn[state.element]
        if self._is_complete(state, element) and not any(
            len(rest) > 0 for rest in self._all_completions(state, element)
        ):
            return self._next(self._stored(state, element), block)
        return state

    def _in_words(self, state: State, block: Block, byte: int) -> State | None:
        escapes = self.escapes
        if state.text:
            text = state.text + bytes([byte])
            if escapes.mark and text.startswith(escapes.mark):
                return replace(state, text=b"") if byte in escapes.after else None
            return self._character(state, text)
        if escapes.mark and byte == escapes.mark[0]:
            return replace(state, text=escapes.mark)
        if byte in escapes.forbidden:
            after = self._next(state, block)
            return self.step(after, byte)
        return self._character(state, bytes([byte]))

    def _character(self, state: State, text: bytes) -> State | None:
        """Bytes of one character of UTF-8, whole or not."""
        try:
            text.decode()
        except UnicodeDecodeError as error:
            is_open = error.reason == "unexpected end of data"
            return replace(state, text=text) if is_open else None
        return replace(state, text=b"")

    def _finish_character(self, text: bytes) -> bytes:
        if self.escapes.mark and text == self.escapes.mark:
            return self.escapes.after[:1]
        for byte in range(0x80, 0xC0):
            try:
                (text + bytes([byte])).decode()
            except UnicodeDecodeError as error:
                if error.reason != "unexpected end of data":
                    continue
            return bytes([byte])
        raise AssertionError(text)

    def _next(self, state: State, block: Block) -> State:
        """The state at the beginning of the next element, or between turns."""
        if state.element + 1 < len(block.turn):
            return replace(state, element=state.element + 1, text=b"")
        done = replace(state, element=HEAD, text=b"", low=state.start, has_turns=True)
        if block.repeats:
            return replace(done, repeated=state.repeated + 1)
        if self.keeps_spans:
            return replace(done, spans=(*state.spans, (state.start, state.end)))
        return done

    def _stored(self, state: State, element: Element) -> State:
        """The state with the value of a complete element."""
        if element.kind in ("start", "end"):
            ticks = ticks_of(state.text.decode(), self._digits)
            assert ticks is not None
            return (
                replace(state, start=ticks)
                if element.kind == "start"
                else replace(state, end=ticks)
            )
        if element.kind == "speaker" and state.text == self._numbered(state.speakers + 1):
            return replace(state, speakers=state.speakers + 1)
        return state

    def _limits(self, state: State, element: Element) -> tuple[int, int]:
        if element.kind == "start":
            return min(state.low, self.high), max(0, self.high - 1)
        return min(state.start + 1, self.high), self.high

    def _is_complete(self, state: State, element: Element) -> bool:
        if element.kind in ("start", "end"):
            low, high = self._limits(state, element)
            return is_whole(state.text.decode(), low, high, self._digits)
        return state.text in self._choices(state, element)

    def _continues(self, state: State, element: Element, text: bytes) -> list[bool]:
        """Whether the element may go on to hold this text; empty or False if not."""
        if element.kind in ("start", "end"):
            if not text.isascii():
                return []
            low, high = self._limits(state, element)
            return [completion(text.decode(), low, high, self._digits) is not None]
        return [choice.startswith(text) for choice in self._choices(state, element)]

    def _completions(self, state: State, element: Element) -> list[bytes]:
        """Ways to end an element; where it is complete, the first bytes of what follows."""
        if self._is_complete(state, element):
            block = self.blocks[state.block]
            after = self._next(self._stored(state, element), block)
            return [self._shortest(after)]
        return self._all_completions(state, element)

    def _all_completions(self, state: State, element: Element) -> list[bytes]:
        if element.kind in ("start", "end"):
            low, high = self._limits(state, element)
            text = state.text.decode()
            if is_whole(text, low, high, self._digits):
                longer = [text + digit for digit in "0123456789."]
                found = [completion(one, low, high, self._digits) for one in longer]
                return [b"x" for one in found if one is not None]
            rest = completion(text, low, high, self._digits)
            return [] if rest is None else [rest.encode()]
        choices = self._choices(state, element)
        return [c[len(state.text) :] for c in choices if c.startswith(state.text)]

    def _choices(self, state: State, element: Element) -> tuple[bytes, ...]:
        """Texts that the element may have."""
        if element.kind == "again":
            start, end = state.spans[state.repeated]
            return (f"{self._time(start)}-{self._time(end)}".encode(),)
        known = [self._numbered(number) for number in range(1, state.speakers + 2)]
        return (*known, *self.labels)

    def _time(self, ticks: int) -> str:
        return ticks_text(ticks, self.digits)

    def _numbered(self, number: int) -> bytes:
        prefix, first, digits = self.label
        return prefix + f"{number - 1 + first:0{digits}d}".encode()
