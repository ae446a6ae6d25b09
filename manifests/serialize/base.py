"""What every format offers: pieces, text, a streaming parser, and what it can carry."""

from __future__ import annotations

from abc import ABC, abstractmethod
from dataclasses import dataclass, replace
from typing import ClassVar, Literal, Protocol

from talkover.manifests.serialize.prompts import PromptOptions, build_prompt
from talkover.manifests.serialize.transcript import (
    MAX_DIGITS,
    MAX_TIME,
    Event,
    Gender,
    Piece,
    Transcript,
    Turn,
    round_time,
)

Feature = Literal["speakers", "times", "overlap", "gender", "events"]

RepairKind = Literal[
    "bad_escape",  # an escape that means nothing
    "bad_label",  # a speaker label that cannot be read
    "bad_object",  # an object of the JSON list that is not legal JSON
    "bad_tag",  # a tag that is no tag of the format, kept as text where it stands in text
    "bad_time",  # a time that is missing or cannot be read
    "end_before_start",  # the end was set to the start
    "joined_by_overlap",  # a speaker line went to the text line that it overlaps most
    "joined_by_order",  # a speaker line with the time of no text line went to the next one
    "missing_end",
    "missing_frame",  # the opening or closing of a block or list
    "missing_speaker",
    "missing_start",
    "speaker_without_text",
    "start_order",  # a turn that starts before the one ahead of it; kept as it is
    "stray_text",  # text outside any turn, left out
    "text_without_speaker",
    "truncated",  # the text stops inside something; what was there is kept where it can be
]


@dataclass(frozen=True, kw_only=True, slots=True)
class Repair:
    """One thing that a parser had to mend."""

    position: int
    """Index of the character where the faulty part begins."""
    kind: RepairKind
    text: str
    """The faulty part as it was read."""


@dataclass(frozen=True, kw_only=True, slots=True)
class Parsed:
    """What a text says, and what was wrong with it."""

    transcript: Transcript
    repairs: tuple[Repair, ...]

    @property
    def is_truncated(self) -> bool:
        """Whether the text stops inside something."""
        return any(repair.kind == "truncated" for repair in self.repairs)


class Parser(ABC):
    """Reads a target text as it arrives; never raises, whatever the text is.

    Any cutting of the text into chunks gives the same turns, events and repairs.
    """

    def __init__(self) -> None:
        """Begin at the first character of a text."""
        self.repairs: list[Repair] = []
        self.events: list[Event] = []
        self._turns: list[Turn] = []
        self._handed_out = 0
        self._is_closed = False

    def feed(self, chunk: str) -> list[Turn]:
        """Read more text; gives the turns that became complete.

        Raises:
            ValueError: If the parser was closed.
        """
        if self._is_closed:
            raise ValueError("the parser is closed: make a new one for each text")
        self._read(chunk)
        return self._new_turns()

    def close(self) -> list[Turn]:
        """End the text; gives the turns that only the end completes, mended where cut off."""
        if not self._is_closed:
            self._is_closed = True
            self._finish()
        return self._new_turns()

    def transcript(self) -> Transcript:
        """All turns and events so far."""
        return Transcript(turns=tuple(self._turns), events=tuple(self.events))

    @abstractmethod
    def _read(self, chunk: str) -> None:
        """Take in a chunk."""

    @abstractmethod
    def _finish(self) -> None:
        """Deal with what is left at the end."""

    def _new_turns(self) -> list[Turn]:
        new = self._turns[self._handed_out :]
        self._handed_out = len(self._turns)
        return new

    def _repair(self, position: int, kind: RepairKind, text: str = "") -> None:
        self.repairs.append(Repair(position=position, kind=kind, text=text))

    def _times(
        self, position: int, start: float | None, end: float | None
    ) -> tuple[float | None, float | None]:
        """The times in order, with a repair where they were not."""
        if start is not None and end is not None and end < start:
            self._repair(position, "end_before_start", f"{start}-{end}")
            return start, start
        return start, end

    def _add_turn(
        self,
        position: int,
        *,
        speaker: str,
        text: str,
        start: float | None = None,
        end: float | None = None,
        overlap: bool = False,
        gender: Gender | None = None,
    ) -> None:
        """Keep a turn, with its times in order; a start that goes back is reported."""
        start, end = self._times(position, start, end)
        last = self._turns[-1].start if self._turns else None
        if start is not None and last is not None and start < last:
            self._repair(position, "start_order", f"{start}")
        self._turns.append(
            Turn(speaker=speaker, text=text, start=start, end=end, overlap=overlap, gender=gender)
        )

    def _add_event(
        self, position: int, *, label: str, start: float | None, end: float | None
    ) -> None:
        start, end = self._times(position, start, end)
        self.events.append(Event(label=label, start=start, end=end))


