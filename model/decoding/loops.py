"""Loops: a writer that says the same over and over, seen while it writes.

Two kinds are looked for at the end of what was written. Inside a turn, a row of tokens that comes
back; over turns, a row of turns (who and what, whatever their times: a grammar that only lets times
go on turns a loop of a whole text into a loop of turns). What people really repeat stays below the
limits: backchannels come three or four in a row, laughter is written once or twice.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence

from talkover.manifests.score.reliability import LOOP_PHRASE, LOOP_REPEATS
from talkover.manifests.serialize import Turn

LONGEST_TOKENS = 2 * LOOP_PHRASE
"""Tokens of a phrase at most; a word of the scoring's phrase takes about two."""
LEAST_TOKENS = 48
"""Tokens that a loop inside a turn covers at least: some 10 s of speech."""
LONGEST_TURNS = 4
"""Turns of a phrase at most: two people who answer each other with the same words, twice over."""
LEAST_TURNS = 8
"""Turns that a loop over turns covers at least."""


def turn_key(turn: Turn) -> Hashable:
    """What makes two turns the same in a loop."""
    return turn.speaker, " ".join(turn.text.split())


def looped(items: Sequence[Hashable], *, longest: int, least: int) -> int | None:
    """Where the loop begins that the items end with, or None.

    A loop is a phrase of up to ``longest`` items, said `LOOP_REPEATS` times or more in a row at the
    very end, that covers ``least`` items or more. The last repeat may be cut short.

    Returns:
        The index behind the phrase's first time, so that what is before it says everything once.

    >>> looped("xyababababab", longest=4, least=8)
    4
    >>> looped("abab", longest=4, least=4)
    """
    found: int | None = None
    for size in range(1, min(longest, len(items) // LOOP_REPEATS) + 1):
        covered = size
        while covered < len(items) and items[-1 - covered] == items[-1 - covered + size]:
            covered += 1
        if covered >= max(size * LOOP_REPEATS, least):
            begin = len(items) - covered + size
            found = begin if found is None else min(found, begin)
    return found


def token_loop(ids: Sequence[int]) -> int | None:
    """Where a loop of tokens begins again, or None; see `looped`."""
    return looped(ids, longest=LONGEST_TOKENS, least=LEAST_TOKENS)


def turn_loop(turns: Sequence[Turn]) -> int | None:
    """How many turns there are until a loop begins again, or None; see `looped`."""
    keys = [turn_key(turn) for turn in turns]
    return looped(keys, longest=LONGEST_TURNS, least=LEAST_TURNS)
