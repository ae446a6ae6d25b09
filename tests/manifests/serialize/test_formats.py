"""The laws of every format: round trip, streaming, robustness, pieces, published samples."""

from __future__ import annotations

import dataclasses

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from talkover.manifests.serialize import FORMATS, PromptOptions, Transcript, Turn, serializer
from talkover.manifests.serialize.base import Parser

pytestmark = pytest.mark.medium  # seconds each: not for the fast round

NAMES = ("inline", "sc", "roles", "xml", "json")
bounded = settings(max_examples=25, deadline=None)

every_format = pytest.mark.parametrize("name", NAMES)


def test_the_formats_are_the_five_that_are_documented() -> None:
    assert tuple(FORMATS) == NAMES


def outcome(parser: Parser) -> tuple[object, ...]:
    return parser.transcript(), tuple(parser.repairs)


def read_in(parser: Parser, chunks: list[str]) -> tuple[object, ...]:
    handed = [turn for chunk in chunks for turn in parser.feed(chunk)] + parser.close()
    assert tuple(handed) == parser.transcript().turns
    return outcome(parser)


@every_format
def test_parsing_an_encoding_gives_the_transcript_back_without_repairs(
    name: str, transcripts: st.SearchStrategy[Transcript]
) -> None:
    @bounded
    @given(x=transcripts, digits=st.sampled_from([0, 1, 2, 6]))
    def law(x: Transcript, digits: int) -> None:
        form = serializer(name, digits=digits)
        parsed = form.parse(form.encode(x))
        assert parsed.transcript == form.lossless_view(x)
        assert {r.kind for r in parsed.repairs} <= {"start_order"}

    law()


@every_format
def test_the_lossless_view_loses_nothing_twice(
    name: str, transcripts: st.SearchStrategy[Transcript]
) -> None:
    @bounded
    @given(x=transcripts)
    def law(x: Transcript) -> None:
        form = serializer(name)
        view = form.lossless_view(x)
        assert form.lossless_view(view) == view
        assert form.encode(view) == form.encode(dataclasses.replace(view, hotwords=("other",)))

    law()


@every_format
def test_pieces_joined_are_the_encoding_and_point_at_their_turns(
    name: str, transcripts: st.SearchStrategy[Transcript]
) -> None:
    @bounded
    @given(x=transcripts)
    def law(x: Transcript) -> None:
        form = serializer(name)
        pieces = form.pieces(x)
        assert "".join(piece.text for piece in pieces) == form.encode(x)
        assert all(piece.text for piece in pieces)
        for index, turn in enumerate(x.turns):
            mine = [piece for piece in pieces if piece.turn == index]
            assert sum(piece.tag == "word" for piece in mine) == bool(turn.text)
            wanted = 0 if name == "sc" and not turn.speaker else 1
            assert sum(piece.tag == "speaker" for piece in mine) == wanted
            if "times" not in form.carries:
                assert not any(piece.tag == "time" for piece in mine)
            elif turn.start is not None:
                assert any(piece.tag == "time" for piece in mine)

    law()


@every_format
def test_any_chunks_give_the_same_as_the_whole(
    name: str, transcripts: st.SearchStrategy[Transcript], nasty_text: st.SearchStrategy[str]
) -> None:
    @bounded
    @given(x=transcripts, other=nasty_text, data=st.data())
    def law(x: Transcript, other: str, data: st.DataObject) -> None:
        form = serializer(name)
        text = form.encode(x)
        at = data.draw(st.integers(0, len(text)))
        for whole in (text, other, text[:at] + other + text[at:]):
            expected = read_in(form.parser(), [whole])
            assert read_in(form.parser(), list(whole)) == expected
            assert read_in(form.parser(), [whole[:at], "", whole[at:]]) == expected

    law()


@every_format
def test_no_text_makes_a_parser_raise_and_what_it_reads_can_be_written(
    name: str, nasty_text: st.SearchStrategy[str]
) -> None:
    @settings(max_examples=60, deadline=None)
    @given(st.one_of(nasty_text, st.text(), st.lists(nasty_text, max_size=8).map("".join)))
    def law(text: str) -> None:
        form = serializer(name)
        read = form.parse(text).transcript
        assert form.parse(form.encode(read)).transcript == form.lossless_view(read)

    law()


@every_format
def test_a_mutated_encoding_is_read_and_every_repair_has_a_place(
    name: str, transcripts: st.SearchStrategy[Transcript], nasty_text: st.SearchStrategy[str]
) -> None:
    @bounded
    @given(x=transcripts, put=nasty_text, data=st.data())
    def law(x: Transcript, put: str, data: st.DataObject) -> None:
        form = serializer(name)
        text = form.encode(x)
        begin = data.draw(st.integers(0, len(text)))
        end = data.draw(st.integers(begin, min(len(text), begin + 8)))
        mutated = text[:begin] + put + text[end:]
        for repair in form.parse(mutated).repairs:
            assert 0 <= repair.position <= len(mutated)

    law()


