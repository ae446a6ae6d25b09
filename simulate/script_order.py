"""A given script, said with the utterances that come nearest to its lines.

Script speakers become corpus speakers so that the lines match best over all (an assignment
problem); a line whose best utterance shares too few of its words is left out and reported.
"""

from __future__ import annotations

import json
import re
import unicodedata
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path

import numpy as np
from numpy.typing import NDArray
from scipy.optimize import linear_sum_assignment

from talkover.manifests.errors import ConfigurationError, InfeasibleTarget
from talkover.simulate.conversation import Cast, ScriptedLine
from talkover.simulate.text_order import Casting, Group

REUSE_COST = 0.1
"""Of similarity, for each earlier use of an utterance in the session: other words come first."""
TIE = 1e-3
"""Sums of similarities that differ by less are equal: one of the speakers is drawn."""
_WORD = re.compile(r"[^\W_]+(?:['’][^\W_]+)*")


@dataclass(frozen=True, slots=True)
class Line:
    """What somebody says in a script."""

    speaker: str
    text: str


class ScriptOrder:
    """Sessions that follow the file ``text.script``.

    Raises:
        ConfigurationError: If the file is missing or holds no lines.
        InfeasibleTarget: If the corpus has no texts or too few speakers.
    """

    def __init__(self, casting: Casting) -> None:
        """Read the script and match it."""
        path = casting.config.text.script
        if path is None:
            raise ConfigurationError("text.order script needs text.script, a file of lines")
        self._lines = read_script(path)
        self._matcher = ScriptMatcher(casting)
        names = {line.speaker for line in self._lines}
        if len(names) > casting.most_speakers:
            raise InfeasibleTarget(
                f"{path}: {len(names)} speakers, but the corpus has {casting.most_speakers} who "
                "may meet: write a script with fewer"
            )

    @property
    def num_speakers(self) -> int:
        """Speakers of the script."""
        return len({line.speaker for line in self._lines})

    def prepare(self, index: int, count: int) -> str:
        """Nothing is needed: the script is a file."""
        return ""

    def cast(self, index: int, count: int, attempt: str) -> Cast:
        """Match the script; another session takes other speakers where they match as well."""
        return self._matcher.cast(self._lines, index, attempt)


class ScriptMatcher:
    """Finds utterances for lines.

    Args:
        casting: The corpus and the configuration.

    Raises:
        InfeasibleTarget: If the corpus has no texts.
    """

    def __init__(self, casting: Casting) -> None:
        """Keep the corpus; texts are looked at when the first script is matched."""
        self._casting = casting
        if not casting.cache.has_text.any():
            raise InfeasibleTarget(
                "text.order script or dialogue needs texts, but no utterance of the corpus has one"
            )

    def cast(self, lines: Sequence[Line], index: int, attempt: str) -> Cast:
        """Speakers and utterances for a script.

        Raises:
            InfeasibleTarget: If not one line has an utterance.
        """
        names = list(dict.fromkeys(line.speaker for line in lines))
        rng = self._casting.rng(index, "speakers" + attempt)
        best: tuple[float, Group, NDArray[np.int64]] | None = None
        similar = np.stack([self.similarities(line.text) for line in lines])  # [L, N]
        for group in self._casting.groups:
            if len(group.speakers) < len(names):
                continue
            total = self._totals(similar, lines, names, group)
            noisy = total + rng.uniform(0, TIE, size=total.shape)  # equals are drawn
            chosen = linear_sum_assignment(noisy, maximize=True)[1]
            value = float(total[np.arange(len(names)), chosen].sum())
            if best is None or value > best[0]:
                best = (value, group, group.speakers[chosen])
        if best is None:
            raise InfeasibleTarget(f"no {len(names)} speakers of the corpus may meet")
        return self.cast_of(lines, index, names, best[2], best[1].language)

    def cast_of(
        self,
        lines: Sequence[Line],
        index: int,
        names: Sequence[str],
        people: NDArray[np.int64],
        language: int | None,
    ) -> Cast:
        """Utterances for a script whose speakers `names` are `people` of the corpus.

        Raises:
            InfeasibleTarget: If not one line has an utterance.
        """
        pools = [self._casting.pool(int(person), language) for person in people]
        matched, unmatched = self._match(lines, names, pools)
        if not matched:
            least = self._casting.config.text.least_similarity
            raise InfeasibleTarget(
                f"session {index}: none of {len(lines)} lines shares {least:g} of its words with "
                "an utterance: lower text.least_similarity, or write lines that the corpus has"
            )
        heard = sorted({line.speaker for line in matched})  # who has no line is not there
        return Cast(
            people=np.asarray(people)[heard],
            pools=[pools[k] for k in heard],
            lines=tuple(ScriptedLine(heard.index(m.speaker), m.utterance) for m in matched),
            unmatched=unmatched,
        )

    def similarities(self, text: str) -> NDArray[np.float64]:
        """Shared words of a line with every utterance (Dice coefficient of their word sets)."""
        words = set(words_of(text))
        shared = np.zeros(len(self._sizes))
        for word in words:
            shared[self._postings.get(word, [])] += 1
        return np.asarray(2 * shared / np.maximum(1, len(words) + self._sizes))

    def _totals(
        self,
        similar: NDArray[np.float64],
        lines: Sequence[Line],
        names: Sequence[str],
        group: Group,
    ) -> NDArray[np.float64]:
        """Sum over a script speaker's lines of each corpus speaker's best similarity."""
        total = np.zeros((len(names), len(group.speakers)))
        for place, person in enumerate(group.speakers):
            pool = self._casting.pool(int(person), group.language)
            best = similar[:, pool].max(axis=1)
            for line, value in zip(lines, best, strict=True):
                total[names.index(line.speaker), place] += value
        return total

    def _match(
        self,
        lines: Sequence[Line],
        names: Sequence[str],
        pools: Sequence[NDArray[np.int64]],
    ) -> tuple[list[ScriptedLine], tuple[str, ...]]:
        uses: dict[int, int] = {}
        matched: list[ScriptedLine] = []
        unmatched: list[str] = []
        for line in lines:
            row = self.similarities(line.text)
            speaker = names.index(line.speaker)
            pool = pools[speaker]
            used = np.array([uses.get(int(n), 0) for n in pool])
            number = int(pool[int(np.argmax(row[pool] - REUSE_COST * used))])
            if row[number] < max(1e-9, self._casting.config.text.least_similarity):
                unmatched.append(f"{line.speaker}: {line.text}")
                continue
            uses[number] = uses.get(number, 0) + 1
            matched.append(ScriptedLine(speaker, number))
        return matched, tuple(unmatched)

    @cached_property
    def _word_sets(self) -> list[set[str]]:
        cache = self._casting.cache
        return [set(words_of(cache.utterance(n).text or "")) for n in range(len(cache))]

    @cached_property
    def _sizes(self) -> NDArray[np.float64]:
        return np.array([len(words) for words in self._word_sets], dtype=np.float64)

    @cached_property
    def _postings(self) -> dict[str, list[int]]:
        postings: dict[str, list[int]] = {}
        for number, words in enumerate(self._word_sets):
            for word in words:
                postings.setdefault(word, []).append(number)
        return postings


