"""A text as token ids, with what each token is part of: the losses are masks over it.

A token belongs to the first thing in it that is not a mark of the format. A time is one token (an
*atom*) or several; of the latter those that are one digit know what the digit stands for, so that
near times can be right in part (`talkover.model.losses.times`).
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import get_args

from talkover.manifests.serialize import Piece
from talkover.manifests.serialize.base import read_time
from talkover.manifests.serialize.transcript import Tag

TAGS: tuple[Tag, ...] = get_args(Tag)
"""What a token can be part of; ``fmt`` where it holds nothing else."""

NO_TIME = -1
"""Step of what is no time, and place of what is no digit of one."""

ATOM = 0
"""Place of a whole time that is one token."""

MERGED_DIGITS = -2
"""Place of a token that holds several digits, or a digit and something else."""


@dataclass(frozen=True, kw_only=True)
class Target:
    """A text as token ids, with what each token is part of; the end token is not in it."""

    ids: tuple[int, ...]
    tags: tuple[Tag, ...]
    turns: tuple[int | None, ...]
    """Index of the turn of each token."""
    steps: tuple[int, ...]
    """The time that a token is part of, in steps of the codec's resolution; else `NO_TIME`."""
    places: tuple[int, ...]
    """Steps that one more of a token's digit would be; `ATOM`, `NO_TIME` or `MERGED_DIGITS`."""


@dataclass(frozen=True, kw_only=True)
class TimeTokens:
    """How a codec writes times."""

    digits: int
    """Digits after the point."""
    atoms: Collection[int]
    """Token ids of whole times."""
    figures: Sequence[int]
    """Token ids of the digits 0 to 9; none if the tokenizer has no such tokens."""


def plain_target(ids: Sequence[int]) -> Target:
    """The target of a free text: all of it words, of no turn."""
    count = len(ids)
    words: list[Tag] = ["word"] * count
    return Target(
        ids=tuple(ids),
        tags=tuple(words),
        turns=(None,) * count,
        steps=(NO_TIME,) * count,
        places=(NO_TIME,) * count,
    )


def target_of(
    pieces: Sequence[Piece], ids: Sequence[int], spans: Sequence[tuple[int, int]], times: TimeTokens
) -> Target:
    """What each token of a text is part of.

    Args:
        pieces: The text, cut by what its parts are.
        ids: The text as token ids.
        spans: First character of each token, and the one behind its last.
        times: How times are written.
    """
    ends = list(accumulate(len(piece.text) for piece in pieces))
    owners = _owners(pieces, ends, spans)
    steps = [_steps(pieces[owner], times.digits) for owner in owners]
    places = [
        NO_TIME if step == NO_TIME else _place(index, pieces[owner], ends[owner], span, times)
        for index, owner, span, step in zip(ids, owners, spans, steps, strict=True)
    ]
    return Target(
        ids=tuple(ids),
        tags=tuple(pieces[owner].tag for owner in owners),
        turns=tuple(pieces[owner].turn for owner in owners),
        steps=tuple(steps),
        places=tuple(places),
    )


def _owners(
    pieces: Sequence[Piece], ends: Sequence[int], spans: Sequence[tuple[int, int]]
) -> list[int]:
    """The piece of each token: the first in it that is not of the format's own marks, if any."""
    owners, at = [], 0
    for begin, end in spans:
        while at + 1 < len(ends) and begin >= ends[at]:
            at += 1
        owner = at
        while pieces[owner].tag == "fmt" and owner + 1 < len(ends) and ends[owner] < end:
            owner += 1
        owners.append(owner if pieces[owner].tag != "fmt" else at)
    return owners


def _steps(piece: Piece, digits: int) -> int:
    time = read_time(piece.text) if piece.tag == "time" else None
    return NO_TIME if time is None else round(time * 10**digits)


def _place(index: int, piece: Piece, end: int, span: tuple[int, int], times: TimeTokens) -> int:
    """What the digit of a token stands for, in steps; see `Target.places`."""
    start = end - len(piece.text)
    if index in times.atoms:  # that of 0.0 may stand inside 10.0
        return ATOM if span[0] <= start and end <= span[1] else MERGED_DIGITS
    shown = piece.text[max(0, span[0] - start) : span[1] - start]
    if not any(character.isdigit() for character in shown):
        return NO_TIME
    if not times.figures or len(shown) != 1 or index != times.figures[int(shown)]:
        return MERGED_DIGITS
    at = span[0] - start
    point = piece.text.find(".")
    whole = len(piece.text) if point < 0 else point
    power = whole - 1 - at if at < whole else whole - at
    return int(10 ** (power + times.digits))
