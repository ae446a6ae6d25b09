"""Edit distance and alignment, plain or bound to time, many cells of the table at once.

The table D[i, j] of the least number of insertions, deletions and substitutions is swept column by
column; a column is two integers whose bits say where it rises (VP) and falls (VN) by one (Myers
1999, in the form of Hyyrö 2003). Python's integers are the bit vectors, so a sequence may have any
length and nothing but two integers is kept.

*Bound to time*: a word of the hypothesis may be matched to or substituted for the reference words
whose bit is set in its mask alone (Neumann et al. 2023, tcpWER); to all others it is one insertion
and one deletion. A diagonal step that is forbidden costs 2, so neighbouring cells still differ by
at most one and the same bits suffice: where VP is set on a forbidden cell, a rise along the row
runs through, which is the carry of one more addition.

An alignment keeps about the square root of the columns and sweeps each stretch a second time on the
way back, so that its memory is small for an hour of characters too.
"""

from __future__ import annotations

from collections.abc import Hashable, Sequence
from dataclasses import dataclass
from math import isqrt

Step = tuple[int | None, int | None]
"""Index in the reference, index in the hypothesis; None for an insertion or a deletion."""


@dataclass(frozen=True, slots=True)
class EditCounts:
    """How many of each error an alignment has, over how many reference tokens."""

    substitutions: int = 0
    deletions: int = 0
    insertions: int = 0
    length: int = 0

    @property
    def errors(self) -> int:
        """Sum of the three."""
        return self.substitutions + self.deletions + self.insertions

    def __add__(self, other: EditCounts) -> EditCounts:
        """Counts of two alignments together."""
        return EditCounts(
            self.substitutions + other.substitutions,
            self.deletions + other.deletions,
            self.insertions + other.insertions,
            self.length + other.length,
        )


class Pattern:
    """A reference, prepared once for comparison with many hypotheses."""

    def __init__(self, tokens: Sequence[Hashable]) -> None:
        """Set the bit of every place at which a token stands."""
        self.tokens = tokens
        self.size = len(tokens)
        self.full = (1 << self.size) - 1
        places: dict[Hashable, int] = {}
        bit = 1
        for token in tokens:
            places[token] = places.get(token, 0) | bit
            bit <<= 1
        self.places = places


def edit_distance(
    reference: Sequence[Hashable] | Pattern,
    hypothesis: Sequence[Hashable],
    allowed: Sequence[int] | None = None,
) -> int:
    """The least number of edits that turn the hypothesis into the reference.

    Args:
        reference: Tokens, or a `Pattern` of them when it is compared more than once.
        hypothesis: Tokens.
        allowed: One mask per hypothesis token; bit i permits a pairing with reference token i.

    >>> edit_distance("sitting", "kitten")
    3
    >>> edit_distance(["a", "b"], ["a", "b"], allowed=[0b01, 0b01])
    2
    """
    pattern = reference if isinstance(reference, Pattern) else Pattern(reference)
    rises, falls = _sweep(pattern, hypothesis, allowed, 0, len(hypothesis), (pattern.full, 0), None)
    return len(hypothesis) + rises.bit_count() - falls.bit_count()


def align(
    reference: Sequence[Hashable] | Pattern,
    hypothesis: Sequence[Hashable],
    allowed: Sequence[int] | None = None,
) -> list[Step]:
    """An alignment with the fewest edits, in order of both sequences.

    Among equal ones a deletion is put late and a pairing is preferred to an insertion; the counts
    of each kind follow from that, their sum does not.

    >>> align("abc", "xbcd")
    [(0, 0), (1, 1), (2, 2), (None, 3)]
    """
    pattern = reference if isinstance(reference, Pattern) else Pattern(reference)
    width = max(1, isqrt(len(hypothesis)))
    marks = [(pattern.full, 0)]
    for start in range(0, len(hypothesis), width):
        stop = min(start + width, len(hypothesis))
        marks.append(_sweep(pattern, hypothesis, allowed, start, stop, marks[-1], None))
    steps: list[Step] = []
    row = pattern.size
    for block in reversed(range(len(marks) - 1)):
        start = block * width
        stop = min(start + width, len(hypothesis))
        columns = [marks[block]]
        _sweep(pattern, hypothesis, allowed, start, stop, marks[block], columns)
        row = _walk_back(columns, start, stop, row, allowed, steps)
    steps.extend((i, None) for i in reversed(range(row)))
    steps.reverse()
    return steps


