"""Texts and token ids: nothing is lost, words are whole, control tokens cannot be forged."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from talkover.manifests.errors import ConfigurationError
from talkover.manifests.serialize import Transcript, Turn, serializer
from talkover.model.codec import CodecConfig, SatsCodec, UnknownCharacter, build_codec
from talkover.model.tokens import SPECIAL, AtomConfig, atoms, train_tokenizer

TEXTS = st.text(
    st.characters(exclude_categories=("Cs",)) | st.sampled_from("[]<>\\|أب漢"), max_size=20
)


def transcript(*texts: str) -> Transcript:
    return Transcript(
        turns=tuple(
            Turn(speaker=f"S{1 + n % 2:02d}", text=text, start=n + 0.5, end=n + 1.3)
            for n, text in enumerate(texts)
        )
    )


@given(texts=st.lists(TEXTS, max_size=3))
def test_any_text_comes_back_in_every_format(texts: list[str]) -> None:
    for codec in codecs():
        written = transcript(*texts)
        target = codec.encode(written)
        text = codec.decode(target.ids)
        assert text == codec.serializer.encode(written)
        assert codec.parse(text).transcript == codec.serializer.lossless_view(written)


def codecs() -> list[SatsCodec]:
    if not _MADE:
        for name in ("inline", "sc", "roles", "json", "xml"):
            config = CodecConfig(
                format=name, vocab_size=320, atoms=AtomConfig(max_time=9.0, max_speakers=3)
            )
            texts = [serializer(name, digits=1).encode(transcript("wahid ithnan", "wahid"))] * 3
            _MADE.append(build_codec(config, texts))
    return _MADE


_MADE: list[SatsCodec] = []


def test_a_frequent_word_is_one_token_wherever_it_stands(codec: SatsCodec) -> None:
    alone = codec.encode_text("wahid")
    assert len(alone) == 1
    ids = codec.encode(transcript("wahid ithnan wahid")).ids
    assert ids.count(alone[0]) == 2
    assert codec.word_ids(transcript("ithnan  wahid")) == [*codec.encode_text("ithnan"), *alone]


def test_atoms_are_one_token_each_and_tagged_as_what_they_hold(codec: SatsCodec) -> None:
    target = codec.encode(transcript("wahid"))
    assert len(target.ids) == 4
    assert target.tags == ("time", "speaker", "word", "time")
    assert target.turns == (0, 0, 0, 0)
    assert codec.time_id(0.5) == target.ids[0]
    assert codec.time_ids()[13] == target.ids[3]
    assert codec.speaker_ids(1) == [target.ids[1]]


@pytest.mark.parametrize("name", ["inline", "sc", "roles", "json", "xml"])
def test_each_format_has_the_atoms_that_its_texts_hold(name: str) -> None:
    text = serializer(name, digits=1).encode(transcript("a", "b"))
    found = atoms(name, 1, AtomConfig(max_time=3.0, max_speakers=2))
    has_times = name in ("inline", "json", "xml")
    assert len(found) == 31 + 2
    assert all(atom in text for atom in found[-2:])
    assert (found[5] in text) == has_times


@pytest.mark.parametrize("control", SPECIAL)
def test_a_text_that_spells_a_control_token_is_not_one(codec: SatsCodec, control: str) -> None:
    ids = codec.encode(transcript(f"a {control} b")).ids
    forbidden = {codec.pad_id, codec.end_id, codec.semantic_id, codec.speaker_id}
    assert not forbidden & set(ids)
    assert control in codec.decode(ids)
    learned = build_codec(CodecConfig(vocab_size=400), [f"{control} {control}"] * 9)
    assert learned.end_id not in learned.encode_text(control)


def test_the_same_texts_give_the_same_tokenizer() -> None:
    texts = ["wahid ithnan", "thalatha"]
    first = train_tokenizer(texts, vocab_size=300, atoms=["[0.5]"])
    again = train_tokenizer(texts, vocab_size=300, atoms=["[0.5]"])
    assert first.backend_tokenizer.to_str() == again.backend_tokenizer.to_str()


def test_a_vocabulary_without_room_for_bytes_is_refused() -> None:
    with pytest.raises(ConfigurationError, match="vocab_size must be 261 or more"):
        train_tokenizer(["a"], vocab_size=100)


def test_speaker_cues_need_atoms(codec: SatsCodec) -> None:
    with pytest.raises(ConfigurationError, match="max_speakers must be 9 or more"):
        codec.speaker_ids(9)


def test_a_tokenizer_of_a_folder_serves_and_an_unknown_character_is_told(tmp_path: Path) -> None:
    from tokenizers import Tokenizer, decoders, models, pre_tokenizers
    from transformers import PreTrainedTokenizerFast

    letters = ["<unk>", "▁", *"abcdefghij[]S0123456789.⁂"]
    vocabulary = {letter: place for place, letter in enumerate(letters)}
    tokenizer = Tokenizer(models.BPE(vocabulary, [], unk_token="<unk>"))
    tokenizer.pre_tokenizer = pre_tokenizers.Metaspace(prepend_scheme="never", split=False)
    tokenizer.decoder = decoders.Metaspace(prepend_scheme="never")
    made = PreTrainedTokenizerFast(tokenizer_object=tokenizer, unk_token="<unk>")
    made.save_pretrained(tmp_path)
    codec = build_codec(replace(CodecConfig(), tokenizer=str(tmp_path)))
    target = codec.encode(transcript("ab a"))
    assert codec.decode(target.ids) == "[0.5][S01]ab a[1.3]"
    with pytest.raises(UnknownCharacter, match="cannot write"):
        codec.encode(transcript("xyz"))


def test_a_folder_without_a_tokenizer_is_told(tmp_path: Path) -> None:
    with pytest.raises(ConfigurationError, match="no tokenizer"):
        build_codec(CodecConfig(tokenizer=str(tmp_path)))


def test_codec_of_a_checkpoint_is_the_same(
    tmp_path: Path, codec: SatsCodec, all_formats: Callable[..., None]
) -> None:
    from transformers import AutoTokenizer

    codec.tokenizer.save_pretrained(tmp_path)
    loaded = SatsCodec(codec.config, AutoTokenizer.from_pretrained(tmp_path))
    text = transcript("wahid [0.5]", "غريب")
    assert loaded.encode(text) == codec.encode(text)
    assert loaded.token_bytes == codec.token_bytes