def words_of(text: str) -> list[str]:
    """Words without case, accents of form, and punctuation; a Han or kana sign is a word.

    >>> words_of("Well, it's Ten O’Clock!")
    ['well', "it's", 'ten', "o'clock"]
    """
    plain = unicodedata.normalize("NFKC", text).casefold().replace("’", "'")
    words: list[str] = []
    for word in _WORD.findall(plain):
        signs = [c for c in word if "぀" <= c <= "ヿ" or "㐀" <= c <= "鿿"]
        words += signs if len(signs) == len(word) else [word]
    return words


def read_script(path: Path) -> list[Line]:
    """Lines of a script: JSON objects with ``speaker`` and ``text``, or ``speaker: text``.

    Empty lines, and plain lines that begin with #, are passed over.

    Raises:
        ConfigurationError: If the file cannot be read, a line is neither, or there is none.
    """
    try:
        text = path.read_text(encoding="utf8")
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigurationError(f"text.script: {path}: not a readable file: {error}") from error
    lines = []
    for number, row in enumerate(text.splitlines(), start=1):
        if not row.strip() or row.lstrip().startswith("#"):
            continue
        line = _json_line(row) if row.lstrip().startswith("{") else _plain_line(row)
        if line is None:
            raise ConfigurationError(
                f"{path}:{number}: expected 'speaker: text' or "
                f'{{"speaker": "…", "text": "…"}}, got {row.strip()[:60]!r}'
            )
        lines.append(line)
    if not lines:
        raise ConfigurationError(f"{path}: no line of a script")
    return lines


def line_of(value: object) -> Line | None:
    """A line from a JSON value, or None if it is none: both fields texts with words."""
    if not isinstance(value, dict):
        return None
    speaker, text = value.get("speaker"), value.get("text")
    if not isinstance(speaker, str) or not isinstance(text, str):
        return None
    if not speaker.strip() or not words_of(text):
        return None
    return Line(speaker.strip(), " ".join(text.split()))


def _json_line(row: str) -> Line | None:
    try:
        return line_of(json.loads(row))
    except ValueError:
        return None


def _plain_line(row: str) -> Line | None:
    speaker, colon, text = row.partition(":")
    return line_of({"speaker": speaker, "text": text}) if colon else None
