"""Reading along while a row is written: its turns as they are complete, and whether it loops."""

from __future__ import annotations

import codecs
from collections.abc import Sequence

from talkover.manifests.serialize import Parsed, Transcript, Turn
from talkover.model.codec import SatsCodec
from talkover.model.decoding.loops import token_loop, turn_loop

EVERY = 16
"""Tokens after which it is looked for loops again; a turn that ends is looked at at once."""

DIGITS = frozenset(b"0123456789")


class Reader:
    """Of one row.

    For loops of tokens those that hold a digit are left out: in most formats a loop has other times
    in each of its turns.
    """

    def __init__(self, codec: SatsCodec) -> None:
        """Begin before the first token."""
        self.codec = codec
        self.turns: list[Turn] = []
        self.kept: int | None = None
        """Turns before the loop begins again; None where there is none."""
        self._parser = codec.serializer.parser()
        self._decoder = codecs.getincrementaldecoder("utf8")(errors="replace")
        self._plain: list[int] = []  # tokens without digits
        self._turns_at: list[int] = []  # complete turns at each of them
        self._count = 0

    @property
    def is_looped(self) -> bool:
        """Whether the row says the same over and over."""
        return self.kept is not None

    def read(self, token: int) -> list[Turn]:
        """Take in a token; gives the turns that it completes."""
        if token == self.codec.end_id:
            return self._keep(self._parser.feed(self._decoder.decode(b"", final=True)))
        text = self.codec.token_bytes[token] or b""
        new = self._keep(self._parser.feed(self._decoder.decode(text)))
        self._count += 1
        if not DIGITS.intersection(text):
            self._plain.append(token)
            self._turns_at.append(len(self.turns))
        if new:
            self.kept = turn_loop(self.turns)
        if self.kept is None and self._count % EVERY == 0:
            place = token_loop(self._plain)
            self.kept = None if place is None else self._turns_at[place]
        return new

    def _keep(self, new: list[Turn]) -> list[Turn]:
        self.turns += new
        return new


def first_turns(parsed: Parsed, count: int) -> Parsed:
    """What is left of an answer when only its first turns are believed."""
    return Parsed(
        transcript=Transcript(
            turns=parsed.transcript.turns[:count], events=parsed.transcript.events
        ),
        repairs=parsed.repairs,
    )


def last_end(turns: Sequence[Turn]) -> float | None:
    """The last time that turns name, in seconds; None where they name none."""
    times = [time for turn in turns for time in (turn.start, turn.end) if time is not None]
    return max(times, default=None)
