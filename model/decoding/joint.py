"""Joint decoding: the words that the encoder found have a say in every token.

Hybrid systems add the score of CTC to that of the decoder (Watanabe et al. 2017, "Hybrid
CTC/attention architecture for end-to-end speech recognition", section III-C). Here the encoder's
side is the list of words that it found, with times and speakers: the field of the word that is to
be written next gets a bonus. The language model still decides, but needs a reason to differ.

Only for ``inline`` with atoms of times and speakers, where each field is a token of its own.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from torch import Tensor

from talkover.model.codec import SatsCodec
from talkover.model.voices.said import SaidWord

NEAR = 0.3
"""Seconds by which a start that is written may differ from that of the word that it means."""


@dataclass(frozen=True, kw_only=True)
class Fields:
    """Tokens of a word that was found."""

    start: int
    speaker: int
    words: tuple[int, ...]
    end: int


class FieldTable:
    """From words that were found to their tokens."""

    def __init__(self, codec: SatsCodec, units: Sequence[int], most: int) -> None:
        """Take the tokens of times, of ``most`` speakers and of the classes of CTC."""
        self.times = codec.time_ids()
        self.steps_per_second = 10**codec.config.digits
        self.speakers = codec.speaker_ids(most)
        self.units = tuple(units)
        self.end_id = codec.end_id

    @staticmethod
    def fits(codec: SatsCodec) -> bool:
        """Whether each field has a token of its own."""
        atoms = codec.config.atoms
        return codec.config.format == "inline" and atoms.max_time > 0 and atoms.max_speakers > 0

    def fields(self, word: SaidWord) -> Fields:
        """Tokens of a word; it is at least one step of time long."""
        last = len(self.times) - 1
        start = min(last - 1, round(word.unit.start * self.steps_per_second))
        end = min(last, max(start + 1, round(word.unit.end * self.steps_per_second)))
        return Fields(
            start=self.times[start],
            speaker=self.speakers[word.speaker],
            words=(self.units[word.unit.kind - 1],),
            end=self.times[end],
        )


class JointScorer:
    """Bonuses for one row, as it is written."""

    def __init__(self, table: FieldTable, said: Sequence[SaidWord], weight: float) -> None:
        """Take what was found in the row's recording, in order of starts.

        Args:
            table: Of the codec.
            said: Words.
            weight: Bonus, in nats.
        """
        self.weight, self.end_id = weight, table.end_id
        self.fields = [table.fields(word) for word in said]
        self._steps: Mapping[int, int] = {token: n for n, token in enumerate(table.times)}
        self._speakers = frozenset(table.speakers)
        self._near = round(NEAR * table.steps_per_second)
        self._next = 0
        self._word: Fields | None = None
        self._state = "start"
        self._spoken = 0

    def expected(self) -> int | None:
        """The token that the encoder expects; None where it has no say."""
        if self._state == "start":
            done = self._next >= len(self.fields)
            return self.end_id if done else self.fields[self._next].start
        if self._word is None:
            return None
        if self._state == "speaker":
            return self._word.speaker
        if self._spoken < len(self._word.words):
            return self._word.words[self._spoken]
        return self._word.end

    def scored(self, scores: Tensor) -> Tensor:
        """``[V]`` scores with the bonus."""
        expected = self.expected()
        if expected is None or self.weight == 0:
            return scores
        changed = scores.clone()
        changed[expected] += self.weight
        return changed

    def advance(self, token: int) -> None:
        """Follow what was written."""
        if token in self._steps:
            if self._state == "start":
                self._word = self._found(self._steps[token])
                self._state, self._spoken = "speaker", 0
            else:
                self._state = "start"
        elif token in self._speakers:
            self._state = "word"
        else:
            self._spoken += 1

    def _found(self, step: int) -> Fields | None:
        """The word that begins nearest to a time; it and those before it are done."""
        left = range(self._next, len(self.fields))
        gaps = {place: abs(self._steps[self.fields[place].start] - step) for place in left}
        nearest = min(gaps, key=lambda place: (gaps[place], place), default=None)
        if nearest is None or gaps[nearest] > self._near:
            return None
        self._next = nearest + 1
        return self.fields[nearest]


def joint_scorers(
    codec: SatsCodec,
    units: Sequence[int],
    said: Sequence[Sequence[SaidWord]],
    *,
    most: int,
    weight: float,
) -> list[JointScorer]:
    """One scorer a row."""
    table = FieldTable(codec, units, most)
    return [JointScorer(table, words, weight) for words in said]
