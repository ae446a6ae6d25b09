"""Statements of a caption: who or what is heard from when to when.

``S01 speaks from 0.5 to 2.0 s and from 3.1 to 4.0 s. door is heard from 2.2 to 2.6 s.`` What a
caption states of times, as sentences that a person reads and a program reads back. Free
captions are read too, as far as they put a range of times behind a name.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Sequence

from talkover.manifests.instructions.answers import Statement
from talkover.manifests.serialize.base import read_time
from talkover.manifests.serialize.transcript import speaker_number, time_text

_NUMBER = r"([0-9]+(?:\.[0-9]+)?)"
_UNIT = r"\s*(?:s|sec|seconds)?\s*"
_SPAN = re.compile(_NUMBER + _UNIT + r"(?:-|–|—|to|until)\s*" + _NUMBER)
_WORDS = (
    "zero", "one", "two", "three", "four", "five", "six", "seven", "eight", "nine", "ten",
    "eleven", "twelve",
)  # fmt: skip
_FIGURE = "[0-9]+|" + "|".join(_WORDS)
_COUNT = re.compile(rf"(?<![\w.])({_FIGURE})(?!\w|\.[0-9])", re.IGNORECASE)
_SPEAKERS = re.compile(
    rf"(?<![\w.])({_FIGURE}|no|an?)\s+(?:speaker|person|people|voice|talker)", re.IGNORECASE
)
_ARTICLES = {"no": 0, "a": 1, "an": 1}


def write_statements(statements: Sequence[Statement], digits: int) -> str:
    """One sentence for each label, in order of first mention."""
    by_label: dict[str, list[Statement]] = {}
    for statement in statements:
        by_label.setdefault(statement.label, []).append(statement)
    return " ".join(_sentence(label, found, digits) for label, found in by_label.items())


def _sentence(label: str, statements: Sequence[Statement], digits: int) -> str:
    verb = "speaks" if speaker_number(label) is not None else "is heard"
    spans = " and ".join(
        f"from {time_text(s.start, digits)} to {time_text(s.end, digits)} s" for s in statements
    )
    return f"{label} {verb} {spans}."


def read_statements(text: str, labels: Collection[str]) -> tuple[Statement, ...]:
    """Each range of times in a text, with the label that stands last before it.

    Args:
        text: Any text.
        labels: Names that may be stated; ranges behind no name are passed over.
    """
    mentions = _mentions(text, labels)
    found = []
    for place, (label, _, begin) in enumerate(mentions):
        end = mentions[place + 1][1] if place + 1 < len(mentions) else len(text)
        for span in _SPAN.finditer(text, begin, end):
            start, stop = read_time(span[1]), read_time(span[2])
            if start is not None and stop is not None and start <= stop:
                found.append(Statement(label=label, start=start, end=stop))
    return tuple(found)


def mentioned(text: str, labels: Collection[str]) -> frozenset[str]:
    """Which of some labels a text names, as whole words, whatever their case."""
    return frozenset(label for label, _, _ in _mentions(text, labels))


def _mentions(text: str, labels: Collection[str]) -> list[tuple[str, int, int]]:
    """(label, begin, end) of each mention; of two that overlap the longer one."""
    if not labels:
        return []
    longest = sorted(set(labels), key=lambda label: (-len(label), label))
    by_name = {label.casefold(): label for label in reversed(longest)}
    pattern = "|".join(re.escape(label) for label in longest)
    return [
        (by_name.get(match[0].casefold(), match[0]), match.start(), match.end())
        for match in re.finditer(rf"(?<!\w)(?:{pattern})(?!\w)", text, re.IGNORECASE)
        if match[0].casefold() in by_name
    ]


def read_numbers(text: str) -> tuple[float, ...]:
    """All numbers in figures, in order.

    >>> read_numbers("at 3.5 s, not 4")
    (3.5, 4.0)
    """
    found = (read_time(match[1]) for match in re.finditer(rf"(?<![\w.]){_NUMBER}", text))
    return tuple(number for number in found if number is not None)


def read_count(text: str) -> int | None:
    """The first whole number, in figures or as a word up to twelve.

    >>> read_count("There are two."), read_count("12"), read_count("often")
    (2, 12, None)
    """
    match = _COUNT.search(text)
    return None if match is None else _count(match[1])


def read_speakers(text: str) -> int | None:
    """The number of speakers that a caption states.

    >>> read_speakers("A talk of 3 speakers."), read_speakers("Music.")
    (3, None)
    """
    match = _SPEAKERS.search(text)
    return None if match is None else _count(match[1])


def _count(word: str) -> int | None:
    word = word.lower()
    if word.isdigit():
        return int(word) if len(word) < 10 else None
    return _ARTICLES[word] if word in _ARTICLES else _WORDS.index(word)
