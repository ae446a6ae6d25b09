"""CSV and TSV manifests: as they are written by people and their spreadsheets."""

from __future__ import annotations

import json
from pathlib import Path

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from talkover.manifests.errors import ManifestError
from talkover.simulate.corpus import Rejection, Utterance, open_corpus


def read(path: Path, content: str | bytes) -> list[Utterance | Rejection]:
    data = content.encode() if isinstance(content, str) else content
    path.write_bytes(data)
    return list(open_corpus(path))


def utterances(items: list[Utterance | Rejection]) -> list[Utterance]:
    assert items and all(isinstance(i, Utterance) for i in items), items
    return [i for i in items if isinstance(i, Utterance)]


def test_the_shared_manifest_loads_as_it_is(shared_data: Path) -> None:
    found = utterances(list(open_corpus(shared_data / "speech" / "manifest.csv")))
    assert len(found) == 5356
    assert {u.corpus for u in found} == {"arabic_speech_commands", "fsdd", "librispeech", "vctk"}
    assert {u.gender for u in found} == {None, "male", "female"}
    assert {u.sampling_rate for u in found} == {8000, 16000}
    assert len([u for u in found if u.text is None]) == 60
    second = found[1]
    assert (second.start_sample, second.num_samples) == (9680, 8880)
    assert (second.text, second.language) == ("خلف", "ar")
    assert second.path == shared_data / "speech" / "arabic_words" / "asc01.flac"


def test_all_columns_and_their_aliases(tmp_path: Path) -> None:
    words = json.dumps([["one", 0.1, 0.2], ["two", 0.4, 0.25]])
    header = "id,spk,transcript,audio_filepath,start,length,sex,lang,license,alignment,book,source"
    cells = (
        f'u1,ana,"one,  two",x/a.flac,1.5,2,F,en,MIT,"{words.replace(chr(34), chr(34) * 2)}",b,r'
    )
    (found,) = utterances(read(tmp_path / "m.csv", f"{header}\n{cells}\n"))
    assert found == Utterance(
        utterance_id="u1",
        speaker="ana",
        path=tmp_path / "x" / "a.flac",
        file="x/a.flac",
        corpus="m",
        recording_id="r",
        start=1.5,
        duration=2.0,
        text="one, two",
        words=(("one", 0.1, 0.2), ("two", 0.4, 0.25)),
        word_source="reference",
        language="en",
        gender="female",
        topic="b",
        licence="MIT",
    )


@pytest.mark.parametrize(
    "content",
    [
        "﻿speaker,text,file\nana,hi,a.wav\n",
        "speaker,text,file\r\nana,hi,a.wav\r\n",
        'speaker;text;file\n"ana";hi;a.wav',
        "speaker\ttext\tfile\nana\thi\ta.wav\n\n",
        " Speaker , TEXT ,file\n ana ,hi , a.wav\n,,\n",
    ],
)
def test_the_same_row_in_the_hands_of_many_spreadsheets(tmp_path: Path, content: str) -> None:
    (found,) = utterances(read(tmp_path / "m.csv", content))
    assert (found.speaker, found.text, found.file) == ("ana", "hi", "a.wav")


def test_a_tsv_keeps_commas_and_an_empty_text_is_none(tmp_path: Path) -> None:
    first, second = utterances(
        read(tmp_path / "m.tsv", "speaker\ttext\tfile\nana\ta, b\tx.wav\nana\t\ty.wav\n")
    )
    assert (first.text, second.text) == ("a, b", None)


def test_a_missing_column_is_an_error_with_file_field_and_hint(tmp_path: Path) -> None:
    with pytest.raises(ManifestError) as caught:
        read(tmp_path / "m.csv", "speaker,txt,file\nana,hi,a.wav\n")
    assert caught.value.field == "text"
    assert str(caught.value).startswith(f"{tmp_path / 'm.csv'}:1: text: column is missing")
    assert "did you mean it by 'txt'" in str(caught.value)


@pytest.mark.parametrize("content", ["", "\n", "speaker,text\n", "speaker,text,file,file\n"])
def test_a_header_that_cannot_be_used_is_an_error(tmp_path: Path, content: str) -> None:
    with pytest.raises(ManifestError, match=r"file|speaker"):
        read(tmp_path / "m.csv", content)


HEADER = "utterance_id,speaker,text,file,start,num_samples,channel,words,word_source\n"


@pytest.mark.parametrize(
    ("cells", "field"),
    [
        ("u,,hi,a.wav,,,,,", "speaker"),
        ("u,ana,hi,,,,,,", "file"),
        ("u,ana,hi,a.wav,soon,,,,", "start"),
        ("u,ana,hi,a.wav,,1.5,,,", "num_samples"),
        ("u,ana,hi,a.wav,,,left,,", "channel"),
        ("u,ana,hi,a.wav,,,,not json,", "words"),
        ('u,ana,hi,a.wav,,,,"[[""a"", 1]]",', "words"),
        ("u,ana,hi,a.wav,,,,5,", "words"),
        ('u,ana,hi,a.wav,,,,"[[""a"", 1, 1]]",guess', "word_source"),
        ("u,ana,hi,a.wav", None),
        ("u,ana,hi,a.wav,,,,,,,", None),
    ],
)
def test_a_bad_row_is_rejected_with_its_line_and_the_rest_goes_on(
    tmp_path: Path, cells: str, field: str | None
) -> None:
    bad, good = read(tmp_path / "m.csv", HEADER + cells + "\nv,ana,hi,b.wav,,,,,\n")
    assert isinstance(bad, Rejection) and isinstance(good, Utterance)
    assert (bad.field, bad.place, bad.utterance_id) == (field, "m.csv:2", "u")


def test_a_row_that_is_no_utf8_is_rejected_alone(tmp_path: Path) -> None:
    content = b"speaker,text,file\nana,caf\xe9,a.wav\nana,caf\xc3\xa9,b.wav\n"
    bad, good = read(tmp_path / "m.csv", content)
    assert isinstance(bad, Rejection) and isinstance(good, Utterance)
    assert (bad.field, bad.reason, good.text) == ("text", "not UTF-8", "café")


def test_ids_are_derived_from_file_and_start_on_every_machine(tmp_path: Path) -> None:
    content = (
        "speaker,text,file,start\nana,hi,x/a b.wav,0\nana,hi,x/a b.wav,1\nana,hi,y/a b.wav,0\n"
    )
    found = [u.utterance_id for u in utterances(read(tmp_path / "m.csv", content))]
    assert len(set(found)) == 3
    (tmp_path / "elsewhere").mkdir()
    again = utterances(read(tmp_path / "elsewhere" / "m.csv", content))
    assert [u.utterance_id for u in again] == found
    assert found[0].startswith("a_b-")


@settings(
    max_examples=60, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture]
)
@given(body=st.text('ab",;\t\r\n0.5[] é', max_size=60))
def test_no_content_ends_a_run(tmp_path: Path, body: str) -> None:
    items = read(tmp_path / "m.csv", ("speaker,text,file,start,words\n" + body).encode())
    assert all(isinstance(i, (Utterance, Rejection)) for i in items)
