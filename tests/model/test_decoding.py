"""Whatever the weights and the tokenizer: every output parses, and says nothing impossible."""

from __future__ import annotations

import random

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.serialize import Transcript, Turn, serializer
from talkover.model.codec import CodecConfig, SatsCodec, build_codec
from talkover.model.decoding import GrammarProcessor, VocabularyTrie, grammar_of
from talkover.model.decoding.numbers import completion, is_whole, ticks_text
from talkover.model.tokens import AtomConfig

FORMATS = ("inline", "sc", "roles", "json", "xml")
SEEN = [
    '[0.5][S01]واحد اثنان[1.3][{"Start":0.5,"End":1.0,"Speaker":0,"Content":"ab"}]',
    "<sc><spk1>hi][S0<text>\n0.5-1.2>ab</text>\n<speaker>\n",
] * 3
"""Makes tokens that span several elements of every format."""

_CODECS: dict[tuple[str, int, bool], tuple[SatsCodec, VocabularyTrie]] = {}


def codec_of(name: str, digits: int, has_atoms: bool) -> tuple[SatsCodec, VocabularyTrie]:
    key = (name, digits, has_atoms)
    if key not in _CODECS:
        config = CodecConfig(
            format=name,
            digits=digits,
            vocab_size=330,
            atoms=AtomConfig(max_time=5.0, max_speakers=3) if has_atoms else AtomConfig(),
        )
        codec = build_codec(config, SEEN)
        _CODECS[key] = codec, VocabularyTrie(codec.token_bytes)
    return _CODECS[key]


def written(
    codec: SatsCodec, processor: GrammarProcessor, budget: int, seed: int, taste: float
) -> list[int]:
    """Tokens drawn from random scores; ``taste`` makes some tokens likelier than others."""
    generator = torch.Generator().manual_seed(seed)
    likes = torch.randn(len(codec), generator=generator) * taste
    ids: list[int] = []
    while len(ids) < budget and codec.end_id not in ids:
        scores = (likes + torch.randn(len(codec), generator=generator))[None]
        masked = processor(torch.tensor([ids], dtype=torch.long).reshape(1, -1), scores)
        assert torch.isfinite(masked).any(), codec.decode(ids)
        ids.append(int(masked.softmax(-1).multinomial(1, generator=generator)))
    return ids


@settings(max_examples=60)
@given(
    name=st.sampled_from(FORMATS),
    digits=st.sampled_from([0, 1, 2]),
    has_atoms=st.booleans(),
    budget=st.sampled_from([4, 9, 17, 40, 120]),
    duration=st.sampled_from([0.0, 0.05, 0.6, 3.2, 11.0]),
    names=st.sampled_from([(), ("ana", 'S0]x"<:')]),
    seed=st.integers(0, 10**6),
    taste=st.sampled_from([0.0, 2.0, 6.0]),
)
def test_every_output_parses_however_short_the_budget(
    name: str,
    digits: int,
    has_atoms: bool,
    budget: int,
    duration: float,
    names: tuple[str, ...],
    seed: int,
    taste: float,
) -> None:
    codec, trie = codec_of(name, digits, has_atoms)
    budget += 60 if name == "xml" else 0  # an empty text takes some 40 bytes there
    grammar = grammar_of(codec.config, duration, names)
    processor = GrammarProcessor(
        [grammar], trie, end_id=codec.end_id, pad_id=codec.pad_id, budget=budget
    )
    ids = written(codec, processor, budget, seed, taste)
    assert ids[-1] == codec.end_id
    parsed = codec.parse(codec.decode(ids))
    assert parsed.repairs == ()
    check_turns(parsed.transcript.turns, duration, names)


def check_turns(turns: tuple[Turn, ...], duration: float, names: tuple[str, ...]) -> None:
    known = 0
    last = 0.0
    for turn in turns:
        if turn.start is not None and turn.end is not None:
            assert last <= turn.start <= turn.end <= duration + 1e-9
            last = turn.start
        if turn.speaker and turn.speaker not in names:
            number = int(turn.speaker[1:])
            assert number <= known + 1
            known = max(known, number)


