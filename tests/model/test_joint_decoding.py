"""What the encoder found has a say in what is written."""

from __future__ import annotations

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.serialize import Transcript, Turn
from talkover.model.codec import SatsCodec
from talkover.model.decoding import RowConstraint, VocabularyTrie, grammar_of
from talkover.model.decoding.joint import FieldTable, JointScorer
from talkover.model.onsets import Unit
from talkover.model.voices.said import SaidWord
from talkover.model.writing import Pen

WORDS = ("wahid", "ithnan", "thalatha", "arbaa")
BUDGET = 200
DURATION = 7.0


def units_of(codec: SatsCodec) -> tuple[int, ...]:
    ids = [codec.encode_text(word) for word in WORDS]
    assert all(len(pieces) == 1 for pieces in ids), "each word is one token in this corpus"
    return tuple(pieces[0] for pieces in ids)


def written(codec: SatsCodec, said: list[SaidWord], scores: torch.Tensor, weight: float) -> str:
    """What a language model with the same scores at every step writes."""
    table = FieldTable(codec, units_of(codec), 3)
    pen = Pen(
        budget=BUDGET,
        end_id=codec.end_id,
        constraint=RowConstraint(
            grammar_of(codec.config, DURATION),
            VocabularyTrie(codec.token_bytes),
            end_id=codec.end_id,
            budget=BUDGET,
        ),
        joint=JointScorer(table, said, weight),
    )
    while not pen.has_ended:
        pen.write(scores)
    return codec.decode(pen.ids)


@st.composite
def said_words(draw: st.DrawFn) -> list[SaidWord]:
    steps = sorted(draw(st.sets(st.integers(0, 55), max_size=6)))
    found, speakers = [], 0
    for step in steps:
        speaker = draw(st.integers(0, min(speakers, 2)))
        speakers = max(speakers, speaker + 1)
        length = draw(st.integers(1, 12))
        unit = Unit(start=step / 10, end=(step + length) / 10, kind=draw(st.integers(1, 4)))
        found.append(SaidWord(unit=unit, speaker=speaker))
    return found


@settings(max_examples=25, deadline=None)
@given(said=said_words(), seed=st.integers(0, 99))
def test_a_strong_say_writes_what_was_found(codec: SatsCodec, said, seed: int) -> None:
    scores = torch.randn(len(codec), generator=torch.Generator().manual_seed(seed))
    text = written(codec, said, scores, 100.0)
    turns = tuple(
        Turn(
            start=word.unit.start,
            end=word.unit.end,
            speaker=f"S{word.speaker + 1:02d}",
            text=WORDS[word.unit.kind - 1],
        )
        for word in said
    )
    assert text == codec.serializer.encode(Transcript(turns=turns))


def test_without_weight_the_language_model_writes_alone(codec: SatsCodec) -> None:
    scores = torch.randn(len(codec), generator=torch.Generator().manual_seed(1))
    said = [SaidWord(unit=Unit(start=0.5, end=0.9, kind=1), speaker=0)]
    assert written(codec, said, scores, 0.0) == written(codec, [], scores, 0.0)


def test_a_word_that_is_written_elsewhere_has_no_say_in_it(codec: SatsCodec) -> None:
    table = FieldTable(codec, units_of(codec), 3)
    scorer = JointScorer(
        table, [SaidWord(unit=Unit(start=2.0, end=2.4, kind=2), speaker=0)], weight=5.0
    )
    assert scorer.expected() == table.times[20]
    scorer.advance(table.times[5])  # the language model begins a word of its own
    assert scorer.expected() is None
    for token in (table.speakers[0], units_of(codec)[0], table.times[9]):
        scorer.advance(token)
    assert scorer.expected() == table.times[20]  # what was found is still to come
    scorer.advance(table.times[21])
    assert scorer.expected() == table.speakers[0]
    scorer.advance(table.speakers[0])
    assert scorer.expected() == units_of(codec)[1]
    scorer.advance(units_of(codec)[1])
    assert scorer.expected() == table.times[24]
    scorer.advance(table.times[24])
    assert scorer.expected() == codec.end_id


@pytest.mark.parametrize("end", [0.5, 0.53, 99.0])
def test_times_stay_within_the_atoms(codec: SatsCodec, end: float) -> None:
    table = FieldTable(codec, units_of(codec), 3)
    fields = table.fields(SaidWord(unit=Unit(start=0.5, end=end, kind=1), speaker=2))
    assert table.times.index(fields.start) == 5
    assert 5 < table.times.index(fields.end) < len(table.times)
