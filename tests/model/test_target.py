"""What each token of a target is part of, in every format and for every tokenizer."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from itertools import groupby

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.io import SessionAudio
from talkover.manifests.serialize import Piece, Transcript, Turn, serializer
from talkover.model.codec import CodecConfig, SatsCodec, build_codec
from talkover.model.data.collate import Collator
from talkover.model.data.examples import example_of
from talkover.model.layout import IGNORED
from talkover.model.modeling import SatsModel, vocabulary_of
from talkover.model.target import (
    ATOM,
    MERGED_DIGITS,
    NO_TIME,
    TAGS,
    TimeTokens,
    plain_target,
    target_of,
)
from talkover.model.tokens import AtomConfig

FORMATS = ("inline", "xml", "json", "sc", "roles")
TIMES = st.integers(0, 4_000).map(lambda steps: steps / 10)
_MADE: dict[str, SatsCodec] = {}


def codec_of(name: str) -> SatsCodec:
    if name not in _MADE:
        config = CodecConfig(format=name, vocab_size=320, atoms=AtomConfig(max_time=9.0))
        texts = [serializer(name, digits=1).encode(transcript([(0.5, 12.3, "wahid")]))] * 3
        _MADE[name] = build_codec(config, texts)
    return _MADE[name]


def transcript(turns: Sequence[tuple[float, float, str]]) -> Transcript:
    return Transcript(
        turns=tuple(
            Turn(speaker=f"S{n % 3 + 1:02d}", text=text, start=start, end=end)
            for n, (start, end, text) in enumerate(turns)
        )
    )


@pytest.mark.parametrize("name", FORMATS)
@given(spans=st.lists(st.tuples(TIMES, TIMES), min_size=1, max_size=4))
@settings(max_examples=30, deadline=None)
def test_the_digits_of_a_time_add_up_to_it(name: str, spans: list[tuple[float, float]]) -> None:
    codec = codec_of(name)
    said = transcript([(min(s), max(s), f"so {max(s)}") for s in sorted(spans, key=min)])
    target = codec.encode(said)
    shown = [t for turn in said.turns for t in (turn.start, turn.end)]
    read: list[int] = []
    rows = zip(target.ids, target.tags, target.turns, target.steps, target.places, strict=True)
    for (tag, _, step), run in groupby(rows, key=lambda row: (row[1], row[2], row[3])):
        tokens = list(run)
        if tag != "time":
            assert step == NO_TIME and all(place == NO_TIME for *_, place in tokens)
            continue
        if any(place == ATOM for *_, place in tokens):
            read += [codec.time_ids().index(index) for index, *_ in tokens]
        elif any(place == MERGED_DIGITS for *_, place in tokens):
            assert name != "inline"  # the atom of 0.0 is read inside 10.0, unless it has brackets
            read.append(step)
        else:
            digits = [(index, place) for index, *_, place in tokens if place > 0]
            read.append(sum(codec.digit_ids().index(i) * place for i, place in digits))
        assert read[-1] == step
    assert set(read) == ({round(t * 10) for t in shown if t is not None} if _timed(name) else set())


def _timed(name: str) -> bool:
    return name in ("inline", "xml", "json")


def test_words_that_are_numbers_are_no_times(codec: SatsCodec) -> None:
    target = codec.encode(transcript([(0.5, 1.5, "12.3 5")]))
    assert [t for t, tag in zip(target.steps, target.tags, strict=True) if tag == "word"] == [
        NO_TIME
    ] * target.tags.count("word")
    assert target.tags.count("time") == 2


def test_a_token_of_several_digits_is_known_as_such() -> None:
    """``[12.3]`` as a tokenizer with numbers of up to three digits writes it."""
    pieces = [
        Piece(text="[", tag="fmt"),
        Piece(text="12.3", tag="time"),
        Piece(text="]", tag="fmt"),
    ]
    times = TimeTokens(digits=1, atoms=frozenset(), figures=tuple(range(10)))
    target = target_of(pieces, [60, 61, 62, 3, 63], [(0, 1), (1, 3), (3, 4), (4, 5), (5, 6)], times)
    assert target.tags == ("fmt", "time", "time", "time", "fmt")
    assert target.places == (NO_TIME, MERGED_DIGITS, NO_TIME, 1, NO_TIME)
    glued = target_of(pieces, [64, 2, 62, 3, 63], [(0, 2), (2, 3), (3, 4), (4, 5), (5, 6)], times)
    assert glued.places[:2] == (MERGED_DIGITS, 10)


def test_a_free_text_is_words_of_no_turn(codec: SatsCodec) -> None:
    target = codec.encode_plain("wahid at 2.5")
    assert codec.decode(target.ids) == "wahid at 2.5"
    assert set(target.tags) == {"word"} and set(target.turns) == {None}
    assert target == plain_target(target.ids)


def test_a_batch_says_what_each_label_is_part_of(
    model: SatsModel, codec: SatsCodec, make_tones: Callable[..., SessionAudio]
) -> None:
    items = [
        make_tones("both", [("ana", 0.2, "wahid ithnan"), ("bo", 0.5, "arbaa")], 2.0),
        make_tones("one", [("ana", 0.2, "wahid"), ("bo", 1.0, "arbaa")], 2.0),
    ]
    examples = [example_of(item, codec, 16000) for item in items]
    assert [example.overlapped for example in examples] == [(True, True), (False, False)]
    collate = Collator(model, codec, vocabulary_of(codec))
    batch = collate(examples)
    assert ((batch.labels != IGNORED) == (batch.tags > 0)).all()
    for row, example in enumerate(examples):
        target = codec.encode(example.transcript)
        at = (batch.labels[row] != IGNORED).nonzero().squeeze(1)
        assert batch.labels[row, at].tolist() == [*target.ids, codec.end_id]
        assert [TAGS[n - 1] for n in batch.tags[row, at].tolist()] == [*target.tags, "fmt"]
        assert batch.steps[row, at].tolist() == [*target.steps, NO_TIME]
        assert batch.places[row, at].tolist() == [*target.places, NO_TIME]
        turns = [-1 if turn is None else turn for turn in target.turns]
        assert batch.segments[row, at].tolist() == [*turns, -1]
    assert batch.overlapped.any(1).tolist() == [True, False]
    asked = collate(examples, with_answer=False)
    assert not asked.tags.any()