@pytest.mark.parametrize("name", FORMATS)
def test_what_the_format_writes_is_within_its_grammar(name: str) -> None:
    codec, _ = codec_of(name, 2, False)
    grammar = grammar_of(codec.config, 9.0, ("ana b",))
    turns = (
        Turn(speaker="S01", text='wahid \\ [x] < y: "z"', start=0.5, end=1.35),
        Turn(speaker="ana b", text="", start=0.5, end=2.0),
        Turn(speaker="S02", text="غريب 漢", start=3.0, end=9.0),
    )
    text = codec.serializer.encode(Transcript(turns=turns)).encode()
    after = grammar.advance(grammar.start_state, text)
    assert after is not None and grammar.is_final(after)
    assert grammar.is_final(grammar.advance(grammar.start_state, _empty(name)) or after)


def _empty(name: str) -> bytes:
    return serializer(name).encode(Transcript()).encode()


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("[1.0][S02]", "the first speaker is S01"),
        ("[1.0][S01]a[0.9]", "an end before its start"),
        ("[2.0][S01]a[2.5][1.9]", "a start that goes back"),
        ("[9.9]", "a time beyond the audio"),
        ("[01.0]", "a leading zero"),
        ("[1.0][S01]a[2.0][2.0][S03]", "a speaker who skips a number"),
        ("[1.0][S01]\\n", "an escape that means nothing"),
        ("x", "words outside of a turn"),
    ],
)
def test_inline_refuses(text: str, why: str) -> None:
    grammar = grammar_of(CodecConfig(digits=1), 5.0)
    assert grammar.advance(grammar.start_state, text.encode()) is None, why


def test_a_row_of_a_batch_knows_its_own_length_and_ends_alone() -> None:
    codec, trie = codec_of("inline", 1, True)
    grammars = [grammar_of(codec.config, duration) for duration in (0.4, 4.0)]
    processor = GrammarProcessor(
        grammars, trie, end_id=codec.end_id, pad_id=codec.pad_id, budget=30
    )
    late = codec.time_id(3.0)
    scores = torch.zeros(2, len(codec))
    begun = processor(torch.zeros(2, 0, dtype=torch.long), scores)
    assert begun[0, late] == -torch.inf and begun[1, late] == 0
    ended = processor(torch.tensor([[codec.end_id], [late]]), scores)
    assert ended[0].isfinite().nonzero().flatten().tolist() == [codec.pad_id]
    assert ended[1].isfinite().sum() > 0


def test_a_budget_without_room_for_an_empty_text_is_refused() -> None:
    codec, trie = codec_of("json", 1, False)
    with pytest.raises(ConfigurationError, match="the budget is 2"):
        GrammarProcessor(
            [grammar_of(codec.config, 1.0)], trie, end_id=codec.end_id, pad_id=0, budget=2
        )


def test_a_vocabulary_that_cannot_write_the_format_is_told() -> None:
    trie = VocabularyTrie([None, b"a", b"[", b"1"])
    with pytest.raises(ConfigurationError, match="no token for"):
        trie.shortest(b"[1]")


@given(
    low=st.integers(0, 3000),
    span=st.integers(0, 3000),
    digits=st.integers(0, 2),
    draw=st.randoms(use_true_random=False),
)
def test_any_way_through_the_digits_ends_within_the_limits(
    low: int, span: int, digits: int, draw: random.Random
) -> None:
    text, high, limits = "", low + span, (digits, digits)
    for _ in range(20):
        if is_whole(text, low, high, limits) and draw.random() < 0.3:
            break
        ways = [text + c for c in "0123456789."]
        open_ways = [way for way in ways if completion(way, low, high, limits) is not None]
        if not open_ways:
            break
        text = draw.choice(open_ways)
    assert is_whole(text, low, high, limits) or completion(text, low, high, limits) is not None
    assert is_whole(ticks_text(low, digits), low, high, limits)