class Serializer(Protocol):
    """A format of target text. Own formats register in the group ``talkover.serializers``."""

    name: ClassVar[str]
    carries: ClassVar[frozenset[Feature]]

    def pieces(self, transcript: Transcript) -> list[Piece]:
        """The target text in pieces of one kind each; joined, they are `encode`'s text."""
        ...

    def encode(self, transcript: Transcript) -> str:
        """The target text."""
        ...

    def parser(self) -> Parser:
        """A fresh streaming parser."""
        ...

    def parse(self, text: str) -> Parsed:
        """Read a whole text; never raises."""
        ...

    def lossless_view(self, transcript: Transcript) -> Transcript:
        """What is left of a transcript after `encode` and `parse`."""
        ...

    def prompt(self, options: PromptOptions | None = None) -> str:
        """The instruction that asks a model for this format."""
        ...


@dataclass(frozen=True, kw_only=True)
class Format(ABC):
    """Base of the shipped formats; only pieces and the parser differ."""

    name: ClassVar[str]
    carries: ClassVar[frozenset[Feature]]

    digits: int = 2
    """Digits after the point of a written time; 2 is a resolution of 0.01 s."""

    def __post_init__(self) -> None:
        """Check the resolution."""
        if not 0 <= self.digits <= MAX_DIGITS:
            raise ValueError(f"digits must be 0 to {MAX_DIGITS}, got {self.digits}")

    @property
    def features(self) -> frozenset[Feature]:
        """What this format carries with its present options; a subset of ``carries``."""
        return self.carries

    @abstractmethod
    def pieces(self, transcript: Transcript) -> list[Piece]:
        """The target text in pieces of one kind each; joined, they are `encode`'s text."""

    @abstractmethod
    def parser(self) -> Parser:
        """A fresh streaming parser."""

    def encode(self, transcript: Transcript) -> str:
        """The target text."""
        return "".join(piece.text for piece in self.pieces(transcript))

    def parse(self, text: str) -> Parsed:
        """Read a whole text; never raises."""
        parser = self.parser()
        parser.feed(text)
        parser.close()
        return Parsed(transcript=parser.transcript(), repairs=tuple(parser.repairs))

    def lossless_view(self, transcript: Transcript) -> Transcript:
        """What is left of a transcript after `encode` and `parse`: times rounded, no hotwords."""
        features = self.features
        return Transcript(
            turns=tuple(self._view(turn) for turn in transcript.turns),
            events=tuple(
                replace(event, start=self._time(event.start), end=self._time(event.end))
                for event in transcript.events
            )
            if "events" in features
            else (),
        )

    def prompt(self, options: PromptOptions | None = None) -> str:
        """The instruction that asks a model for this format."""
        return build_prompt(self.name, self.features, options or PromptOptions())

    def _view(self, turn: Turn) -> Turn:
        features = self.features
        return Turn(
            speaker=turn.speaker if "speakers" in features else "",
            text=turn.text,
            start=self._time(turn.start),
            end=self._time(turn.end),
            overlap=turn.overlap and "overlap" in features,
            gender=turn.gender if "gender" in features else None,
        )

    def _time(self, time: float | None) -> float | None:
        return round_time(time, self.digits) if "times" in self.features else None


class PieceList:
    """Pieces under construction; empty ones are left out."""

    def __init__(self) -> None:
        """Begin with none."""
        self.pieces: list[Piece] = []
        self.turn: int | None = None
        self.event: int | None = None

    def fmt(self, text: str) -> None:
        """Add text of the format itself."""
        self._add(Piece(text=text, tag="fmt", turn=self.turn, event=self.event))

    def time(self, text: str) -> None:
        """Add a time."""
        self._add(Piece(text=text, tag="time", turn=self.turn, event=self.event))

    def speaker(self, text: str) -> None:
        """Add a speaker's label."""
        self._add(Piece(text=text, tag="speaker", turn=self.turn, event=self.event))

    def word(self, text: str) -> None:
        """Add what was said, or the name of an event."""
        self._add(Piece(text=text, tag="word", turn=self.turn, event=self.event))

    def _add(self, piece: Piece) -> None:
        if piece.text:
            self.pieces.append(piece)


def in_time_order(transcript: Transcript, with_events: bool) -> list[tuple[str, int]]:
    """Turns and events as one list of ("turn" or "event", index), each kind in its own order.

    An event stands before the first turn that starts after it.
    """
    order: list[tuple[str, int]] = []
    waiting = list(enumerate(transcript.events)) if with_events else []
    waiting.reverse()
    for index, turn in enumerate(transcript.turns):
        while waiting and turn.start is not None and (waiting[-1][1].start or 0.0) < turn.start:
            order.append(("event", waiting.pop()[0]))
        order.append(("turn", index))
    return order + [("event", index) for index, _ in reversed(waiting)]


def read_time(text: str) -> float | None:
    """The seconds that a text of ASCII digits says, or None.

    >>> read_time("12.50"), read_time("x"), read_time("1e3")
    (12.5, None, None)
    """
    whole, point, rest = text.partition(".")
    parts = [whole, rest] if point else [whole]
    if not all(part.isascii() and part.isdigit() and len(part) < 10 for part in parts):
        return None
    time = float(text)
    return time if time <= MAX_TIME else None