@every_format
def test_truncation_at_any_character_keeps_the_complete_turns(
    name: str, transcripts: st.SearchStrategy[Transcript]
) -> None:
    @settings(max_examples=8, deadline=None)
    @given(x=transcripts)
    def law(x: Transcript) -> None:
        form = serializer(name)
        text = form.encode(x)
        whole = form.parse(text).transcript.turns
        streaming = form.parser()
        complete = 0
        for at, character in enumerate(text):
            assert form.parse(text[:at]).transcript.turns[:complete] == whole[:complete]
            complete += len(streaming.feed(character))

    law()


@every_format
def test_every_turn_but_the_last_is_handed_out_before_the_end(
    name: str, published: Transcript
) -> None:
    form = serializer(name)
    parser = form.parser()
    handed = parser.feed(form.encode(published))
    assert len(handed) >= 1
    assert [*handed, *parser.close()] == list(form.lossless_view(published).turns)


@every_format
def test_plain_text_stands_unchanged_in_the_encoding(name: str) -> None:
    plain = "It's 5% of AT&T; (roughly) 3 > 2, n'est-ce pas? 你好。"
    x = Transcript(turns=(Turn(speaker="S01", text=plain, start=0.0, end=1.0),))
    assert plain in serializer(name).encode(x)


PUBLISHED = {
    "inline": "[0.48][S01]Welcome everyone[1.66][12.26][S02]The pipeline is ready[13.81]",
    "sc": "<sc><spk1>Welcome everyone<sc><spk2>The pipeline is ready",
    "roles": "spk0: Welcome everyone\nspk1: The pipeline is ready",
    "xml": "<text>\n0.48-1.66>Welcome everyone\n12.26-13.81>The pipeline is ready\n</text>\n"
    '<speaker>\n<spk id="1" t="0.48-1.66"/>\n<spk id="2" t="12.26-13.81"/>\n</speaker>',
    "json": '[{"Start":0.48,"End":1.66,"Speaker":0,"Content":"Welcome everyone"},'
    '{"Start":12.26,"End":13.81,"Speaker":1,"Content":"The pipeline is ready"}]',
}


@every_format
def test_encoding_equals_the_published_form(name: str, published: Transcript) -> None:
    assert serializer(name).encode(published) == PUBLISHED[name]


EMPTY = {
    "inline": "",
    "sc": "",
    "roles": "",
    "xml": "<text>\n</text>\n<speaker>\n</speaker>",
    "json": "[]",
}


@every_format
def test_a_session_without_turns_has_a_text_of_its_own(name: str) -> None:
    form = serializer(name)
    assert form.encode(Transcript()) == EMPTY[name]
    assert form.parse(EMPTY[name]).repairs == ()


def test_an_object_is_taken_as_it_is_and_a_wrong_name_is_refused() -> None:
    form = serializer("inline")
    assert serializer(form) is form
    with pytest.raises(ValueError, match="choose from inline, sc, roles, xml, json"):
        serializer("yaml")
    with pytest.raises(ValueError, match="need the name"):
        serializer(form, digits=1)
    with pytest.raises(ValueError, match="digits must be 0 to 6"):
        serializer("json", digits=9)


def test_a_closed_parser_takes_no_more_text() -> None:
    parser = serializer("inline").parser()
    parser.close()
    assert parser.close() == []
    with pytest.raises(ValueError, match="closed"):
        parser.feed("x")


@every_format
@pytest.mark.parametrize("language", ["en", "zh"])
def test_prompts_name_the_hotwords_and_the_registered_speakers(name: str, language: str) -> None:
    options = PromptOptions(
        language=language, hotwords=("Zürich", "two\nlines"), registered=("ana", "bo"), duration=3
    )
    prompt = serializer(name).prompt(options)
    assert "Zürich" in prompt and "two lines" in prompt and "3.00" in prompt
    assert ("ana" in prompt) == ("speakers" in serializer(name).carries)
    assert "\n" not in prompt and "{" not in prompt
    assert len({serializer(n).prompt(options) for n in NAMES}) == len(NAMES)


def test_without_speakers_serialised_output_asks_for_none_and_writes_none(
    published: Transcript,
) -> None:
    form = serializer("sc", with_speakers=False)
    assert form.encode(published) == "<sc>Welcome everyone<sc>The pipeline is ready"
    assert form.parse(form.encode(published)).transcript == form.lossless_view(published)
    assert "ana" not in form.prompt(PromptOptions(registered=("ana",)))


@pytest.mark.parametrize(
    "fields", [{"start": -1.0}, {"end": float("nan")}, {"start": 2.0, "end": 1.0}, {"end": 2e8}]
)
def test_a_turn_refuses_times_that_no_text_can_say(fields: dict[str, float]) -> None:
    with pytest.raises(ValueError, match="turn of"):
        Turn(speaker="S01", **fields)