def count_edits(
    reference: Sequence[Hashable], hypothesis: Sequence[Hashable], steps: Sequence[Step]
) -> EditCounts:
    """Count the errors of an alignment."""
    substitutions = deletions = insertions = 0
    for i, j in steps:
        if i is None:
            insertions += 1
        elif j is None:
            deletions += 1
        elif reference[i] != hypothesis[j]:
            substitutions += 1
    return EditCounts(substitutions, deletions, insertions, len(reference))


def _sweep(
    pattern: Pattern,
    hypothesis: Sequence[Hashable],
    allowed: Sequence[int] | None,
    start: int,
    stop: int,
    column: tuple[int, int],
    columns: list[tuple[int, int]] | None,
) -> tuple[int, int]:
    """Carry a column (VP, VN) over hypothesis tokens ``start`` to ``stop``.

    Names as in Hyyrö (2003): d0, the diagonal does not rise; hp and hn, the row rises or falls.
    """
    if allowed is not None:
        return _sweep_timed(pattern, hypothesis, allowed, start, stop, column, columns)
    places, full = pattern.places, pattern.full
    vp, vn = column
    for j in range(start, stop):
        eq = places.get(hypothesis[j], 0)
        d0 = (((((eq & vp) + vp) ^ vp) | eq | vn) & full) if eq else vn
        hp = (((vn | (full ^ (d0 | vp))) << 1) | 1) & full
        hn = ((vp & d0) << 1) & full
        vp = hn | (full ^ (d0 | hp))
        vn = hp & d0
        if columns is not None:
            columns.append((vp, vn))
    return vp, vn


def _sweep_timed(
    pattern: Pattern,
    hypothesis: Sequence[Hashable],
    allowed: Sequence[int],
    start: int,
    stop: int,
    column: tuple[int, int],
    columns: list[tuple[int, int]] | None,
) -> tuple[int, int]:
    places, full = pattern.places, pattern.full
    vp, vn = column
    for j in range(start, stop):
        mask = allowed[j]
        eq = places.get(hypothesis[j], 0) & mask
        d0 = (((((eq & vp) + vp) ^ vp) | eq | vn) & full) if eq else vn
        rise = vn | (full ^ (d0 | vp))
        through = vp & (full ^ (d0 | mask))  # forbidden diagonal: a rise from above passes on
        hp = (through ^ (rise + (rise | through) + 1)) & full  # carries of the sum
        hn = ((vp & d0) << 1) & full
        vp = hn | (full ^ (d0 | hp)) | (through & hp)
        vn = hp & d0
        if columns is not None:
            columns.append((vp, vn))
    return vp, vn


def _walk_back(
    columns: Sequence[tuple[int, int]],
    start: int,
    stop: int,
    row: int,
    allowed: Sequence[int] | None,
    steps: list[Step],
) -> int:
    """Trace columns ``stop`` back to ``start``; ``columns[k]`` is column ``start + k``."""
    for j in range(stop, start, -1):
        rises = columns[j - start][0]
        while row and rises >> (row - 1) & 1:
            row -= 1
            steps.append((row, None))
        above = row - 1
        inserted = (
            row == 0
            or columns[j - start - 1][1] >> above & 1
            or (allowed is not None and not allowed[j - 1] >> above & 1)
        )
        if inserted:
            steps.append((None, j - 1))
        else:
            row -= 1
            steps.append((row, j - 1))
    return row
